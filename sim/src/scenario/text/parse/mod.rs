//! From text to a scenario: the statements that say what there is and what is expected.

use super::Malformed;
use super::lex::{Piece, Word, Words, is_name, statements};
use super::words::{PROFILES, did_you_mean};
use crate::kernel::{Profile, Sysctl};
use crate::scenario::{Expect, Link, Mode, Node, NodeId, Place, Role, Scenario, Way};
use resound_core::signal::Version;

mod command;
mod fault;

/// Reads a scenario, and checks it.
pub(super) fn parse(text: &str) -> Result<Scenario, Malformed> {
    let statements = statements(text)?;
    let mut parser = Parser::default();
    for words in &statements {
        parser.declare(words)?;
    }
    for words in &statements {
        parser.statement(words)?;
    }
    parser.finish()
}

/// What was read so far, and from where.
#[derive(Default)]
struct Parser {
    scenario: Scenario,
    /// Where nodes, links, lines of the script, faults and expectations stand: line and column.
    nodes: Vec<(u32, u32)>,
    links: Vec<(u32, u32)>,
    script: Vec<(u32, u32)>,
    faults: Vec<(u32, u32)>,
    expects: Vec<(u32, u32)>,
    /// Where what is said of the whole scenario stands; each is said once.
    said: Vec<(&'static str, (u32, u32))>,
}

/// Words that a statement can begin with, other than a time and `!`.
const STATEMENTS: &[&str] =
    &["profile", "ip", "seed", "until", "simulated-only", "host", "router", "link", "expect"];

impl Parser {
    /// The nodes first: the order of statements is free.
    fn declare(&mut self, words: &[Word<'_>]) -> Result<(), Malformed> {
        let mut words = Words::new(words);
        let first = words.next("a statement")?;
        let role = match first {
            _ if first.is("host") => Role::Host,
            _ if first.is("router") => Role::Router,
            _ => return Ok(()),
        };
        let name = words.next("a name")?;
        if name.quoted || !is_name(name.text) {
            return Err(name.is_not("a name: a letter, then letters, digits, `-` and `_`"));
        }
        let mut sysctl = Vec::new();
        while let Some(word) = words.peek() {
            let (key, value) = word.split("=").unwrap_or((word, Piece { text: "", ..word }));
            let known = Sysctl::ALL.iter().find(|sysctl| sysctl.name() == key.text);
            let Some(&setting) = known else {
                return Err(key.is_none_of("a setting", Sysctl::ALL.iter().map(|sysctl| sysctl.name())));
            };
            sysctl.push((
                setting,
                value.number("what it can be set to: a whole number, as in `tcp_retries2=5`")?,
            ));
            words.next("a setting")?;
        }
        self.nodes.push((first.line, first.column));
        self.scenario.nodes.push(Node { name: name.text.to_owned(), role, sysctl });
        Ok(())
    }

    fn statement(&mut self, words: &[Word<'_>]) -> Result<(), Malformed> {
        let mut words = Words::new(words);
        let first = words.next("a statement")?;
        let place = (first.line, first.column);
        match first.text {
            _ if first.quoted => return Err(first.wrong("a statement does not begin with a quote")),
            "host" | "router" => return Ok(()),
            "profile" => {
                self.once("profile", first)?;
                self.scenario.profile = profile(&mut words)?;
            }
            "ip" => {
                self.once("ip", first)?;
                let version = words.next("4 or 6")?;
                let table = [("4", Version::V4), ("6", Version::V6)];
                self.scenario.version = version.choose("an IP version", &table)?;
            }
            "seed" => {
                self.once("seed", first)?;
                self.scenario.seed = words.next("a number")?.number("a seed: a whole number of 64 bits")?;
            }
            "until" => {
                self.once("until", first)?;
                self.scenario.until = words.next("a time, as in `until 60`")?.time()?;
            }
            "simulated-only" => {
                self.once("simulated-only", first)?;
                let why = words.next("why, in quotes")?;
                if !why.quoted {
                    return Err(why.is_not("a reason: put it in quotes"));
                }
                self.scenario.simulated_only = Some(why.text.to_owned());
            }
            "link" => {
                let link = self.link(&mut words)?;
                self.links.push(place);
                self.scenario.links.push(link);
            }
            "expect" => {
                let expect = self.expect(&mut words)?;
                self.expects.push(place);
                self.scenario.expects.push(expect);
            }
            "!" => {
                for fault in self.fault(&mut words)? {
                    self.faults.push(place);
                    self.scenario.faults.push(fault);
                }
            }
            text if text.starts_with(|c: char| c.is_ascii_digit()) => {
                let line = self.line(first.time()?, &mut words)?;
                self.script.push(place);
                self.scenario.script.push(line);
            }
            text => {
                let help = match did_you_mean(text, STATEMENTS.iter().copied()) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!(
                        "there are {}, a time (`0.5 client close`) and `!` with a trigger (`!0.5 client kill`)",
                        STATEMENTS.join(", ")
                    ),
                };
                return Err(first.wrong(format!("{text:?} begins no statement; {help}")));
            }
        }
        words.done()
    }

    /// It was not said before.
    fn once(&mut self, what: &'static str, here: Piece<'_>) -> Result<(), Malformed> {
        if let Some((_, (line, _))) = self.said.iter().find(|(said, _)| *said == what) {
            return Err(here.wrong(format!("`{what}` was said already, in line {line}")));
        }
        self.said.push((what, (here.line, here.column)));
        Ok(())
    }

    fn link(&mut self, words: &mut Words<'_>) -> Result<Link, Malformed> {
        let first = words.next("two nodes, as in `link client <-> server 10ms`")?;
        let (a, b) = match first.split("<->") {
            Some(ends) => ends,
            None => {
                words.must("<->")?;
                (first, words.next("a node")?)
            }
        };
        let ends = [self.node(a)?, self.node(b)?];
        let delay = words.next("the delay, as in `10ms`")?.duration()?;
        let mut link = Link::new(ends[0], ends[1], delay);
        let names = ["jitter=", "rate=", "queue=", "mtu=", "loss=", "duplicate=", "corrupt=", "noise="];
        words.options(&names, |key, value| {
            match key {
                "jitter" => link.jitter = value.duration()?,
                "rate" => link.rate = Some(value.rate()?),
                "queue" => link.queue = value.number("a number of packets")?,
                "mtu" => link.mtu = value.number("an MTU: a number of bytes, at most 65535")?,
                "loss" => link.loss = value.ratio()?,
                "duplicate" => link.duplicate = value.ratio()?,
                "corrupt" => link.corrupt = value.ratio()?,
                _ => link.noise = value.number("a whole number of 64 bits")?,
            }
            Ok(())
        })?;
        Ok(link)
    }

    fn expect(&mut self, words: &mut Words<'_>) -> Result<Expect, Malformed> {
        let node = self.node(words.next("a host")?)?;
        let mode = match words.peek() {
            Some(word) if word.is("exactly") => Mode::Exactly,
            Some(word) if word.is("never") => Mode::Never,
            _ => Mode::InOrder,
        };
        if mode != Mode::InOrder {
            words.next("a mode")?;
        }
        let mut items = Vec::new();
        while words.peek().is_some() {
            let mut said: Vec<&str> = Vec::new();
            let mut by = None;
            while let Some(word) = words.peek().filter(|word| !word.is(";")) {
                words.next("a word")?;
                if word.is("by") && !said.is_empty() {
                    by = Some(words.next("a time, as in `by 0.1`")?.time()?);
                    break;
                }
                said.push(word.text);
            }
            if said.is_empty() {
                return Err(words.next("an item")?.wrong("between two `;` should be what is expected"));
            }
            if !words.skip(";") {
                words.done()?;
            }
            items.push((said.join(" "), by));
        }
        Ok(Expect { node, mode, items })
    }

    /// The node of this name.
    fn node(&self, name: Piece<'_>) -> Result<NodeId, Malformed> {
        if let Some(node) = self.scenario.node(name.text).filter(|_| !name.quoted) {
            return Ok(node);
        }
        let text = name.text;
        if name.quoted || !is_name(text) {
            return Err(name.is_not("the name of a node"));
        }
        let help = match did_you_mean(text, self.scenario.nodes.iter().map(|node| node.name.as_str())) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("declare it with `host {text}` or `router {text}`"),
        };
        Err(name.wrong(format!("there is no node {text:?}; {help}")))
    }

