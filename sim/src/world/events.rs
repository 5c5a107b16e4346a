//! What is to happen, in the order of time; at one time in the order in which it was decided.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use resound_core::Instant;

use crate::faults::WayId;
use crate::kernel::{Fd, Pid};
use crate::packet::{FaultId, Packet};
use crate::scenario::NodeId;

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    /// A packet has come to the end of a way.
    Arrive(WayId, Packet),
    /// A packet has come to the host that it was for without passing a way.
    Local(NodeId, Packet),
    /// A timer of a kernel.
    Kernel(NodeId, Fd),
    /// A program may want to run.
    Wake(NodeId, Pid),
    /// A line of the script.
    Line(u32),
    /// A fault begins.
    Fault(FaultId),
    /// A fault ends.
    Expire(FaultId),
    /// A neighbour is asked for again.
    Resolve(WayId),
    /// A host comes back.
    Boot(NodeId),
    /// A host's programs go on.
    Resume(NodeId),
}

/// The events as the heap keeps them: small, whatever a packet weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slim {
    Arrive(WayId, u32),
    Local(NodeId, u32),
    Kernel(NodeId, Fd),
    Wake(NodeId, Pid),
    Line(u32),
    Fault(FaultId),
    Expire(FaultId),
    Resolve(WayId),
    Boot(NodeId),
    Resume(NodeId),
}

/// Everything that is to happen.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<(Instant, u64, Slim)>>,
    made: u64,
    packets: Vec<Option<Packet>>,
    free: Vec<u32>,
}

impl Events {
    pub(super) fn push(&mut self, at: Instant, event: Event) {
        let slim = match event {
            Event::Arrive(way, packet) => Slim::Arrive(way, self.keep(packet)),
            Event::Local(node, packet) => Slim::Local(node, self.keep(packet)),
            Event::Kernel(node, fd) => Slim::Kernel(node, fd),
            Event::Wake(node, pid) => Slim::Wake(node, pid),
            Event::Line(index) => Slim::Line(index),
            Event::Fault(id) => Slim::Fault(id),
            Event::Expire(id) => Slim::Expire(id),
            Event::Resolve(way) => Slim::Resolve(way),
            Event::Boot(node) => Slim::Boot(node),
            Event::Resume(node) => Slim::Resume(node),
        };
        self.made += 1;
        self.heap.push(Reverse((at, self.made, slim)));
    }

    /// The next one, if it is not after `until`.
    pub(super) fn pop_until(&mut self, until: Instant) -> Option<(Instant, Event)> {
        if self.heap.peek()?.0.0 > until {
            return None;
        }
        let Reverse((at, _, slim)) = self.heap.pop()?;
        let event = match slim {
            Slim::Arrive(way, slot) => Event::Arrive(way, self.take(slot)?),
            Slim::Local(node, slot) => Event::Local(node, self.take(slot)?),
            Slim::Kernel(node, fd) => Event::Kernel(node, fd),
            Slim::Wake(node, pid) => Event::Wake(node, pid),
            Slim::Line(index) => Event::Line(index),
            Slim::Fault(id) => Event::Fault(id),
            Slim::Expire(id) => Event::Expire(id),
            Slim::Resolve(way) => Event::Resolve(way),
            Slim::Boot(node) => Event::Boot(node),
            Slim::Resume(node) => Event::Resume(node),
        };
        Some((at, event))
    }

    fn take(&mut self, slot: u32) -> Option<Packet> {
        self.free.push(slot);
        self.packets[slot as usize].take()
    }

    fn keep(&mut self, packet: Packet) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.packets[slot as usize] = Some(packet);
            return slot;
        }
        self.packets.push(Some(packet));
        (self.packets.len() - 1) as u32
    }
}
