//! The passes of a descent: each knows its candidates by number.

use std::time::Duration;

use super::{reduce, rounder, weaker};
use crate::scenario::{
    Command, Fault, HostFault, Knobs, Link, Mode, NodeId, Payload, Scenario, Tamper, Trigger, Way, What,
};

/// A candidate of a pass.
pub(super) enum Offer {
    Candidate(Scenario),
    /// There is nothing under this number; perhaps under the next.
    Nothing,
    /// There is nothing under any further number.
    Done,
}

impl From<Option<Scenario>> for Offer {
    fn from(candidate: Option<Scenario>) -> Self {
        candidate.map_or(Self::Nothing, Self::Candidate)
    }
}

/// A pass: the candidate of a number.
pub(super) type Pass = fn(&Scenario, usize) -> Offer;

/// The passes that change nothing but faults.
pub(super) const OF_FAULTS: &[Pass] = &[
    |scenario, at| leave_out(scenario, at, |less| &mut less.faults),
    weaken,
    |scenario, at| rounded(scenario, at, fault_times),
];

/// All passes, in order.
pub(super) const ALL: &[Pass] = &[
    |scenario, at| leave_out(scenario, at, |less| &mut less.faults),
    |scenario, at| leave_out(scenario, at, |less| &mut less.script),
    |scenario, at| leave_out(scenario, at, |less| &mut less.expects),
    |scenario, at| earlier(scenario, at, Also::Lines),
    quiet,
    nodes,
    links,
    settings,
    weaken,
    |scenario, at| earlier(scenario, at, Also::Nothing),
    |scenario, at| rounded(scenario, at, all_times),
    words,
];

/// Without a chunk of a list.
fn leave_out<T>(scenario: &Scenario, at: usize, list: fn(&mut Scenario) -> &mut Vec<T>) -> Offer {
    let mut less = scenario.clone();
    let items = list(&mut less);
    match chunk(items.len(), at) {
        None => Offer::Done,
        Some((from, to)) => {
            items.drain(from..to);
            Offer::Candidate(less)
        }
    }
}

