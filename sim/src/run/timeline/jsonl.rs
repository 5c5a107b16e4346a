//! JSON lines (RFC 8259), for programs.

use std::fmt::{self, Display, Write};

use resound_core::Instant;

use super::words::{Words, reason};
use super::{Story, fate, number, state};
use crate::packet::{Body, FaultId, Packet, Seq};
use crate::run::{Happened, Moment};

/// The run as JSON, an object in each line. Displays as lines that end with a line break.
#[derive(Clone, Copy, Debug)]
pub struct JsonLines<'a> {
    story: Story<'a>,
}

impl<'a> JsonLines<'a> {
    pub(super) const fn new(story: Story<'a>) -> Self {
        Self { story }
    }
}

impl Display for JsonLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { run, scenario } = self.story;
        line(f, "run", |object| {
            object.list("nodes", scenario.nodes.iter().map(|node| &node.name))?;
            let link = |[a, b]: [_; 2]| format!("{}-{}", self.story.name(a), self.story.name(b));
            object.list("links", scenario.links.iter().map(|of| link(of.ends)))
        })?;
        let mut words = Words::default();
        for Moment { at, what } in self.story.moments().iter() {
            self.moment(f, *at, what, &mut words)?;
        }
        for (fault, effect) in (0..).map(FaultId).zip(&run.ledger) {
            line(f, "effect", |object| {
                object.raw("fault", number(fault))?;
                object.optional("text", self.story.describe(fault).as_deref())?;
                object.text("effect", effect.as_str())?;
                object.text("explain", effect.explain())
            })?;
        }
        line(f, "end", |object| {
            object.raw("t_ns", run.ended.nanos())?;
            object.raw("packets", run.packets)?;
            // As text: many readers hold numbers in 53 bits.
            object.text("digest", format_args!("{:016x}", run.digest))
        })
    }
}

impl JsonLines<'_> {
    fn moment(
        &self,
        f: &mut fmt::Formatter<'_>,
        at: Instant,
        what: &Happened,
        words: &mut Words,
    ) -> fmt::Result {
        let kind = match what {
            Happened::Sent { .. } => "packet",
            Happened::Arrived { .. } => "arrived",
            Happened::State { .. } => "state",
            Happened::Said { .. } => "said",
            Happened::Asked { .. } => "asked",
            Happened::Fault { .. } => "fault",
        };
        let name = |node| self.story.name(node);
        line(f, kind, |object| {
            object.raw("t_ns", at.nanos())?;
            match what {
                Happened::Sent { way, packet, arrives, fault } => {
                    let mark = self.story.mark(packet, *fault);
                    object.text("from", name(way.from))?;
                    object.text("to", name(way.to))?;
                    object.raw("arrives_ns", Nullable(arrives.map(Instant::nanos)))?;
                    object.raw("fault", Nullable(mark.fault.map(number)))?;
                    object.optional("did", mark.word)?;
                    object.raw("forged", mark.forged)?;
                    object.text("text", words.tell(*way, packet, mark.forged).all())?;
                    object.object("packet", |object| fields(object, packet))
                }
                Happened::Arrived { node, fate: of } => {
                    let (word, text) = fate(of);
                    object.text("node", name(*node))?;
                    object.text("fate", word)?;
                    object.text("text", text)
                }
                Happened::State { node, state: is } => {
                    object.text("node", name(*node))?;
                    object.text("state", state(*is))
                }
                Happened::Said { node, said } => {
                    object.text("node", name(*node))?;
                    object.text("text", said)
                }
                Happened::Asked { node, command } => {
                    object.text("node", name(*node))?;
                    object.text("text", command)
                }
                Happened::Fault { fault, what } => {
                    object.raw("fault", number(*fault))?;
                    object.text("text", what)
                }
            }
        })
    }
}

