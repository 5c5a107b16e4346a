//! Every row of the table for Linux as a scenario: played in the simulator it happens, and gives what the row says.

use std::collections::BTreeSet;

use resound_core::signal::{Version, icmp};
use resound_sim::engine::staged::{Case, Extent, Outcome, cases};
use resound_sim::kernel::table::{ORDERS, ROWS, RowId, row};
use resound_sim::kernel::{Profile, Unverified};
use resound_sim::run::{Happened, Moment};
use resound_sim::{Echo, Record, Run, Scenario, World};

fn play(case: &Case) -> Run {
    World::new(&case.scenario, &mut Echo).play(Record::Everything)
}

fn told(case: &Case, run: &Run, what: &str) -> String {
    format!("{case}: {what}\n{}\n{}", case.scenario, run.timeline(&case.scenario))
}

/// What is wrong with a case that is played in the simulator.
fn wrong(case: &Case) -> Option<String> {
    let run = play(case);
    match case.compare(&run) {
        Outcome::Agrees => {}
        Outcome::Differs(how) => return Some(told(case, &run, &how)),
        Outcome::NotStaged(why) => return Some(told(case, &run, &format!("not staged: {why}"))),
    }
    if run.coverage.rows()[usize::from(case.row.0)] == 0 {
        let rows = (0..).zip(run.coverage.rows()).filter(|(_, times)| **times > 0);
        let rows: Vec<_> = rows.map(|(at, _)| row(RowId(at)).name).collect();
        return Some(told(case, &run, &format!("it did not happen, but {rows:?}")));
    }
    if run.said.len() != case.expected.len() {
        return Some(told(case, &run, "more was said than was expected"));
    }
    let inert = run.inert().next().map(|(fault, why)| format!("fault {} is inert: {why}", fault.0 + 1));
    inert.map(|inert| told(case, &run, &inert))
}

fn all(extent: Extent) -> Vec<Case> {
    cases(extent)
        .into_iter()
        .map(|case| case.unwrap_or_else(|why| panic!("{}: {}", row(why.row).name, why.why)))
        .collect()
}

#[test]
fn every_row_happens_and_gives_what_it_says() {
    let wrong: Vec<_> = all(Extent::Codes).iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_row_and_no_order_is_left_out() {
    let cases = all(Extent::Rows);
    for (at, row) in ROWS.iter().flat_map(|rows| rows.iter()).enumerate() {
        if row.profile != Profile::Linux {
            continue;
        }
        let versions = [Version::V4, Version::V6].into_iter();
        for version in versions.filter(|version| row.version.is_none_or(|only| only == *version)) {
            let of = |case: &&Case| case.row == RowId(at as u16) && case.version == version;
            assert!(cases.iter().any(|case| of(&case)), "{} {version:?}", row.name);
        }
    }
    let orders: BTreeSet<_> = cases.iter().filter_map(|case| case.order).collect();
    assert_eq!(orders.len(), ORDERS.len());
}

#[test]
fn every_type_and_code_comes_to_a_connect_a_connection_and_a_datagram() {
    let cases = all(Extent::Codes);
    for known in icmp::TABLE {
        for state in ["tcp/syn-sent", "tcp/idle", "tcp/sending", "udp/connected", "udp/unconnected"] {
            let is = |case: &Case| {
                let code =
                    case.icmp.is_some_and(|(kind, code)| kind == known.kind && known.codes.contains(&code));
                code && case.version == known.version && case.to_string().starts_with(state)
            };
            assert!(cases.iter().any(is), "{state} {known:?}");
        }
    }
}

/// A name says which case it is; and what is to be played can be written down.
#[test]
fn cases_have_names_of_their_own_and_are_text() {
    let mut names = BTreeSet::new();
    for case in all(Extent::Codes) {
        assert!(names.insert(case.to_string()), "twice: {case}");
        assert_eq!(case.scenario.to_string().parse::<Scenario>().as_ref(), Ok(&case.scenario), "{case}");
    }
}

/// On a real kernel twenty at a time: so the whole table takes a minute at most.
#[test]
fn all_rows_are_exercised_within_a_minute() {
    let total: std::time::Duration = all(Extent::Rows).iter().map(|case| case.scenario.until).sum();
    assert!(total.as_secs() < 20 * 60, "{total:?} in all");
}

fn case(name: &str) -> Case {
    all(Extent::Rows).into_iter().find(|case| case.to_string() == name).expect("there is such a case")
}

#[test]
fn a_kernel_that_does_something_else_differs_in_one_line() {
    let mut case = case("tcp/syn-sent/icmp-soft/v4 IPv4 3/0");
    case.scenario.profile = Profile::Unverified(Unverified::LinuxPatient);
    let line = "tcp/syn-sent/icmp-soft/v4 IPv4 3/0: call 1, poll: the table says IN|OUT|ERR|HUP|RDHUP, this kernel gave -";
    assert_eq!(case.compare(&play(&case)), Outcome::Differs(line.to_owned()));
}

#[test]
fn what_a_peer_sees_differs_in_one_line() {
    let mut case = case("tcp/orphan/rst-exact IPv6");
    case.scenario.faults.remove(0);
    let line =
        "tcp/orphan/rst-exact IPv6: by the table server's b recv gives EAGAIN, with this kernel it gave 5";
    assert_eq!(case.compare(&play(&case)), Outcome::Differs(line.to_owned()));
}

/// No call shows a challenge, nor that segments are shorter: the packets do.
#[test]
fn what_no_call_shows_is_looked_for_among_the_packets() {
    for (name, what) in [
        ("tcp/idle/rst-inside IPv4", "it is answered with an acknowledgement"),
        ("tcp/sending/icmp-too-big IPv4 3/4", "shorter segments are sent"),
    ] {
        let case = case(name);
        let mut run = play(&case);
        let forged =
            |moment: &Moment| matches!(&moment.what, Happened::Sent { packet, .. } if packet.fault.is_some());
        let signal = run.moments.iter().position(forged).expect("it was forged");
        run.moments.truncate(signal + 1);
        let line = format!("{name}: the table says that {what}, this kernel sent none");
        assert_eq!(case.compare(&run), Outcome::Differs(line));
    }
}

#[test]
fn a_state_that_does_not_come_about_is_no_difference() {
    let mut case = case("tcp/idle/rst-exact IPv4");
    // The connect comes too late for the accept.
    case.scenario.script[1].at = std::time::Duration::from_millis(149);
    let why = "b accept was to give 0 and gave EAGAIN";
    assert_eq!(case.compare(&play(&case)), Outcome::NotStaged(why.to_owned()));
}
