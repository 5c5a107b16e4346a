//! The rows of TCP.
//!
//! # How to read a row
//!
//! ```text
//!   linux("idle/icmp-hard", State::Idle, Icmp(Hard, Exact), Remembers(OfIcmp), &[QUIET, AGAIN, so_error(OfIcmp), ..])
//!          name             state        what reaches it     what Linux does    what a program then sees, call by call
//!       .without_recverr().over(Version::V4)
//!        only a socket without IP_RECVERR, only over IPv4; unsaid: it makes no difference
//! ```
//!
//! An ICMP error that quotes something in flight is [`Pick::Exact`], wherever in it; [`Pick::Outside`] otherwise. A reset
//! of a connection is exact, in the window or outside of it; of an attempt, `Exact` acknowledges nothing, and `Outside`
//! something else.
//!
//! What a program sees begins with what an ordinary program does. What other orders of the same calls give stands in
//! [`ORDERS`].
//!
//! # Where a row stands
//!
//! By who brings the news: [`packets`] that arrive, [`timers`] that give up, this host's own [`routes`]. [`calls`] are the
//! words of the last column. [`unverified`] systems have rows only where they differ.
//!
//! [`Pick::Exact`]: crate::scenario::Pick::Exact
//! [`Pick::Outside`]: crate::scenario::Pick::Outside

use resound_core::signal::Version;

use super::{Effect, Gives, Profile, Row, Signal, State, Verified};
use crate::kernel::Unverified;

mod calls;
mod orders;
pub(super) mod packets;
pub(super) mod routes;
pub(super) mod timers;
pub(super) mod unverified;

pub use orders::{ORDERS, Order};

/// Every row of Linux was made to happen on this one, as [`staged`](crate::engine::staged) does it.
const MEASURED: Verified = Verified::On("6.18");

const fn linux(
    name: &'static str,
    state: State,
    signal: Signal,
    effect: Effect,
    then: &'static [Gives],
) -> Row {
    let (profile, verified) = (Profile::Linux, MEASURED);
    Row { name, profile, version: None, state, recverr: None, signal, effect, then, verified }
}

impl Row {
    const fn without_recverr(self) -> Self {
        Self { recverr: Some(false), ..self }
    }

    const fn with_recverr(self) -> Self {
        Self { recverr: Some(true), ..self }
    }

    const fn over(self, version: Version) -> Self {
        Self { version: Some(version), ..self }
    }

    const fn of(self, system: Unverified, verified: Verified) -> Self {
        Self { profile: Profile::Unverified(system), verified, ..self }
    }
}
