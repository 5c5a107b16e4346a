//! Oracles: what has to hold of a run, whatever went wrong in it.
//!
//! An oracle sees the scenario and what came of it, never the inside of a machine or of a kernel. Rules of one scenario
//! stand in it as expectations ([`expected`]); the others here hold for every one, so that engines can try scenarios that
//! nobody has written. A closure is an oracle too.
//!
//! ```
//! use resound_sim::oracle::{self, Broken, Oracle};
//! use resound_sim::{Echo, Record, Run, Scenario, World};
//!
//! let scenario: Scenario = "
//!     host client ; host server
//!     link client <-> server 10ms
//!     0.0 server serve udp 7 ; 0.0 client connect udp server:7 ; 0.5 client send \"hello\"
//! ".parse()?;
//! let run = World::new(&scenario, &mut Echo).play(Record::Said);
//! let client = scenario.node("client").unwrap();
//! oracle::conservation(client).complete().check(&scenario, &run)?;
//!
//! let few_packets = |_: &Scenario, run: &Run| {
//!     if run.packets < 100 { Ok(()) } else { Err(Broken::new("few packets", "there were too many")) }
//! };
//! few_packets.check(&scenario, &run)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A multi-peer client puts its peer's name before what it says; the oracles here keep its peers apart.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use resound_core::Instant;

use crate::faults::{begins, since_start};
use crate::run::{Effect, Record, Remark, Run};
use crate::scenario::{Command, Fault, HostFault, NodeId, Said, Scenario, Transport, Trigger, What};
use crate::world::{Cast, World};

/// A rule that every run has to keep.
pub trait Oracle {
    /// Whether this run keeps it.
    ///
    /// # Errors
    ///
    /// What broke which rule.
    fn check(&self, scenario: &Scenario, run: &Run) -> Result<(), Broken>;
}

