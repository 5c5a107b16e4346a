//! How a client behaves.

use core::time::Duration;

use crate::config::BadConfig;
use crate::{link, liveness, race};

/// The longest payload of a message: what a UDP datagram over IPv4 carries, less the header of a probe.
pub const LONGEST_PAYLOAD: usize = 65_507 - super::probe::HEADER;

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The links to the peers. Default: as everywhere, but a probe every 3 s and five of them before a verdict (SCTP's
    /// Path.Max.Retrans): a network that loses datagrams must not look like a death.
    pub link: link::Config,
    /// How long an answer may take before its datagram counts as lost. 1 ms to 1 h; 3 s unless set. What comes later
    /// is counted as late.
    pub timeout: Duration,
    /// For how long after it was sent a datagram is remembered, so that a late answer can be told from a double one. At
    /// least `timeout`, at most 1 h; 10 s unless set.
    pub remember: Duration,
    /// How many ended datagrams are remembered at most, 32 bytes each; but those that were sent after the oldest one still
    /// on its way are remembered in any case. 16 384 unless set.
    pub remember_most: usize,
    /// How many messages of the program may be on their way at once, to all peers together. At least 1; 4 096 unless
    /// set. Probes of the client's own are not among them, and never refused.
    pub max_in_flight: usize,
    /// How many peers at most. 1 to 4 294 967 295; 1 048 576 unless set.
    pub max_peers: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            link: link::Config {
                liveness: liveness::Config {
                    probe: Duration::from_secs(3),
                    misses: 5,
                    ..liveness::Config::default()
                },
                race: race::Config::default(),
                ..link::Config::default()
            },
            timeout: Duration::from_secs(3),
            remember: Duration::from_secs(10),
            remember_most: 16_384,
            max_in_flight: 4_096,
            max_peers: 1 << 20,
        }
    }
}

impl Config {
    pub(super) fn check(self) -> Result<link::Policy, BadConfig> {
        let hour = Duration::from_secs(3_600);
        let timeout = Duration::from_millis(1) <= self.timeout && self.timeout <= hour;
        BadConfig::unless(timeout, "timeout", "must be 1 ms to 1 h")?;
        let remember = self.timeout <= self.remember && self.remember <= hour;
        BadConfig::unless(remember, "remember", "must be at least the timeout, at most 1 h")?;
        BadConfig::unless(self.max_in_flight > 0, "max_in_flight", "must be at least 1")?;
        BadConfig::unless(self.max_peers > 0, "max_peers", "must be at least 1")?;
        BadConfig::unless(
            self.link.on_suspect == link::OnSuspect::Wait,
            "link.on_suspect",
            "there is no second connection to dial over datagrams",
        )?;
        self.link.check()
    }
}
