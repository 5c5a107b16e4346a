//! Each machine in each state, told each kind of fact and command: what it does then, as tables for review.
//!
//! `·` means that not a bit of the machine has changed. A state alone means that it has, and that it does nothing yet.
//! A deadline is in seconds; `now` means that there is something to do at once.
//! If a test fails, a machine behaves differently: `UPDATE_EXPECT=1 cargo test -p resound-core --test matrix` writes
//! the tables anew; read the difference.

mod support;

use core::fmt::{Debug, Write as _};
use core::time::Duration;

use expect_test::expect_file;
use resound_core::link::{self, Action, Link, OnSuspect, Told};
use resound_core::liveness::{KernelView, Writing};
use resound_core::signal::{Cause, Errno, IcmpError, Op, Reason, Signal, Version};
use resound_core::stream::client::{self, Client, Command as ClientCommand};
use resound_core::stream::record::{CommandText, Entry, Input, OwnedFact};
use resound_core::stream::server::{self, Command as ServerCommand, Connection};
use resound_core::stream::{Close, Established, Machine, Step};
use resound_core::{ConnId, Instant};
use support::conn;

/// Examples of each variant of an enum. A new variant does not compile until it is listed.
macro_rules! every {
    ($Enum:ident { $($variant:ident => [$($example:expr),+ $(,)?],)+ }) => {{
        const fn _listed(it: &$Enum) {
            match it { $($Enum::$variant { .. } => {})+ }
        }
        vec![$($($example),+),+]
    }};
}

const RESET: Signal = Signal::Errno(Errno::ConnReset);
const PIPE: Signal = Signal::Errno(Errno::Pipe);
/// A kernel whose peer has fallen silent; `VIEW` in the tables.
const VIEW: KernelView = KernelView {
    unacked: 1,
    unsent: 0,
    retransmits: 1,
    backoff: 1,
    probes: 0,
    since_ack: Duration::from_secs(90),
    peer_window: None,
};

/// When something is told.
#[derive(Clone, Copy, Debug)]
enum When {
    Now,
    Due,
    Late,
}

impl When {
    const ALL: [Self; 3] = [Self::Now, Self::Due, Self::Late];

    fn at(self, now: Instant, deadline: Option<Instant>) -> Instant {
        match self {
            Self::Now => now,
            Self::Due => deadline.map_or(now, |at| at.max(now)),
            Self::Late => deadline.map_or(now, |at| at.max(now)) + Duration::from_secs(7),
        }
    }
}

/// The same, shorter.
fn short(text: &str) -> String {
    text.replace(&format!("Some({VIEW:?})"), "Some(VIEW)")
        .replace("unacked=1 unsent=0 retransmits=1 backoff=1 probes=0 since_ack=90.000000000", "VIEW")
        .replace(", icmp: None", "")
        .replace(", errno: None", "")
        .replace("Ok(Established { local: None })", "Ok(..)")
        .replace("established: Established { local: None }", "established: ..")
        .replace("ConnId(1)", "#1")
        .replace("ConnId(2)", "#2")
}

fn row(table: &mut String, input: &str, outcome: &str, steps: &[String], deadline: Option<Instant>) {
    let until = match deadline {
        _ if outcome == "·" => String::new(),
        None => "never".to_owned(),
        Some(Instant::EPOCH) => "now".to_owned(),
        Some(at) => format!("{:.3}", (at - Instant::EPOCH).as_secs_f64()),
    };
    let line = format!("  {:<86} {outcome:<9} {until:<9} {}", short(input), short(&steps.join("; ")));
    writeln!(table, "{}", line.trim_end()).unwrap();
}

fn head(table: &mut String, title: &str) {
    writeln!(table, "\n{title}\n  {:<86} {:<9} {:<9} steps", "told", "state", "deadline").unwrap();
}

// The link.

/// A link, its policy, the time, and what it said.
#[derive(Clone)]
struct Bare {
    link: Link,
    policy: link::Policy,
    now: Instant,
}

impl Bare {
    fn new(on_suspect: OnSuspect) -> Self {
        let config = link::Config { on_suspect, ..link::Config::default() };
        Self { link: Link::new(1), policy: config.check().unwrap(), now: Instant::EPOCH }
    }