/// The chunks of a list: all of it, halves, quarters, … and each item; from its end, because what comes late matters less.
fn chunk(len: usize, mut at: usize) -> Option<(usize, usize)> {
    let mut size = len;
    while size > 0 {
        let many = len.div_ceil(size);
        if at < many {
            let to = len - at * size;
            return Some((to.saturating_sub(size), to));
        }
        at -= many;
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    None
}

/// What goes when faults come earlier.
#[derive(Clone, Copy, PartialEq)]
enum Also {
    Nothing,
    /// One line of the script: what it caused is not there any more, so that packets behind have lower numbers.
    Lines,
}

/// Faults at packets of lower numbers: all by one, all by two, each by one, each by half, each at the first.
fn earlier(scenario: &Scenario, at: usize, also: Also) -> Offer {
    let faults = scenario.faults.len();
    let many = 2 + 3 * faults;
    let lines = if also == Also::Lines { scenario.script.len() } else { 1 };
    if at >= many * lines || faults == 0 {
        return Offer::Done;
    }
    let mut less = scenario.clone();
    if also == Also::Lines {
        less.script.remove(at / many);
    }
    let variant = at % many;
    for (index, fault) in less.faults.iter_mut().enumerate() {
        let Trigger::Packet(_, nth) = &mut fault.when else { continue };
        let lower = match variant {
            0 | 1 => *nth - (variant as u32 + 1).min(*nth - 1),
            _ if (variant - 2) / 3 != index => *nth,
            _ => match (variant - 2) % 3 {
                0 => 1,
                1 => (*nth / 2).max(1),
                _ => (*nth - 1).max(1),
            },
        };
        *nth = lower;
    }
    Offer::Candidate(less)
}

/// Links without noise: none at all, or the very packets that it met.
fn quiet(scenario: &Scenario, at: usize) -> Offer {
    const WAYS: usize = 9;
    let Some(link) = scenario.links.get(at / WAYS) else { return Offer::Done };
    let plain = Link::new(link.ends[0], link.ends[1], link.delay);
    let without = |change: &dyn Fn(&mut Link)| {
        let mut less = scenario.clone();
        change(&mut less.links[at / WAYS]);
        less
    };
    Offer::Candidate(match at % WAYS {
        0 => without(&|link| *link = plain.clone()),
        1 => without(&|link| link.jitter = Duration::ZERO),
        2 => without(&|link| (link.rate, link.queue) = (None, plain.queue)),
        3 => without(&|link| link.mtu = plain.mtu),
        4 => without(&|link| link.loss = 0),
        5 => without(&|link| link.duplicate = 0),
        6 => without(&|link| link.corrupt = 0),
        7 => return spelled_out(scenario, at / WAYS).into(),
        _ => without(&|link| {
            let silent = link.loss == 0 && link.duplicate == 0 && link.corrupt == 0 && link.jitter.is_zero();
            link.noise = if silent { 0 } else { link.noise };
        }),
    })
}

/// How many packets each way a link's noise is spelled out for, and how many faults that gives at most.
const SPELLED: u32 = 400;
const MOST_SPELLED: usize = 100;

/// The noise of a link as faults, of its first packets.
fn spelled_out(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut less = scenario.clone();
    let link = less.links[at].clone();
    let [a, b] = link.ends;
    let ways = [Way { from: a, to: b }, Way { from: b, to: a }];
    let packets = (1..=SPELLED).flat_map(|nth| ways.map(|way| (way, nth)));
    let faults = packets.filter_map(|(way, nth)| {
        let noise = link.noise_of(way, u64::from(nth));
        let tampers = [
            (noise.loses, Tamper::Drop),
            (noise.doubles, Tamper::Duplicate(Duration::from_micros(1))),
            (noise.damages, Tamper::Corrupt),
        ];
        // A packet that is lost is nothing else.
        let (_, tamper) = tampers.into_iter().find(|(is, _)| *is)?;
        Some(Fault { when: Trigger::Packet(way, nth), what: What::Tamper(way, tamper), may_be_inert: true })
    });
    let faults: Vec<Fault> = faults.take(MOST_SPELLED).collect();
    let link = &mut less.links[at];
    (link.loss, link.duplicate, link.corrupt) = (0, 0, 0);
    let any = !faults.is_empty();
    less.faults.extend(faults);
    any.then_some(less)
}

fn nodes(scenario: &Scenario, at: usize) -> Offer {
    let Some(_) = scenario.nodes.get(at / 2) else { return Offer::Done };
    let node = NodeId((at / 2) as u8);
    if at % 2 == 0 { reduce::without(scenario, node).into() } else { reduce::bridged(scenario, node).into() }
}

fn links(scenario: &Scenario, at: usize) -> Offer {
    if at >= scenario.links.len() {
        return Offer::Done;
    }
    let mut less = scenario.clone();
    less.links.remove(at);
    Offer::Candidate(less)
}

/// Settings of kernels and clients, the seed, the version, and marks.
fn settings(scenario: &Scenario, at: usize) -> Offer {
    let mut less = scenario.clone();
    let plain = Scenario::new();
    let (nodes, lines, faults) = (less.nodes.len(), less.script.len(), less.faults.len());
    if at == 0 {
        less.seed = plain.seed;
    } else if at == 1 {
        less.version = plain.version;
    } else if at == 2 {
        // What is not said is the simplest.
        less.until = plain.until;
    } else if at < 3 + nodes {
        less.nodes[at - 3].sysctl.clear();
    } else if at < 3 + nodes + faults {
        less.faults[at - 3 - nodes].may_be_inert = false;
    } else if at < 3 + nodes + faults + lines * 7 {
        let at = at - 3 - nodes - faults;
        let Command::Connect(_, _, knobs) = &mut less.script[at / 7].command else { return Offer::Nothing };
        match at % 7 {
            0 => *knobs = Knobs::default(),
            1 => knobs.idle = None,
            2 => knobs.probe = None,
            3 => knobs.misses = None,
            4 => knobs.round = None,
            5 => knobs.rounds = None,
            _ => knobs.resend = false,
        }
    } else {
        return Offer::Done;
    }
    Offer::Candidate(less)
}

fn weaken(scenario: &Scenario, at: usize) -> Offer {
    const ALTERNATIVES: usize = 8;
    let Some(fault) = scenario.faults.get(at / ALTERNATIVES) else { return Offer::Done };
    let weaker = weaker(&fault.what).into_iter().nth(at % ALTERNATIVES);
    let mut less = scenario.clone();
    weaker
        .map(|what| {
            less.faults[at / ALTERNATIVES].what = what;
            less
        })
        .into()
}

/// A time that may be another one, and how short it may become.
type Time<'s> = (&'s mut Duration, Duration);

