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

/// An address by what it means to the host that uses it; which one it is follows from the IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// That of a host: of this one or another.
    Of(NodeId),
    /// The unspecified one, 0.0.0.0 or `::`. To bind to: every address of this host. To send to: this host.
    Any,
    /// This host's own, 127.0.0.1 or `::1`.
    Loopback,
    /// Everybody on the link: 255.255.255.255. IPv6 has no broadcast; it has the group of all nodes, ff02::1.
    Broadcast,
    /// A group of this number: 239.0.0.N or ff15::N, which is of the site and needs no scope.
    Group(u8),
}

/// An address and a port: where a socket is bound, or what it speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// The address.
    pub at: Address,
    /// The port; to bind to, 0 stands for any.
    pub port: u16,
}

impl End {
    /// This port of every address of the host.
    #[must_use]
    pub const fn any(port: u16) -> Self {
        Self { at: Address::Any, port }
    }
}

impl From<Peer> for End {
    fn from(Peer { host, port }: Peer) -> Self {
        Self { at: Address::Of(host), port }
    }
}

/// A call on a socket that has a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Make a socket of this name.
    Open(String, Open, SocketKnobs),
    /// `connect` (again, or of a UDP socket); `None` dissolves (AF_UNSPEC).
    Connect(String, Option<End>),
    /// `accept` on the second: a socket of the first name.
    Accept(String, String),
    /// `recv` of so many bytes.
    Recv(String, u32),
    /// `recvmsg` with MSG_ERRQUEUE.
    RecvError(String),
    /// `recv` on each of these UDP sockets until nothing is left: says of how many datagrams, the most first. So a group of
    /// SO_REUSEPORT can be asked without knowing whom the kernel chose.
    RecvAll(Vec<String>),
    /// The same of their error queues.
    RecvErrorAll(Vec<String>),
    /// `send`.
    Send(String, Payload),
    /// `sendto`.
    SendTo(String, End, Payload),
    /// Joins the [group](Address::Group) of this number, on the host's first link (`IP_ADD_MEMBERSHIP`,
    /// `IPV6_JOIN_GROUP`).
    Join(String, u8),
    /// Leaves it (`IP_DROP_MEMBERSHIP`, `IPV6_LEAVE_GROUP`).
    Leave(String, u8),
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
    Listen(End, u32),
    /// `socket`, `bind` if an end of its own is said, then `connect`, without waiting for its end.
    Connect {
        /// To whom.
        to: End,
        /// From where; the kernel chooses otherwise.
        from: Option<End>,
    },
    /// A UDP socket, bound.
    Udp(End),
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
    /// `SO_BROADCAST`.
    pub broadcast: bool,
}
