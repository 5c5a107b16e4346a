//! The timers that the suite runs with, and how far real time may stray from a promise.
//!
//! The rules do not depend on the scale of their timers. With the defaults, seconds to minutes, nobody would run the
//! suite; with these a verdict takes about a second. Shorter still, and the noise of a busy machine would be of the
//! same size as what is measured.

use core::time::Duration;

use resound_core::liveness::Policy;
use resound_core::stream::{client, server};
use resound_core::{backoff, datagram, link, liveness, race};
use resound_sockets::udp;

use crate::ServerConfig;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The configurations of a run.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Of every echo client; a scenario changes what it is about.
    pub client: client::Config,
    /// Of every echo server of a runtime; a scenario changes what it is about.
    pub server: ServerConfig,
    /// Of every echo client over UDP. Its links have the timers of the others, so that one table of promises is enough.
    pub udp_client: datagram::client::Config,
    /// Of every echo server over UDP.
    pub udp_server: udp::ServerConfig,
}

/// Fast enough for a test suite, and slow enough for a machine that is busy with other things.
#[must_use]
pub fn fast() -> Profile {
    let link = link::Config {
        backoff: backoff::Config {
            first_window: MS(200),
            floor: MS(50),
            cap: MS(500),
            stable: MS(500),
            ..backoff::Config::default()
        },
        liveness: liveness::Config { idle: MS(1_000), probe: MS(250), misses: 3, tolerance: Some(MS(100)) },
        race: race::Config { attempt_delay: MS(100), round: MS(1_500) },
        ..link::Config::default()
    };
    Profile {
        client: client::Config { link, close_within: MS(5_000), ..client::Config::default() },
        server: ServerConfig {
            connection: server::Config {
                // Twice the clients' I, or it would end connections that are only quiet.
                idle: Some(MS(2_000)),
                stall: MS(1_000),
                drain: MS(2_000),
                ..server::Config::default()
            },
            ..ServerConfig::default()
        },
        udp_client: datagram::client::Config {
            link,
            // Later than any verdict, so that a silent peer is told before its messages are.
            timeout: MS(4_000),
            remember: MS(8_000),
            ..datagram::client::Config::default()
        },
        udp_server: udp::ServerConfig::default(),
    }
}

impl Profile {
    /// What the liveness rules promise with these timers.
    ///
    /// # Panics
    ///
    /// If the configuration is not one that the core accepts.
    #[must_use]
    pub fn liveness(&self) -> Policy {
        self.client.link.liveness.check().expect("the profile's timers are accepted by the core")
    }
}

/// The latest time at which what is promised within `promised` is still believed to be on time: a quarter more, and
/// half a second for a machine that is busy. The one place where real time is given slack.
#[must_use]
pub fn latest(promised: Duration) -> Duration {
    promised + promised / 4 + MS(500)
}

/// The earliest time at which what may not come before `due` is believed not to be early. Every scenario begins to count
/// before the rule does; this is for two clocks that need not agree to the last millisecond.
#[must_use]
pub fn earliest(due: Duration) -> Duration {
    due.saturating_sub(MS(5))
}
