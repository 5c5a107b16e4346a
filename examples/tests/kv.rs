//! What the guide *Test your own protocol* does, and the guide itself.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use proptest::prelude::*;
use resound_core::link;
use resound_examples::kv::client::{Client, Command, Event};
use resound_examples::kv::server::Connection;
use resound_examples::kv::simulated::{Kv, exactly_once};
use resound_examples::kv::store::{Repeats, Store};
use resound_sim::engine::Trial;
use resound_sim::engine::explore::{Counterexample, Explore, Menu, Within};
use resound_sim::engine::generate::{Kind, Mix};
use resound_sim::engine::soak::Soak;
use resound_sim::proptest::faults;
use resound_sim::{Record, Scenario, World, oracle};
use resound_sockets::tcp::DialOptions;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn apples() -> Scenario {
    include_str!("../scenarios/apples.scn").parse().unwrap()
}

fn trial(scenario: &Scenario, repeats: Repeats) -> Trial<'static> {
    Trial::new(move || Kv::new(repeats)).must(exactly_once(scenario.node("client").unwrap()))
}

fn search(base: &Scenario) -> Explore<'_> {
    let menu = Menu::standard().and(Menu::tcp_errors());
    Explore::new(base).menu(menu).most_faults(2).within(Within::Overall(20))
}

fn counterexample() -> Counterexample {
    let base = apples();
    *search(&base).run(&trial(&base, Repeats::Execute)).expect_err("the mistake is not found any more")
}

#[test]
fn the_scenario_comes_true() {
    let scenario = apples();
    for repeats in [Repeats::Execute, Repeats::Recognise] {
        let run = World::new(&scenario, &mut Kv::new(repeats)).play(Record::Said);
        assert_eq!(scenario.unmet(&run.said), []);
    }
}

#[test]
fn one_fault_is_enough_to_find_the_mistake() {
    let found = counterexample();
    assert_eq!((found.scenario.faults.len(), &*found.broken.rule), (1, "exactly-once"));
}

#[test]
fn every_schedule_of_up_to_two_faults_holds() {
    let base = apples();
    let certificate = search(&base).run(&trial(&base, Repeats::Recognise)).unwrap();
    assert!(certificate.schedules > 5_000, "{certificate}");
}

/// Scenarios that were found once, replayed.
#[test]
fn regressions() {
    let files = fs::read_dir(root().join("examples/scenarios/regressions")).unwrap();
    let mut played = 0;
    for file in files.map(|file| file.unwrap().path()) {
        let scenario: Scenario = fs::read_to_string(&file).unwrap().parse().unwrap();
        let fixed =
            trial(&scenario, Repeats::Recognise).must(oracle::expected()).must(oracle::nothing_inert());
        fixed.judge(&scenario).unwrap_or_else(|broken| panic!("{}: {broken}", file.display()));
        // And the test can fail.
        assert!(trial(&scenario, Repeats::Execute).judge(&scenario).is_err(), "{}", file.display());
        played += 1;
    }
    assert!(played > 0);
}

