//! The invariants of the link that need time to pass: B4, B5, B6; and what a dial is promised.

use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::link::{Action, Config, Event, GiveUp, Link, OnSuspect, Policy, State, Told};
use resound_core::signal::{Cause, Reason};
use resound_core::stream::{Close, Established};
use resound_core::{ConnId, Instant};

/// What a peer does with one attempt, or with the connection that comes of it.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Refuses {
        after: u64,
    },
    Silent,
    /// Accepts, and closes after so many milliseconds without an answer.
    Closes {
        after: u64,
    },
    /// Accepts, answers once, and closes after so many milliseconds.
    AnswersAndCloses {
        after: u64,
    },
}

/// A link and its driver in virtual time, against a peer that does one thing after the other.
struct Driver {
    link: Link,
    policy: Policy,
    now: Instant,
    actions: Vec<Action>,
    peers: Vec<Peer>,
    next_peer: usize,
    /// When each attempt began.
    starts: Vec<Instant>,
    /// What comes next from the network.
    coming: Vec<(Instant, Told)>,
    /// For each loss of a connection: its uptime, whether it had answered, and the level told with the retry.
    losses: Vec<(Duration, bool, u32)>,
    up: Option<(Instant, bool)>,
}

const REFUSED: Cause = Cause::peer(Reason::ConnRefused);
const CLOSED: Cause = Cause::peer(Reason::Closed);

impl Driver {
    fn new(config: Config, seed: u64, peers: Vec<Peer>) -> Self {
        let mut driver = Self {
            link: Link::new(seed),
            policy: config.check().unwrap(),
            now: Instant::EPOCH,
            actions: Vec::new(),
            peers,
            next_peer: 0,
            starts: Vec::new(),
            coming: Vec::new(),
            losses: Vec::new(),
            up: None,
        };
        driver.tell(Told::Open { targets: 1 });
        driver
    }

    fn tell(&mut self, told: Told) {
        self.link.handle(&self.policy, self.now, told, &mut self.actions);
        let mut lost = None;
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Dial { conn, .. } => self.dialed(conn),
                Action::Event(Event::Up { conn, .. }) => self.went_up(conn),
                Action::Event(Event::Down { .. }) => lost = self.up.take(),
                Action::Event(Event::Retry { level, .. }) => {
                    if let Some((since, answered)) = lost.take() {
                        self.losses.push((self.now - since, answered, level));
                    }
                }
                _ => {}
            }
        }
    }

    fn peer(&self) -> Peer {
        self.peers[(self.next_peer - 1) % self.peers.len()]
    }

    fn dialed(&mut self, conn: ConnId) {
        self.starts.push(self.now);
        self.next_peer += 1;
        let (after, result) = match self.peer() {
            Peer::Refuses { after } => (after, Err(REFUSED)),
            Peer::Silent => return,
            Peer::Closes { .. } | Peer::AnswersAndCloses { .. } => (1, Ok(Established::default())),
        };
        self.coming.push((self.now + Duration::from_millis(after), Told::Dialed { conn, result }));
    }

    fn went_up(&mut self, conn: ConnId) {
        let (after, answers) = match self.peer() {
            Peer::Closes { after } => (after, false),
            Peer::AnswersAndCloses { after } => (after, true),
            Peer::Refuses { .. } | Peer::Silent => unreachable!(),
        };
        self.up = Some((self.now, answers));
        if answers {
            self.coming.push((self.now, Told::Sent { conn }));
            self.coming.push((self.now, Told::Heard { conn }));
            self.coming.push((self.now, Told::Answered { conn, round_trip: Some(Duration::from_millis(1)) }));
        }
        self.coming.push((self.now + Duration::from_millis(after), Told::Ended { conn, cause: CLOSED }));
    }

    fn run(&mut self, horizon: Duration) {
        loop {
            let next = (0..self.coming.len()).min_by_key(|&i| self.coming[i].0);
            let told = next.map(|i| self.coming[i].0);
            let Some(at) = [told, self.link.deadline()].into_iter().flatten().min() else { return };
            if at > Instant::EPOCH + horizon {
                return;
            }
            self.now = self.now.max(at);
            match next.filter(|&i| self.coming[i].0 == at) {
                Some(i) => {
                    let (_, told) = self.coming.remove(i);
                    self.tell(told);
                }
                None => self.tell(Told::Tick),
            }
        }
    }
}

