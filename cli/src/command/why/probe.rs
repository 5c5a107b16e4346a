//! Asking, and listening. Each probe fills in its part of the [`Evidence`], and notes what it sees as it sees it.
//!
//! ```text
//!   route ──► TCP: dial ──► stands ──► a message, or several ──► echoed, differs, FIN, RST, silence
//!                │                                                          │
//!                └─► in doubt: others, meanwhile: the same port again, another port, a datagram
//!   route ──► UDP: a datagram each second ──► echoed, differs, ICMP, silence
//!                                                                 └─► in doubt: others
//! ```
//!
//! These are plain sockets, without a runtime and without the session machine: a diagnosis wants the raw words of the
//! kernel, of which a session hides some for good reasons.

use core::net::SocketAddr;
use core::time::Duration;

use resound_core::Instant;
use resound_core::signal::{Cause, Errno, IcmpError, Op, Signal, Version};
use resound_sockets::clock::Clock;
use resound_sockets::entropy;

use super::evidence::{Datagrams, Dialed, Evidence, Hop, Others, Parting, Told};
use super::route::route;
use crate::output::text::time;

mod dial;
mod others;
mod session;
mod udp;

/// What to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) transport: Transport,
    /// How long to wait for a connection, and for an answer.
    pub(super) timeout: Duration,
    /// How long to go on asking.
    pub(super) watch: Duration,
    /// How long a message is, in bytes.
    pub(super) size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Something that was seen.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) t_ns: u64,
    pub(super) step: &'static str,
    pub(super) text: String,
    pub(super) errno: Option<Errno>,
    pub(super) icmp: Option<IcmpError>,
}

/// Where notes go.
pub(super) struct Log<'a> {
    pub(super) clock: Clock,
    pub(super) tell: &'a dyn Fn(Note),
}

impl Log<'_> {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn write(&self, step: &'static str, text: String, errno: Option<Errno>, icmp: Option<IcmpError>) {
        (self.tell)(Note { t_ns: self.now().nanos(), step, text, errno, icmp });
    }

    fn note(&self, step: &'static str, text: impl Into<String>) {
        self.write(step, text.into(), None, None);
    }

    fn errno(&self, step: &'static str, errno: Errno, text: impl Into<String>) {
        self.write(step, text.into(), Some(errno), None);
    }

    fn icmp(&self, step: &'static str, icmp: IcmpError, text: &str) {
        let Cause { reason, .. } = Signal::Icmp(icmp).cause(Op::Connect);
        let who = icmp.offender.map_or_else(|| String::from("somebody"), |who| who.to_string());
        let (kind, code) = (icmp.kind, icmp.code);
        let protocol = match icmp.version {
            Version::V4 => "ICMP",
            Version::V6 => "ICMPv6",
        };
        let text = format!("{text}{protocol} {kind}/{code} ({reason}) from {who}");
        self.write(step, text, None, Some(icmp));
    }

    /// How a dial ended.
    fn dialed(&self, step: &'static str, what: &str, dialed: &Dialed, took: Duration) {
        let took = time(crate::stats::nanos(took));
        match dialed {
            Dialed::Stands => self.note(step, format!("{what}: the connection stands, after {took}")),
            Dialed::SelfConnect => self.note(step, format!("{what}: the connection leads to its own socket")),
            Dialed::AtOnce(errno) => {
                self.errno(step, *errno, format!("{what}: {errno} at once, from the call itself"));
            }
            Dialed::Failed { errno, icmp: Some(icmp) } => {
                let text = format!("{what}: {errno} after {took}, because of ");
                self.icmp(step, *icmp, &text);
            }
            Dialed::Failed { errno: Errno::ConnRefused, icmp: None } => {
                let text = format!("{what}: ECONNREFUSED after {took}, and no ICMP: a RST");
                self.errno(step, Errno::ConnRefused, text);
            }
            Dialed::Failed { errno, icmp: None } => {
                self.errno(step, *errno, format!("{what}: {errno} after {took}"));
            }
            Dialed::Silent => self.note(step, format!("{what}: no answer within {took}")),
        }
    }
}

/// Examines one address. Blocks until there is something to say.
pub(super) fn examine(to: SocketAddr, plan: &Plan, log: &Log<'_>) -> Evidence {
    let route = route(to);
    match &route {
        Ok(found) => {
            let hop = match &found.hop {
                Hop::Here => String::from(", to this host itself"),
                Hop::OnLink(device) => format!(", on the link of {device}"),
                Hop::Gateway(gateway, device) => format!(", through {gateway} on {device}"),
                Hop::Unknown => String::new(),
            };
            log.note("route", format!("from {}{hop}", found.source));
        }
        Err(errno) => log.errno("route", *errno, format!("the look for a route says {errno}")),
    }
    let mut others = Others::default();
    let told = match plan.transport {
        Transport::Tcp => tcp(to, plan, log, &mut others),
        Transport::Udp => match route {
            Ok(_) => Told::Datagrams(udp::ask(to, plan, log, &mut others)),
            Err(errno) => no_way(to, errno, log),
        },
    };
    Evidence { to, route, told, others }
}

fn tcp(to: SocketAddr, plan: &Plan, log: &Log<'_>, others: &mut Others) -> Told {
    let began = log.now();
    let (dialed, stream) = dial::dial(to, plan, log, others);
    log.dialed("connect", "connect", &dialed, log.now() - began);
    match stream {
        Some(stream) if dialed == Dialed::Stands => {
            Told::Session(session::talk(&stream, to, plan, log, log.now() - began, others))
        }
        _ => Told::Dialed(dialed),
    }
}

/// This host has no way there for a datagram. What it says to a TCP socket tells a broadcast address from a route.
fn no_way(to: SocketAddr, errno: Errno, log: &Log<'_>) -> Told {
    match resound_sockets::tcp::dial_witnessed(to) {
        Err(Signal::Errno(errno)) => {
            log.errno("connect", errno, format!("a TCP socket is told {errno} at once"));
            Told::Dialed(Dialed::AtOnce(errno))
        }
        _ => Told::Datagrams(Datagrams { sent: 0, echoed: 0, since: 0, end: Parting::Local(errno) }),
    }
}

/// What is sent: a line, with a word that nobody else says, and as long as asked.
fn message(seq: u64, size: usize) -> Vec<u8> {
    let nonce = entropy::seed();
    let mut bytes = format!("resound why {nonce:016x} {seq} ").into_bytes();
    bytes.resize(size.max(bytes.len() + 2), b'.');
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(b"\r\n");
    bytes
}

/// Bytes as people can read them, and not too many.
fn quote(bytes: &[u8]) -> String {
    let shown: String = bytes.iter().take(60).map(|&byte| byte.escape_ascii().to_string()).collect();
    let more = if bytes.len() > 60 { "…" } else { "" };
    format!("`{shown}`{more}")
}
