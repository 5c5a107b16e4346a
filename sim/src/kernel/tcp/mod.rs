//! TCP connections.
//!
//! # Theory of operation
//!
//! A connection as RFC 9293 has it, with Linux' timers and Linux' ways to fail, and without what only matters for speed:
//! no congestion control, no selective acknowledgement, no window scaling, no Nagle. What is lost is sent again by the
//! loss probe or the retransmission timer, from the oldest byte on. Buffers count payload: a socket holds half as many
//! bytes as the kernel counts, because the other half is bookkeeping (tcp(7), `SO_RCVBUF` in socket(7)).
//!
//! ```text
//!   calls ───► out ──► segments        state: what both sides have agreed on
//!              ▲ acknowledged          una ≤ nxt: what is in flight; out[0] is byte una
//!   calls ◄─── in_order ◄── segments   rcv_nxt ≤ edge: what the peer may send
//!              ahead: what came too early
//! ```
//!
//! Whatever is a signal in the sense of the [table](super::table), an ICMP error, a reset, a FIN, a timer that gives up, is
//! looked up there by [`Tcp::case`], and obeyed.
//!
//! | file | has |
//! |---|---|
//! | `calls` | what programs ask |
//! | `demux` | for whom a segment is |
//! | `input` | segments that arrive |
//! | `output` | segments that leave |
//! | `clock` | all times of a connection |
//! | `timers` | retransmission, probes, keepalive, and when they give up |
//! | `signals` | the table obeyed; ICMP |

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::Version;

use super::buffers::Buffers;
use super::errors::ErrorQueue;
use super::{Effects, Env, Fd, Kernel, Kind, Latches, Poll, QueuedError, Sysctl, TcpOptions, table};
use crate::packet::{Segment, Seq, version};

mod calls;
mod clock;
mod demux;
mod input;
mod output;
mod signals;
mod timers;

/// The state of a TCP socket (RFC 9293 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcpState {
    /// There is no connection, or no longer.
    Closed,
    /// Waits for connections.
    Listen,
    /// Has sent a SYN.
    SynSent,
    /// Has received a SYN, and answered it.
    SynReceived,
    /// Both sides may send.
    Established,
    /// This side has ended; its FIN is not acknowledged.
    FinWait1,
    /// This side has ended, and the peer knows.
    FinWait2,
    /// The peer has ended.
    CloseWait,
    /// Both have ended at the same time; this side's FIN is not acknowledged.
    Closing,
    /// Both have ended, the peer first; this side's FIN is not acknowledged.
    LastAck,
    /// Both have ended; old segments may still be on their way. The kernel keeps it to itself: its program, if there still
    /// is one, has a closed socket (`tcp_time_wait`).
    TimeWait,
}

/// A connection, or an attempt at one.
#[derive(Debug)]
pub(super) struct Tcp {
    state: TcpState,
    latches: Latches,
    local: SocketAddr,
    remote: SocketAddr,
    options: TcpOptions,
    errors: ErrorQueue,
    /// The listener that it came from.
    pub(super) parent: Option<Fd>,
    /// Waits to be accepted.
    pub(super) queued: bool,
    /// Its program has closed it.
    orphan: bool,
    /// In the kernel's table of connections.
    known: bool,

    // Sending.
    out: VecDeque<u8>,
    una: Seq,
    nxt: Seq,
    /// Behind the last byte that has left this host, and not only been meant to.
    left: Seq,
    /// The last byte that the peer's window allows, and one more.
    window_end: Seq,
    /// The sequence number of the segment that told the window.
    window_seq: Seq,
    mss: usize,
    /// Its packets may be fragmented: the path was said to be too narrow to be believed.
    fragments: bool,
    /// No more is to be sent (`SEND_SHUTDOWN`).
    shut_write: bool,
    /// The FIN has been sent: `nxt` lies behind it.
    fin_sent: bool,
    /// What had not left when the connection ended: TCP_INFO goes on telling it.
    abandoned: usize,
    /// How many bytes `out` holds at most.
    send_room: usize,
    /// The program has met a full buffer (`SOCK_NOSPACE`).
    blocked: bool,

    // Receiving.
    in_order: VecDeque<u8>,
    ahead: Vec<Early>,
    rcv_nxt: Seq,
    /// What was acknowledged last.
    acked: Seq,
    /// The end of the window that was told.
    edge: Seq,
    receive_room: usize,
    /// The peer's FIN was taken (`SOCK_DONE`).
    done: bool,
    /// `RCV_SHUTDOWN`
    shut_read: bool,

    // Time.
    clock: clock::Clock,
}

/// Bytes that came before those in front of them.
#[derive(Debug)]
struct Early {
    seq: Seq,
    bytes: Vec<u8>,
    fin: bool,
}

/// What a connection may touch while it works.
struct Context<'a> {
    now: Instant,
    fd: Fd,
    env: &'a Env,
    effects: &'a mut Effects,
    buffers: &'a mut Buffers,
    /// The program is to be told.
    wake: bool,
}