impl<F: Fn(&Scenario, &Run) -> Result<(), Broken>> Oracle for F {
    fn check(&self, scenario: &Scenario, run: &Run) -> Result<(), Broken> {
        self(scenario, run)
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broken {
    /// The rule's name: shrinking keeps it.
    pub rule: Cow<'static, str>,
    /// What broke it.
    pub what: String,
}

impl Broken {
    /// This rule, broken by this.
    pub fn new(rule: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Self { rule: rule.into(), what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

impl Error for Broken {}

// Of the scenario itself.

/// What the scenario expects has come true.
#[must_use]
pub fn expected() -> impl Oracle {
    |scenario: &Scenario, run: &Run| match scenario.unmet(&run.said).first() {
        None => Ok(()),
        Some(unmet) => Err(Broken::new("expected", unmet.to_string())),
    }
}

/// Every fault came to something, unless it is marked as one that may not.
#[must_use]
pub fn nothing_inert() -> impl Oracle {
    |scenario: &Scenario, run: &Run| {
        let mut inert = run.inert().filter(|(fault, _)| !scenario.faults[fault.0 as usize].may_be_inert);
        match inert.next() {
            None => Ok(()),
            Some((fault, why)) => {
                let fault = scenario.show(&scenario.faults[fault.0 as usize]).to_string();
                Err(Broken::new("nothing-inert", format!("{fault}: {why}")))
            }
        }
    }
}

/// The same scenario gives the same run. It is played once more, by a cast made anew.
pub fn deterministic<C: Cast>(cast: impl Fn() -> C) -> impl Oracle {
    move |scenario: &Scenario, run: &Run| {
        let again = World::new(scenario, &mut cast()).play(Record::Said);
        if again.digest == run.digest {
            return Ok(());
        }
        let [first, second] = [run.digest, again.digest];
        Err(Broken::new("deterministic", format!("played twice, it gave {first:016x} and {second:016x}")))
    }
}

// Of what programs say.

/// Each remark is as this says.
pub fn always(rule: impl Into<Cow<'static, str>>, is: impl Fn(&Remark) -> bool) -> impl Oracle {
    let rule = rule.into();
    move |scenario: &Scenario, run: &Run| match run.said.iter().find(|remark| !is(remark)) {
        None => Ok(()),
        Some(remark) => Err(Broken::new(rule.clone(), tell(scenario, remark))),
    }
}

/// This host never says anything that begins with these words.
pub fn never(node: NodeId, words: impl Into<String>) -> impl Oracle {
    let words = words.into();
    move |scenario: &Scenario, run: &Run| match first(run, node, &words, Instant::EPOCH) {
        None => Ok(()),
        Some(remark) => Err(Broken::new(format!("never {words}"), tell(scenario, remark))),
    }
}

/// This host says something that begins with these words, by this time after the start.
pub fn eventually_within(node: NodeId, words: impl Into<String>, by: Duration) -> impl Oracle {
    let words = words.into();
    move |scenario: &Scenario, run: &Run| {
        let by_then = first(run, node, &words, Instant::EPOCH).filter(|remark| since_start(remark.at) <= by);
        by_then.map(|_| ()).ok_or_else(|| {
            let name = scenario.name(node);
            Broken::new(format!("eventually {words}"), format!("{name} did not say so within {by:?}"))
        })
    }
}

/// Whenever this host says the one, it says the other within this time, unless the run ends before.
pub fn leads_to(
    node: NodeId,
    one: impl Into<String>,
    other: impl Into<String>,
    within: Duration,
) -> impl Oracle {
    let (one, other) = (one.into(), other.into());
    move |scenario: &Scenario, run: &Run| {
        let causes = run.said_by(node).filter(|remark| begins(&remark.said.to_string(), &one));
        for cause in causes {
            let due = cause.at + within;
            let came = first(run, node, &other, cause.at).is_some_and(|remark| remark.at <= due);
            if !came && since_start(due) <= scenario.until {
                let what = format!("{}, but not {other:?} within {within:?}", tell(scenario, cause));
                return Err(Broken::new(format!("{one} leads to {other}"), what));
            }
        }
        Ok(())
    }
}

fn first<'r>(run: &'r Run, node: NodeId, words: &str, from: Instant) -> Option<&'r Remark> {
    run.said_by(node).find(|remark| remark.at >= from && begins(&remark.said.to_string(), words))
}

fn tell(scenario: &Scenario, Remark { at, node, said }: &Remark) -> String {
    format!("{} said \"{said}\" at {:?}", scenario.name(*node), since_start(*at))
}

/// What a client says, without whose peer it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gist {
    Dialing,
    Up,
    Sent(u64),
    Echo(u64),
    Lost(u64),
    Down,
    /// It will not try again: it gave up, or was closed.
    Over,
    Else,
}

/// The peer's name, if one was said, and the rest.
fn gist<'r>(scenario: &Scenario, said: &'r Said) -> (Option<&'r str>, Gist) {
    let gist = match said {
        Said::Dialing => Gist::Dialing,
        Said::Up => Gist::Up,
        Said::Sent(seq) => Gist::Sent(*seq),
        Said::Echo(seq) => Gist::Echo(*seq),
        Said::Lost(seq, _) => Gist::Lost(*seq),
        Said::Down(..) => Gist::Down,
        Said::GaveUp(_) | Said::Closed => Gist::Over,
        Said::Other(text) => return named(scenario, text),
        _ => Gist::Else,
    };
    (None, gist)
}

fn named<'r>(scenario: &Scenario, text: &'r str) -> (Option<&'r str>, Gist) {
    let mut words = text.split(' ');
    let name = words.next().filter(|name| scenario.nodes.iter().any(|node| node.name == **name));
    if name.is_none() {
        return (None, Gist::Else);
    }
    let (word, seq) = (words.next(), words.next().and_then(|seq| seq.parse().ok()));
    let gist = match (word, seq) {
        (Some("dialing"), _) => Gist::Dialing,
        (Some("up"), _) => Gist::Up,
        (Some("echo"), Some(seq)) => Gist::Echo(seq),
        (Some("lost"), Some(seq)) => Gist::Lost(seq),
        (Some("down"), _) => Gist::Down,
        (Some("gave-up" | "closed"), _) => Gist::Over,
        _ => Gist::Else,
    };
    (name, gist)
}

// Conservation.

/// Every message that this client accepted ends exactly once, echoed or lost (E1), and over TCP the echoes of one
/// connection come in order (E2).
#[must_use]
pub const fn conservation(client: NodeId) -> Conservation {
    Conservation { client, complete: false }
}

