//! From what an echo client says to event lines.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;

use resound_core::Instant;
use resound_core::stream::ConnId;
use resound_core::stream::client::Event;
use resound_sockets::clock::Clock;

use crate::output::event::{About, Body};
use crate::stats::nanos;

/// Follows one client: which address it is at, and since when.
#[derive(Debug)]
pub(crate) struct Tracker {
    target: Arc<str>,
    addresses: Vec<SocketAddr>,
    peer: SocketAddr,
    /// Attempts that have not ended, and when they began.
    dials: Vec<(ConnId, Instant)>,
    /// From the epoch of the command's clock to that of the session's.
    offset: Duration,
}

impl Tracker {
    /// Of a client of `addresses` (at least one) whose session's clock now says `session_now`.
    pub(crate) fn new(
        target: Arc<str>,
        addresses: Vec<SocketAddr>,
        clock: &Clock,
        session_now: Instant,
    ) -> Self {
        let offset = clock.now().since(Instant::EPOCH + session_now.since(Instant::EPOCH));
        Self { target, peer: addresses[0], addresses, dials: Vec::new(), offset }
    }

    /// When it was, in nanoseconds since the command started.
    pub(crate) fn t_ns(&self, at: Instant) -> u64 {
        (at + self.offset).nanos()
    }

    /// Whom it is about.
    pub(crate) fn about(&self) -> About {
        About { target: Some(Arc::clone(&self.target)), peer: Some(self.peer) }
    }

    /// The event as it is written down; `None` for the last one, which the summary tells.
    pub(crate) fn body(&mut self, at: Instant, event: &Event) -> Option<Body> {
        Some(match event {
            Event::Dialing { conn, target } => {
                self.peer = self.addresses[usize::from(*target)];
                self.dials.push((*conn, at));
                Body::Dialing { attempt: conn.get() }
            }
            Event::DialFailed { conn, target, cause } => {
                self.peer = self.addresses[usize::from(*target)];
                let found = self.dials.iter().position(|(dial, _)| dial == conn);
                let began = found.map_or(at, |index| self.dials.swap_remove(index).1);
                Body::dial_failed(conn.get(), cause, at.since(began))
            }
            Event::Up { conn, target, established } => {
                self.peer = self.addresses[usize::from(*target)];
                self.dials.clear();
                Body::Up { attempt: conn.get(), local: established.local }
            }
            Event::Echoed { seq, payload, round_trip } => {
                Body::Echo { seq: seq.0, bytes: payload.len() as u64, rtt_ns: nanos(*round_trip) }
            }
            Event::Lost { seq, cause, .. } => Body::Lost { seq: seq.0, reason: cause.reason },
            Event::Suspect { unanswered } => Body::Suspect { unanswered: *unanswered },
            Event::Down { cause, in_flight, silent, .. } => Body::down(cause, *in_flight, *silent),
            Event::Retry { level, delay } => Body::Retry { level: *level, in_ns: nanos(*delay) },
            Event::Stalled { late } => Body::Stall { late_ns: nanos(*late) },
            Event::GaveUp { .. } | Event::Closed => return None,
        })
    }
}
