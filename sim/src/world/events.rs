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
    /// A neighbour is asked for again that has been asked for since then.
    Resolve(WayId, Instant),
    /// A host comes back.
    Boot(NodeId),
    /// A host's programs go on.
    Resume(NodeId),
}

/// Everything that is to happen.
///
/// What is pushed for one time without a break is one entry of the heap, a chain: a burst of packets costs what one does.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// When, which entry was made first, and the first link of its chain.
    heap: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    made: u64,
    links: Vec<Link>,
    free: Vec<u32>,
    /// The chain that is being taken out, and its time.
    current: Option<(Instant, u32)>,
    /// The end of the chain that was last added to, and its time.
    open: Option<(Instant, u32)>,
}

#[derive(Debug)]
struct Link {
    event: Option<Event>,
    next: Option<u32>,
}

impl Events {
    pub(super) fn push(&mut self, at: Instant, event: Event) {
        let link = self.keep(event);
        match self.open {
            Some((time, last)) if time == at => self.links[last as usize].next = Some(link),
            _ => {
                self.made += 1;
                self.heap.push(Reverse((at, self.made, link)));
            }
        }
        self.open = Some((at, link));
    }

    /// The next one, if it is not after `until`.
    #[inline]
    pub(super) fn pop_until(&mut self, until: Instant) -> Option<(Instant, Event)> {
        let (at, link) = match self.current {
            Some(current) => current,
            None => {
                let &Reverse((at, _, link)) = self.heap.peek()?;
                if at > until {
                    return None;
                }
                self.heap.pop();
                (at, link)
            }
        };
        Some((at, self.take(at, link)?))
    }

    /// When the next one is.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let current = self.current.map(|(at, _)| at);
        current.or_else(|| self.heap.peek().map(|Reverse((at, ..))| *at))
    }

    #[inline]
    fn take(&mut self, at: Instant, link: u32) -> Option<Event> {
        let Link { event, next } = &mut self.links[link as usize];
        self.current = next.take().map(|next| (at, next));
        if self.open.is_some_and(|(_, last)| last == link) {
            self.open = None;
        }
        self.free.push(link);
        event.take()
    }

    #[inline]
    fn keep(&mut self, event: Event) -> u32 {
        if let Some(place) = self.free.pop() {
            self.links[place as usize].event = Some(event);
            return place;
        }
        self.links.push(Link { event: Some(event), next: None });
        (self.links.len() - 1) as u32
    }
}
