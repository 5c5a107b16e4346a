//! A connection that stands: what comes back, and what the kernel knows while nothing does.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;

use resound_core::Instant;
use resound_core::liveness::{KernelView, Writing};
use resound_core::signal::{Errno, Signal};
use resound_sockets::poll::{PollFd, PollFlags, wait};
use resound_sockets::tcp::{kernel_view, outstanding, write};

use super::super::evidence::{Dialed, Ending, Moment, Others, Session, Silence};
use super::dial::{Dialing, TICK, patience};
use super::others::{Asking, number};
use super::{Log, Plan, message, quote};
use crate::output::text::time;
use crate::stats::nanos;

/// How long a peer may take to say of its own accord that it does not want the connection: long enough for a word that
/// follows the accept, short enough to be worth it.
const LEAST_GRACE: Duration = Duration::from_millis(50);
const MOST_GRACE: Duration = Duration::from_secs(1);
/// From the end of an answer to the next message.
const MOST_PAUSE: Duration = Duration::from_secs(1);
/// How long to wait for what a second connection is told, once the first has ended.
const AFTERWARDS: Duration = Duration::from_millis(1_500);
/// How long a process may take to end: its listening socket can be closed after its connections.
const LAST_BREATH: Duration = Duration::from_millis(300);

struct Talk<'a> {
    stream: &'a TcpStream,
    plan: &'a Plan,
    log: &'a Log<'a>,
    to: SocketAddr,
    soft: Option<Errno>,
    asking: Option<Asking>,
    echoed: u64,
    /// What a write took away, that a read would have said.
    taken: Option<Errno>,
    /// What the kernel was last seen to know.
    seen: KernelView,
}

/// Asks, until it was answered often enough or never will be.
pub(super) fn talk(
    stream: &TcpStream,
    to: SocketAddr,
    plan: &Plan,
    log: &Log<'_>,
    connected: Duration,
    others: &mut Others,
) -> Session {
    let mut talk = Talk {
        stream,
        plan,
        log,
        to,
        soft: None,
        asking: None,
        echoed: 0,
        taken: None,
        seen: KernelView::default(),
    };
    let end = talk.until_the_end(connected);
    let ended = matches!(end, Ending::Closed(_) | Ending::Reset(_));
    if ended {
        talk.ask_again();
    }
    let Talk { asking, soft, echoed, .. } = talk;
    if let Some(asking) = asking {
        *others =
            if matches!(end, Ending::Echoed | Ending::Differs) { asking.so_far() } else { asking.end(log) };
    }
    Session { echoed, end, soft }
}

