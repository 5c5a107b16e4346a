//! What the daemon and its clients say to each other. Written for those who speak it from another language.
//!
//! # The socket
//!
//! A Unix socket of type `SOCK_SEQPACKET`: a connection that keeps the boundaries of messages. One request is one
//! message, together with its descriptor; it cannot arrive in halves, and what is too long is seen to be so. One line is
//! one message: it is in the client's receive buffer as a whole or not at all, so the daemon never holds half of one for
//! a client that does not read.
//!
//! # Requests
//!
//! A JSON object, at most 512 bytes. Each request gets exactly one answer, `registered` or `not_registered`.
//!
//! | request | with | asks for |
//! |---|---|---|
//! | `{"register":"socket"}` | one descriptor (`SCM_RIGHTS`): a bound UDP socket | errors of what that socket sends |
//! | `{"register":{"port":5353}}` | nothing | the same for your user's UDP sockets with that local port |
//!
//! To pass the socket is better: it works whoever opened it, and says what a port number cannot (whether an IPv6 socket
//! sends IPv4 too). The daemon looks at its address and closes its copy at once; yours stays as it is. A port is refused
//! unless the kernel shows that your user owns the socket; root may name any.
//!
//! A registration ends with the connection, or when its socket is closed (`deregistered`, told when the next error for
//! that address comes in). There is no other way to end one. An empty message counts as the end of the connection.
//!
//! # Lines
//!
//! JSON objects, each ended by a line feed, each with `schema` (1), `t_ns` (nanoseconds since the daemon started) and
//! `event`:
//!
//! | event | further fields |
//! |---|---|
//! | `registered` | `registration` (a number of yours), `sockets` (their local addresses) |
//! | `not_registered` | `why` (for people) |
//! | `icmp` | see [`Icmp`]: which datagram failed, and why |
//! | `dropped` | `count`, `at`: so many lines or messages were thrown away, because the `client` did not read in time, or the daemon did not (`daemon`: nobody knows whose they were) |
//! | `deregistered` | `registration`, `why` |
//!
//! Ignore events and fields that you do not know: more can be added.
//!
//! # What it proves
//!
//! Nothing: whoever can guess your address and port can forge all of an ICMP message, and each such line says so
//! (`"forgeable":true`). Take it as a hint that hastens a retry or a probe, never as proof that a peer is gone. No news is
//! no proof either: systems send few ICMP messages per second (Linux about one to each destination), and many networks
//! filter them.
//!
//! # In Python
//!
//! ```python
#![doc = include_str!("../examples/client.py")]
//! ```

use alloc::borrow::Cow;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use resound_core::Instant;
use resound_core::signal::{IcmpError, Version};
use serde::{Deserialize, Serialize};

use crate::machine::{Failure, Tally};

/// The number of the schema that each line names.
pub const SCHEMA: u32 = 1;

/// The longest request, in bytes.
pub const LONGEST_REQUEST: usize = 512;

/// No line is longer, in bytes.
pub const LONGEST_LINE: usize = 4096;

/// Where the daemon listens unless told otherwise: `resound-icmpd.sock` in `$XDG_RUNTIME_DIR`, or in `/run`.
#[must_use]
pub fn default_socket() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    own.unwrap_or_else(|| "/run".into()).join("resound-icmpd.sock")
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// To be told of errors.
    Register(Whose),
}

/// Whose errors a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Those of the socket that comes with the request.
    Socket,
    /// Those of the client's user's sockets with this local port.
    Port(u16),
}

/// A line, to a client or to the daemon's standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Nanoseconds since the daemon started.
    pub t_ns: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// Which client it is about; only on the daemon's standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Who>,
}

impl Line {
    /// One for everybody.
    #[must_use]
    pub fn new(at: Instant, event: Event) -> Self {
        Self { schema: SCHEMA, t_ns: at.nanos(), event, client: None }
    }
}