/// The most that SO_SNDBUF and SO_RCVBUF can be, as the kernel counts it (an `int`).
const LARGEST_BUFFER: usize = i32::MAX as usize;
/// The least that an option or a path may make of the segment size (`TCP_MIN_SND_MSS` and 40 bytes more).
const LEAST_MSS: usize = 88;

impl Tcp {
    fn new(env: &Env, local: SocketAddr, remote: SocketAddr, options: &TcpOptions, iss: Seq) -> Self {
        // Sequence numbers tell 2³¹ apart: so much is never in flight, nor told as a window.
        let room = |bytes: u32, least: usize| (bytes as usize).clamp(least, LARGEST_BUFFER) / 2;
        Self {
            state: TcpState::Closed,
            latches: Latches::default(),
            local,
            remote,
            // 0 is what the system has otherwise (tcp(7)).
            options: TcpOptions {
                user_timeout: options.user_timeout.filter(|timeout| !timeout.is_zero()),
                // MAX_TCP_SYNCNT
                syn_retries: options.syn_retries.map(|retries| retries.min(127)),
                ..*options
            },
            errors: ErrorQueue::new(),
            parent: None,
            queued: false,
            orphan: false,
            known: false,
            out: VecDeque::new(),
            una: iss,
            nxt: iss,
            left: iss,
            window_end: iss,
            window_seq: Seq(0),
            mss: own_mss(local),
            fragments: false,
            shut_write: false,
            fin_sent: false,
            abandoned: 0,
            // SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF.
            send_room: room(options.send_buffer.unwrap_or(env.send_buffer), 4_608),
            blocked: false,
            in_order: VecDeque::new(),
            ahead: Vec::new(),
            rcv_nxt: Seq(0),
            acked: Seq(0),
            edge: Seq(0),
            receive_room: room(options.receive_buffer.unwrap_or(env.receive_buffer), 2_304),
            done: false,
            shut_read: false,
            clock: clock::Clock::default(),
        }
    }

    /// A connection that a listener makes of a SYN.
    pub(super) fn answering(
        env: &Env,
        local: SocketAddr,
        remote: SocketAddr,
        options: &TcpOptions,
        iss: Seq,
        parent: Fd,
    ) -> Self {
        Self { known: true, parent: Some(parent), ..Self::new(env, local, remote, options, iss) }
    }

    pub(super) fn latches(&mut self) -> &mut Latches {
        &mut self.latches
    }

    /// `tcp_poll`.
    pub(super) fn poll(&self) -> Poll {
        let connecting = matches!(self.state, TcpState::SynSent | TcpState::SynReceived);
        let free = self.send_room.saturating_sub(self.out.len());
        Poll {
            readable: self.shut_read || !connecting && !self.in_order.is_empty(),
            // sk_stream_is_writeable: a third is free.
            writable: !connecting && (self.shut_write || free >= self.out.len() / 2),
            error: self.latches.hard.is_some() || !self.errors.is_empty(),
            hangup: self.shut_read && self.shut_write || self.state == TcpState::Closed,
            read_hangup: self.shut_read,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }

    pub(super) const fn state(&self) -> TcpState {
        self.state
    }

    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The other end; `None` while there is no connection (`inet_getname`).
    pub(super) fn remote(&self) -> Option<SocketAddr> {
        let connected = !matches!(self.state, TcpState::Closed | TcpState::SynSent | TcpState::TimeWait);
        connected.then_some(self.remote)
    }

    /// The other end, even of a connection that has ended.
    pub(super) const fn end(&self) -> SocketAddr {
        self.remote
    }

    /// The oldest entry of the error queue.
    pub(in crate::kernel) fn pop_error(&mut self) -> Option<QueuedError> {
        self.errors.pop_front()
    }

    /// Which state of the table it is in.
    fn case(&self) -> table::State {
        use table::State;
        match self.state {
            TcpState::SynSent => State::SynSent,
            TcpState::SynReceived => State::SynReceived,
            TcpState::TimeWait => State::TimeWait,
            _ if self.orphan => State::Orphan,
            _ if self.queued => State::Queued,
            TcpState::CloseWait => State::CloseWait,
            TcpState::Closing | TcpState::LastAck => State::BothClosed,
            TcpState::FinWait1 | TcpState::FinWait2 => State::HalfClosed,
            TcpState::Established | TcpState::Closed | TcpState::Listen => {
                if !self.in_order.is_empty() {
                    State::Unread
                } else if self.una != self.nxt {
                    State::Sending
                } else if !self.out.is_empty() {
                    State::ZeroWindow
                } else {
                    State::Idle
                }
            }
        }
    }

    fn version(&self) -> Version {
        version(self.remote.ip())
    }

    fn enter(&mut self, cx: &mut Context<'_>, state: TcpState) {
        if self.state != state {
            self.state = state;
            cx.effects.moves.push((cx.fd, state));
        }
    }

    /// There is no connection any more; what was received may still be read (`tcp_done`).
    fn done(&mut self, cx: &mut Context<'_>) {
        // The end of TIME_WAIT is no news for its program.
        cx.wake |= self.state != TcpState::TimeWait;
        self.abandoned = self.unsent();
        self.shut_read = true;
        self.shut_write = true;
        self.out = VecDeque::new();
        self.una = self.nxt;
        self.ahead.clear();
        self.clock.stop();
        // tcp_write_queue_purge
        self.clock.backoff = 0;
        self.enter(cx, TcpState::Closed);
    }

    /// What was never sent (`tcpi_notsent_bytes`): the FIN counts from when it is asked for, because `write_seq` does.
    fn unsent(&self) -> usize {
        if self.state == TcpState::Closed {
            return self.abandoned;
        }
        self.out.len() - self.sent() + usize::from(self.shut_write && !self.fin_sent)
    }

    /// How many bytes of `out` are in flight.
    #[inline]
    fn sent(&self) -> usize {
        if matches!(self.state, TcpState::SynSent | TcpState::SynReceived) {
            return 0;
        }
        let sent = self.nxt.since(self.una).max(0) as usize;
        sent.saturating_sub(usize::from(self.fin_sent)).min(self.out.len())
    }
}

/// What fits into an Ethernet frame.
fn own_mss(local: SocketAddr) -> usize {
    match version(local.ip()) {
        Version::V4 => 1_460,
        Version::V6 => 1_440,
    }
}

impl Env {
    fn millis(&self, sysctl: Sysctl) -> Duration {
        Duration::from_millis(self.sysctl.get(sysctl))
    }