/// See [`conservation`].
#[derive(Clone, Copy, Debug)]
pub struct Conservation {
    client: NodeId,
    complete: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Message {
    sent: u32,
    ended: u32,
}

impl Conservation {
    /// No message may still be under way when the run ends, unless its host was killed.
    #[must_use]
    pub const fn complete(self) -> Self {
        Self { complete: true, ..self }
    }

    fn in_order(&self, scenario: &Scenario) -> bool {
        let udp = |command: &Command| matches!(command, Command::Connect(Transport::Udp, ..));
        !scenario.script.iter().any(|line| line.host == self.client && udp(&line.command))
    }
}

const CONSERVATION: &str = "conservation";

impl Oracle for Conservation {
    fn check(&self, scenario: &Scenario, run: &Run) -> Result<(), Broken> {
        let in_order = self.in_order(scenario);
        let mut messages: BTreeMap<u64, Message> = BTreeMap::new();
        // Which peer has ended which message; of those that have a name.
        let mut each: BTreeMap<(&str, u64), u32> = BTreeMap::new();
        let mut latest = None;
        for remark in run.said_by(self.client) {
            let broken =
                |what: &str| Broken::new(CONSERVATION, format!("{}: {what}", tell(scenario, remark)));
            let (name, gist) = gist(scenario, &remark.said);
            match gist {
                Gist::Sent(seq) => messages.entry(seq).or_default().sent += 1,
                Gist::Echo(seq) | Gist::Lost(seq) => {
                    let message = messages.get_mut(&seq).ok_or_else(|| broken("it was never sent"))?;
                    message.ended += 1;
                    let twice = name.is_some_and(|name| {
                        let ended = each.entry((name, seq)).or_default();
                        *ended += 1;
                        *ended > 1 && message.sent == 1
                    });
                    if twice || message.ended > message.sent {
                        return Err(broken("it had ended before"));
                    }
                    if in_order && matches!(gist, Gist::Echo(_)) && latest.replace(seq) > Some(seq) {
                        return Err(broken("a later one was echoed before it"));
                    }
                }
                Gist::Up | Gist::Down | Gist::Over => latest = None,
                Gist::Dialing | Gist::Else => {}
            }
        }
        let pending = messages.iter().find(|(_, message)| message.ended < message.sent);
        match pending {
            Some((seq, _)) if self.complete && !was_killed(scenario, run, self.client) => {
                let name = scenario.name(self.client);
                Err(Broken::new(
                    CONSERVATION,
                    format!("{name}'s message {seq} has neither come back nor was it lost"),
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Whether this host's programs ended without being asked: what they had to say, they could not.
fn was_killed(scenario: &Scenario, run: &Run, node: NodeId) -> bool {
    scenario.faults.iter().zip(&run.ledger).any(|(fault, effect)| {
        let What::Host(at, what) = &fault.what else { return false };
        let kills = matches!(what, HostFault::Kill | HostFault::PowerLoss | HostFault::Reboot(_));
        *at == node && kills && matches!(effect, Effect::Acted(_))
    })
}

// Liveness.

/// Within `bound` after the last fault has ended, each client on this host is up and stays so, or has reported a final
/// reason. Says nothing of a scenario that never heals: with a link that loses packets, or a fault without an end.
#[must_use]
pub fn settles_after_healing(node: NodeId, bound: Duration) -> impl Oracle {
    move |scenario: &Scenario, run: &Run| {
        let lossy = scenario.links.iter().any(|link| link.loss > 0 || link.corrupt > 0);
        if lossy || scenario.faults.iter().any(never_ends) || was_killed(scenario, run, node) {
            return Ok(());
        }
        let healed = run.disturbed.unwrap_or(Instant::EPOCH);
        let due = healed + bound;
        if since_start(due) > scenario.until {
            return Ok(());
        }
        let broken = |what| Err(Broken::new("settles-after-healing", what));
        let mut clients: BTreeMap<Option<&str>, Gist> = BTreeMap::new();
        for remark in run.said_by(node) {
            let (name, gist) = gist(scenario, &remark.said);
            if !matches!(gist, Gist::Dialing | Gist::Up | Gist::Down | Gist::Over) {
                continue;
            }
            if remark.at > due && matches!(gist, Gist::Down) {
                let healed = since_start(healed);
                return broken(format!("{}, though all was well since {healed:?}", tell(scenario, remark)));
            }
            if remark.at <= due {
                // Whatever is closed, all peers are.
                if name.is_none() && gist == Gist::Over {
                    clients.values_mut().for_each(|was| *was = Gist::Over);
                }
                clients.insert(name, gist);
            }
        }
        let unsettled = clients.iter().find(|(_, was)| !matches!(was, Gist::Up | Gist::Over));
        match unsettled {
            None => Ok(()),
            Some((peer, _)) => {
                let (name, peer) =
                    (scenario.name(node), peer.map(|peer| format!(" to {peer}")).unwrap_or_default());
                broken(format!(
                    "{name} is not up{peer} {bound:?} after the last fault, and gave no final reason"
                ))
            }
        }
    }
}

fn never_ends(fault: &Fault) -> bool {
    match &fault.what {
        What::Cut(_, until) | What::Unplug(_, until) | What::Route { until, .. } => until.is_none(),
        What::Mtu(..) => true,
        What::Host(_, what) => {
            matches!(
                what,
                HostFault::Kill | HostFault::PowerLoss | HostFault::NoPorts(None) | HostFault::AcceptQueue(_)
            )
        }
        What::Tamper(..) | What::Forge { .. } => false,
    }
}

/// In any window of time W, this host starts at most 1 + ⌈W/floor⌉ rounds of dialing one peer (B6). Says nothing where
/// the host's clock jumps.
#[must_use]
pub fn bounded_attempts(node: NodeId, floor: Duration) -> impl Oracle {
    move |scenario: &Scenario, run: &Run| {
        let skewed = |fault: &Fault| matches!(fault.what, What::Host(at, HostFault::Skew(_)) if at == node);
        if scenario.faults.iter().any(skewed) {
            return Ok(());
        }
        let mut starts: BTreeMap<Option<&str>, Vec<Instant>> = BTreeMap::new();
        for remark in run.said_by(node) {
            if let (name, Gist::Dialing) = gist(scenario, &remark.said) {
                starts.entry(name).or_default().push(remark.at);
            }
        }
        for times in starts.values() {
            for (i, &from) in times.iter().enumerate() {
                for (more, &to) in times[i..].iter().enumerate() {
                    let window = to.since(from);
                    if more as u128 > window.as_nanos().div_ceil(floor.as_nanos().max(1)) {
                        let what =
                            format!("{} rounds within {window:?}, from {:?}", more + 1, since_start(from));
                        return Err(Broken::new("bounded-attempts", what));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A peer of this host that falls silent is convicted within `bound` (L1, end to end): where a way to the host is cut at a
/// given time for that long, and the host was up then, it says `down` in time.
#[must_use]
pub fn conviction_within(node: NodeId, bound: Duration) -> impl Oracle {
    move |scenario: &Scenario, run: &Run| {
        for fault in &scenario.faults {
            let Some(from) = silence(fault, node, bound) else { continue };
            let due = from + bound;
            if due > scenario.until || was_killed(scenario, run, node) {
                continue;
            }
            let mut up = false;
            let mut convicted = false;
            for remark in run.said_by(node) {
                let (at, (_, gist)) = (since_start(remark.at), gist(scenario, &remark.said));
                match gist {
                    Gist::Up if at <= from => up = true,
                    Gist::Down | Gist::Over if at <= from => up = false,
                    Gist::Down | Gist::Over if at <= due => convicted = true,
                    _ => {}
                }
            }
            if up && !convicted {
                let (name, cut) = (scenario.name(node), scenario.show(fault));
                return Err(Broken::new(
                    "conviction-within",
                    format!("{cut}: {name} was not down by {due:?}"),
                ));
            }
        }
        Ok(())
    }
}

/// When this fault begins to keep everything from this host, if it does so for long enough.
fn silence(fault: &Fault, node: NodeId, lasts: Duration) -> Option<Duration> {
    let Trigger::At(from) = fault.when else { return None };
    let until = match &fault.what {
        What::Cut(way, until) if way.to == node => until,
        What::Unplug(way, until) if way.from == node || way.to == node => until,
        _ => return None,
    };
    match until {
        None => Some(from),
        Some(Trigger::At(until)) => Some(from).filter(|_| *until >= from + lasts),
        Some(_) => None,
    }
}
