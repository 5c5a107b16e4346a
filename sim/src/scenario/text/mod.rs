//! The text form of a scenario: what people write, what shrinking prints, what regressions are stored as.
//!
//! # Theory of operation
//!
//! One statement a line; `;` separates statements as a line end does, except in `expect`, where it separates items. `#`
//! where a word could begin starts a comment. The order of statements does not matter, but for lines of the script at the
//! same time, for faults, and for expectations. Printing leaves out what is the default, and comments, which are no part
//! of a scenario; reading what was printed gives the same scenario.
//!
//! ```text
//! profile linux                     # or, as nobody verified them: `macos unverified`, `windows unverified`,
//!                                   # `linux-patient unverified`
//! ip 6                              # what a host's name stands for in commands; 4 unless said
//! seed 7                            # 1 unless said
//! until 60                          # when it ends; 60 unless said
//! simulated-only "why"              # it asks of a host what no real one can do: the lab leaves it out
//! host NAME [SETTING=NUMBER]...     # settings by Linux' names: tcp_retries2=5 tcp_rto_max_ms=1000
//! router NAME [SETTING=NUMBER]...
//! link A <-> B DELAY [jitter=D] [rate=1Mbit] [queue=20] [mtu=1280] [loss=1%] [duplicate=0.1%] [corrupt=10ppm] [noise=42]
//! TIME HOST COMMAND                 # what a host is asked, and when
//! !TRIGGER FAULT [may-be-inert]     # what goes wrong, and when
//! expect HOST [exactly|never] WORDS [by TIME] [; WORDS [by TIME]]...
//! ```
//!
//! A *command* runs a program, tells it something, or makes one call on a socket that has a name:
//!
//! ```text
//! serve [udp] PORT          connect [udp] HOST:PORT [idle=D] [probe=D] [misses=N] [round=D] [rounds=N] [resend]
//! send "text"               send N bytes            close            abort            do WORD...
//! call a = tcp listen LOCAL [backlog=N] [OPTION]...
//! call a = tcp connect END [from LOCAL] [OPTION]...
//! call a = udp LOCAL [OPTION]...
//! call b = accept a
//! call a connect END | disconnect | send "text" | sendto END N bytes | recv N | errqueue | so_error | poll | info |
//!        shutdown | shutdown-read | close | reset | join group-N | leave group-N
//! call a recv-all [b]... | errqueue-all [b]...           # of each socket until nothing is left: counts, the most first
//! END: HOST:PORT any:PORT loopback:PORT broadcast:PORT group-N:PORT              LOCAL: PORT (of any address) or END
//! OPTION: recverr uto=D keepalive=IDLE/INTERVAL/COUNT syncnt=N rcvbuf=N sndbuf=N reuseaddr reuseport broadcast
//! ```
//!
//! A socket can be bound to an address, and speak to one, that is no node's: `any` (0.0.0.0, `::`), `loopback`, `broadcast`
//! (255.255.255.255; over IPv6 the group of all nodes), `group-N` (239.0.0.N, ff15::N). No node can have such a name.
//!
//! A *trigger* is a time, a packet that sets out (`a->b#5`, the fifth that way), a state that a TCP socket enters
//! (`a:established`), or words that a program says (`a says "suspect"`).
//!
//! A *fault* happens to a way, to a node, or to the packet of its trigger, whose way need not be said again:
//!
//! ```text
//! a->b drop | delay D | duplicate D | corrupt | alter bit=N | truncate N     # the next packet that way
//! a->b cut [until TRIGGER] | mtu N                                            # `a<->b` stands for two faults, one each way
//! a<->b unplug [until TRIGGER]
//! HOST->b link-down [until TRIGGER [bare]]                                    # bare: nobody configures it again
//! NODE rst|fin|syn to HOST [seq=exact|inside|outside]
//! NODE icmp TYPE/CODE to HOST [quote=exact|inside|outside] [quoted=N] [mtu=N]
//! NODE route [to NODE] unreachable|prohibit|blackhole|missing [until TRIGGER]
//! HOST kill | pause D | power-loss | reboot D | forget | skew +D | short-reads N | short-writes N | spurious-wake |
//!      rcvbuf N | sndbuf N | no-ports [until TRIGGER] | no-descriptors [until TRIGGER] | accept-queue N
//! ```
//!
//! Times are seconds (`0.021`) or durations; durations have a unit: `ns`, `us`, `ms`, `s`, `m`, `h`. Both are exact to the
//! nanosecond. Text stands in quotes, with `\"`, `\\`, `\n`, `\t` and `\xNN` (the character of that number) in it.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use super::Scenario;

mod lex;
mod parse;
mod print;
mod quantity;
mod words;

pub(super) use lex::is_name;
pub(super) use print::Item;
pub use print::Show;
pub(super) use quantity::Seconds;
pub(super) use words::is_taken;

/// How many bytes of a payload a forged ICMP error quotes, unless said: what RFC 792 asks for.
pub(crate) const QUOTED: u16 = 8;

/// A text that is not a scenario: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Malformed {
    /// The line, from 1.
    pub line: u32,
    /// The character in that line, from 1.
    pub column: u32,
    /// What is wrong there, and what would be right.
    pub message: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl Error for Malformed {}

impl FromStr for Scenario {
    type Err = Malformed;

    /// Reads the text form. What comes out has passed [`Scenario::check`].
    fn from_str(text: &str) -> Result<Self, Malformed> {
        // Some editors begin a file with a byte-order mark.
        parse::parse(text.strip_prefix('\u{feff}').unwrap_or(text))
    }
}