    fn tell(&mut self, told: Told) -> Vec<Action> {
        let mut out = Vec::new();
        self.link.handle(&self.policy, self.now, told, &mut out);
        out
    }

    fn after(mut self, all: &[Told]) -> Self {
        self.now = self.now + Duration::from_millis(1);
        all.iter().for_each(|&told| drop(self.tell(told)));
        self
    }

    /// Through so many deadlines without a word from the peer.
    fn silence(mut self, deadlines: usize) -> Self {
        for _ in 0..deadlines {
            self.now = self.link.deadline().unwrap();
            self.tell(Told::Tick);
        }
        self
    }
}

fn told(conn: ConnId) -> Vec<Told> {
    let cause = RESET.cause(Op::Read);
    every!(Told {
        Open => [Told::Open { targets: 1 }],
        Targets => [Told::Targets { targets: 2 }],
        Dialed => [
            Told::Dialed { conn, result: Ok(Established::default()) },
            Told::Dialed { conn, result: Err(Cause::peer(Reason::ConnRefused)) },
            Told::Dialed { conn, result: Err(Cause::local(Reason::BadAddress)) },
        ],
        Sent => [Told::Sent { conn }],
        Heard => [Told::Heard { conn }],
        Answered => [
            Told::Answered { conn, round_trip: Some(Duration::from_millis(3)) },
            Told::Answered { conn, round_trip: None },
        ],
        Waived => [Told::Waived { conn }],
        Hint => [Told::Hint { conn, cause: None }, Told::Hint { conn, cause: Some(Cause::timer(Reason::TimedOut)) }],
        Voided => [Told::Voided { conn }],
        Ended => [
            Told::Ended { conn, cause: Cause::peer(Reason::Closed) },
            Told::Ended { conn, cause },
            Told::Ended { conn, cause: Cause::peer(Reason::Mismatch) },
        ],
        Goodbye => [
            Told::Goodbye { conn, retry_after: None },
            Told::Goodbye { conn, retry_after: Some(Duration::from_secs(8)) },
        ],
        Examined => [
            Told::Examined { conn, kernel: None, writing: Writing::Free },
            Told::Examined { conn, kernel: None, writing: Writing::Blocked },
            Told::Examined { conn, kernel: Some(VIEW), writing: Writing::Free },
        ],
        Resumed => [Told::Resumed],
        Hurry => [Told::Hurry],
        Drain => [Told::Drain],
        Close => [Told::Close { how: Close::Drop }, Told::Close { how: Close::Reset }],
        Tick => [Told::Tick],
    })
}

#[test]
fn the_matrix_of_the_link() {
    let first = conn(1);
    let second = conn(2);
    let ok = |conn| Told::Dialed { conn, result: Ok(Established::default()) };
    let refused = Told::Dialed { conn: first, result: Err(Cause::peer(Reason::ConnRefused)) };
    let open = Told::Open { targets: 1 };
    let fresh = || Bare::new(OnSuspect::Wait);
    let up = || fresh().after(&[open]).after(&[ok(first)]);
    let doubtful = || Bare::new(OnSuspect::DialSecond).after(&[open]).after(&[ok(first)]).silence(2);
    let cases = [
        ("Idle", fresh(), first),
        ("Dialing", fresh().after(&[open]), first),
        ("Up", up(), first),
        ("Up, an answer is due", up().after(&[Told::Sent { conn: first }]), first),
        ("Up, the first probe is out", up().silence(1), first),
        ("Suspect", up().silence(2), first),
        ("Suspect, to be examined", up().silence(4), first),
        ("Suspect, a second connection is dialed; about the first", doubtful(), first),
        ("Suspect, a second connection is dialed; about the second", doubtful(), second),
        ("Suspect, a second connection stands; about the first", doubtful().after(&[ok(second)]), first),
        ("Suspect, a second connection stands; about the second", doubtful().after(&[ok(second)]), second),
        ("Draining", up().after(&[Told::Drain]), first),
        ("Waiting", fresh().after(&[open]).after(&[refused]), first),
        ("Closed", up().after(&[Told::Close { how: Close::Drop }]), first),
    ];
    let mut table = String::from(
        "A link in each state, told each kind of thing. `core/tests/matrix.rs` writes this file.\n",
    );
    for (title, bare, conn) in &cases {
        head(&mut table, title);
        let named = format!("{:?}", bare.link.state());
        assert!(title.starts_with(&named), "{title} is {named}");
        for told in told(*conn) {
            let times = if told == Told::Tick { &When::ALL[..] } else { &When::ALL[..1] };
            for when in times {
                let mut bare = bare.clone();
                let before = format!("{:?}", bare.link);
                bare.now = when.at(bare.now, bare.link.deadline());
                let steps: Vec<_> = bare.tell(told).iter().map(|action| format!("{action:?}")).collect();
                let state = format!("{:?}", bare.link.state());
                let same = format!("{:?}", bare.link) == before && steps.is_empty();
                let input = if told == Told::Tick { format!("Tick, {when:?}") } else { format!("{told:?}") };
                row(
                    &mut table,
                    &short(&input),
                    if same { "·" } else { &state },
                    &steps,
                    bare.link.deadline(),
                );
            }
        }
    }
    for state in link::State::ALL {
        let named = format!("{state:?}");
        assert!(cases.iter().any(|(title, ..)| title.starts_with(&named)), "{named} is missing");
    }
    expect_file!["snapshots/link.txt"].assert_eq(&table);
}

