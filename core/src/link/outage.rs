//! What a link holds only while something is wrong: so that a peer in good health, and a fleet of them, is small.

use alloc::boxed::Box;
use core::time::Duration;

use crate::race::{Memory, Race};
use crate::signal::Cause;
use crate::stream::{ConnId, Established};
use crate::time::Instant;

/// From the first dial, a suspicion or a goodbye until a connection stands again.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    pub(super) race: Race,
    /// The id of the running round's attempt 0.
    pub(super) round_base: u32,
    pub(super) round_began: Instant,
    pub(super) rounds_lost: u32,
    pub(super) retry_at: Option<Instant>,
    pub(super) give_up_at: Option<Instant>,
    pub(super) give_up_postponed: bool,
    /// Why there is no connection: the loss of the last one, or the latest failure that leaves hope.
    pub(super) failure: Option<Cause>,
    /// What somebody said since the peer was last heard, that may explain its silence.
    pub(super) hint: Option<Cause>,
    /// A second connection, dialed while the first is suspected, that has not yielded a byte yet.
    pub(super) second: Option<(ConnId, u8, Established)>,
    /// No second connection is dialed before this.
    pub(super) second_from: Instant,
    /// The delay that the peer asked for when it said goodbye.
    pub(super) asked_delay: Option<Asked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Any,
    After(Duration),
}

impl Outage {
    pub(super) fn new(memory: Memory) -> Box<Self> {
        Box::new(Self {
            race: Race::recalling(memory),
            round_base: 1,
            round_began: Instant::EPOCH,
            rounds_lost: 0,
            retry_at: None,
            give_up_at: None,
            give_up_postponed: false,
            failure: None,
            hint: None,
            second: None,
            second_from: Instant::EPOCH,
            asked_delay: None,
        })
    }
}
