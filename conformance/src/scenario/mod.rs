//! What is played, and what is promised.
//!
//! A scenario reads from top to bottom: who the peer is, what is sent, what goes wrong and when. What must come of it
//! is data beside it, so that it can be shown, and so that nobody has to read code to know what is promised.

use core::fmt;
use core::time::Duration;

use resound_core::signal::{Origin, Reason};

use crate::profile::Profile;
use crate::stage::{Played, Stage};

mod death;
mod dial;
mod ends;
mod returns;
mod server;
mod silence;
mod stranger;
mod udp;

/// One fault, and what a runtime must make of it.
#[derive(Clone, Copy)]
pub struct Scenario {
    name: &'static str,
    about: &'static str,
    promise: Promise,
    over: Transport,
    pub(crate) load: Load,
    play: fn(&mut Stage<'_>) -> Played,
}

/// What must come of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The events, in order, as [`Moment::what`](crate::Moment::what) tells them.
    pub events: &'static [&'static str],
    /// Why the peer is given up, and who says so; `None` where nobody is.
    pub verdict: Option<(Reason, Origin)>,
    /// By which rule the time is bounded, from the fault to the event that tells of it; `None` where none is measured.
    pub within: Option<Within>,
}

/// The rule by which a time is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Within {
    /// The kernel says so at once: FIN, RST, a refused connect.
    AtOnce,
    /// I + M·P from the last byte, no earlier than ¾·I + M·P (the jitter of the idle time).
    Silence,
    /// (M + 1)·P from the first send that is not answered.
    Unanswered,
    /// The deadline of a round of attempts.
    Round,
    /// The attempt delay of the race, from the first attempt.
    AttemptDelay,
    /// The cap of the backoff: no wait is longer.
    Redial,
    /// The server's idle limit.
    ServerIdle,
    /// The server's stall limit.
    ServerStall,
}

/// What a session runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// [`Runtime`](crate::Runtime).
    Tcp,
    /// [`UdpRuntime`](crate::UdpRuntime).
    Udp,
}

/// How much of the machine a scenario takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// It mostly waits.
    Light,
    /// It keeps a processor busy and is played alone.
    Heavy,
}

impl Scenario {
    /// Every scenario, in the order in which a reader wants to meet them.
    pub const ALL: &'static [Self] = &[
        ends::ECHO_AND_CLOSE,
        ends::BATCH_HALF_CLOSE,
        dial::REFUSED,
        dial::CONNECT_TO_SILENCE,
        dial::FIRST_REFUSES,
        dial::FIRST_IS_SILENT,
        dial::SELF_CONNECT,
        dial::FLAP,
        death::KILLED_IDLE,
        death::KILLED_WITH_ECHOES_DUE,
        death::RESET_WITH_ECHOES_DUE,
        death::RESET_WITH_UNREAD_DATA,
        silence::SILENT,
        silence::SILENT_WHEN_IDLE,
        silence::ZERO_WINDOW,
        silence::STALLS_AND_RECOVERS,
        stranger::NOT_AN_ECHO_HTTP,
        stranger::NOT_AN_ECHO_RANDOM,
        stranger::NOT_AN_ECHO_BANNER,
        returns::DIES_AND_RETURNS,
        returns::DIES_AND_RETURNS_RESEND,
        server::IDLE_LIMIT,
        server::STALL_LIMIT,
        server::DRAIN,
        server::DRAIN_WITH_ECHOES_DUE,
        server::ABORT,
        server::PER_ADDRESS_LIMIT,
        udp::ECHO,
        udp::THREE_SERVERS_V4,
        udp::THREE_SERVERS_V6,
        udp::THREE_SERVERS_DUAL,
        udp::ALL_DEAD,
        udp::DIES_AND_RETURNS,
        udp::SILENT,
        udp::SILENT_WHEN_IDLE,
        udp::STALLS_AND_RECOVERS,
        udp::FLOOD,
        udp::DUPLICATED,
        udp::REORDERED,
        udp::LATE,
        udp::WRONG_ADDRESS,
        udp::GARBLED,
        udp::CLIENT_OVERRUN,
        udp::REMOVED_AND_ADDED,
        udp::TOO_LONG,
        udp::ZERO_LENGTH,
        udp::ASKED_ADDRESS,
        udp::BROADCAST,
        udp::MULTICAST,
        udp::OWN_PORT,
        udp::RATE_LIMIT,
        udp::SERVER_OVERRUN,
    ];

    /// The scenario of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|scenario| scenario.name == name)
    }

    /// The name, in kebab case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// One sentence: what goes wrong.
    #[must_use]
    pub const fn about(&self) -> &'static str {
        self.about
    }

    /// What its session runs over.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.over
    }

    /// Whether this host must have IPv6.
    #[must_use]
    pub fn needs_ipv6(&self) -> bool {
        [udp::THREE_SERVERS_V6, udp::THREE_SERVERS_DUAL, udp::ASKED_ADDRESS]
            .iter()
            .any(|scenario| scenario.name == self.name)
    }

    /// What must come of it.
    #[must_use]
    pub const fn promise(&self) -> Promise {
        self.promise
    }

    pub(crate) fn play(&self, stage: &mut Stage<'_>) -> Played {
        (self.play)(stage)
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario").field("name", &self.name).field("promise", &self.promise).finish()
    }
}