/// A client, as the kernel named it when it connected (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Who {
    /// Process; 0 if it lives where this process cannot see it (another pid namespace).
    pub pid: i32,
    /// User.
    pub uid: u32,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The daemon listens. Only on its standard output.
    Ready {
        /// The Unix socket.
        socket: String,
        /// The IP versions (4, 6) whose errors it hears.
        hears: Vec<u8>,
    },
    /// A request was granted.
    Registered {
        /// Its number, unique in the connection.
        registration: u32,
        /// The local addresses of its sockets.
        sockets: Vec<SocketAddr>,
    },
    /// A request was refused.
    NotRegistered {
        /// For people.
        why: Cow<'static, str>,
    },
    /// A datagram failed.
    Icmp(Arc<Icmp>),
    /// Something was thrown away.
    Dropped {
        /// How many.
        count: u64,
        /// Where.
        at: Place,
    },
    /// A registration has ended before its connection.
    Deregistered {
        /// Its number.
        registration: u32,
        /// For people.
        why: Cow<'static, str>,
    },
    /// What the daemon amounts to. Only on its standard output, the last line.
    Watched {
        /// Errors told to at least one client.
        told: u64,
        /// Errors that concerned nobody here.
        unclaimed: u64,
        /// Errors told to nobody, because sockets of several users could have caused them, or the kernel would not say
        /// whose they are.
        withheld: u64,
        /// Messages that were no ICMP error, or did not say which datagram failed.
        malformed: u64,
        /// Lines that clients did not take in time.
        dropped: u64,
        /// Messages that the kernel threw away before the daemon read them.
        overflowed: u64,
        /// Clients that connected and were let in.
        clients: u64,
        /// Requests and clients that were refused.
        refused: u64,
        /// How it ended: `count` (it was asked to) or `error`.
        end: Cow<'static, str>,
        /// What went wrong with the daemon itself.
        error: Option<String>,
    },
    /// One that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// The last line of a daemon that could not start.
    #[must_use]
    pub fn failed(error: String) -> Self {
        Self::watched(&Tally::default(), Some(error))
    }

    pub(crate) fn watched(tally: &Tally, error: Option<String>) -> Self {
        Self::Watched {
            told: tally.told,
            unclaimed: tally.unclaimed,
            withheld: tally.withheld,
            malformed: tally.malformed,
            dropped: tally.dropped,
            overflowed: tally.overflowed,
            clients: tally.clients,
            refused: tally.refused,
            end: if error.is_some() { "error" } else { "count" }.into(),
            error,
        }
    }
}

/// Where something was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the queue of a client that did not read.
    Client,
    /// In the daemon's receive buffer, before anybody knew whose it was.
    Daemon,
}

/// Which datagram failed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Icmp {
    /// Where the datagram was going: the destination.
    pub peer: SocketAddr,
    /// Where it came from: your socket.
    pub local: SocketAddr,
    /// Why it failed, in the words of [`Reason`](resound_core::signal::Reason).
    pub reason: Cow<'static, str>,
    /// Who says so, in the words of [`Origin`](resound_core::signal::Origin): `peer` or `router`. A claim.
    pub origin: Cow<'static, str>,
    /// The message itself.
    pub icmp: Message,
    /// The datagram, as far as it was quoted.
    pub quoted: Quoted,
    /// Always true: nothing in an ICMP message is proven.
    pub forgeable: bool,
    /// The reason, in a sentence for people.
    pub explain: Cow<'static, str>,
}

/// An ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// 4 or 6.
    pub v: u8,
    /// Its type.
    pub r#type: u8,
    /// Its code.
    pub code: u8,
    /// Who sent it, or somebody in that name.
    pub offender: Option<IpAddr>,
    /// The path's MTU in bytes, where the message tells one.
    pub mtu: Option<u32>,
}

/// As much of a datagram's payload as came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    /// How much was quoted, in bytes. Can be 0: RFC 792 asks for no more than the ports.
    pub bytes: usize,
    /// The first of them, at most [`Failure::FIRST`], in hexadecimal.
    pub first: String,
}

impl From<&Failure> for Icmp {
    fn from(failure: &Failure) -> Self {
        let meaning = failure.error.meaning();
        Self {
            peer: failure.destination,
            local: failure.source,
            reason: meaning.reason.as_str().into(),
            origin: failure.error.origin().as_str().into(),
            icmp: (&failure.error).into(),
            quoted: Quoted {
                bytes: failure.quoted,
                first: failure.first.iter().map(|byte| format!("{byte:02x}")).collect(),
            },
            forgeable: true,
            explain: meaning.reason.explain().into(),
        }
    }
}

impl From<&IcmpError> for Message {
    fn from(error: &IcmpError) -> Self {
        let v = match error.version {
            Version::V4 => 4,
            Version::V6 => 6,
        };
        Self { v, r#type: error.kind, code: error.code, offender: error.offender, mtu: error.mtu }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_the_documentation_says() {
        let parse = serde_json::from_str::<Request>;
        assert_eq!(parse(r#"{"register":"socket"}"#).unwrap(), Request::Register(Whose::Socket));
        assert_eq!(parse(r#"{"register":{"port":5353}}"#).unwrap(), Request::Register(Whose::Port(5353)));
        for bad in [
            "",
            "{}",
            "null",
            r#"{"register":"everything"}"#,
            r#"{"register":{"port":65536}}"#,
            r#"{"register":{"port":-1}}"#,
            r#"{"register":{"port":1,"port":2}}"#,
            r#"{"register":"socket","please":true}"#,
            r#"{"port":53}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_read_as_they_are_written() {
        let event = Event::Registered { registration: 1, sockets: vec!["[::1]:7".parse().unwrap()] };
        let line = Line::new(Instant::from_nanos(u64::MAX - 1), event);
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(
            text,
            r#"{"schema":1,"t_ns":18446744073709551614,"event":"registered","registration":1,"sockets":["[::1]:7"]}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
        let later = r#"{"schema":1,"t_ns":0,"event":"sung","by":"somebody"}"#;
        assert_eq!(serde_json::from_str::<Line>(later).unwrap().event, Event::Unknown);
    }
}