    /// One way of a link, from what stands before and behind the arrow.
    fn way(&self, (from, to): (Piece<'_>, Piece<'_>)) -> Result<Way, Malformed> {
        Ok(Way { from: self.node(from)?, to: self.node(to)? })
    }

    /// Sorts the script by time, and checks everything that does not show in one line.
    fn finish(mut self) -> Result<Scenario, Malformed> {
        let script = core::mem::take(&mut self.scenario.script);
        let mut lines: Vec<_> = script.into_iter().zip(core::mem::take(&mut self.script)).collect();
        lines.sort_by_key(|(line, _)| line.at);
        (self.scenario.script, self.script) = lines.into_iter().unzip();
        self.scenario.check().map_err(|bad| {
            let found = match bad.place {
                Place::Whole(what) => {
                    self.said.iter().find(|(said, _)| *said == what).map(|(_, place)| place)
                }
                Place::Node(at) => self.nodes.get(at),
                Place::Link(at) => self.links.get(at),
                Place::Line(at) => self.script.get(at),
                Place::Fault(at) => self.faults.get(at),
                Place::Expect(at) => self.expects.get(at),
            };
            let (line, column) = *found.unwrap_or(&(1, 1));
            Malformed { line, column, message: bad.message }
        })?;
        Ok(self.scenario)
    }
}

fn profile(words: &mut Words<'_>) -> Result<Profile, Malformed> {
    let name = words.next("a profile, as in `profile linux`")?;
    let profile = name.choose("a profile", PROFILES)?;
    match (profile, words.skip("unverified")) {
        (Profile::Unverified(_), false) => {
            let text = name.text;
            Err(name.wrong(format!(
                "nobody has verified the profile {text:?}; if that will do: `profile {text} unverified`"
            )))
        }
        (Profile::Linux, true) => Err(name.wrong("the profile `linux` is verified: leave out `unverified`")),
        _ => Ok(profile),
    }
}
