//! Sending many messages, and finding out which of them an error is about.
//!
//! # Whose error it is
//!
//! A call that sends can fail for two reasons: because of what it sends, or because of something that was sent earlier,
//! whose ICMP error has arrived meanwhile. The kernel reports both by the same numbers, and in the second case **the
//! datagram of this call was not sent**, whomever it is for (`sock_alloc_send_pskb` asks for the socket's pending error
//! first). What tells them apart, on a socket with an error queue:
//!
//! 1. An entry of local origin is about this very call.
//! 2. Else the pending error is used up now. The queue is emptied and the call made again. If it was about something
//!    earlier, it succeeds.
//! 3. If it fails again although the queue was empty, it is about this message.
//!
//! Step 2 does not ask for an entry the first time: where the receive buffer is full, the error is set and its entry is
//! lost. A socket whose errors come faster than it sends is left alone after a few tries; the rest goes out in the next
//! turn.
//!
//! `sendmmsg` that fails in the middle says how far it came, and forgets why. The next call begins with the message that
//! failed, and shows whether it still does.

use resound_core::datagram::Fact;
use resound_core::signal::Errno;

use super::sys::{self, ErrorQueue, Family};
use super::{Entry, Message, Socket, Want};
use crate::port::Left;

/// How often one message is tried while errors about others keep coming.
pub(super) const TRIES: u32 = 8;

/// How many errors are taken in at once. The default receive buffer holds 255.
const ENTRIES: usize = 512;

/// What was done without anybody being told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Datagrams that were to go back and could not be sent.
    pub replies_lost: u64,
    /// Sends that failed because of an earlier datagram, and were made again.
    pub sends_repeated: u64,
    /// Messages of several datagrams that the kernel refused to cut apart, and that went one by one.
    pub cut_by_hand: u64,
}

/// How far a list of messages was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    /// The message that is next.
    message: usize,
    /// If its datagrams go one by one: how many went.
    by_hand: Option<ByHand>,
}

#[derive(Clone, Copy, Debug)]
struct ByHand {
    gone: usize,
    /// What the kernel said of all of them together; `None` if it was not asked.
    refused: Option<Errno>,
    /// Whether it took one of full size alone.
    taken: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// All were sent, or will never be.
    Done,
    /// The socket has no room.
    Blocked,
    /// It is to be tried again, without waiting.
    Later,
}

/// What the error queue held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// How many errors about earlier datagrams.
    pub(super) errors: usize,
    /// What this host says of the send that just failed.
    local: Option<Option<u32>>,
    /// There may be more.
    pub(super) more: bool,
}

/// Empties the error queue.
pub(super) fn listen<S: Socket>(
    socket: &mut S,
    queue: &mut ErrorQueue,
    mut tell: impl FnMut(Fact<'_>),
) -> Heard {
    let mut heard = Heard::default();
    loop {
        let got = hear(socket, queue);
        for entry in (0..got).filter_map(|at| queue.get(at)) {
            match entry {
                Entry::Icmp { error, quote } => {
                    heard.errors += 1;
                    tell(Fact::Icmp { error, quote });
                }
                Entry::Local { mtu } => heard.local = Some(mtu),
            }
        }
        if got < queue.most() {
            return heard;
        }
        if heard.errors >= ENTRIES {
            return Heard { more: true, ..heard };
        }
    }
}

/// A runtime that remembers no error may be behind the times: the kernel is asked all the same.
fn hear<S: Socket>(socket: &mut S, queue: &mut ErrorQueue) -> usize {
    let most = queue.most();
    let asked = socket.attempt(Want::Errors, |fd| {
        let got = queue.receive(fd).unwrap_or(0);
        (got, if got < most { Left::Nothing } else { Left::More })
    });
    asked.unwrap_or_else(|| queue.receive(socket.as_fd()).unwrap_or(0))
}

/// Whether this can be about an earlier datagram: what ICMP errors are turned into (`icmp_err_convert`,
/// `icmpv6_err_convert`).
pub(super) const fn may_be_about_another(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ConnRefused
            | Errno::HostUnreach
            | Errno::NetUnreach
            | Errno::HostDown
            | Errno::NoNet
            | Errno::NoProtoOpt
            | Errno::OpNotSupp
            | Errno::Proto
            | Errno::Acces
            | Errno::MsgSize
    )
}

/// What the kernel says to several datagrams that it cannot cut apart: longer than the path takes (EINVAL or EMSGSIZE,
/// `udp_send_skb`), no checksums by the device (EIO), no such thing (the others).
const fn may_be_about_cutting(errno: Errno) -> bool {
    matches!(errno, Errno::Inval | Errno::MsgSize | Errno::Io | Errno::OpNotSupp | Errno::NoProtoOpt)
}

