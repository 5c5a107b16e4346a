//! The words: why something ended, and who said so.

use core::fmt;

macro_rules! reasons {
    ($($variant:ident $word:literal $explain:literal;)*) => {
        /// Why something failed or ended. The words are those that nmap made common, and what it lacks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $explain] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word that people and programs read: `conn-refused`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn explain(self) -> &'static str {
                match self { $(Self::$variant => $explain,)* }
            }
        }
    };
}

reasons! {
    ConnRefused "conn-refused" "The connect was refused: the host is up, and nothing listens on that port.";
    NoResponse "no-response" "Nothing answered the connect in time.";
    Unreachable "unreachable" "Somebody on the way says that the destination cannot be reached, and not why.";
    HostUnreach "host-unreach" "A router says that the host cannot be reached.";
    NetUnreach "net-unreach" "The network cannot be reached.";
    ProtoUnreach "proto-unreach" "The host says that it does not speak that protocol.";
    PortUnreach "port-unreach" "The host says that nothing listens on that UDP port.";
    NetProhibited "net-prohibited" "A router says that talking to that network is prohibited.";
    HostProhibited "host-prohibited" "A router says that talking to that host is prohibited.";
    AdminProhibited "admin-prohibited" "A filter on the way says that this is prohibited.";
    TimeExceeded "time-exceeded" "The packet ran out of hops: a routing loop, or a limit set too low.";
    ParamProblem "param-problem" "Somebody on the way could not understand the packet's header.";
    NoRoute "no-route" "There is no route to the destination.";
    BeyondScope "beyond-scope" "The source address is not valid as far as the destination.";
    RejectRoute "reject-route" "A router has a route that rejects the destination.";
    TooBig "too-big" "The packet is too big for the path.";
    Reset "reset" "The connection was reset.";
    Closed "closed" "The peer closed the connection; nothing was due.";
    ClosedEarly "closed-early" "The peer closed the connection while answers were due.";
    TimedOut "timed-out" "The kernel gave up: what was sent was never acknowledged.";
    BrokenPipe "broken-pipe" "The connection had already ended when this was written.";
    Aborted "aborted" "This side ended it.";
    PathDead "path-dead" "Nothing came back any more, not even the other kernel's acknowledgements.";
    PeerStalled "peer-stalled" "The other kernel acknowledges, but the program there does not answer.";
    WriteBlocked "write-blocked" "The peer has stopped reading, and its window is full.";
    NoEcho "no-echo" "No answer came in time; whether the path or the peer is at fault cannot be told.";
    Mismatch "mismatch" "What came back is not what was sent: this is not an echo server.";
    SelfConnect "self-connect" "The connection led to this very socket: nothing else listens on that port.";
    PermDenied "perm-denied" "This is not permitted.";
    NoPorts "no-ports" "No local port is left.";
    NoBuffers "no-buffers" "The kernel has no memory left for this.";
    TooManyFiles "too-many-files" "The limit of open files is reached.";
    NetDown "net-down" "The local network interface is down.";
    NameResolution "name-resolution" "The name could not be resolved.";
    BadAddress "bad-address" "That address cannot be used.";
    Protocol "protocol" "The peer broke the protocol.";
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// This host.
    Local,
    /// The other host, or somebody who claims to be it.
    Peer,
    /// Somebody in between, or somebody who claims to be.
    Router,
    /// Nobody: nothing was said in time.
    Timer,
    /// It cannot be told.
    Unknown,
}

impl Origin {
    /// The word that people and programs read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Peer => "peer",
            Self::Router => "router",
            Self::Timer => "timer",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