// Machines over a stream.

fn facts(conn: ConnId) -> Vec<OwnedFact> {
    let icmp = Signal::Icmp(IcmpError {
        version: Version::V4,
        kind: 3,
        code: 1,
        offender: None,
        destination: None,
        mtu: None,
    });
    every!(OwnedFact {
        Dialed => [
            OwnedFact::Dialed { conn, result: Ok(Established::default()) },
            OwnedFact::Dialed { conn, result: Err(Signal::Errno(Errno::ConnRefused)) },
        ],
        Received => [
            OwnedFact::Received { conn, bytes: b"he".into() },
            OwnedFact::Received { conn, bytes: b"hello".into() },
            OwnedFact::Received { conn, bytes: b"what".into() },
        ],
        Wrote => [OwnedFact::Wrote { conn, n: 2 }, OwnedFact::Wrote { conn, n: 5 }],
        Blocked => [OwnedFact::Blocked { conn }],
        Writable => [OwnedFact::Writable { conn }],
        Ended => [OwnedFact::Ended { conn }],
        Failed => [
            OwnedFact::Failed { conn, op: Op::Read, signal: RESET },
            OwnedFact::Failed { conn, op: Op::Write, signal: RESET },
            OwnedFact::Failed { conn, op: Op::Write, signal: PIPE },
        ],
        Hint => [OwnedFact::Hint { conn, signal: icmp }],
        Examined => [
            OwnedFact::Examined { conn, kernel: None },
            OwnedFact::Examined { conn, kernel: Some(VIEW) },
        ],
        Resumed => [OwnedFact::Resumed],
        Tick => [OwnedFact::Tick],
    })
}

/// Everything that it says until it waits.
fn steps<M: Machine<Target: Debug, Event: Debug>>(machine: &mut M) -> Vec<String> {
    let mut steps = Vec::new();
    while steps.len() < 50 {
        match machine.poll() {
            Step::Wait(until) => {
                assert_eq!(until, machine.next_deadline());
                return steps;
            }
            step => steps.push(format!("{step:?}")),
        }
    }
    panic!("it never waits: {steps:?}");
}

/// A machine brought somewhere by a record.
fn brought<M>(mut machine: M, script: &[&str]) -> (M, Instant)
where
    M: Machine<Target: Debug, Event: Debug, Command: CommandText>,
{
    let mut now = Instant::EPOCH;
    for line in script {
        if *line == "tick when due" {
            now = now.max(machine.next_deadline().unwrap());
            OwnedFact::Tick.tell(&mut machine, now);
        } else {
            now = now + Duration::from_millis(1);
            let entry: Entry<M::Command> = format!("0.000000000 {line}").parse().unwrap();
            match entry.input {
                Input::Fact(fact) => fact.tell(&mut machine, now),
                Input::Command(command) => drop(machine.command(now, command)),
            }
        }
        steps(&mut machine);
    }
    (machine, now)
}