/// When something is: at the start, if that will do.
fn instant(time: &mut Duration) -> Time<'_> {
    (time, Duration::ZERO)
}

/// How long something takes. Never no time: cause and effect would fall on one instant, in no readable order; and for a
/// client's knobs zero means something else.
fn span(time: &mut Duration) -> Time<'_> {
    (time, Duration::from_millis(1))
}

/// Rounder times.
fn rounded(scenario: &Scenario, at: usize, times: fn(&mut Scenario) -> Vec<Time<'_>>) -> Offer {
    const GRAINS: usize = 5;
    let mut less = scenario.clone();
    let Some((time, least)) = times(&mut less).into_iter().nth(at / GRAINS) else { return Offer::Done };
    let Some(rounded) = rounder(*time, least, at % GRAINS) else { return Offer::Nothing };
    *time = rounded;
    Offer::Candidate(less)
}

fn all_times(scenario: &mut Scenario) -> Vec<Time<'_>> {
    let mut times = Vec::new();
    for line in &mut scenario.script {
        times.push(instant(&mut line.at));
        if let Command::Connect(_, _, knobs) = &mut line.command {
            let Knobs { idle, probe, round, .. } = knobs;
            times.extend([idle, probe, round].into_iter().flatten().map(span));
        }
    }
    for fault in &mut scenario.faults {
        of_fault(fault, &mut times);
    }
    times.extend(scenario.links.iter_mut().map(|link| span(&mut link.delay)));
    times
}

fn fault_times(scenario: &mut Scenario) -> Vec<Time<'_>> {
    let mut times = Vec::new();
    for fault in &mut scenario.faults {
        of_fault(fault, &mut times);
    }
    times
}

fn of_fault<'s>(fault: &'s mut Fault, times: &mut Vec<Time<'s>>) {
    times.extend(at(&mut fault.when).map(instant));
    match &mut fault.what {
        What::Tamper(_, Tamper::Delay(time) | Tamper::Duplicate(time))
        | What::Host(_, HostFault::Pause(time) | HostFault::Reboot(time)) => times.push(span(time)),
        what => times.extend(what.until_mut().and_then(at).map(instant)),
    }
}

fn at(trigger: &mut Trigger) -> Option<&mut Duration> {
    match trigger {
        Trigger::At(at) => Some(at),
        _ => None,
    }
}

/// What is sent, and what is expected, in fewer words.
fn words(scenario: &Scenario, at: usize) -> Offer {
    let mut less = scenario.clone();
    if let Some(line) = less.script.get_mut(at) {
        let Command::Send(payload) = &mut line.command else { return Offer::Nothing };
        *payload = Payload::Text("x".to_owned());
        return Offer::Candidate(less);
    }
    let mut at = at - less.script.len();
    for expect in &mut less.expects {
        if at < expect.items.len() {
            if expect.items.len() == 1 || expect.mode == Mode::Exactly {
                return Offer::Nothing;
            }
            expect.items.remove(at);
            return Offer::Candidate(less);
        }
        at -= expect.items.len();
    }
    Offer::Done
}
