//! The timers of a client.

use core::time::Duration;

use clap::{Args, ValueEnum};
use resound_conformance::profile;
use resound_core::link::{self, GiveUp};
use resound_core::stream::client;
use resound_core::{backoff, datagram, liveness};

use super::time::{time, time_or_zero};

/// When to give up, probe and convict.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Timers")]
pub(crate) struct Timers {
    /// Give up after this many rounds of attempts in a row that failed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) retries: Option<u32>,
    /// Give up after being down for this long
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) give_up: Option<Duration>,
    /// A set of timers to start from
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    profile: Profile,
    /// Silence before a probe; 0 switches probing off, and a peer that falls silent is then never noticed
    #[arg(long, value_name = "TIME", value_parser = time_or_zero)]
    idle: Option<Duration>,
    /// How long a probe may stay unanswered; at most --idle
    #[arg(long, value_name = "TIME", value_parser = time)]
    probe: Option<Duration>,
    /// How many probes in a row must stay unanswered
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    misses: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// A dead peer is found within 30 s
    #[default]
    Default,
    /// For trying things out on one host or in a fast network: a dead peer is found within 2 s
    Fast,
    /// As default, for thousands of clients of one server: retries up to 2 minutes apart
    Fleet,
}

impl Timers {
    /// The configuration of a client over TCP.
    pub(crate) fn client(&self, connect: Option<Duration>) -> client::Config {
        let default = client::Config::default();
        client::Config { link: self.link(default.link, connect), ..default }
    }

    /// The configuration of a client over UDP. An answer may take as long as a first one.
    pub(crate) fn datagrams(&self, answer: Option<Duration>) -> datagram::client::Config {
        let default = datagram::client::Config::default();
        let timeout = answer.unwrap_or(default.timeout);
        datagram::client::Config {
            link: self.link(default.link, answer),
            timeout,
            remember: default.remember.max(timeout),
            ..default
        }
    }

    fn link(&self, default: link::Config, connect: Option<Duration>) -> link::Config {
        let mut link = match self.profile {
            Profile::Default => default,
            Profile::Fast => profile::fast().client.link,
            Profile::Fleet => link::Config { backoff: backoff::Config::fleet(), ..default },
        };
        link.give_up = GiveUp { rounds: self.retries, after: self.give_up };
        let liveness::Config { idle, probe, misses, .. } = link.liveness;
        link.liveness.idle = self.idle.unwrap_or(idle);
        // Whoever asks for a short idle time asks for probes that are no longer.
        link.liveness.probe = self.probe.unwrap_or_else(|| match link.liveness.idle {
            Duration::ZERO => probe,
            idle => probe.min(idle),
        });
        link.liveness.misses = self.misses.unwrap_or(misses);
        link.race.round = connect.unwrap_or(link.race.round);
        link
    }
}