/// What sends.
#[derive(Debug)]
pub(super) struct Courier<'a, S> {
    pub(super) socket: &'a mut S,
    pub(super) family: Family,
    pub(super) queue: Option<&'a mut ErrorQueue>,
    /// The longest datagram that goes out together with others.
    pub(super) longest_segment: &'a mut usize,
    pub(super) counts: &'a mut Counts,
}

enum Verdict {
    Again,
    Later,
    Own { mtu: Option<u32> },
}

impl<S: Socket> Courier<'_, S> {
    /// Sends what `messages` gives from the cursor on. Errors about others go to `tell`, what cannot be sent to `unsent`,
    /// each datagram by itself.
    pub(super) fn send<'m, T: FnMut(Fact<'_>)>(
        &mut self,
        cursor: &mut Cursor,
        messages: impl Fn(usize) -> Option<Message<'m>>,
        tell: &mut T,
        mut unsent: impl FnMut(&mut T, &Message<'m>, Errno, Option<u32>),
    ) -> Flow {
        let mut tries = 0;
        while let Some(first) = messages(cursor.message) {
            let longest = *self.longest_segment;
            let together = |message: &Message<'_>| {
                message.segments.is_none_or(|size| usize::from(size.get()) <= longest)
            };
            if cursor.by_hand.is_none() && !together(&first) {
                cursor.by_hand = Some(ByHand { gone: 0, refused: None, taken: false });
            }
            let sent = match cursor.by_hand {
                None => self.call((cursor.message..).map_while(&messages).take_while(together)),
                Some(ByHand { gone, .. }) => self.call(first.datagrams().skip(gone)),
            };
            let errno = match sent {
                Ok(sent) => {
                    tries = 0;
                    self.advance(cursor, &first, sent, true);
                    continue;
                }
                Err(Errno::Again) => return Flow::Blocked,
                Err(errno) => errno,
            };
            match self.judge(errno, tries, &mut *tell) {
                Verdict::Again => {
                    tries += 1;
                    self.counts.sends_repeated += 1;
                }
                Verdict::Later => return Flow::Later,
                Verdict::Own { mtu } => {
                    tries = 0;
                    match cursor.by_hand {
                        None if first.segments.is_some() && may_be_about_cutting(errno) => {
                            self.counts.cut_by_hand += 1;
                            cursor.by_hand = Some(ByHand { gone: 0, refused: Some(errno), taken: false });
                        }
                        None => {
                            first.datagrams().for_each(|one| unsent(tell, &one, errno, mtu));
                            self.advance(cursor, &first, 1, false);
                        }
                        Some(ByHand { gone, .. }) => {
                            first
                                .datagrams()
                                .skip(gone)
                                .take(1)
                                .for_each(|one| unsent(tell, &one, errno, mtu));
                            self.advance(cursor, &first, 1, false);
                        }
                    }
                }
            }
        }
        Flow::Done
    }

    fn call<'m>(&mut self, messages: impl Iterator<Item = Message<'m>>) -> Result<usize, Errno> {
        let family = self.family;
        let sent = self.socket.attempt(Want::Write, |fd| {
            let sent = sys::send(fd, family, messages);
            (sent, if sent == Err(Errno::Again) { Left::Nothing } else { Left::More })
        });
        sent.unwrap_or(Err(Errno::Again))
    }

    fn advance(&mut self, cursor: &mut Cursor, first: &Message<'_>, by: usize, taken: bool) {
        let Some(by_hand) = &mut cursor.by_hand else {
            cursor.message += by;
            return;
        };
        by_hand.gone += by;
        by_hand.taken |= taken;
        if by_hand.gone < first.datagrams().count() {
            return;
        }
        // Only what the kernel took one by one was refused for being together.
        if let (Some(refused), true, Some(size)) = (by_hand.refused, by_hand.taken, first.segments) {
            let size_matters = matches!(refused, Errno::Inval | Errno::MsgSize);
            let longest = if size_matters { usize::from(size.get()) - 1 } else { 0 };
            *self.longest_segment = longest.min(*self.longest_segment);
        }
        *cursor = Cursor { message: cursor.message + 1, by_hand: None };
    }

    fn judge(&mut self, errno: Errno, tries: u32, tell: impl FnMut(Fact<'_>)) -> Verdict {
        let Some(queue) = self.queue.as_deref_mut().filter(|_| may_be_about_another(errno)) else {
            return Verdict::Own { mtu: None };
        };
        let heard = listen(self.socket, queue, tell);
        match heard.local {
            Some(mtu) if errno == Errno::MsgSize => Verdict::Own { mtu },
            _ if tries > 0 && heard.errors == 0 => Verdict::Own { mtu: None },
            _ if tries < TRIES => Verdict::Again,
            _ => Verdict::Later,
        }
    }
}