fn block<M>(
    table: &mut String,
    script: &[&str],
    fresh: impl Fn() -> M,
    state: impl Fn(&M) -> String,
    conn: ConnId,
    commands: Vec<M::Command>,
) where
    M: Machine<Target: Debug, Event: Debug, Command: CommandText + Clone> + Debug,
{
    let facts = facts(conn).into_iter().map(Input::Fact);
    for input in facts.chain(commands.into_iter().map(Input::Command)) {
        let tick = matches!(input, Input::Fact(OwnedFact::Tick));
        for when in if tick { &When::ALL[..] } else { &When::ALL[..1] } {
            let (mut machine, now) = brought(fresh(), script);
            let before = format!("{machine:?}");
            let at = when.at(now, machine.next_deadline());
            let mut said = Vec::new();
            match input.clone() {
                Input::Fact(fact) => fact.tell(&mut machine, at),
                Input::Command(command) => {
                    if machine.command(at, command).is_err() {
                        said.push("refused".to_owned());
                    }
                }
            }
            let same = format!("{machine:?}") == before && said.is_empty();
            said.extend(steps(&mut machine));
            let outcome = if same && said.is_empty() { "·".to_owned() } else { state(&machine) };
            let input = if tick { format!("tick, {when:?}").to_lowercase() } else { input.to_string() };
            row(table, &input, &outcome, &said, machine.next_deadline());
        }
    }
    // P5: what is told of an id that was never given changes nothing, in any state.
    for fact in self::facts(support::conn(77)) {
        if !matches!(fact, OwnedFact::Resumed | OwnedFact::Tick) {
            let (mut machine, now) = brought(fresh(), script);
            let before = format!("{machine:?}");
            fact.tell(&mut machine, now);
            assert_eq!(format!("{machine:?}"), before, "P5: {fact}");
        }
    }
}

