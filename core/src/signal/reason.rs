//! The words: why something ended, and who said so.
//!
//! A word is all that most readers ever see, so it claims no more than what is certain. Programs match the words
//! (`resound` prints them, its exit codes follow from them): a word is added when needed, never changed.

use core::fmt;
use core::str::FromStr;

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
    ConnRefused "conn-refused" "The connect was refused: nothing listens on that port, or a firewall refuses in its name.";
    NoResponse "no-response" "Nothing answered the connect in time.";
    Unreachable "unreachable" "The destination cannot be reached, and what was said does not tell who or what stands in the way.";
    HostUnreach "host-unreach" "A router, or this host itself, says that the host cannot be reached.";
    NetUnreach "net-unreach" "A router says that the network of the destination cannot be reached.";
    ProtoUnreach "proto-unreach" "The host, or a firewall in its name, says that it does not speak that protocol.";
    PortUnreach "port-unreach" "The host, or a firewall in its name, says that nothing listens on that port.";
    NetProhibited "net-prohibited" "A router says that talking to that network is prohibited.";
    HostProhibited "host-prohibited" "A router says that talking to that host is prohibited.";
    AdminProhibited "admin-prohibited" "A filter or a policy on the way says that this is prohibited.";
    TimeExceeded "time-exceeded" "The packet ran out of hops (a routing loop, or a limit set too low), or its fragments out of time.";
    ParamProblem "param-problem" "Somebody on the way could not handle the header of the packet.";
    NoRoute "no-route" "A router says that it has no route to the destination.";
    BeyondScope "beyond-scope" "A router says that the source address is not valid as far as the destination.";
    RejectRoute "reject-route" "A router has a route that rejects the destination.";
    TooBig "too-big" "The packet is too big for the path, or for the protocol.";
    Reset "reset" "The connection was reset.";
    Closed "closed" "The peer closed the connection; nothing was due.";
    ClosedEarly "closed-early" "The peer closed the connection while answers were due.";
    TimedOut "timed-out" "The kernel gave up: what was sent was never acknowledged.";
    BrokenPipe "broken-pipe" "The connection had already ended before this call.";
    Aborted "aborted" "The connection was cut short on this side.";
    PathDead "path-dead" "Nothing came back any more, not even the other kernel's acknowledgements.";
    PeerStalled "peer-stalled" "The other kernel acknowledges, but the program there does not answer.";
    WriteBlocked "write-blocked" "The peer has stopped reading, and its window is full.";
    NoEcho "no-echo" "No answer came in time; whether the path or the peer is at fault cannot be told.";
    Mismatch "mismatch" "What came back is not what was sent: this is not an echo server.";
    SelfConnect "self-connect" "The connection led to this very socket: nothing listened on that port, and the kernel chose it for us.";
    PermDenied "perm-denied" "This host, or somebody on the way, does not permit it.";
    NoPorts "no-ports" "This host has no free local address and port for it.";
    NoBuffers "no-buffers" "No buffer space is left for it.";
    TooManyFiles "too-many-files" "The limit of open files is reached.";
    NetDown "net-down" "The local network interface is down or gone.";
    NameResolution "name-resolution" "The name could not be resolved.";
    BadAddress "bad-address" "That address cannot be used from this host.";
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
    /// Every origin, in the order of the documentation.
    pub const ALL: &[Self] = &[Self::Local, Self::Peer, Self::Router, Self::Timer, Self::Unknown];

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

impl FromStr for Reason {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.iter().find(|reason| reason.as_str() == word);
        found.copied().ok_or_else(|| UnknownWord::new("reason", word))
    }
}

impl FromStr for Origin {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.iter().find(|origin| origin.as_str() == word);
        found.copied().ok_or_else(|| UnknownWord::new("origin", word))
    }
}

/// A word that is no [`Reason`], or no [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnknownWord {
    expected: &'static str,
    bytes: [u8; Self::KEPT],
    len: u8,
}

impl UnknownWord {
    /// How much of the word is kept, in bytes: twice the longest word there is. The rest is cut off, because an error
    /// that allocates has no place here.
    const KEPT: usize = 32;

    fn new(expected: &'static str, word: &str) -> Self {
        let mut error = Self { expected, bytes: [0; Self::KEPT], len: 0 };
        for letter in word.chars() {
            let start = usize::from(error.len);
            let end = start + letter.len_utf8();
            let Some(room) = error.bytes.get_mut(start..end) else { break };
            letter.encode_utf8(room);
            error.len += letter.len_utf8() as u8;
        }
        error
    }

    /// The word, or its first 32 bytes.
    #[must_use]
    pub fn word(&self) -> &str {
        let kept = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(kept).unwrap_or_default()
    }
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no such {}: {:?}", self.expected, self.word())
    }
}

impl core::error::Error for UnknownWord {}