fn config() -> impl Strategy<Value = Config> {
    (1u64..2_000, 2u64..20, 1u64..5_000, 0u64..30_000).prop_map(|(floor, factor, window, stable)| {
        let mut config = Config::default();
        config.backoff.floor = Duration::from_millis(floor);
        config.backoff.cap = Duration::from_millis(floor * factor);
        config.backoff.first_window = Duration::from_millis(window);
        config.backoff.stable = Duration::from_millis(stable.max(floor));
        config.liveness.idle = Duration::ZERO;
        config.race.round = Duration::from_millis(1_500);
        config
    })
}

fn peers() -> impl Strategy<Value = Vec<Peer>> {
    let peer = prop_oneof![
        (0u64..3_000).prop_map(|after| Peer::Refuses { after }),
        Just(Peer::Silent),
        prop_oneof![0u64..100, 0u64..60_000].prop_map(|after| Peer::Closes { after }),
        prop_oneof![0u64..100, 0u64..60_000].prop_map(|after| Peer::AnswersAndCloses { after }),
    ];
    vec(peer, 1..20)
}

proptest! {
    /// B4: starts against accept-then-close in [0, T] ≤ starts against a refusing peer + 1.
    #[test]
    fn b4_a_flapping_peer_is_dialed_no_oftener_than_a_refusing_one(config in config(), seed: u64, t in 1u64..600) {
        let starts = |peer| {
            let mut driver = Driver::new(config, seed, vec![peer]);
            driver.run(Duration::from_secs(t));
            driver.starts.len()
        };
        let refusing = starts(Peer::Refuses { after: 0 });
        let flapping = starts(Peer::Closes { after: 0 });
        prop_assert!(flapping <= refusing + 1, "{flapping} against {refusing}");
    }

    /// B5: the level becomes 0 if and only if uptime ≥ S and an answer was seen.
    #[test]
    fn b5_only_a_stable_answering_peer_resets_the_level(config in config(), seed: u64, peers in peers()) {
        let mut driver = Driver::new(config, seed, peers);
        driver.run(Duration::from_secs(600));
        for (uptime, answered, level) in driver.losses {
            // S = max(stable, the last delay), and no delay is longer than the cap, or than the first window.
            let enough = config.backoff.stable;
            let plenty = enough.max(config.backoff.cap).max(config.backoff.first_window);
            prop_assert!(level != 0 || (answered && uptime >= enough), "reset after {uptime:?}, {answered}");
            prop_assert!(level == 0 || !(answered && uptime >= plenty), "no reset after {uptime:?}");
        }
    }

    /// B6: rounds started in any window W ≤ 1 + hints + ⌈W/F⌉.
    #[test]
    fn b6_rounds_keep_their_distance(config in config(), seed: u64, peers in peers(), hurries in vec(0u64..600_000, 0..6)) {
        let mut driver = Driver::new(config, seed, peers);
        let hurries: Vec<_> = hurries.iter().map(|&ms| Instant::EPOCH + Duration::from_millis(ms)).collect();
        driver.coming.extend(hurries.iter().map(|&at| (at, Told::Hurry)));
        driver.run(Duration::from_secs(600));
        let floor = config.backoff.floor.as_nanos();
        for (i, &from) in driver.starts.iter().enumerate() {
            for (n, &to) in driver.starts[i..].iter().enumerate() {
                let hints = hurries.iter().filter(|&&at| at <= to).count() as u128;
                let window = (to - from).as_nanos();
                prop_assert!(n as u128 <= hints + window.div_ceil(floor), "{} rounds in {window} ns", n + 1);
            }
        }
    }

    /// Whatever the peers do, a limit of rounds or of time ends the link, and then nothing is due any more.
    #[test]
    fn giving_up_ends_everything(config in config(), seed: u64, rounds in 1u32..5, after in 1u64..60) {
        for give_up in [
            GiveUp { rounds: Some(rounds), after: None },
            GiveUp { rounds: None, after: Some(Duration::from_secs(after)) },
        ] {
            let mut driver = Driver::new(Config { give_up, ..config }, seed, vec![Peer::Refuses { after: 3 }]);
            driver.run(Duration::from_secs(600));
            prop_assert_eq!(driver.link.state(), State::Closed);
            prop_assert_eq!(driver.link.deadline(), None);
            prop_assert!(give_up.rounds.is_none_or(|most| driver.starts.len() == most as usize));
        }
    }
}