#[test]
fn the_matrix_of_the_client() {
    const UP: [&str; 2] = ["tick", "dialed 1 up"];
    const SUSPECT: [&str; 5] = ["tick", "dialed 1 up", "tick when due", "wrote 1 8", "tick when due"];
    const SENT: &str = "command send 68656c6c6f";
    let up = |more: &[&'static str]| [&UP[..], more].concat();
    let suspect = |more: &[&'static str]| [&SUSPECT[..], more].concat();
    let cases = [
        ("Idle", OnSuspect::Wait, vec![], 1),
        ("Dialing", OnSuspect::Wait, vec!["tick"], 1),
        ("Dialing, a message waits", OnSuspect::Wait, vec!["tick", SENT], 1),
        ("Up", OnSuspect::Wait, up(&[]), 1),
        ("Up, a message is being written", OnSuspect::Wait, up(&[SENT]), 1),
        ("Up, a message is written in part", OnSuspect::Wait, up(&[SENT, "wrote 1 2", "blocked 1"]), 1),
        ("Up, a message is echoing", OnSuspect::Wait, up(&[SENT, "wrote 1 5"]), 1),
        ("Up, a write met EPIPE", OnSuspect::Wait, up(&[SENT, "failed 1 write EPIPE"]), 1),
        ("Up, a write met ECONNRESET", OnSuspect::Wait, up(&[SENT, "failed 1 write ECONNRESET"]), 1),
        ("Suspect", OnSuspect::Wait, suspect(&[]), 1),
        ("Suspect, to be examined", OnSuspect::Wait, suspect(&["tick when due", "tick when due"]), 1),
        ("Suspect, a second connection is dialed; about the first", OnSuspect::DialSecond, suspect(&[]), 1),
        ("Suspect, a second connection is dialed; about the second", OnSuspect::DialSecond, suspect(&[]), 2),
        (
            "Suspect, a second connection stands; about the first",
            OnSuspect::DialSecond,
            suspect(&["dialed 2 up"]),
            1,
        ),
        (
            "Suspect, a second connection stands; about the second",
            OnSuspect::DialSecond,
            suspect(&["dialed 2 up"]),
            2,
        ),
        ("Draining, a message is being written", OnSuspect::Wait, up(&[SENT, "command close"]), 1),
        (
            "Draining, half-closed, a message is echoing",
            OnSuspect::Wait,
            up(&[SENT, "wrote 1 5", "command close"]),
            1,
        ),
        ("Waiting", OnSuspect::Wait, vec!["tick", "dialed 1 failed ECONNREFUSED"], 1),
        ("Closed", OnSuspect::Wait, up(&["command abort"]), 1),
    ];
    let commands = || {
        every!(ClientCommand {
            Send => [ClientCommand::Send("hi".into()), ClientCommand::Send("".into())],
            Close => [ClientCommand::Close],
            Abort => [ClientCommand::Abort],
            Hurry => [ClientCommand::Hurry],
        })
    };
    let state = |client: &Client<u8>| format!("{:?}", client.state());
    let mut table = String::from(
        "An echo client in each state, told each fact and each command. `core/tests/matrix.rs` writes this file.\n",
    );
    for (title, on_suspect, script, about) in &cases {
        let config = client::Config {
            link: link::Config { on_suspect: *on_suspect, ..Default::default() },
            ..Default::default()
        };
        let fresh = || Client::new(config, 1, [0u8]).unwrap();
        let named = state(&brought(fresh(), script).0);
        assert!(title.starts_with(&named), "{title} is {named}");
        head(&mut table, title);
        block(&mut table, script, fresh, state, conn(*about), commands());
    }
    for state in link::State::ALL {
        let named = format!("{state:?}");
        assert!(cases.iter().any(|(title, ..)| title.starts_with(&named)), "{named} is missing");
    }
    expect_file!["snapshots/client.txt"].assert_eq(&table);
}

#[test]
fn the_matrix_of_a_servers_connection() {
    const HELD: &str = "received 1 68656c6c6f";
    let plain = server::Config::default();
    let pausing = server::Config {
        first_read_after: Duration::from_secs(3),
        close_after: Duration::from_secs(4),
        ..plain
    };
    let cases: [(&str, server::Config, &[&str]); 13] = [
        ("Fresh", pausing, &[]),
        ("Open", plain, &[]),
        ("Echoing, a write was asked for", plain, &[HELD]),
        ("Echoing, blocked", plain, &[HELD, "wrote 1 1", "blocked 1"]),
        ("Echoing, a write met EPIPE", plain, &[HELD, "failed 1 write EPIPE"]),
        ("Echoing, a write met ECONNRESET", plain, &[HELD, "failed 1 write ECONNRESET"]),
        ("Flushing", plain, &[HELD, "ended 1"]),
        ("CloseWait", pausing, &["tick when due", "ended 1"]),
        ("Draining", plain, &[HELD, "command drain"]),
        ("Leaving", plain, &["command drain"]),
        ("Shut", plain, &["command drain", "examined 1"]),
        (
            "Shut, with bytes that cannot be echoed",
            plain,
            &["command drain", "examined 1", "received 1 6869"],
        ),
        ("Closed", plain, &["command abort"]),
    ];
    let commands = || {
        every!(ServerCommand {
            Drain => [ServerCommand::Drain],
            Abort => [ServerCommand::Abort],
        })
    };
    let state = |connection: &Connection| format!("{:?}", connection.state());
    let mut table = String::from(
        "A server's side of a connection in each state, told each fact and each command. `core/tests/matrix.rs` writes this file.\n",
    );
    for (title, config, script) in &cases {
        let fresh = || Connection::new(config.check().unwrap(), Instant::EPOCH);
        let named = state(&brought(fresh(), script).0);
        assert!(title.starts_with(&named), "{title} is {named}");
        head(&mut table, title);
        block(&mut table, script, fresh, state, ConnId::ONLY, commands());
    }
    for state in server::State::ALL {
        let named = format!("{state:?}");
        assert!(cases.iter().any(|(title, ..)| title.starts_with(&named)), "{named} is missing");
    }
    expect_file!["snapshots/server.txt"].assert_eq(&table);
}
