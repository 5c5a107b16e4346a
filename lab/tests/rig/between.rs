//! Whoever is between the hosts: answers for neighbours, and passes packets on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, thread};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use resound_lab::rig::{Heard, Host, Rig, Wire, allowed};
use resound_sim::Scenario;
use resound_sim::packet::Packet;
use resound_sim::scenario::{NodeId, Way, node_at};

/// Long enough for anything that comes at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const A: NodeId = NodeId(0);
pub(crate) const B: NodeId = NodeId(1);
pub(crate) const C: NodeId = NodeId(2);

/// The hosts of a scenario; `None`, and a printed reason, if this machine does not allow it.
pub(crate) fn rig(scenario: &str) -> Option<Rig> {
    if let Err(hindrance) = allowed() {
        eprintln!("skipped: {hindrance}");
        return None;
    }
    let scenario: Scenario = scenario.parse().unwrap_or_else(|bad| panic!("{bad}"));
    Some(Rig::build(&scenario).unwrap_or_else(|error| panic!("{error}")))
}

/// Two hosts, neighbours of each other.
pub(crate) fn two() -> Option<Rig> {
    rig("host a\nhost b\nlink a <-> b 1ms\n")
}

/// What is done to a packet that left a host by a way: `None` loses it.
pub(crate) type Between<'a> = &'a (dyn Fn(Way, Packet) -> Option<Packet> + Sync);

/// Every packet arrives as it came.
pub(crate) const WHOLE: Between<'static> = &|_, packet| Some(packet);

/// How long a packet was on the wire, its options included.
pub(crate) fn length(packet: &Packet) -> usize {
    packet.bytes.as_ref().map_or(0, |bytes| bytes.len())
}

/// Passes packets on between the hosts, and answers for all neighbours, while something is done with the hosts.
pub(crate) fn passing<T>(rig: &mut Rig, between: Between<'_>, job: impl FnOnce(&mut [Host]) -> T) -> T {
    let (hosts, wires) = rig.parts();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                pass(wires, between);
            }
        });
        let _end = End(&over);
        job(hosts)
    })
}

/// Ends the passing, also if the job panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn pass(wires: &mut [Wire], between: Between<'_>) {
    let mut ready: Vec<_> = wires.iter().map(|wire| PollFd::new(wire.as_fd(), PollFlags::POLLIN)).collect();
    poll(&mut ready, PollTimeout::from(50_u8)).expect("poll");
    let mut packets = Vec::new();
    for wire in wires.iter_mut() {
        while let Some(heard) = wire.receive().expect("a wire is read") {
            match heard {
                Heard::Packet(packet) => packets.extend(between(wire.way(), packet)),
                Heard::Asks(question) => taken(wire.answer(&question)),
                Heard::Other => eprintln!("{:?}: {:?}", wire.way(), wire.others()),
            }
        }
    }
    for packet in packets {
        let to = node_at(packet.destination);
        // What is for many is for all others here.
        let is_for = |wire: &Wire| {
            to.map_or(node_at(packet.source) != Some(wire.way().from), |to| to == wire.way().from)
        };
        for wire in wires.iter_mut().filter(|wire| is_for(wire)) {
            taken(wire.send(&packet));
        }
    }
}

/// A host whose interface is down takes nothing (ENOBUFS).
fn taken(sent: io::Result<()>) {
    match sent {
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
        sent => sent.expect("what is for a host is sent"),
    }
}
