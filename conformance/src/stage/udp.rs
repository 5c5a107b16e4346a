//! What scripts over UDP call.
//!
//! Different peers' events come in no order, so that a script does not wait for "the next" but for the first, the second,
//! the third of a kind: it may have come already.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant as HostInstant;

use bytes::Bytes;
use resound_core::datagram::client::{Client, Event, NotAdded, PeerId, PeerStatus, Refused, Seq, Strays};
use resound_core::datagram::server;
use resound_sockets::StartError;
use resound_sockets::udp::{Errors, Options, bind};

use super::fleet::Fleet;
use super::{Failed, PATIENCE, Played, SEED, Stage};
use crate::runtime::{UdpRuntime, UdpServerSession};
use crate::timeline::Voice;

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        io::Error::from(error).into()
    }
}

impl From<NotAdded> for Failed {
    fn from(error: NotAdded) -> Self {
        Self(format!("a peer was not added: {error}"))
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self(format!("a message was refused: {refused}"))
    }
}

/// The UDP server under test.
pub(crate) struct ServedUdp {
    pub(crate) session: Box<dyn UdpServerSession>,
    events: Receiver<server::Event>,
}

impl ServedUdp {
    /// Where its first socket is bound.
    pub(crate) fn addr(&self) -> Result<SocketAddr, Failed> {
        self.session.local_addrs().first().copied().ok_or_else(|| Failed::new("the server has no socket"))
    }
}

/// What is asked of a client in one go.
pub(crate) struct Wishes<'a> {
    client: &'a mut Client,
    now: resound_core::Instant,
    before: usize,
    added: &'a mut Vec<(PeerId, Voice)>,
    accepted: &'a mut Vec<(Seq, PeerId, Bytes)>,
}

impl Wishes<'_> {
    pub(crate) fn add(&mut self, voice: Voice, addr: SocketAddr) -> Result<PeerId, Failed> {
        let peer = self.client.add(self.now, addr)?;
        self.added.push((peer, voice));
        Ok(peer)
    }

    pub(crate) fn remove(&mut self, peer: PeerId) -> Played {
        let removed = self.client.remove(self.now, peer);
        if removed { Ok(()) } else { Err(Failed::new("a peer that was added cannot be removed")) }
    }

    /// Sends a short message.
    pub(crate) fn send(&mut self, peer: PeerId) -> Played {
        let number = self.before + self.accepted.len();
        self.send_this(peer, Bytes::from(format!("message {number}\n"))).map(drop)
    }

    fn send_this(&mut self, peer: PeerId, payload: Bytes) -> Result<Seq, Failed> {
        let seq = self.client.send(self.now, peer, payload.clone())?;
        self.accepted.push((seq, peer, payload));
        Ok(seq)
    }
}