fn fields(object: &mut Object<'_>, packet: &Packet) -> fmt::Result {
    let (source, destination) = packet.ends();
    let port = |port| Nullable(Some(port).filter(|_| !matches!(packet.body, Body::Icmp(_))));
    object.text("source", packet.source)?;
    object.text("destination", packet.destination)?;
    object.raw("hops", packet.hops)?;
    object.raw("length", packet.length())?;
    object.raw("damaged", packet.damaged)?;
    object.raw("source_port", port(source.port()))?;
    object.raw("destination_port", port(destination.port()))?;
    match &packet.body {
        Body::Tcp(segment) => {
            object.text("protocol", "tcp")?;
            object.raw("seq", segment.seq.0)?;
            object.raw("ack", Nullable(segment.ack.map(|Seq(ack)| ack)))?;
            object.raw("syn", segment.flags.syn)?;
            object.raw("fin", segment.flags.fin)?;
            object.raw("rst", segment.flags.rst)?;
            object.raw("window", segment.window)?;
            object.raw("mss", Nullable(segment.mss))?;
            object.raw("payload", segment.payload.len())
        }
        Body::Udp(datagram) => {
            object.text("protocol", "udp")?;
            object.raw("payload", datagram.payload.len())
        }
        Body::Icmp(icmp) => {
            object.text("protocol", "icmp")?;
            object.raw("type", icmp.kind)?;
            object.raw("code", icmp.code)?;
            object.text("reason", reason(packet.version(), icmp))?;
            object.raw("mtu", Nullable(icmp.mtu))?;
            object.object("quote", |object| fields(object, &icmp.quote))
        }
    }
}

/// One object in a line of its own, its `kind` first.
fn line(out: &mut dyn Write, kind: &str, fill: impl FnOnce(&mut Object<'_>) -> fmt::Result) -> fmt::Result {
    out.write_char('{')?;
    let mut object = Object { out, empty: true };
    object.text("kind", kind)?;
    fill(&mut object)?;
    out.write_str("}\n")
}

/// An object that is being written. Keys need no escapes.
struct Object<'w> {
    out: &'w mut dyn Write,
    empty: bool,
}

impl Object<'_> {
    fn key(&mut self, key: &str) -> fmt::Result {
        let comma = if core::mem::take(&mut self.empty) { "" } else { "," };
        write!(self.out, "{comma}\"{key}\":")
    }

    /// A value that is JSON as it displays: a number, `true`, `null`.
    fn raw(&mut self, key: &str, value: impl Display) -> fmt::Result {
        self.key(key)?;
        write!(self.out, "{value}")
    }

    fn text(&mut self, key: &str, value: impl Display) -> fmt::Result {
        self.key(key)?;
        quoted(self.out, value)
    }

    fn optional(&mut self, key: &str, value: Option<&str>) -> fmt::Result {
        match value {
            Some(value) => self.text(key, value),
            None => self.raw(key, "null"),
        }
    }

    fn list(&mut self, key: &str, values: impl Iterator<Item = impl Display>) -> fmt::Result {
        self.key(key)?;
        self.out.write_char('[')?;
        for (at, value) in values.enumerate() {
            if at > 0 {
                self.out.write_char(',')?;
            }
            quoted(self.out, value)?;
        }
        self.out.write_char(']')
    }

    fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>) -> fmt::Result) -> fmt::Result {
        self.key(key)?;
        self.out.write_char('{')?;
        fill(&mut Object { out: self.out, empty: true })?;
        self.out.write_char('}')
    }
}

struct Nullable<T>(Option<T>);

impl<T: Display> Display for Nullable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

fn quoted(out: &mut dyn Write, value: impl Display) -> fmt::Result {
    out.write_char('"')?;
    write!(Escaping(out), "{value}")?;
    out.write_char('"')
}

/// The inside of a string (RFC 8259 §7).
struct Escaping<'w>(&'w mut dyn Write);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| match letter {
            '"' | '\\' => write!(self.0, "\\{letter}"),
            '\n' => self.0.write_str("\\n"),
            '\0'..='\x1f' => write!(self.0, "\\u{:04x}", u32::from(letter)),
            _ => self.0.write_char(letter),
        })
    }
}
