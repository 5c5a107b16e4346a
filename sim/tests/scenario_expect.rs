//! What was said is held against what was expected, and the difference is told.

use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::{Origin, Reason};
use resound_sim::run::Remark;
use resound_sim::scenario::{NodeId, Said, Scenario};

/// What a client says whose connection is reset, and a word of the server in between.
fn said() -> Vec<Remark> {
    let at = |millis, node, said| Remark {
        at: Instant::EPOCH + Duration::from_millis(millis),
        node: NodeId(node),
        said,
    };
    vec![
        at(0, 0, Said::Dialing),
        at(11, 1, Said::Accepted),
        at(22, 0, Said::Up),
        at(44, 0, Said::Echo(0)),
        at(50, 0, Said::Down(Reason::Reset, Origin::Peer)),
    ]
}

fn unmet(expect: &str) -> Vec<String> {
    let text = format!("host client\nhost server\nlink client <-> server 11ms\nexpect {expect}");
    let scenario: Scenario = text.parse().unwrap();
    scenario.unmet(&said()).iter().map(ToString::to_string).collect()
}

#[test]
fn what_came_true_is_met() {
    for expect in [
        "client up ; echo 0 ; down reset",
        "client up by 0.022",
        "client exactly dialing ; up ; echo ; down reset peer",
        "client never down timed-out ; accepted",
        "client never up by 0.021",
        "server exactly accepted",
    ] {
        assert_eq!(unmet(expect), [""; 0], "{expect}");
    }
}

#[test]
fn what_did_not_is_told() {
    let all = "client said: 0 dialing; 0.022 up; 0.044 echo 0; 0.05 down reset peer";
    for (expect, why) in [
        ("client echo 0 ; up", "\"up\" was not said after \"echo 0\" (at 0.044)"),
        ("client ech", "\"ech\" was not said"),
        ("client echo 0 0", "\"echo 0 0\" was not said"),
        ("client up by 0.021", "\"up by 0.021\" was said too late, at 0.022"),
        ("client exactly dialing ; echo 0", "instead of \"echo 0\", \"up\" (at 0.022) was said"),
        ("client exactly dialing ; up ; echo 0", "\"down reset peer\" (at 0.05) was said too"),
        ("client exactly dialing ; up ; echo 0 ; down ; retry", "\"retry\" was not said"),
        ("client never lost ; down", "\"down reset peer\" (at 0.05) was said"),
    ] {
        assert_eq!(unmet(expect), [format!("expect {expect}: {why}; {all}")]);
    }
    assert_eq!(unmet("server up"), ["expect server up: \"up\" was not said; server said: 0.011 accepted"]);
    assert_eq!(unmet("client exactly").len(), 1);
}
