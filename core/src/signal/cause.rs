//! From what the system said to why it happened: one table for error numbers, and what follows from a cause.
//!
//! # How the table was filled
//!
//! An error number is a lossy summary: the kernel folds many things into one. Each cell therefore holds the least
//! specific reason that is true for everything that can lead there on Linux. Where the ICMP message itself is known
//! ([`Signal::Icmp`]), its own type and code decide instead, by the table in [`icmp`](super::icmp).
//!
//! There are two columns, because one number means different things before and after a connection stands.
//! On an *established* TCP connection no ICMP error ends anything: Linux only remembers it (`sk_err_soft`), and when
//! the retransmissions give up, `tcp_write_err` reports what it remembered, or ETIMEDOUT. So ECONNREFUSED from `read`
//! does not mean that a connect was refused. A connected UDP socket has no other column than that one, once its
//! `connect` (which sends nothing) has succeeded.

use core::fmt;
use core::net::IpAddr;

use super::icmp::IcmpLabel;
use super::{Cause, Errno, IcmpError, Op, Origin, Reason, Signal};

/// Whether it makes sense to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The world may change: try again, when the backoff says so.
    Again,
    /// Only somebody who changes the program, its configuration or its rights can help.
    Never,
}

impl Signal {
    /// What this means, when `op` met it. Loses nothing: the evidence is kept in the cause.
    #[must_use]
    pub fn cause(self, op: Op) -> Cause {
        match self {
            Self::Errno(errno) => {
                let [connecting, connected] = meaning(errno);
                let (reason, origin) = match op {
                    Op::Connect => connecting,
                    Op::Read | Op::Write => connected,
                };
                Cause { reason, origin, errno: Some(errno), icmp: None }
            }
            Self::Icmp(icmp) => {
                Cause { reason: icmp.meaning().reason, origin: icmp.origin(), errno: None, icmp: Some(icmp) }
            }
            Self::SelfConnect => Cause::local(Reason::SelfConnect),
        }
    }
}

/// A cell of the table.
type Cell = (Reason, Origin);

/// What an error number means: while connecting, and on what is connected (read or write).
#[rustfmt::skip]
const fn meaning(errno: Errno) -> [Cell; 2] {
    use Errno as E;
    use Origin::{Local, Peer, Timer, Unknown};
    use Reason as R;

    match errno {
        // -- What ICMP can lead to ------------------------------------------------------------------------------------
        //
        // A RST, or a port-unreachable that the kernel did not tell apart. Connected: only 3/3 (v6 1/4) gives it.
        E::ConnRefused  => [(R::ConnRefused,  Peer),    (R::PortUnreach,  Peer)],
        // ARP or neighbour discovery failed, 3/1, /10, /12 to /15, TTL, v6 1/2, 1/3, 3/x, or a local route says so.
        E::HostUnreach  => [(R::Unreachable,  Unknown), (R::Unreachable,  Unknown)],
        // No local route, a link that is down, TCP to a multicast address, v6 1/0, 3/0, /6, /11, and 3/9, which
        // is a prohibition. Not `net-unreach`, therefore, nor `no-route`.
        E::NetUnreach   => [(R::Unreachable,  Unknown), (R::Unreachable,  Unknown)],
        // A local `prohibit` route, broadcast without SO_BROADCAST, or ICMPv6 1/1, 1/5, 1/6 from somebody else.
        E::Acces        => [(R::PermDenied,   Unknown), (R::PermDenied,   Unknown)],
        E::HostDown     => [(R::HostUnreach,  Unknown), (R::HostUnreach,  Unknown)],    // 3/7
        E::NoNet        => [(R::Unreachable,  Unknown), (R::Unreachable,  Unknown)],    // 3/8
        E::NoProtoOpt   => [(R::ProtoUnreach, Peer),    (R::ProtoUnreach, Peer)],       // 3/2
        E::OpNotSupp    => [(R::Unreachable,  Unknown), (R::Unreachable,  Unknown)],    // 3/5, or the call itself
        // 12/x, v6 4/x, 1/7 and 1/8: all about a header. v6 codes that nobody has assigned give it as well.
        E::Proto        => [(R::ParamProblem, Unknown), (R::ParamProblem, Unknown)],
        // 3/4, v6 2/0, the path's MTU as remembered, or the 65507 bytes that UDP can carry.
        E::MsgSize      => [(R::TooBig,       Unknown), (R::TooBig,       Unknown)],

        // -- What the peer, or nobody, said ---------------------------------------------------------------------------
        E::ConnReset    => [(R::Reset,        Peer),    (R::Reset,        Peer)],
        // Somebody else read the error before, or this side has ended its half.
        E::Pipe         => [(R::BrokenPipe,   Unknown), (R::BrokenPipe,   Unknown)],
        E::Shutdown     => [(R::BrokenPipe,   Unknown), (R::BrokenPipe,   Unknown)],
        // While connecting: getpeername says so of an attempt that came to nothing, when its error was already read.
        E::NotConn      => [(R::Unreachable,  Unknown), (R::BrokenPipe,   Unknown)],
        E::TimedOut     => [(R::NoResponse,   Timer),   (R::TimedOut,     Timer)],
        // A blocking connect met SO_SNDTIMEO; the next one finds it still under way.
        E::InProgress   => [(R::NoResponse,   Timer),   (R::Aborted,      Local)],
        E::Already      => [(R::NoResponse,   Timer),   (R::Aborted,      Local)],
        // Windows: keepalive failed (TCP), or TTL exceeded (UDP). Linux does not say it of a socket.
        E::NetReset     => [(R::Unreachable,  Unknown), (R::Unreachable,  Unknown)],

        // -- What this host says of itself ----------------------------------------------------------------------------
        // `ss -K`; the second connect on a socket whose first one failed.
        E::ConnAborted  => [(R::Aborted,      Local),   (R::Aborted,      Local)],
        // The packet filter dropped it on its way out (UDP), or a privilege is missing. No ICMP gives it.
        E::Perm         => [(R::PermDenied,   Local),   (R::PermDenied,   Local)],
        // A blackhole route, which can be gone tomorrow; or an address that cannot be used (link-local without a
        // scope, a remote one from a socket bound to loopback). To give up for ever on the first would be an outage,
        // to go on with the second costs a few packets: so it is not `bad-address`. No ICMP gives it.
        E::Inval        => [(R::Unreachable,  Local),   (R::Unreachable,  Local)],
        E::AfNoSupport  => [(R::BadAddress,   Local),   (R::BadAddress,   Local)],
        E::DestAddrReq  => [(R::BadAddress,   Local),   (R::BadAddress,   Local)],
        E::AddrInUse    => [(R::NoPorts,      Local),   (R::NoPorts,      Local)],
        E::AddrNotAvail => [(R::NoPorts,      Local),   (R::NoPorts,      Local)],
        // A UDP socket that binds itself at its first connect or send finds no port, and says it so.
        E::Again        => [(R::NoPorts,      Local),   (R::NoPorts,      Local)],
        E::MFile        => [(R::TooManyFiles, Local),   (R::TooManyFiles, Local)],
        E::NFile        => [(R::TooManyFiles, Local),   (R::TooManyFiles, Local)],
        E::NoBufs       => [(R::NoBuffers,    Local),   (R::NoBuffers,    Local)],
        E::NoMem        => [(R::NoBuffers,    Local),   (R::NoBuffers,    Local)],
        E::NetDown      => [(R::NetDown,      Local),   (R::NetDown,      Local)],
        E::NoDev        => [(R::NetDown,      Local),   (R::NetDown,      Local)],

        // -- What only a mistake in the program leads to --------------------------------------------------------------
        E::BadF         => [(R::Aborted,      Local),   (R::Aborted,      Local)],
        E::NotSock      => [(R::Aborted,      Local),   (R::Aborted,      Local)],
        E::IsConn       => [(R::Aborted,      Local),   (R::Aborted,      Local)],
        E::Intr         => [(R::Aborted,      Local),   (R::Aborted,      Local)],

        // -- What has no meaning of its own: it did not come up, or it was cut short. The number is kept. --------------
        E::Io           => [(R::Unreachable,  Unknown), (R::Aborted,      Unknown)],
        E::Other(_)     => [(R::Unreachable,  Unknown), (R::Aborted,      Unknown)],
    }
}

