//! A scenario being written: a client, a router and a server, and what each call is to say.

use std::fmt::{Display, Write as _};

use resound_core::signal::Version;

use super::{Ask, Expected, Part};
use crate::kernel::table::Probe;
use crate::scenario::{NodeId, RouteKind, Scenario};

pub(super) const CLIENT: NodeId = NodeId(0);
pub(super) const SERVER: NodeId = NodeId(2);

/// Milliseconds after the start.
pub(super) type At = u32;

/// A scenario being written. Its text is what one would write by hand.
pub(super) struct Draft {
    version: Version,
    /// Of the client and of the server.
    settings: [&'static str; 2],
    script: Vec<(At, String)>,
    faults: Vec<(At, String)>,
    expected: Vec<(At, Expected)>,
}

/// A socket that calls are made on.
#[derive(Clone, Copy)]
pub(super) struct Socket {
    pub(super) host: NodeId,
    pub(super) name: &'static str,
    /// To whom it sends, if it is not connected.
    pub(super) to: Option<&'static str>,
}

pub(super) const fn name(host: NodeId) -> &'static str {
    if host.0 == CLIENT.0 { "client" } else { "server" }
}

/// The language's word for a way that is not there.
pub(super) const fn route(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::Unreachable => "unreachable",
        RouteKind::Prohibit => "prohibit",
        RouteKind::Blackhole => "blackhole",
        RouteKind::Missing => "missing",
    }
}

impl Draft {
    pub(super) fn new(version: Version) -> Self {
        Self { version, settings: [""; 2], script: Vec::new(), faults: Vec::new(), expected: Vec::new() }
    }

    /// Settings of a host's kernel.
    pub(super) fn set(&mut self, host: NodeId, settings: &'static str) {
        self.settings[usize::from(host.0 == SERVER.0)] = settings;
    }

    /// A call that leads to the row's state, and the beginning of what it says.
    pub(super) fn prepare(&mut self, at: At, host: NodeId, call: impl Display, says: &str) {
        self.add(at, host, call, says.to_owned(), Part::Staging);
    }

    /// A call that shows from outside what came of it.
    pub(super) fn see(&mut self, at: At, host: NodeId, call: impl Display, says: &str) {
        self.add(at, host, call, says.to_owned(), Part::Seen);
    }

    /// The calls of the row; when they are made.
    pub(super) fn then(&mut self, at: At, ask: &Ask, socket: Socket) -> At {
        let mut now = at;
        for (step, gives) in ask.then().iter().enumerate() {
            let Socket { host, name, to } = socket;
            let (word, line) = match (gives.call, to) {
                (Probe::Recv, _) => ("recv", format!("{name} recv 100")),
                (Probe::Send, Some(to)) => ("sendto", format!("{name} sendto {to} {PAYLOAD}")),
                (Probe::Send, None) if name == UDP => ("send", format!("{name} send {PAYLOAD}")),
                (Probe::Send, None) => ("send", format!("{name} send \"hello\"")),
                (probe, _) => (probe.as_str(), format!("{name} {probe}")),
            };
            self.add(now, host, line, ask.words(name, word, gives), Part::Then(step + 1));
            now += STEP;
        }
        now
    }

    /// Of a row whose call fails by itself.
    pub(super) fn fails(&mut self, at: At, host: NodeId, call: impl Display, says: String) {
        self.add(at, host, call, says, Part::Then(1));
    }

    fn add(&mut self, at: At, node: NodeId, call: impl Display, words: String, part: Part) {
        self.script.push((at, format!("{} call {call}", name(node))));
        self.expected.push((at, Expected { node, words, part }));
    }

    /// Something goes wrong.
    pub(super) fn fault(&mut self, at: At, what: impl Display) {
        self.faults.push((at, format!("!{at}ms {what}")));
    }

    /// Something goes wrong when something else happens.
    pub(super) fn fault_when(&mut self, trigger: &str, what: impl Display) {
        self.faults.push((0, format!("!{trigger} {what}")));
    }

    /// # Panics
    ///
    /// If what was written is no scenario, which the tests say that it always is.
    pub(super) fn finish(mut self) -> (Scenario, Vec<Expected>) {
        self.script.sort_by_key(|(at, _)| *at);
        self.expected.sort_by_key(|(at, _)| *at);
        let last = |lines: &[(At, String)]| lines.iter().map(|(at, _)| *at).max();
        let until = last(&self.script).max(last(&self.faults)).unwrap_or(0) + SETTLES;
        let version = if self.version == Version::V4 { 4 } else { 6 };
        let [client, server] = self.settings;
        let mut text = format!(
            "ip {version}\nuntil {until}ms\nhost client {client}\nrouter router\nhost server {server}\n\
             link client <-> router 5ms\nlink router <-> server 5ms\n"
        );
        for (at, line) in &self.script {
            let _ = writeln!(text, "{at}ms {line}");
        }
        for (_, line) in &self.faults {
            let _ = writeln!(text, "{line}");
        }
        let scenario = text.parse().unwrap_or_else(|bad| panic!("{bad}\n{text}"));
        (scenario, self.expected.into_iter().map(|(_, expected)| expected).collect())
    }
}

/// The name of the UDP socket.
pub(super) const UDP: &str = "u";

/// What it sends: four bytes.
pub(super) const PAYLOAD: &str = "\"ping\"";

/// Between two calls of a row: no time, but their order shows in a timeline.
const STEP: At = 2;

/// From the last call to the end: until everything that was said is heard.
const SETTLES: At = 100;
