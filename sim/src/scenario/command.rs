//! What a host is asked: to run a program, to pass something on to one, or to make a single call on a socket.

use std::time::Duration;

use super::NodeId;

/// What a host is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Run an echo server on this port.
    Serve(Transport, u16),
    /// Run an echo client of this peer.
    Connect(Transport, Peer, Knobs),
    /// The client sends this.
    Send(Payload),
    /// The client closes, gracefully.
    Close,
    /// The client ends at once.
    Abort,
    /// A single call on a socket, as a program in C would make it. What it gives is told.
    Call(Call),
    /// Something for a program of the user's own.
    Do(Vec<String>),
}

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// The host.
    pub host: NodeId,
    /// The port.
    pub port: u16,
}

/// What a client does differently from the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Knobs {
    /// How long nothing may be heard before the peer is probed; zero: for ever.
    pub idle: Option<Duration>,
    /// How long a probe may be unanswered.
    pub probe: Option<Duration>,
    /// How many unanswered probes convict.
    pub misses: Option<u8>,
    /// How long a round of dialing may take.
    pub round: Option<Duration>,
    /// How many failed rounds in a row end it.
    pub rounds: Option<u32>,
    /// Send again what was in flight when a connection was lost.
    pub resend: bool,
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// This text.
    Text(String),
    /// This many bytes, of any kind.
    Bytes(u32),
}

/// A call on a socket that has a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Make a socket of this name.
    Open(String, Open, SocketKnobs),
    /// `connect` (again, or of a UDP socket); `None` dissolves (AF_UNSPEC).
    Connect(String, Option<Peer>),
    /// `accept` on the second: a socket of the first name.
    Accept(String, String),
    /// `recv` of so many bytes.
    Recv(String, u32),
    /// `recvmsg` with MSG_ERRQUEUE.
    RecvError(String),
    /// `send`.
    Send(String, Payload),
    /// `sendto`.
    SendTo(String, Peer, Payload),
    /// `shutdown(SHUT_WR)`.
    Shutdown(String),
    /// `shutdown(SHUT_RD)`.
    ShutdownRead(String),
    /// `close`.
    Close(String),
    /// `close` with SO_LINGER 0.
    Reset(String),
    /// `getsockopt(SO_ERROR)`.
    SoError(String),
    /// `poll` with a timeout of zero, for everything.
    Poll(String),
    /// `getsockopt(TCP_INFO)`.
    Info(String),
}

/// How a socket comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Open {
    /// `socket`, `bind`, `listen` with this backlog.
    Listen(u16, u32),
    /// `socket`, then `connect`, without waiting for its end.
    Connect(Peer),
    /// A UDP socket bound to this port; 0: any.
    Udp(u16),
}

/// Options set before `connect`, `bind` or `listen`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SocketKnobs {
    /// `IP_RECVERR`, `IPV6_RECVERR`.
    pub recverr: bool,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: Option<Duration>,
    /// `SO_KEEPALIVE` with idle time, interval and count.
    pub keepalive: Option<(Duration, Duration, u8)>,
    /// `TCP_SYNCNT`.
    pub syn_retries: Option<u8>,
    /// `SO_RCVBUF`, in bytes as the kernel counts them.
    pub receive_buffer: Option<u32>,
    /// `SO_SNDBUF`, in bytes as the kernel counts them.
    pub send_buffer: Option<u32>,
    /// `SO_REUSEADDR`.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`.
    pub reuse_port: bool,
}
