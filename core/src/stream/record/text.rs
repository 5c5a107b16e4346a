//! The text of a record: one line for each entry, words with blanks between them.
//!
//! ```text
//!   0.000000000 tick
//!   0.000120000 dialed 1 up 192.0.2.7:40112            dialed 1 failed ECONNREFUSED
//!   0.000130000 command send 68656c6c6f
//!   0.000140000 wrote 1 5
//!   0.000250000 received 1 68656c6c6f
//!   5.000000000 hint 1 icmp4 3/1 from 192.0.2.1 to 198.51.100.7:7
//!   9.000000000 examined 1 unacked=1 unsent=0 retransmits=2 backoff=2 probes=0 since_ack=6.000000000
//! ```

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;

use bytes::Bytes;

use super::words::{BadEntry, CommandText, Hex, Words};
use super::{Entry, Input, OwnedFact};
use crate::liveness::KernelView;
use crate::signal::{Errno, IcmpError, Op, Signal, Version};
use crate::stream::{Established, client, server};
use crate::time::Instant;

impl<C: CommandText> fmt::Display for Entry<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Seconds(Duration::from_nanos(self.at.nanos())), self.input)
    }
}

impl<C: CommandText> FromStr for Entry<C> {
    type Err = BadEntry;

    fn from_str(line: &str) -> Result<Self, BadEntry> {
        const EXPECTED: &str = "seconds with nine decimals, up to 18446744073.709551614";
        let mut words = Words::of(line);
        let Seconds(time) = words.value(EXPECTED)?;
        let nanos = u64::try_from(time.as_nanos()).ok().filter(|&n| n <= Instant::MAX.nanos());
        let at = Instant::from_nanos(nanos.ok_or_else(|| words.bad(EXPECTED))?);
        let input = if words.takes("command") {
            Input::Command(C::read(&mut words)?)
        } else {
            Input::Fact(fact(&mut words)?)
        };
        words.end()?;
        Ok(Self { at, input })
    }
}

impl<C: CommandText> fmt::Display for Input<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fact(fact) => fact.fmt(f),
            Self::Command(command) => {
                f.write_str("command ")?;
                command.write(f)
            }
        }
    }
}

impl fmt::Display for OwnedFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialed { conn, result: Ok(Established { local }) } => {
                write!(f, "dialed {} up", conn.get())?;
                local.map_or(Ok(()), |local| write!(f, " {}", Address(local)))
            }
            Self::Dialed { conn, result: Err(signal) } => {
                write!(f, "dialed {} failed {}", conn.get(), Said(*signal))
            }
            Self::Received { conn, bytes } => write!(f, "received {} {}", conn.get(), Hex(bytes)),
            Self::Wrote { conn, n } => write!(f, "wrote {} {n}", conn.get()),
            Self::Blocked { conn } => write!(f, "blocked {}", conn.get()),
            Self::Writable { conn } => write!(f, "writable {}", conn.get()),
            Self::Ended { conn } => write!(f, "ended {}", conn.get()),
            Self::Failed { conn, op, signal } => {
                let op = match op {
                    Op::Connect => "connect",
                    Op::Read => "read",
                    Op::Write => "write",
                };
                write!(f, "failed {} {op} {}", conn.get(), Said(*signal))
            }
            Self::Hint { conn, signal } => write!(f, "hint {} {}", conn.get(), Said(*signal)),
            Self::Examined { conn, kernel: None } => write!(f, "examined {}", conn.get()),
            Self::Examined { conn, kernel: Some(kernel) } => {
                write!(f, "examined {} {}", conn.get(), View(*kernel))
            }
            Self::Resumed => f.write_str("resumed"),
            Self::Tick => f.write_str("tick"),
        }
    }
}

fn fact(words: &mut Words<'_>) -> Result<OwnedFact, BadEntry> {
    const EXPECTED: &str = "command, dialed, received, wrote, blocked, writable, ended, failed, hint, examined, \
                            resumed or tick";
    Ok(match words.word(EXPECTED)? {
        "dialed" => OwnedFact::Dialed { conn: words.conn()?, result: dialed(words)? },
        "received" => OwnedFact::Received { conn: words.conn()?, bytes: words.bytes()? },
        "wrote" => OwnedFact::Wrote { conn: words.conn()?, n: words.value("a number of bytes")? },
        "blocked" => OwnedFact::Blocked { conn: words.conn()? },
        "writable" => OwnedFact::Writable { conn: words.conn()? },
        "ended" => OwnedFact::Ended { conn: words.conn()? },
        "failed" => OwnedFact::Failed { conn: words.conn()?, op: op(words)?, signal: said(words)? },
        "hint" => OwnedFact::Hint { conn: words.conn()?, signal: said(words)? },
        "examined" => OwnedFact::Examined { conn: words.conn()?, kernel: view(words)? },
        "resumed" => OwnedFact::Resumed,
        "tick" => OwnedFact::Tick,
        _ => return Err(words.bad(EXPECTED)),
    })
}

fn dialed(words: &mut Words<'_>) -> Result<Result<Established, Signal>, BadEntry> {
    const EXPECTED: &str = "up or failed";
    match words.word(EXPECTED)? {
        "up" if words.is_empty() => Ok(Ok(Established { local: None })),
        "up" => Ok(Ok(Established { local: Some(address(words)?) })),
        "failed" => said(words).map(Err),
        _ => Err(words.bad(EXPECTED)),
    }
}

fn op(words: &mut Words<'_>) -> Result<Op, BadEntry> {
    const EXPECTED: &str = "connect, read or write";
    match words.word(EXPECTED)? {
        "connect" => Ok(Op::Connect),
        "read" => Ok(Op::Read),
        "write" => Ok(Op::Write),
        _ => Err(words.bad(EXPECTED)),
    }
}

