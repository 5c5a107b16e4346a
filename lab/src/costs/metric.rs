//! What is measured, and of whom.

use core::fmt;
use core::str::FromStr;

use serde::Serialize;

use crate::suite::Player;

/// A runtime, on as many threads as said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Configuration {
    /// A thread for each connection.
    Std,
    /// An executor on one thread.
    Smol,
    /// An executor on as many threads as there are processors, at least two.
    SmolMulti,
    /// The current-thread flavour.
    Tokio,
    /// The multi-thread flavour with as many workers as there are processors, at least two.
    TokioMulti,
}

impl Configuration {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 5] = [Self::Std, Self::Smol, Self::SmolMulti, Self::Tokio, Self::TokioMulti];

    /// The word that people and programs read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Std => "std",
            Self::Smol => "smol",
            Self::SmolMulti => "smol-multi",
            Self::Tokio => "tokio",
            Self::TokioMulti => "tokio-multi",
        }
    }

    /// Whose runtime it is.
    #[must_use]
    pub const fn player(self) -> Player {
        match self {
            Self::Std => Player::Std,
            Self::Smol | Self::SmolMulti => Player::Smol,
            Self::Tokio | Self::TokioMulti => Player::Tokio,
        }
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Configuration {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|configuration| configuration.as_str() == word);
        found.ok_or_else(|| format!("no runtime is called {word:?}; there are {}", words()))
    }
}

fn words() -> String {
    Configuration::ALL.map(Configuration::as_str).join(", ")
}

/// Which process was looked at. The other side is always the same plain loop on blocking sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// One client session.
    Client,
    /// One server.
    Server,
}

impl Side {
    /// The word that people and programs read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Pieces.
    Count,
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Nanoseconds,
}

impl Unit {
    /// The word that people and programs read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Nanoseconds => "ns",
        }
    }
}

macro_rules! metrics {
    ($($variant:ident $side:ident $word:literal $title:literal $unit:ident $resolution:literal $about:literal;)*) => {
        /// What is measured. Counts come before times: what two runtimes do differently shows there first, and exactly.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Metric {
            $(#[doc = $about] $variant,)*
        }

        impl Metric {
            /// All of them, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word that programs read.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// A few words for people; they do not name the side.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// One sentence: what exactly is counted, and over what.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)* }
            }

            /// Whose figure it is.
            #[must_use]
            pub const fn side(self) -> Side {
                match self { $(Self::$variant => Side::$side,)* }
            }

            /// What its figures count.
            #[must_use]
            pub const fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit,)* }
            }

            /// What lies closer together cannot be told apart, in its unit.
            #[must_use]
            pub const fn resolution(self) -> f64 {
                match self { $(Self::$variant => $resolution,)* }
            }
        }
    };
}

metrics! {
    ClientCallsSingle Client "client-calls-single" "system calls, 1 in flight" Count 0.01
        "System calls for each message of a client that has one in flight.";
    ClientCallsMany Client "client-calls-many" "system calls, 64 in flight" Count 0.01
        "System calls for each message of a client that keeps 64 in flight.";
    ClientSwitchesSingle Client "client-switches-single" "context switches, 1 in flight" Count 0.01
        "How often a thread of the client gave way to another, to wait or because it had to, for each message, with one in flight.";
    ClientSwitchesMany Client "client-switches-many" "context switches, 64 in flight" Count 0.01
        "How often a thread of the client gave way to another, to wait or because it had to, for each message, with 64 in flight.";
    ClientWakesIdle Client "client-wakes-idle" "wake-ups a second, idle" Count 0.5
        "How often a thread of the client was woken in a second in which nothing is due.";
    ClientWakesBeat Client "client-wakes-beat" "wake-ups for a heartbeat" Count 0.1
        "How often a thread of the client was woken for each heartbeat of an otherwise idle connection.";
    ClientThreads Client "client-threads" "threads" Count 0.0
        "Threads of a client with one session.";
    ClientCpuSingle Client "client-cpu-single" "CPU, 1 in flight" Nanoseconds 10.0
        "Time on a processor for each message of a client that has one in flight.";
    ClientCpuMany Client "client-cpu-many" "CPU, 64 in flight" Nanoseconds 10.0
        "Time on a processor for each message of a client that keeps 64 in flight.";
    ClientCpuBeat Client "client-cpu-beat" "CPU for a heartbeat" Nanoseconds 1000.0
        "Time on a processor for each heartbeat of an otherwise idle connection.";
    ClientRoundTrip Client "client-round-trip" "round trip" Nanoseconds 100.0
        "From the program's command to the program's event, with one message in flight.";
    ClientReset Client "client-reset" "reset until told" Nanoseconds 100.0
        "From the moment before the peer resets the connection until the program is told that it is down; promised at once.";
    ClientTimer Client "client-timer" "timer lateness" Nanoseconds 100.0
        "By how much the program is told later that a probe stayed unanswered than its timer said.";
    ClientSilence Client "client-silence" "silence beyond promise" Nanoseconds 100.0
        "From the time within which a silent peer is to be convicted until the program is told.";
    ServerCallsSingle Server "server-calls-single" "system calls, 1 in flight" Count 0.01
        "System calls for each message of a server whose client has one in flight.";
    ServerCallsMany Server "server-calls-many" "system calls, 64 in flight" Count 0.01
        "System calls for each message of a server whose client keeps 64 in flight.";
    ServerSwitchesSingle Server "server-switches-single" "context switches, 1 in flight" Count 0.01
        "How often a thread of the server gave way to another, to wait or because it had to, for each message, with one in flight.";
    ServerSwitchesMany Server "server-switches-many" "context switches, 64 in flight" Count 0.01
        "How often a thread of the server gave way to another, to wait or because it had to, for each message, with 64 in flight.";
    ServerWakesIdle Server "server-wakes-idle" "wake-ups a second, idle" Count 0.5
        "How often a thread of the server was woken in a second in which its one connection is idle.";
    ServerThreadsSingle Server "server-threads-single" "threads, 1 connection" Count 0.0
        "Threads of a server with one connection.";
    ServerThreadsMany Server "server-threads-many" "threads, many connections" Count 0.0
        "Threads of a server with many idle connections.";
    ServerMemory Server "server-memory" "memory per connection" Bytes 64.0
        "Memory of the process (RssAnon) for each of many idle connections; the kernel's own for a socket is not in it.";
    ServerCpuSingle Server "server-cpu-single" "CPU, 1 in flight" Nanoseconds 10.0
        "Time on a processor for each message of a server whose client has one in flight.";
    ServerCpuMany Server "server-cpu-many" "CPU, 64 in flight" Nanoseconds 10.0
        "Time on a processor for each message of a server whose client keeps 64 in flight.";
    ServerRoundTrip Server "server-round-trip" "round trip" Nanoseconds 100.0
        "As a plain blocking client sees it, with one message in flight.";
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
