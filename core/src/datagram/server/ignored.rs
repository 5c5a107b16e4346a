//! The words for what is not answered.

use core::fmt;

macro_rules! ignored {
    ($($variant:ident $word:literal $explain:literal;)*) => {
        /// Why a datagram is not answered, in the order in which it is asked. Of several reasons the first is told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Ignored {
            $(#[doc = $explain] $variant,)*
        }

        impl Ignored {
            /// Every reason, in that order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word that people and programs read: `rate-limit`.
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

ignored! {
    Stopped "stopped" "The server was stopped.";
    Truncated "truncated" "It was longer than the room for it, and only a part was read.";
    Broadcast "broadcast" "It was sent to a broadcast address.";
    Multicast "multicast" "It was sent to a multicast group.";
    LocalAddress "local-address" "It was sent to another address of this host than the one that is answered for.";
    RemoteAddress "remote-address" "It came from another peer than the one that is answered.";
    Unanswerable "unanswerable" "It came from port 0, or from an address that cannot be one host's.";
    ReflectingPort "reflecting-port" "It came from the port of a service that would answer the answer.";
    OwnPort "own-port" "It came from a port that this server serves: another such server would answer the answer.";
    RateLimit "rate-limit" "Its source has had as many answers as it may have for now.";
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