impl CommandText for client::Command {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(payload) => write!(f, "send {}", Hex(payload)),
            Self::Close => f.write_str("close"),
            Self::Abort => f.write_str("abort"),
            Self::Hurry => f.write_str("hurry"),
        }
    }

    fn read(words: &mut Words<'_>) -> Result<Self, BadEntry> {
        const EXPECTED: &str = "send, close, abort or hurry";
        match words.word(EXPECTED)? {
            "send" => Ok(Self::Send(Bytes::from(words.bytes()?))),
            "close" => Ok(Self::Close),
            "abort" => Ok(Self::Abort),
            "hurry" => Ok(Self::Hurry),
            _ => Err(words.bad(EXPECTED)),
        }
    }
}

impl CommandText for server::Command {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "drain",
            Self::Abort => "abort",
        })
    }

    fn read(words: &mut Words<'_>) -> Result<Self, BadEntry> {
        const EXPECTED: &str = "drain or abort";
        match words.word(EXPECTED)? {
            "drain" => Ok(Self::Drain),
            "abort" => Ok(Self::Abort),
            _ => Err(words.bad(EXPECTED)),
        }
    }
}

/// A signal as words.
struct Said(Signal);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Signal::Errno(Errno::Other(number)) => write!(f, "errno:{number}"),
            Signal::Errno(errno) => errno.fmt(f),
            Signal::SelfConnect => f.write_str("self-connect"),
            Signal::Icmp(IcmpError { version, kind, code, offender, destination, mtu }) => {
                let protocol = match version {
                    Version::V4 => "icmp4",
                    Version::V6 => "icmp6",
                };
                write!(f, "{protocol} {kind}/{code}")?;
                offender.map_or(Ok(()), |offender| write!(f, " from {offender}"))?;
                destination.map_or(Ok(()), |to| write!(f, " to {}", Address(to)))?;
                mtu.map_or(Ok(()), |mtu| write!(f, " mtu {mtu}"))
            }
        }
    }
}

fn said(words: &mut Words<'_>) -> Result<Signal, BadEntry> {
    const EXPECTED: &str = "the name of an error number, errno: and a number, icmp4, icmp6 or self-connect";
    let word = words.word(EXPECTED)?;
    match word {
        "self-connect" => Ok(Signal::SelfConnect),
        "icmp4" => icmp(words, Version::V4),
        "icmp6" => icmp(words, Version::V6),
        _ => {
            let number = word.strip_prefix("errno:").and_then(|number| number.parse().ok());
            let errno = number.map(Errno::Other).or_else(|| Errno::from_name(word));
            errno.map(Signal::Errno).ok_or_else(|| words.bad(EXPECTED))
        }
    }
}

fn icmp(words: &mut Words<'_>, version: Version) -> Result<Signal, BadEntry> {
    const EXPECTED: &str = "the type and the code of an ICMP message, as 3/1";
    let (kind, code) = words.word(EXPECTED)?.split_once('/').ok_or_else(|| words.bad(EXPECTED))?;
    let number = |text: &str| text.parse().map_err(|_| words.bad(EXPECTED));
    let (kind, code) = (number(kind)?, number(code)?);
    let offender = words.takes("from").then(|| words.value("an IP address")).transpose()?;
    let destination = words.takes("to").then(|| address(words)).transpose()?;
    let mtu = words.takes("mtu").then(|| words.value("a number of bytes")).transpose()?;
    Ok(Signal::Icmp(IcmpError { version, kind, code, offender, destination, mtu }))
}

/// A socket address; its flow label, which the usual form leaves out, follows it.
struct Address(SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        match self.0 {
            SocketAddr::V6(v6) if v6.flowinfo() != 0 => write!(f, " flow {}", v6.flowinfo()),
            _ => Ok(()),
        }
    }
}

fn address(words: &mut Words<'_>) -> Result<SocketAddr, BadEntry> {
    let mut address = words.value("an IP address and a port")?;
    if let SocketAddr::V6(v6) = &mut address {
        if words.takes("flow") {
            v6.set_flowinfo(words.value("a flow label")?);
        }
    }
    Ok(address)
}

/// What the kernel knows, as words.
struct View(KernelView);

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KernelView { unacked, unsent, retransmits, backoff, probes, since_ack, peer_window } = self.0;
        write!(
            f,
            "unacked={unacked} unsent={unsent} retransmits={retransmits} backoff={backoff} probes={probes}"
        )?;
        write!(f, " since_ack={}", Seconds(since_ack))?;
        peer_window.map_or(Ok(()), |window| write!(f, " peer_window={window}"))
    }
}

fn view(words: &mut Words<'_>) -> Result<Option<KernelView>, BadEntry> {
    if words.is_empty() {
        return Ok(None);
    }
    Ok(Some(KernelView {
        unacked: words.field("unacked=")?,
        unsent: words.field("unsent=")?,
        retransmits: words.field("retransmits=")?,
        backoff: words.field("backoff=")?,
        probes: words.field("probes=")?,
        since_ack: words.field("since_ack=").map(|Seconds(time)| time)?,
        peer_window: if words.is_empty() { None } else { Some(words.field("peer_window=")?) },
    }))
}

/// A time in seconds, with all nine decimals.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0.as_secs(), self.0.subsec_nanos())
    }
}

impl FromStr for Seconds {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (seconds, nanos) = text.split_once('.').ok_or(())?;
        if nanos.len() != 9 || !nanos.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(());
        }
        let seconds = seconds.parse().map_err(|_| ())?;
        Ok(Self(Duration::new(seconds, nanos.parse().map_err(|_| ())?)))
    }
}