impl IcmpError {
    /// Who sent it, as far as the message shows. Where sender and destination are both known, they decide: a
    /// port-unreachable from another address than the one that was asked is the work of a firewall. Otherwise the
    /// codes that only a destination may send (RFC 1122 §3.2.2.1, RFC 4443 §3.1) are the peer's, and all others are a
    /// router's. This host can be the router: when ARP or neighbour discovery fails, `offender` is its own address.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let by_destination = match (self.offender, self.destination) {
            (Some(offender), Some(destination)) => same_host(offender, destination.ip()),
            _ => matches!(self.meaning().reason, Reason::PortUnreach | Reason::ProtoUnreach),
        };
        if by_destination { Origin::Peer } else { Origin::Router }
    }
}

/// A dual-stack socket names IPv4 peers in IPv6 form, in one place and not in another.
fn same_host(a: IpAddr, b: IpAddr) -> bool {
    a.to_canonical() == b.to_canonical()
}

impl Cause {
    /// Nobody said anything in time.
    #[must_use]
    pub const fn timer(reason: Reason) -> Self {
        Self { reason, origin: Origin::Timer, errno: None, icmp: None }
    }

    /// This host says so.
    #[must_use]
    pub const fn local(reason: Reason) -> Self {
        Self { reason, origin: Origin::Local, errno: None, icmp: None }
    }

    /// The peer's bytes, or its end of the stream, say so.
    #[must_use]
    pub const fn peer(reason: Reason) -> Self {
        Self { reason, origin: Origin::Peer, errno: None, icmp: None }
    }

    /// Whether it makes sense to try again.
    ///
    /// Final is what no waiting can heal: this host forbids it, the address cannot be used, or the peer speaks
    /// something else. Somebody else's prohibition is not final: policies change, and ICMP can be forged.
    ///
    /// `self-connect` is not final. A loop that reconnects to a dead server on this host, at a port from which the
    /// kernel also chooses local ports, connects to itself after a few dozen tries, by chance. To give up then would
    /// turn a restart of the server into an outage without end.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match (self.reason, self.origin) {
            (Reason::PermDenied, Origin::Local)
            | (Reason::BadAddress | Reason::Mismatch | Reason::Protocol, _) => Retry::Never,
            _ => Retry::Again,
        }
    }
}

/// `conn-refused (peer, ECONNREFUSED)`, `host-unreach (router 192.0.2.1, ICMP 3/1)`.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.reason, self.origin)?;
        if let Some(offender) = self.icmp.and_then(|icmp| icmp.offender) {
            write!(f, " {offender}")?;
        }
        if let Some(errno) = self.errno {
            write!(f, ", {errno}")?;
        }
        if let Some(icmp) = self.icmp {
            write!(f, ", {}", IcmpLabel(&icmp))?;
        }
        f.write_str(")")
    }
}
