//! The UDP client under test with its peers, and the rules that hold for every session, whatever the fault.
//!
//! A message that was accepted ends once, echoed or lost, with the payload that was moved in and at the peer that it was
//! sent to. What goes down had come up; what comes late was lost before, what comes twice was echoed before; nothing is
//! told of a peer that was not added; and nothing follows the last event.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Receiver;
use std::time::Instant as HostInstant;

use bytes::Bytes;
use resound_core::Instant;
use resound_core::datagram::client::{Event, PeerId, Seq};

use super::subject::Slowness;
use crate::runtime::UdpClientSession;
use crate::timeline::Voice;

pub(super) struct Fleet {
    pub(super) session: Box<dyn UdpClientSession>,
    events: Receiver<(Instant, Event)>,
    peers: BTreeMap<PeerId, Peer>,
    messages: BTreeMap<Seq, Message>,
    overlooked: BTreeSet<Seq>,
    told: Vec<(HostInstant, Event)>,
    over: bool,
    slow: Slowness,
}

struct Peer {
    voice: Voice,
    link: Link,
}

#[derive(PartialEq, Eq)]
enum Link {
    Down,
    Up,
}

struct Message {
    peer: PeerId,
    payload: Bytes,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Echoed,
    Lost,
}

impl Fleet {
    pub(super) fn new(session: Box<dyn UdpClientSession>, events: Receiver<(Instant, Event)>) -> Self {
        Self {
            session,
            events,
            peers: BTreeMap::new(),
            messages: BTreeMap::new(),
            overlooked: BTreeSet::new(),
            told: Vec::new(),
            over: false,
            slow: Slowness::default(),
        }
    }

    pub(super) fn added(&mut self, peer: PeerId, voice: Voice) {
        self.peers.insert(peer, Peer { voice, link: Link::Down });
    }

    pub(super) fn accepted(&mut self, seq: Seq, peer: PeerId, payload: Bytes) {
        self.messages.insert(seq, Message { peer, payload, end: End::Open });
    }

    /// A message that is no part of the story.
    pub(super) fn overlook(&mut self, seq: Seq) {
        self.overlooked.insert(seq);
    }

    pub(super) fn is_overlooked(&self, event: &Event) -> bool {
        matches!(event, Event::Echoed { seq, .. } if self.overlooked.contains(seq))
    }

    pub(super) fn has_ended(&self, seq: Seq) -> bool {
        self.messages.get(&seq).is_some_and(|message| message.end != End::Open)
    }

    pub(super) fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Whose an event is; nothing if it is nobody's.
    pub(super) fn voice(&self, event: &Event) -> Voice {
        event.peer().and_then(|peer| self.peers.get(&peer)).map_or("", |peer| peer.voice)
    }

    /// When the event that is the `nth` of this kind, counted from 1, came; if it has.
    pub(super) fn told(
        &self,
        of: Option<PeerId>,
        nth: usize,
        mut fits: impl FnMut(&Event) -> bool,
    ) -> Option<HostInstant> {
        let mut fitting = self.told.iter().filter(|(_, event)| event.peer() == of && fits(event));
        fitting.nth(nth.saturating_sub(1)).map(|(at, _)| *at)
    }

    /// The next event and when it came out of the machine, held against the rules.
    pub(super) fn next(
        &mut self,
        patience: Duration,
        broken: &mut Vec<String>,
    ) -> Option<(HostInstant, Event)> {
        let (at, event) = self.events.recv_timeout(patience).ok()?;
        // In this order: a delay between the two clocks makes it seem later, never earlier.
        let (now, host) = (self.session.now(), HostInstant::now());
        let at = host.checked_sub(now.since(at)).unwrap_or(host);
        self.check(&event, broken);
        if !self.is_overlooked(&event) {
            self.told.push((at, event.clone()));
        }
        Some((at, event))
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Since the last call.
    pub(super) fn take_slowness(&mut self) -> Slowness {
        core::mem::take(&mut self.slow)
    }

    fn check(&mut self, event: &Event, broken: &mut Vec<String>) {
        if self.over {
            broken.push(format!("an event after the last one: {event:?}"));
        }
        let stranger = event.peer().is_some_and(|peer| !self.peers.contains_key(&peer));
        if stranger {
            return broken.push(format!("an event of a peer that was never added: {event:?}"));
        }
        match event {
            Event::Up { peer, .. } => self.links(*peer, Link::Up, broken),
            Event::Down { peer, .. } => self.links(*peer, Link::Down, broken),
            Event::Echoed { peer, seq, payload, .. } => {
                self.ends(*peer, *seq, payload, End::Echoed, broken);
            }
            Event::Lost { peer, seq, payload, .. } => self.ends(*peer, *seq, payload, End::Lost, broken),
            Event::Late { seq, .. } => self.comes_again(*seq, End::Lost, broken),
            Event::Duplicated { seq, .. } => self.comes_again(*seq, End::Echoed, broken),
            Event::Stalled { late } => {
                self.slow.calls += 1;
                self.slow.late += *late;
            }
            Event::Closed => self.over = true,
            _ => {}
        }
    }

    fn links(&mut self, peer: PeerId, link: Link, broken: &mut Vec<String>) {
        let Some(peer) = self.peers.get_mut(&peer) else { return };
        if peer.link == link {
            let what = if link == Link::Up { "came up twice" } else { "went down and was not up" };
            broken.push(format!("peer {:?} {what}", peer.voice));
        }
        peer.link = link;
    }

    fn ends(&mut self, peer: PeerId, seq: Seq, payload: &Bytes, end: End, broken: &mut Vec<String>) {
        let seq_no = seq.get();
        let Some(message) = self.messages.get_mut(&seq) else {
            return broken.push(format!("message {seq_no} ended and was never accepted"));
        };
        if message.end != End::Open {
            broken.push(format!("message {seq_no} ended twice"));
        }
        if message.peer != peer {
            broken.push(format!("message {seq_no} was sent to another peer than the one that ended it"));
        }
        if message.payload != *payload {
            broken.push(format!("message {seq_no} ended with another payload"));
        }
        message.end = end;
    }

    fn comes_again(&self, seq: Seq, after: End, broken: &mut Vec<String>) {
        let end = self.messages.get(&seq).map(|message| message.end);
        // What came late may come twice.
        if end != Some(after) && !(end == Some(End::Lost) && after == End::Echoed) {
            broken.push(format!("message {} came again after {end:?}, not {after:?}", seq.get()));
        }
    }

    /// Once the session is over: every message has ended.
    pub(super) fn check_all_ended(&self, broken: &mut Vec<String>) {
        for (seq, message) in &self.messages {
            if message.end == End::Open {
                broken.push(format!("message {} never ended: it must be echoed or lost", seq.get()));
            }
        }
    }
}