impl<'a> Stage<'a> {
    fn udp(&self) -> Result<&'a dyn UdpRuntime, Failed> {
        self.runtime.udp().ok_or_else(|| Failed::new("the runtime has no UDP"))
    }

    /// Starts the UDP client under test, without peers, on a port of this address, with the profile as it is now.
    pub(crate) fn open(&mut self, local: SocketAddr) -> Played {
        self.open_with(local, Options::default())
    }

    /// With a socket of this kind.
    pub(crate) fn open_with(&mut self, local: SocketAddr, options: Options) -> Played {
        const SECRET: [u64; 2] = [0x6c69_7665, 0x6465_6164];
        let runtime = self.udp()?;
        let client = Client::new(self.profile.udp_client, SEED, SECRET)?;
        let socket = bind(local, &Options { errors: Errors::Queued, ..options })?;
        let (tell, events) = channel();
        let on_event = Box::new(move |at, event| drop(tell.send((at, event))));
        self.fleet = Some(Fleet::new(runtime.udp_client(client, socket, on_event)?, events));
        Ok(())
    }

    /// Starts the UDP server under test, with the profile as it is now.
    pub(crate) fn serve_udp(&mut self, addrs: &[SocketAddr]) -> Result<ServedUdp, Failed> {
        let (tell, events) = channel();
        let on_event = Box::new(move |_, event| {
            let _ = tell.send(event);
        });
        Ok(ServedUdp { session: self.udp()?.udp_server(addrs, &self.profile.udp_server, on_event)?, events })
    }

    /// Asks for several things at once: what is to be sent leaves in one batch.
    pub(crate) fn at_once<T>(
        &mut self,
        ask: impl FnOnce(&mut Wishes<'_>) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let fleet = self.fleet()?;
        let (mut added, mut accepted) = (Vec::new(), Vec::new());
        let before = fleet.messages();
        let answer = fleet.session.ask(|client, now| {
            ask(&mut Wishes { client, now, before, added: &mut added, accepted: &mut accepted })
        });
        added.into_iter().for_each(|(peer, voice)| fleet.added(peer, voice));
        accepted.into_iter().for_each(|(seq, peer, payload)| fleet.accepted(seq, peer, payload));
        answer
    }

    /// Adds a peer. `voice` is its name in the story; empty if it is the only one.
    pub(crate) fn add(&mut self, voice: Voice, addr: SocketAddr) -> Result<PeerId, Failed> {
        self.at_once(|wishes| wishes.add(voice, addr))
    }

    /// Sends this many short messages to a peer.
    pub(crate) fn send_to(&mut self, peer: PeerId, count: usize) -> Played {
        self.at_once(|wishes| (0..count).try_for_each(|_| wishes.send(peer)))
    }

    pub(crate) fn send_this_to(&mut self, peer: PeerId, payload: Bytes) -> Result<Seq, Failed> {
        self.at_once(|wishes| wishes.send_this(peer, payload))
    }

    /// Waits until a peer is up, and exchanges messages that are no part of the story until the client knows that the way
    /// to it is short. P' grows with the round trips (RFC 6298), and what is promised of silence is promised for P.
    pub(crate) fn settle(&mut self, peer: PeerId) -> Played {
        // An average that has come down to this leaves no more than ten times as much for P'.
        let short = self.profile.udp_client.link.liveness.probe / 25;
        self.peer_up(peer, 1)?;
        while self.status(peer)?.round_trip.is_none_or(|round_trip| round_trip > short) {
            let seq = self.send_this_to(peer, Bytes::from_static(b"how far is it?"))?;
            self.fleet()?.overlook(seq);
            while !self.fleet()?.has_ended(seq) {
                if !self.listen(PATIENCE)? {
                    return Err(Failed::new("waited in vain for an echo"));
                }
            }
        }
        Ok(())
    }

    /// Asks the machine for anything else.
    pub(crate) fn ask<T>(
        &mut self,
        ask: impl FnOnce(&mut Client, resound_core::Instant) -> T,
    ) -> Result<T, Failed> {
        Ok(self.fleet()?.session.ask(ask))
    }

    /// Where the client's socket is bound.
    pub(crate) fn client_addr(&mut self) -> Result<SocketAddr, Failed> {
        Ok(self.fleet()?.session.local_addr())
    }

    pub(crate) fn status(&mut self, peer: PeerId) -> Result<PeerStatus, Failed> {
        self.ask(|client, _| client.peer(peer))?.ok_or_else(|| Failed::new("the client has lost a peer"))
    }

    pub(crate) fn strays(&mut self) -> Result<Strays, Failed> {
        self.ask(|client, _| client.strays())
    }

    /// Asks until this is so.
    pub(crate) fn poll_until(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&mut Self) -> Result<bool, Failed>,
    ) -> Played {
        let end = HostInstant::now() + PATIENCE;
        while !is_so(self)? {
            if HostInstant::now() > end {
                return Err(Failed(format!("waited in vain for {what}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// When the `nth` event of this kind was told of a peer, if it was written down by now.
    pub(crate) fn told_already(
        &mut self,
        peer: PeerId,
        nth: usize,
        fits: impl FnMut(&Event) -> bool,
    ) -> Result<Option<HostInstant>, Failed> {
        Ok(self.fleet()?.told(Some(peer), nth, fits))
    }

    /// Waits until a peer has come up for the `nth` time; when.
    pub(crate) fn peer_up(&mut self, peer: PeerId, nth: usize) -> Result<HostInstant, Failed> {
        self.told(peer, nth, "a peer to come up", |event| matches!(event, Event::Up { .. }))
    }

    /// Waits until this many messages have come back from a peer since it was added; when the last of them did.
    pub(crate) fn peer_echoes(&mut self, peer: PeerId, count: usize) -> Result<HostInstant, Failed> {
        self.told(peer, count, "an echo", |event| matches!(event, Event::Echoed { .. }))
    }

    /// Waits until this many messages to a peer were lost; when the last of them was.
    pub(crate) fn peer_loses(&mut self, peer: PeerId, count: usize) -> Result<HostInstant, Failed> {
        self.told(peer, count, "a lost message", |event| matches!(event, Event::Lost { .. }))
    }

    /// Waits until a peer has gone down for the first time; when.
    pub(crate) fn peer_down(&mut self, peer: PeerId) -> Result<HostInstant, Failed> {
        self.told(peer, 1, "a peer to go down", |event| matches!(event, Event::Down { .. }))
    }

    /// Waits until asking a peer has failed for the first time; when.
    pub(crate) fn peer_fails(&mut self, peer: PeerId) -> Result<HostInstant, Failed> {
        self.told(peer, 1, "a failed attempt", |event| matches!(event, Event::DialFailed { .. }))
    }

    /// Waits until the `nth` event of this kind was told of a peer, or of nobody; when.
    pub(crate) fn told(
        &mut self,
        of: impl Into<Option<PeerId>>,
        nth: usize,
        what: &str,
        mut fits: impl FnMut(&Event) -> bool,
    ) -> Result<HostInstant, Failed> {
        let of = of.into();
        let end = HostInstant::now() + PATIENCE;
        loop {
            if let Some(at) = self.fleet()?.told(of, nth, &mut fits) {
                return Ok(at);
            }
            let left = end.saturating_duration_since(HostInstant::now());
            if !self.listen(left)? {
                return Err(Failed(format!("waited in vain for {what}")));
            }
        }
    }

    /// Writes down the next event, if there is one within this time.
    pub(crate) fn listen(&mut self, patience: Duration) -> Result<bool, Failed> {
        let Some(fleet) = &mut self.fleet else { return Err(Failed::new("there is no client")) };
        let Some((at, event)) = fleet.next(patience, &mut self.broken) else { return Ok(false) };
        let at = at.saturating_duration_since(self.began);
        if !fleet.is_overlooked(&event) {
            self.timeline.udp_client(at, fleet.voice(&event), &event);
        }
        if let Event::Down { cause, .. } | Event::DialFailed { cause, .. } | Event::GaveUp { cause, .. } =
            &event
        {
            self.verdict = Some((cause.reason, cause.origin));
        }
        Ok(true)
    }

    /// Writes down what was counted of a peer.
    pub(crate) fn note_of(&mut self, voice: Voice, what: &str) {
        self.timeline.say(voice, self.began.elapsed(), what);
    }

    /// Closes the client in good order, and waits until it is closed.
    pub(crate) fn close_fleet(&mut self) -> Played {
        self.ask(Client::close)?;
        self.told(None, 1, "the client to be closed", |event| matches!(event, Event::Closed)).map(drop)
    }

    /// Waits for an event of the server.
    pub(crate) fn udp_server_says(
        &mut self,
        server: &ServedUdp,
        what: &str,
        mut fits: impl FnMut(&server::Event) -> bool,
    ) -> Result<HostInstant, Failed> {
        let end = HostInstant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(HostInstant::now());
            let Ok(event) = server.events.recv_timeout(left) else {
                return Err(Failed(format!("waited in vain for the server to tell of {what}")));
            };
            let at = HostInstant::now();
            self.timeline.udp_server(at.saturating_duration_since(self.began), &event);
            if fits(&event) {
                return Ok(at);
            }
        }
    }

    fn fleet(&mut self) -> Result<&mut Fleet, Failed> {
        self.fleet.as_mut().ok_or_else(|| Failed::new("there is no client"))
    }

    /// Ends the client and waits for its last event.
    pub(super) fn end_fleet(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        fleet.session.ask(Client::abort);
        let end = HostInstant::now() + PATIENCE;
        while !fleet.is_over() {
            let left = end.saturating_duration_since(HostInstant::now());
            if fleet.next(left, &mut self.broken).is_none() {
                return self.broken.push(String::from("the client never told that it ended"));
            }
        }
        fleet.check_all_ended(&mut self.broken);
    }
}