/// A link under test, its answers in a vector.
struct Bare {
    link: Link,
    policy: Policy,
    out: Vec<Action>,
}

impl Bare {
    fn new(config: Config) -> Self {
        Self { link: Link::new(1), policy: config.check().unwrap(), out: Vec::new() }
    }

    fn tell(&mut self, ms: u64, told: Told) -> Vec<Action> {
        self.link.handle(&self.policy, Instant::EPOCH + Duration::from_millis(ms), told, &mut self.out);
        std::mem::take(&mut self.out)
    }

    fn dial(&mut self, ms: u64, told: Told) -> ConnId {
        let actions = self.tell(ms, told);
        let dial =
            actions.iter().find_map(|a| if let Action::Dial { conn, .. } = a { Some(*conn) } else { None });
        dial.unwrap_or_else(|| panic!("no dial in {actions:?}"))
    }
}

#[test]
fn a_driver_that_was_late_looks_at_its_sockets_before_a_dial_is_given_up() {
    let mut bare = Bare::new(Config::default());
    let conn = bare.dial(0, Told::Open { targets: 1 });
    let late = bare.tell(30_000, Told::Tick);
    assert_eq!(late, [Action::Event(Event::Stalled { late: Duration::from_secs(10) })]);
    let up = bare.tell(30_001, Told::Dialed { conn, result: Ok(Established::default()) });
    assert!(matches!(up[..], [Action::Event(Event::Up { .. })]), "{up:?}");
}

#[test]
fn a_dial_that_meets_silence_is_given_up_in_time() {
    let mut bare = Bare::new(Config::default());
    let conn = bare.dial(0, Told::Open { targets: 1 });
    assert_eq!(bare.link.deadline(), Some(Instant::EPOCH + Duration::from_secs(20)));
    let over = bare.tell(20_000, Told::Tick);
    assert_eq!(over[0], Action::Close { conn, how: Close::Drop });
    assert!(matches!(over[1], Action::Event(Event::DialFailed { .. })), "{over:?}");
    assert!(matches!(over[2], Action::Event(Event::Retry { level: 1, .. })), "{over:?}");
}

#[test]
fn a_goodbye_with_a_time_is_obeyed_and_costs_no_level() {
    let mut bare = Bare::new(Config::default());
    let conn = bare.dial(0, Told::Open { targets: 1 });
    bare.tell(1, Told::Dialed { conn, result: Ok(Established::default()) });
    bare.tell(2, Told::Answered { conn, round_trip: None });
    bare.tell(2, Told::Goodbye { conn, retry_after: Some(Duration::from_secs(8)) });
    let down = bare.tell(3, Told::Ended { conn, cause: CLOSED });
    let Some(Action::Event(Event::Retry { level, delay })) = down.last() else { panic!("{down:?}") };
    assert_eq!(*level, 0);
    assert!((8_000..=9_000).contains(&delay.as_millis()), "{delay:?}");
}

#[test]
fn a_goodbye_of_a_peer_that_never_answered_counts_as_a_failure() {
    let mut bare = Bare::new(Config::default());
    let conn = bare.dial(0, Told::Open { targets: 1 });
    bare.tell(1, Told::Dialed { conn, result: Ok(Established::default()) });
    bare.tell(2, Told::Goodbye { conn, retry_after: None });
    let down = bare.tell(3, Told::Ended { conn, cause: CLOSED });
    assert!(matches!(down.last(), Some(Action::Event(Event::Retry { level: 1, .. }))), "{down:?}");
}

#[test]
fn a_driver_that_is_always_late_still_ends_a_dial_and_gives_up() {
    let give_up = GiveUp { rounds: None, after: Some(Duration::from_secs(60)) };
    let mut bare = Bare::new(Config { give_up, ..Config::default() });
    bare.dial(0, Told::Open { targets: 1 });
    let told: Vec<_> = (1..=100).flat_map(|n| bare.tell(n * 1_700, Told::Tick)).collect();
    let failed = told.iter().filter(|a| matches!(a, Action::Event(Event::DialFailed { .. }))).count();
    let stalled = told.iter().filter(|a| matches!(a, Action::Event(Event::Stalled { .. }))).count();
    assert!(failed >= 2 && stalled <= failed + 2, "{failed} failed, {stalled} stalled");
    assert!(matches!(told.last(), Some(Action::Event(Event::GaveUp { .. }))), "{:?}", told.last());
}

