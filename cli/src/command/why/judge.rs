//! From evidence to a finding: a pure function, and all that `resound why` claims to know.
//!
//! ```text
//!   no connection came up ──► dial ─────┐
//!   a connection stood ─────► session ──┼──► refusal: somebody said no. This host: which route, filter or limit;
//!   datagrams ──────────────► udp ──────┘    an ICMP message: what it says, and whether this host, the peer or
//!                                            a router says it
//! ```
//!
//! Where nobody says no, `dial`, `session` and `udp` look at what else was asked on the way there, and answered or not.
//!
//! What is named for certain is what was observed. Where several things would look the same from here, all of them are
//! named.

use core::net::Ipv4Addr;

use resound_core::signal::{Cause, Reason};

use super::evidence::{Dialed, Evidence, Hop, Route, Told};
use super::situation::Situation;
use dial::by_dial;
use refusal::by_this_host;
use session::by_session;
use udp::by_datagrams;

mod dial;
mod finding;
mod refusal;
mod session;
mod udp;

pub(super) use finding::Finding;

/// What the evidence amounts to.
pub(super) fn judge(evidence: &Evidence) -> Finding {
    let finding = from_outside(evidence);
    if evidence.is_of_this_host() { finding.of_this_host() } else { finding }
}

/// What it amounts to for somebody who knows nothing of the peer.
fn from_outside(evidence: &Evidence) -> Finding {
    let unknown = Route { source: Ipv4Addr::UNSPECIFIED.into(), hop: Hop::Unknown };
    let route = match (&evidence.route, &evidence.told) {
        (route, Told::Dialed(Dialed::AtOnce(errno))) => {
            return by_this_host(*errno, route.as_ref().err().copied());
        }
        (Err(errno), Told::Datagrams(_)) => return by_this_host(*errno, Some(*errno)),
        // The look for a route is UDP's, and met a limit of UDP's.
        (Err(_), _) => &unknown,
        (Ok(route), _) => route,
    };
    match &evidence.told {
        Told::Dialed(dialed) => by_dial(dialed, route, evidence),
        Told::Session(session) => by_session(session, route, evidence),
        Told::Datagrams(datagrams) => by_datagrams(datagrams, route, evidence),
    }
}

/// A name that led to no address.
pub(super) fn nameless() -> Finding {
    Finding::new(Situation::NameNotFound, Cause::local(Reason::NameResolution))
}

#[cfg(test)]
mod tests;