/// Some requests of one client, and up to four faults.
fn scenarios() -> impl Strategy<Value = Scenario> {
    let request = prop_oneof!["get [ab]", "set [ab] [0-9]", "add [ab] [0-9]"];
    let requests = prop::collection::vec((0..5_000_u64, request), 1..6);
    requests.prop_flat_map(|requests| {
        let mut base = String::from("host client ; router router ; host server ; until 200\n");
        base += "link client <-> router 10ms ; link router <-> server 1ms\n";
        base += "0 server serve 7 ; 0 client connect server:7\n";
        for (at, request) in requests {
            base += &format!("{}.{:03} client do {request}\n", at / 1_000, at % 1_000);
        }
        // Against bytes that are altered under a checksum that is right, this protocol does nothing.
        faults(base.parse().unwrap(), Mix::new().without(&[Kind::Alter, Kind::Truncate]))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever goes wrong, each answer is right; and when nothing goes wrong any more, the client is up.
    #[test]
    fn answers_are_right_whatever_goes_wrong(scenario in scenarios()) {
        let client = scenario.node("client").unwrap();
        let trial = Trial::new(|| Kv::new(Repeats::Recognise))
            .must(exactly_once(client))
            .must(oracle::bounded_attempts(client, Duration::from_millis(250)))
            .must(oracle::settles_after_healing(client, Duration::from_secs(110)));
        if let Err(broken) = trial.judge(&scenario) {
            return Err(TestCaseError::fail(format!("{broken}\n\n{scenario}")));
        }
    }
}

// Real sockets.

/// The same machines, on the adapters of two runtimes.
#[test]
fn the_same_machines_on_real_sockets() {
    let store = Arc::new(Mutex::new(Store::new(Repeats::Recognise)));
    let make = move |_, now| Connection::new(Arc::clone(&store), now);
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let server = resound_std::serve(anywhere, resound_std::ServerConfig::default(), make, |_| {}).unwrap();
    let client = |seed| Client::new(link::Config::default(), seed, server.local_addr()).unwrap();

    let (tell, events) = channel();
    let mut on_std = resound_std::Session::new(client(1), DialOptions::default()).unwrap();
    let ask = on_std.handle();
    let driving = thread::spawn(move || on_std.run_with(|event| drop(tell.send(event))));
    asks(|command| ask.command(command).unwrap(), &events, &[("add apples 1", "1"), ("get apples", "1")]);
    driving.join().unwrap();

    let (tell, events) = channel();
    let on_tokio = resound_tokio::Session::new(client(2), resound_tokio::Setup::default());
    let ask = on_tokio.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    let driving = thread::spawn(move || runtime.block_on(on_tokio.run_with(|event| drop(tell.send(event)))));
    asks(
        |command| ask.command(command).unwrap(),
        &events,
        &[("add apples 2", "3"), ("set apples x", "what?")],
    );
    driving.join().unwrap();
}

/// Asks all at once, takes the answers in order, and closes.
fn asks(ask: impl Fn(Command), events: &Receiver<Event>, with: &[(&str, &str)]) {
    with.iter().for_each(|(request, _)| ask(Command::Ask((*request).to_owned())));
    let mut answers = with.iter();
    while answers.len() > 0 {
        match events.recv_timeout(Duration::from_secs(30)).expect("nothing happened") {
            Event::Answer { request, answer } => {
                assert_eq!(answers.next(), Some(&(request.as_str(), answer.as_str())));
            }
            other => assert!(matches!(other, Event::Dialing | Event::Up), "{other:?}"),
        }
    }
    ask(Command::Close);
    assert_eq!(events.recv_timeout(Duration::from_secs(30)), Ok(Event::Ended { unanswered: Vec::new() }));
}

// The guide.

/// The guide with its generated blocks made anew: each stands below a comment that says what it is.
fn filled(guide: &str) -> String {
    let mut out = String::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        out += &format!("{line}\n");
        let Some(what) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let fence = lines.next().unwrap_or_default();
        assert!(fence.starts_with("```") && fence.len() > 3, "{what}: no block below");
        lines.by_ref().take_while(|line| *line != "```").for_each(drop);
        out += &format!("{fence}\n{}\n```\n", block(what).trim_end());
    }
    out
}

fn block(what: &str) -> String {
    let read =
        |path: &str| fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    match what.split_once(' ').unwrap() {
        ("file", path) => read(path),
        ("item", which) => {
            let (path, begins) = which.split_once(' ').unwrap();
            item(&read(path), begins)
        }
        ("run", "played") => timeline(&apples()),
        ("run", "found") => counterexample().to_string(),
        ("run", "timeline") => timeline(&counterexample().scenario),
        ("run", "soak") => soak(),
        ("run", "certificate") => {
            let base = apples();
            search(&base).run(&trial(&base, Repeats::Recognise)).unwrap().to_string()
        }
        _ => panic!("nobody knows what {what:?} is"),
    }
}

/// As the guide does it; without the timeline.
fn soak() -> String {
    let base = apples();
    let trial = trial(&base, Repeats::Execute);
    let mix = Mix::new().without(&[Kind::Alter, Kind::Truncate]);
    let soak = Soak::new(1).runs(10_000).drawn(move |draw| {
        let mut scenario = base.clone();
        mix.draw_faults(draw, &mut scenario);
        scenario
    });
    let wet = soak.run(&trial).expect_err("the mistake is not found any more").to_string();
    wet.split("\n\n").take(2).collect::<Vec<_>>().join("\n\n")
}

/// Of the first version of the server.
fn timeline(scenario: &Scenario) -> String {
    let run = trial(scenario, Repeats::Execute).play(scenario, Record::Everything);
    run.timeline(scenario).states(false).to_string()
}

/// An item of a source file, with what stands above it, and without its indentation.
fn item(source: &str, begins: &str) -> String {
    let lines: Vec<&str> = source.lines().collect();
    let at = lines.iter().position(|line| line.trim_start().starts_with(begins));
    let at = at.unwrap_or_else(|| panic!("there is no {begins:?}"));
    let indent = lines[at].len() - lines[at].trim_start().len();
    let above = lines[..at].iter().rev().take_while(|line| line.trim_start().starts_with(['/', '#'])).count();
    let end = at + lines[at..].iter().position(|line| *line == format!("{}}}", " ".repeat(indent))).unwrap();
    lines[at - above..=end]
        .iter()
        .map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()))
        .collect()
}

/// The README shows a part of it.
#[test]
fn the_readme_quotes_the_guide() {
    let [readme, guide] = ["README.md", "docs/testing-your-protocol.md"]
        .map(|path| fs::read_to_string(root().join(path)).unwrap());
    let (_, section) = readme.split_once("\n## Test it\n").unwrap();
    let ladder: Vec<&str> =
        section.lines().filter(|line| line.starts_with("  ") && line.contains('│')).collect();
    assert!(ladder.len() > 5 && ladder.iter().all(|line| guide.contains(line)), "{ladder:#?}");
}

#[test]
fn the_guide_shows_what_is_there() {
    let path = fs::canonicalize(root().join("docs/testing-your-protocol.md")).unwrap();
    let guide = fs::read_to_string(&path).unwrap();
    expect_test::expect_file![path].assert_eq(&filled(&guide));
}