    fn seconds(&self, sysctl: Sysctl) -> Duration {
        Duration::from_secs(self.sysctl.get(sysctl))
    }
}

impl Kernel {
    /// The connection between these two ends.
    pub(super) fn tcp_lookup(&self, local: SocketAddr, remote: SocketAddr) -> Option<Fd> {
        let recent = self.recent;
        match self.tcp(recent) {
            Some(tcp) if tcp.known && tcp.local == local && tcp.remote == remote => Some(recent),
            _ => self.connections.get(&(local, remote)).copied(),
        }
    }

    #[inline]
    fn tcp(&self, fd: Fd) -> Option<&Tcp> {
        match &self.socket(fd)?.kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn tcp_mut(&mut self, fd: Fd) -> Option<&mut Tcp> {
        match &mut self.socket_mut(fd)?.kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    /// Lets a connection work, then does what follows from it for the rest of the kernel.
    #[inline]
    fn work<R>(&mut self, fd: Fd, work: impl FnOnce(&mut Tcp, &mut Context<'_>) -> R) -> Option<R> {
        let socket = self.sockets.get_mut(fd.0 as usize).and_then(Option::as_mut)?;
        let Kind::Tcp(tcp) = &mut socket.kind else { return None };
        let (env, effects, buffers) = (&self.env, &mut self.effects, &mut self.buffers);
        let mut cx = Context { now: env.now, fd, env, effects, buffers, wake: false };
        let given = work(tcp, &mut cx);
        let wake = cx.wake;
        let over = tcp.state == TcpState::Closed;
        if over && tcp.known {
            tcp.known = false;
            let ends = (tcp.local, tcp.remote);
            let forgotten = tcp.orphan || tcp.parent.is_some() && !tcp.queued && socket.owner.is_none();
            self.connections.remove(&ends);
            if forgotten {
                self.free(fd);
                return Some(given);
            }
        }
        if wake {
            self.wake(fd);
        }
        if !over {
            self.arm(fd);
        }
        Some(given)
    }

    pub(super) fn tcp_options(&self, fd: Fd) -> Option<&TcpOptions> {
        self.tcp(fd).map(|tcp| &tcp.options)
    }

    /// A new connection answers the SYN that it was made of.
    pub(super) fn answer(&mut self, fd: Fd, syn: &Segment) {
        self.work(fd, |tcp, cx| {
            tcp.nxt = tcp.una + 1;
            tcp.take_syn(syn);
            tcp.enter(cx, TcpState::SynReceived);
            tcp.clock.sent_syn(cx.now, tcp.nxt);
            tcp.emit_syn_ack(cx);
        });
    }

    /// Connections vanish without a trace; their programs' descriptors are of no use any more.
    /// How many there were.
    pub(super) fn forget_connections(&mut self) -> usize {
        let connections = core::mem::take(&mut self.connections);
        let many = connections.len();
        for (_, fd) in connections {
            let owned = self.socket(fd).is_some_and(|socket| socket.owner.is_some());
            let Some(tcp) = self.tcp_mut(fd) else { continue };
            let parent = tcp.parent;
            tcp.state = TcpState::Closed;
            tcp.known = false;
            tcp.clock.stop();
            tcp.una = tcp.nxt;
            tcp.out.clear();
            tcp.in_order.clear();
            if owned {
                continue;
            }
            self.free(fd);
            if let Some(listener) = parent.and_then(|parent| self.listener_mut(parent)) {
                listener.forget(fd);
            }
        }
        many
    }
}