#[test]
fn a_failure_told_late_does_not_end_the_round_before_the_others_were_looked_at() {
    let mut bare = Bare::new(Config::default());
    let first = bare.dial(0, Told::Open { targets: 2 });
    let second = bare.dial(250, Told::Tick);
    // The driver was held up for 5 s beyond the round's deadline, and tells what it finds one by one.
    let failed = bare.tell(25_000, Told::Dialed { conn: first, result: Err(REFUSED) });
    assert!(!failed.contains(&Action::Close { conn: second, how: Close::Drop }), "{failed:?}");
    let up = bare.tell(25_001, Told::Dialed { conn: second, result: Ok(Established::default()) });
    assert!(matches!(up[..], [Action::Event(Event::Up { .. })]), "{up:?}");
}

#[test]
fn giving_up_names_the_loss_and_not_an_older_failure() {
    let give_up = GiveUp { rounds: None, after: Some(Duration::from_millis(100)) };
    let mut bare = Bare::new(Config { give_up, ..Config::default() });
    let first = bare.dial(0, Told::Open { targets: 2 });
    let second = bare.dial(20, Told::Dialed { conn: first, result: Err(REFUSED) });
    bare.tell(30, Told::Dialed { conn: second, result: Ok(Established::default()) });
    let reset = Cause::peer(Reason::Reset);
    bare.tell(3_600_000, Told::Ended { conn: second, cause: reset });
    let over = bare.tell(3_600_100, Told::Tick);
    assert_eq!(over.last(), Some(&Action::Event(Event::GaveUp { cause: reset })));
}

#[test]
fn a_drain_while_nothing_stands_is_the_end() {
    let mut bare = Bare::new(Config::default());
    let conn = bare.dial(0, Told::Open { targets: 1 });
    let over = bare.tell(1, Told::Drain);
    assert_eq!(over, [Action::Close { conn, how: Close::Drop }, Action::Event(Event::Closed)]);
    assert_eq!(bare.link.deadline(), None);
}

/// A peer that accepts and stays silent, dialed a second time whenever it is suspected.
#[test]
fn b6_second_dials_are_paced_like_all_others() {
    let mut config = Config { on_suspect: OnSuspect::DialSecond, ..Config::default() };
    config.liveness.idle = Duration::from_millis(100);
    config.liveness.probe = Duration::from_millis(20);
    let mut bare = Bare::new(config);
    let (mut now, mut starts) = (0, vec![0]);
    let mut todo = vec![bare.dial(0, Told::Open { targets: 1 })];
    while now < 600_000 {
        let told = match todo.pop() {
            Some(conn) => Told::Dialed { conn, result: Ok(Established::default()) },
            None => {
                now = bare.link.deadline().unwrap().nanos().div_ceil(1_000_000).max(now);
                Told::Tick
            }
        };
        for action in bare.tell(now, told) {
            match action {
                Action::Dial { conn, .. } => {
                    starts.push(now);
                    todo.push(conn);
                }
                Action::Examine { conn } => {
                    let writing = resound_core::liveness::Writing::Free;
                    let told = Told::Examined { conn, kernel: None, writing };
                    assert!(!bare.tell(now, told).iter().any(|a| matches!(a, Action::Dial { .. })));
                }
                _ => {}
            }
        }
    }
    assert!(starts.windows(2).skip(1).all(|w| w[1] - w[0] >= 250), "{:?}", &starts[..20]);
    assert!(starts.len() < 100, "{} dials in 600 s", starts.len());
}

#[test]
fn reasons_that_leave_no_hope_end_the_link() {
    let mut bare = Bare::new(Config::default());
    let conn = bare.dial(0, Told::Open { targets: 1 });
    let over = bare.tell(1, Told::Dialed { conn, result: Err(Cause::local(Reason::BadAddress)) });
    assert!(matches!(over.last(), Some(Action::Event(Event::GaveUp { .. }))), "{over:?}");
    assert_eq!(bare.link.state(), State::Closed);
}

#[test]
fn one_hopeful_address_keeps_the_link_trying() {
    let mut bare = Bare::new(Config::default());
    let first = bare.dial(0, Told::Open { targets: 2 });
    let second = bare.dial(20, Told::Dialed { conn: first, result: Err(REFUSED) });
    bare.tell(30, Told::Dialed { conn: second, result: Err(Cause::local(Reason::BadAddress)) });
    assert_eq!(bare.link.state(), State::Waiting);
}