impl Talk<'_> {
    fn until_the_end(&mut self, connected: Duration) -> Ending {
        let began = self.log.now();
        let grace = (connected * 2).clamp(LEAST_GRACE, MOST_GRACE);
        if let Some(end) = self.pause(grace, Moment::Unasked) {
            return end;
        }
        loop {
            if let Some(end) = self.ask() {
                return end;
            }
            self.echoed += 1;
            let left = self.plan.watch.saturating_sub(self.log.now() - began);
            if left.is_zero() {
                return Ending::Echoed;
            }
            let pause = left.min(MOST_PAUSE).min(self.plan.watch / 4);
            if let Some(end) = self.pause(pause, Moment::Idle) {
                return end;
            }
        }
    }

    /// Says nothing for a while. Whatever comes then ends it.
    fn pause(&mut self, pause: Duration, moment: Moment) -> Option<Ending> {
        let until = self.log.now() + pause;
        loop {
            let mut bytes = [0; 512];
            match self.read(&mut bytes, moment) {
                Ok(0) => {}
                Ok(n) => {
                    let said = quote(&bytes[..n]);
                    self.log.note("received", format!("unasked, {n} bytes: {said}"));
                    return Some(Ending::Differs);
                }
                Err(end) => return Some(end),
            }
            if let Some(asking) = &mut self.asking {
                asking.look(self.log);
            }
            let left = until - self.log.now();
            if left.is_zero() {
                return None;
            }
            self.wait(PollFlags::POLLIN, left);
        }
    }

    /// Sends one message, and waits until it is back.
    fn ask(&mut self) -> Option<Ending> {
        let sent = message(self.echoed, self.plan.size);
        let began = self.log.now();
        let moment = if self.echoed == 0 { Moment::Unanswered } else { Moment::Due };
        let (mut written, mut back, mut quiet_since) = (0, 0, began);
        let mut bytes = vec![0; 65_536];
        self.log.note("sent", format!("message {}, {} bytes", self.echoed, sent.len()));
        loop {
            let before = (written, back);
            written += self.write(&sent[written..]);
            match self.read(&mut bytes, moment) {
                Ok(0) => {}
                Ok(n) if sent.get(back..back + n) == Some(&bytes[..n]) => back += n,
                Ok(n) => {
                    let said = quote(&bytes[..n]);
                    self.log.note("received", format!("{n} bytes that were not sent: {said}"));
                    return Some(Ending::Differs);
                }
                Err(end) => return Some(end),
            }
            let now = self.log.now();
            if (written, back) != before {
                quiet_since = now;
            }
            let silent = now - quiet_since;
            if back == sent.len() {
                // Whatever the doubt was, it is over.
                self.asking = None;
                let again = self.retransmitted();
                self.log.note(
                    "echo",
                    format!("message {} is back after {}{again}", self.echoed, time(nanos(now - began))),
                );
                return None;
            }
            if silent >= self.plan.timeout {
                return Some(self.silence(quiet_since, written, sent.len()));
            }
            self.look(silent);
            let wanted =
                if written < sent.len() { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
            self.wait(wanted, (self.plan.timeout - silent).min(TICK));
        }
    }

    /// Says how often something was sent again that is acknowledged now.
    fn retransmitted(&mut self) -> String {
        let times = core::mem::take(&mut self.seen).retransmits;
        if times == 0 { String::new() } else { format!(", after {times} retransmissions: packets were lost") }
    }

    /// What the kernel takes; none if it takes nothing now, or reports an error: `read` finds out which.
    fn write(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        match write(self.stream, &[bytes]) {
            Some(Ok(n)) => n,
            Some(Err(Signal::Errno(errno))) if self.stands() => {
                self.remember(errno);
                0
            }
            // The next read says how it ended; all that a broken pipe tells is that it has.
            Some(Err(Signal::Errno(errno))) => {
                self.taken = Some(errno).filter(|errno| *errno != Errno::Pipe).or(self.taken);
                0
            }
            _ => 0,
        }
    }

    /// How much came; how it ended, if it has.
    fn read(&mut self, bytes: &mut [u8], moment: Moment) -> Result<usize, Ending> {
        let mut stream = self.stream;
        match stream.read(bytes) {
            Ok(0) => Err(match self.taken {
                Some(errno) => self.cut_off(errno, moment),
                None => {
                    self.log.note("ended", "the peer closes the connection: a FIN");
                    Ending::Closed(moment)
                }
            }),
            Ok(n) => Ok(n),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(error) => {
                let errno = number(&error);
                if self.stands() {
                    self.remember(errno);
                    return Ok(0);
                }
                Err(self.cut_off(errno, moment))
            }
        }
    }

    fn cut_off(&self, errno: Errno, moment: Moment) -> Ending {
        if errno == Errno::ConnReset {
            self.log.errno("ended", errno, "ECONNRESET: a RST");
            return Ending::Reset(moment);
        }
        self.log.errno("ended", errno, format!("the kernel gives up: {errno}"));
        Ending::GivenUp(errno)
    }

    /// An error on a connection that goes on is what ICMP said of the path (`tcp_v4_err`, with IP_RECVERR).
    fn remember(&mut self, errno: Errno) {
        if self.soft != Some(errno) {
            self.log.errno("icmp", errno, format!("somebody reports {errno}; the connection goes on"));
        }
        self.soft = Some(errno);
    }

    fn stands(&self) -> bool {
        self.stream.peer_addr().is_ok()
    }

    /// Looks at what the kernel knows, and asks others once it is doubtful.
    fn look(&mut self, silent: Duration) {
        if let Some(view) = kernel_view(self.stream) {
            if view.retransmits > self.seen.retransmits || view.probes > self.seen.probes {
                self.log.note("kernel", knowledge(&view));
            }
            self.seen = KernelView { retransmits: view.retransmits.max(self.seen.retransmits), ..view };
        }
        let doubtful = self.seen.retransmits >= 2 || silent >= patience(self.plan.timeout);
        if doubtful && self.asking.is_none() {
            self.asking = Some(Asking::begin(self.to, self.log).datagram().again());
        }
        if let Some(asking) = &mut self.asking {
            asking.look(self.log);
        }
    }

    /// What the kernel knows at the end of a wait in vain.
    fn silence(&self, since: Instant, written: usize, len: usize) -> Ending {
        let lasted = self.log.now() - since;
        let kernel = kernel_view(self.stream);
        if let Some(view) = &kernel {
            self.log.note("kernel", knowledge(view));
        }
        let outstanding = outstanding(self.stream).and_then(|bytes| usize::try_from(bytes).ok());
        if let Some(bytes) = outstanding {
            self.log.note("kernel", format!("{bytes} of {len} bytes are not acknowledged (SIOCOUTQ)"));
        }
        self.log.note("silence", format!("no answer within {}", time(nanos(lasted))));
        let writing = if written < len { Writing::Blocked } else { Writing::Free };
        let acknowledged = outstanding.map_or(0, |outstanding| written.saturating_sub(outstanding));
        Ending::Silent(Silence { lasted, kernel, writing, acknowledged })
    }

    /// The connection is over: whether another one stands.
    fn ask_again(&mut self) {
        std::thread::sleep(LAST_BREATH);
        let began = self.log.now();
        let limit = AFTERWARDS.min(self.plan.timeout);
        let (what, to) = ("another connection to the same port", self.to);
        let mut dialing = match Dialing::begin(to) {
            Ok(dialing) => dialing,
            Err(dialed) => return self.answered_again(what, dialed, began),
        };
        let dialed = loop {
            if let Some(dialed) = dialing.ended() {
                break dialed;
            }
            let waited = self.log.now() - began;
            let Some(left) = limit.checked_sub(waited).filter(|left| !left.is_zero()) else {
                break Dialed::Silent;
            };
            let mut fds = [PollFd::new(dialing.stream.as_fd(), PollFlags::POLLOUT)];
            let _ = wait(&mut fds, Some(left.min(TICK)));
        };
        self.answered_again(what, dialed, began);
    }

    fn answered_again(&mut self, what: &str, dialed: Dialed, began: Instant) {
        self.log.dialed("other", what, &dialed, self.log.now() - began);
        self.asking = Some(match self.asking.take() {
            None => Asking::answered(self.to, Others { again: Some(dialed), ..Others::default() }, self.log),
            Some(asking) => {
                let others = Others { again: Some(dialed), ..asking.so_far() };
                Asking::answered(self.to, others, self.log)
            }
        });
    }

    fn wait(&self, wanted: PollFlags, limit: Duration) {
        let mut fds = vec![PollFd::new(self.stream.as_fd(), wanted)];
        if let Some(asking) = &self.asking {
            asking.watch(&mut fds);
        }
        let _ = wait(&mut fds, Some(limit));
    }
}

/// TCP_INFO, as a sentence.
fn knowledge(view: &KernelView) -> String {
    let KernelView { unacked, unsent, retransmits, probes, since_ack, peer_window, .. } = *view;
    let window = peer_window.map(|bytes| format!(", the peer's window is {bytes} bytes")).unwrap_or_default();
    format!(
        "{unacked} segments unacknowledged, {unsent} bytes unsent, {retransmits} retransmissions, {probes} window probes, \
         last acknowledgement {} ago{window} (TCP_INFO)",
        time(nanos(since_ack))
    )
}
