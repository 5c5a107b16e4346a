//! The search through all schedules: it finds the shortest, and it meets each once. What it says of the core is in
//! `invariants.rs`.

mod careless;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use careless::{Careless, three_messages};
use resound_sim::engine::Trial;
use resound_sim::engine::explore::{Explore, Extent, Item, Menu, Within};
use resound_sim::oracle::{self, Broken};
use resound_sim::scenario::{Tamper, What};
use resound_sim::{Record, Run, Scenario};

#[test]
fn a_bug_that_needs_two_faults_is_found_with_two() {
    let base = three_messages();
    let trial =
        Trial::new(|| Careless).must(oracle::conservation(base.node("client").unwrap()).of_what_ended());
    let duplicate = Tamper::Duplicate(Duration::from_millis(5));
    let menu = Menu(vec![Item::Tamper(Tamper::Drop), Item::Tamper(duplicate)]);
    let explore = |faults| Explore::new(&base).menu(menu.clone()).most_faults(faults).run(&trial);
    let found = explore(3).unwrap_err();
    assert_eq!(found.scenario.faults.len(), 2, "{found}");
    assert_eq!(found.broken.rule, "conservation");
    assert!(found.broken.what.contains("it had ended before"), "{found}");
    let tampers: Vec<_> = found.scenario.faults.iter().map(|fault| &fault.what).collect();
    assert!(matches!(tampers[1], What::Tamper(_, Tamper::Duplicate(_))), "{found}");
    // It replays from its text.
    let again: Scenario = found.scenario.to_string().parse().unwrap();
    assert_eq!(trial.judge(&again).unwrap_err(), found.broken);
    // With one fault there is nothing to be found.
    assert!(explore(1).is_ok());
}

#[test]
fn each_schedule_is_met_once_and_every_packet_of_it_sets_out() {
    let base = three_messages();
    let seen = RefCell::new(BTreeSet::new());
    let lengths = RefCell::new(Vec::new());
    let looks = |scenario: &Scenario, run: &Run| {
        if let Some((fault, why)) = run.inert().next() {
            return Err(Broken::new("inert", format!("{fault:?}: {why}")));
        }
        if seen.borrow_mut().insert((scenario.faults.len(), format!("{:?}", scenario.faults))) {
            lengths.borrow_mut().push(scenario.faults.len());
        }
        Ok(())
    };
    let trial = Trial::echo().must(looks);
    let menu = Menu(vec![Item::Tamper(Tamper::Drop), Item::Tamper(Tamper::Delay(Duration::from_millis(30)))]);
    let explore = Explore::new(&base).menu(menu).most_faults(2).within(Within::Overall(5));
    let certificate = explore.run(&trial).unwrap();
    assert_eq!(certificate.schedules, seen.borrow().len() as u64);
    assert_eq!(certificate.acted, certificate.schedules, "whatever is lost or late is so");
    // None; two kinds at five packets; and all pairs at different packets, in order.
    let many = |faults| seen.borrow().iter().filter(|(many, _)| *many == faults).count();
    assert_eq!([many(0), many(1), many(2)], [1, 10, 40]);
    assert!(lengths.borrow().is_sorted(), "the shortest come first");
}

#[test]
fn faults_stand_at_packets_that_only_other_faults_bring_about() {
    // A message that is lost is sent again by the careless client; that packet can be lost, too.
    let base: Scenario = "host client ; host server ; link client <-> server 10ms
         until 3
         0.0 server serve udp 7 ; 0.0 client connect udp server:7 ; 0.1 client send \"a\""
        .parse()
        .unwrap();
    let longest = RefCell::new(0);
    let looks = |scenario: &Scenario, _: &Run| {
        let longest = &mut *longest.borrow_mut();
        *longest = scenario.faults.len().max(*longest);
        Ok(())
    };
    let trial = Trial::new(|| Careless).must(looks);
    let menu = Menu(vec![Item::Tamper(Tamper::Drop)]);
    let certificate =
        Explore::new(&base).menu(menu).most_faults(4).within(Within::Overall(4)).run(&trial).unwrap();
    assert_eq!(*longest.borrow(), 4);
    // Without faults two packets set out; there and back are lost independently.
    assert_eq!(trial.play(&base, Record::Said).packets, 2);
    assert!(certificate.schedules > 5, "{certificate}");
}

#[test]
fn the_certificate_is_the_same_each_time_and_changes_with_behaviour() {
    let base = three_messages();
    let explore = || Explore::new(&base).most_faults(1).within(Within::EachWay(4));
    let certificate = explore().run(&Trial::echo()).unwrap();
    assert_eq!(explore().run(&Trial::echo()).unwrap(), certificate);
    let other = explore().run(&Trial::new(|| Careless)).unwrap();
    assert_ne!(other.digest, certificate.digest);
    let stopped = explore().stop_after(7).run(&Trial::echo()).unwrap();
    assert_eq!((stopped.schedules, stopped.extent), (7, Extent::Stopped));
    assert!(stopped.to_string().starts_with("not all: the first 7 schedules"), "{stopped}");
}

#[test]
fn the_certificate_tells_in_how_many_schedules_every_fault_acted() {
    // Of a handshake, only the third packet that the client sends has a payload: one bit in one packet can be turned over.
    let base: Scenario = "host client ; host server ; link client <-> server 10ms
         until 1
         0.0 server serve 7 ; 0.0 client connect server:7 ; 0.1 client send \"a\""
        .parse()
        .unwrap();
    let menu = Menu(vec![Item::Tamper(Tamper::Alter(0))]);
    let explore = Explore::new(&base).menu(menu).most_faults(1).within(Within::Overall(4));
    let certificate = explore.run(&Trial::echo()).unwrap();
    assert_eq!((certificate.schedules, certificate.acted), (5, 2), "{certificate}");
}