impl Within {
    /// The time within which the rule promises it.
    #[must_use]
    pub fn promised(self, profile: &Profile) -> Duration {
        let link = profile.client.link;
        match self {
            Self::AtOnce => Duration::ZERO,
            Self::Silence => profile.liveness().promise_idle().unwrap_or(Duration::MAX),
            Self::Unanswered => profile.liveness().promise_due().unwrap_or(Duration::MAX),
            Self::Round => link.race.round,
            Self::AttemptDelay => link.race.attempt_delay,
            Self::Redial => link.backoff.cap,
            Self::ServerIdle => profile.server.connection.idle.unwrap_or(Duration::MAX),
            Self::ServerStall => profile.server.connection.stall,
        }
    }

    /// The time before which the rule forbids it.
    #[must_use]
    pub fn forbidden_before(self, profile: &Profile) -> Duration {
        match self {
            Self::AtOnce | Self::Redial => Duration::ZERO,
            Self::Silence => self.promised(profile).saturating_sub(profile.client.link.liveness.idle / 4),
            _ => self.promised(profile),
        }
    }
}

/// The words of the documentation: `at once`, `(M + 1)·P`.
impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AtOnce => "at once",
            Self::Silence => "I + M·P",
            Self::Unanswered => "(M + 1)·P",
            Self::Round => "the round's deadline",
            Self::AttemptDelay => "the attempt delay",
            Self::Redial => "the backoff's cap",
            Self::ServerIdle => "the server's idle limit",
            Self::ServerStall => "the server's stall limit",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_kebab_case_and_no_two_are_alike() {
        for scenario in Scenario::ALL {
            let kebab = scenario.name.split('-').all(|word| {
                !word.is_empty()
                    && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
            });
            assert!(kebab, "{}", scenario.name);
            let of_that_name = Scenario::ALL.iter().filter(|other| other.name == scenario.name).count();
            assert_eq!(of_that_name, 1, "{}", scenario.name);
            assert!(scenario.about.ends_with('.'), "{}", scenario.about);
        }
        assert_eq!(Scenario::named("flap").map(Scenario::name), Some("flap"));
        assert!(Scenario::named("nothing").is_none());
    }

    #[test]
    fn what_is_promised_follows_from_the_timers() {
        let mut profile = crate::profile::fast();
        profile.client.link.liveness.idle = Duration::from_secs(15);
        profile.client.link.liveness.probe = Duration::from_secs(5);
        assert_eq!(Within::Silence.promised(&profile), Duration::from_secs(30));
        assert_eq!(Within::Silence.forbidden_before(&profile), Duration::from_millis(26_250));
        assert_eq!(Within::Unanswered.promised(&profile), Duration::from_secs(20));
    }
}
