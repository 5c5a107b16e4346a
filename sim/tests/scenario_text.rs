//! The text form of scenarios: what is written is read as the same, and what is wrong is said with its place.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use resound_sim::packet::FaultId;
use resound_sim::scenario::{Command, Malformed, NodeId, Role, Scenario};

/// Every statement, command, call and fault, in the words of the documentation.
const EVERYTHING: &str = r#"
# what it shows
profile linux
ip 6
seed 7
until 60
simulated-only "its clock jumps"
host client
host server tcp_retries2=5 tcp_rto_max_ms=1000
router router ; host other # a comment
link client <-> router 10ms jitter=2ms rate=1Mbit queue=20 mtu=1280 loss=1% duplicate=0.1% corrupt=10ppm noise=42
link router<->server 1ms
0.000  server  serve 7
0.000  server  serve udp 7
0.000  client  connect server:7 idle=2s probe=500ms misses=3 round=5s rounds=2 resend
0      client  connect udp server:7
0.020  client  send "hello"
20ms   client  send 100 bytes
1.000  client  close
1m     client  abort
0.5    client  do ask "key" "" "a;b" x=1
0.000  server  call l = tcp listen 7 backlog=1
0.000  client  call a = tcp connect server:7 recverr uto=1500ms keepalive=1s/1s/3 syncnt=2 rcvbuf=8192 sndbuf=4608
0.1    server  call s = accept l
0.1    client  call u = udp 0 recverr reuseaddr reuseport
0.1    client  call u connect server:9 ; 0.1 client call u disconnect
0.2    client  call a send "hello" ; 0.3 server call s recv 100 ; 0.3 client call u sendto server:9 "x"
0.4 client call a errqueue ; 0.4 client call a so_error ; 0.4 client call a poll ; 0.4 client call a info
0.5 client call a shutdown ; 0.5 client call a shutdown-read ; 0.5 client call a close ; 0.5 client call a reset
0.6 server call m = tcp listen loopback:9 ; 0.6 server call n = udp server:9 broadcast ; 0.6 server call n join group-1
0.7 client call b = tcp connect any:9 from client:5000 ; 0.7 client call c = tcp connect server:9 from 5000
0.7 client call u connect broadcast:9 ; 0.7 client call u sendto group-255:9 "" ; 0.8 server call n leave group-1
0.8 server call n recv-all n ; 0.8 server call n errqueue-all
!0.021 router  rst to client seq=exact
!0.021 router  fin to client seq=inside
!0.021 router  syn to client seq=outside
!0.021 router  icmp 3/1 to client quote=inside quoted=28 mtu=1400
!0.021 client  icmp 3/1 to client
!client->router#5 drop
!client->router#5 delay 50ms ; !client->router#5 duplicate 5ms ; !client->router#5 corrupt
!client->router#5 alter bit=13 ; !client->router#5 truncate 4
!0.5   client->router delay 50ms
!2.0   router->server cut until 8.0
!2.0   router<->server unplug until client says "suspect"
!2.0   router<->server cut until server->router#9
!2.0   client->router link-down ; !2.0 server->router link-down until 3 ; !2.0 server->router link-down until 3 bare
!1.0   client->router mtu 1300
!server:established  server kill
!client says "suspect"  router route to server unreachable until 9.0
!1 router route prohibit ; !1 client route blackhole ; !1 client route to server missing
!3.0 server pause 2s ; !3.0 server power-loss ; !3.0 server reboot 3s ; !3.0 server forget ; !3.0 server skew -500ms
!3.0 server short-reads 1 ; !3.0 server short-writes 1 ; !3.0 server spurious-wake ; !3.0 server rcvbuf 2304
!3.0 server sndbuf 4608 ; !3.0 server no-ports until 9.0 ; !3.0 server accept-queue 0
!3.0 server no-descriptors ; !3.0 client no-descriptors until server says "accepted"
!3.0 server kill may-be-inert
expect client  up ; echo 0 ; down reset
expect client exactly dialing ; up ; sent 0 ; echo 0 by 0.100
expect client never down
expect other exactly
1.5 client close ; expect client "by the way; yes" by 60
"#;

fn read(text: &str) -> Scenario {
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> Malformed {
    text.parse::<Scenario>().expect_err(text)
}

#[test]
fn everything_is_read_and_written_and_read_as_the_same() {
    let scenario = read(EVERYTHING);
    let written = scenario.to_string();
    assert_eq!(read(&written), scenario, "{written}");
    assert_eq!(read(&written).to_string(), written);
    assert_eq!((scenario.nodes.len(), scenario.links.len(), scenario.expects.len()), (4, 2, 5));
    assert_eq!((scenario.script.len(), scenario.faults.len()), (37, 40));
    assert_eq!(scenario.links[0].loss, 10_000);
    assert_eq!(scenario.links[0].corrupt, 10);
}

#[test]
fn the_text_of_the_design_is_kept() {
    let text = "\
profile linux
host client
router router
host server
link client <-> router 10ms
link router <-> server 1ms
0.000 client connect server:7
0.020 client send \"hello\"
!0.021 router rst to client seq=exact
expect client up ; echo 0 ; down reset
";
    let scenario = read(text);
    assert_eq!(scenario.to_string(), text);
    assert_eq!(scenario.describe_fault(FaultId(0)), "router rst to client seq=exact");
    assert_eq!(scenario.describe_fault(FaultId(1)), "");
    assert_eq!(scenario.nodes, Scenario::three_nodes().nodes);
}

#[test]
fn a_cut_of_both_ways_is_two_faults() {
    let base = "host a\nhost b\nlink a <-> b 1ms\n";
    let scenario = read(&format!("{base}!1 a<->b cut until 2 may-be-inert"));
    assert_eq!(
        scenario,
        read(&format!("{base}!1 a->b cut until 2 may-be-inert ; !1 b->a cut until 2 may-be-inert"))
    );
    assert_eq!(scenario.faults.len(), 2);
}

#[test]
fn the_script_is_in_the_order_of_time() {
    let scenario = read("2 a close ; 1 a abort ; 2 a abort\nhost a");
    let commands: Vec<_> = scenario.script.iter().map(|line| &line.command).collect();
    assert_eq!(commands, [&Command::Abort, &Command::Close, &Command::Abort]);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_with_help() {
    let base =
        "host client\nhost server ; router router\nlink client <-> router 1ms ; link router <-> server 1ms\n";
    #[rustfmt::skip]
    let cases = [
        ("1 client connect sever:7", 18, "there is no node \"sever\"; did you mean \"server\"?"),
        ("1 client connect printer:7", 18, "there is no node \"printer\"; declare it with `host printer` or `router printer`"),
        ("1 client conect server:7", 10, "\"conect\" is not a command; did you mean \"connect\"?"),
        ("1 client", 9, "here should be a command, as in `connect server:7`"),
        ("1 client connect server:70000", 25, "\"70000\" is not a port: a number up to 65535"),
        ("1 client connect server:7 idle=2", 32, "\"2\" is not a duration, as in `10ms`, `1.5s`, `2m`, in whole nanoseconds; its unit is missing"),
        ("1 client connect server:7 idl=2s", 27, "\"idl\" is not an option here; did you mean \"idle\"?"),
        ("1 client connect server:7 idle", 27, "`idle` needs a value: `idle=…`"),
        ("1 client connect server:7 resend=1", 27, "`resend` takes no value"),
        ("1 client connect server:7 resend resend", 34, "`resend` is said twice"),
        ("1 client close now", 16, "nothing should follow here, but \"now\" does"),
        ("1 client send hello", 15, "\"hello\" is not something to send: put text in quotes, or say how much, as in `100 bytes`"),
        ("1 client send \"hello", 15, "this quote is not closed on its line: end it with `\"`"),
        ("1 client send \"\\xg0\"", 16, "`\\x` needs two hexadecimal digits, as in `\\x1b`"),
        ("1 client send \"ü\"2", 18, "a blank is missing between `\"` and `2`"),
        ("1 client call a recv 1", 1, "\"client\" has no socket \"a\" by then: make it before, as in `client call a = udp 0`"),
        ("1 client call a=udp 0", 15, "put blanks around `=`, as in `call a = udp 0`"),
        ("1 client call a = udp 0 uto=1s", 1, "a UDP socket has no `uto`: leave it out"),
        ("1 client call a = udp 0 backlog=1", 33, "only a listener has a backlog"),
        ("1 client call a = tcp connect server:7 broadcast", 1, "a TCP socket has no `broadcast`: leave it out"),
        ("1 client call a = tcp listen group-1:7", 1, "a TCP connection has two ends: bind its socket to an address of one host"),
        ("1 client call a = tcp connect server:7 from broadcast:7", 1, "a TCP connection has two ends: bind its socket to an address of one host"),
        ("1 client call a = udp group-256:7", 23, "\"group-256\" is not a group: `group-` and a number up to 255"),
        ("1 client call a = udp here:7", 23, "there is no node \"here\"; declare it with `host here` or `router here`"),
        ("1 client call a = udp router:7", 1, "\"router\" is a router: a port is only of a host"),
        ("0 client call a = udp 0 ; 1 client call a join server", 48, "\"server\" is not a group: `group-` and a number up to 255"),
        ("0 client call a = tcp listen 7 ; 1 client call a recv-all", 34, "\"a\" is no UDP socket: of a connection, `a recv 100`"),
        ("0 client call a = udp 0 ; 1 client call a recv-all b", 27, "\"client\" has no socket \"b\" by then: make it before, as in `client call b = udp 0`"),
        ("host loopback", 1, "\"loopback\" is a word of the language: choose another name"),
        ("host group-1", 1, "\"group-1\" is a word of the language: choose another name"),
        ("simulated-only because", 16, "\"because\" is not a reason: put it in quotes"),
        ("61 client close", 1, "61 is after the end, at 60: say `until 61` or more"),
        ("1 router close", 1, "\"router\" is a router: something is asked only of a host"),
        ("lnk client <-> server 1ms", 1, "\"lnk\" begins no statement; did you mean \"link\"?"),
        ("link client <-> router 1ms", 1, "\"client\" and \"router\" are linked already: two nodes have at most one link"),
        ("link client <-> client 1ms", 1, "a link has two ends, but both of this one are \"client\""),
        ("link client <-> server 1ms loss=101%", 1, "`loss` is 1010000 in a million: more than all of them"),
        ("link client <-> server 1ms mtu=67", 1, "an MTU of 67 bytes is too small: IPv4 needs 68"),
        ("host client", 1, "there are two nodes \"client\": choose another name"),
        ("host drop", 1, "\"drop\" is a word of the language: choose another name"),
        ("host new tcp_retries=5", 10, "\"tcp_retries\" is not a setting; did you mean \"tcp_retries2\"?"),
        ("host new tcp_retries2=256", 1, "`tcp_retries2=256`: a kernel takes 0 to 255"),
        ("host new tcp_syn_retries=0", 1, "`tcp_syn_retries=0`: a kernel takes 1 to 127"),
        ("host new tcp_rto_max_ms=999", 1, "`tcp_rto_max_ms=999`: a kernel takes 1000 to 120000"),
        ("host new ip_local_port_low=65536", 1, "`ip_local_port_low=65536`: a kernel takes 1 to 65535"),
        ("host new ip_local_port_low=61000", 1, "the first local port, 61000, lies behind the last, 60999"),
        ("1 client send 16777217 bytes", 1, "16777217 bytes at once are too many: at most 16777216"),
        ("!client->router#1 client->router delay 0s", 1, "late by no time would change nothing: leave it out, or say by how much"),
        ("!client->router#1 client->router duplicate 0s", 1, "the second has to come later than the first: by 1us, say"),
        ("profile macos", 9, "nobody has verified the profile \"macos\"; if that will do: `profile macos unverified`"),
        ("seed 1 ; seed 2", 10, "`seed` was said already, in line 4"),
        ("!1 client->server drop", 1, "there is no link between \"client\" and \"server\": declare it with `link client <-> server 1ms`"),
        ("!1 drop", 4, "which way? As in `client->router drop`"),
        ("!1 client<->router drop", 4, "a packet goes one way: `client->router drop`"),
        ("!1 client->router unplug", 4, "a cable has both ways: `client<->router unplug`"),
        ("!client->router drop", 2, "which packet? `client->router#1` is the first that way"),
        ("!client->router#0 drop", 1, "packets are counted from 1"),
        ("!client server kill", 2, "when of \"client\"? As in `client:established` or `client says \"up\"`"),
        ("!client:estab server kill", 9, "\"estab\" is not a TCP state; there are closed, listen, syn-sent, syn-received, established, fin-wait-1, fin-wait-2, close-wait, closing, last-ack and time-wait"),
        ("!2 client->router cut until 1", 1, "it ends at 1, before it begins"),
        ("!2 router kill", 1, "\"router\" is a router: this is true only of a host"),
        ("!2 server kill until 3", 16, "nothing should follow here, but \"until\" does"),
        ("expect client", 1, "what is expected? As in `expect client up`"),
        ("expect client up ; ; down", 20, "between two `;` should be what is expected"),
        ("expect client up by", 20, "here should be a time, as in `by 0.1`"),
        ("expect client up by 61", 1, "61 is after the end, at 60: say `until 61` or more"),
    ];
    for (text, column, message) in cases {
        let expected = Malformed { line: 4, column, message: message.to_owned() };
        assert_eq!(refused(&format!("{base}{text}")), expected, "{text}");
    }
    assert_eq!(
        refused(&format!("{base}1 client connect sever:7")).to_string(),
        "line 4, column 18: there is no node \"sever\"; did you mean \"server\"?"
    );
}

#[test]
fn a_scenario_made_in_code_is_checked_the_same_way() {
    let mut scenario = Scenario::three_nodes();
    assert_eq!(scenario.check(), Ok(()));
    scenario.at(Duration::from_secs(2), NodeId(0), Command::Close);
    scenario.at(Duration::from_secs(1), NodeId(0), Command::Close);
    let bad = scenario.check().unwrap_err();
    assert_eq!(bad.to_string(), "script[1]: the script is not in the order of time: 2 stands before 1");
    scenario.script.clear();
    scenario.at(Duration::ZERO, NodeId(9), Command::Close);
    assert_eq!(scenario.check().unwrap_err().message, "there is no node number 9");
    assert_eq!(
        scenario.show(&scenario.script[0]).to_string(),
        "0.000 node-9? close",
        "to be shown needs no check"
    );
    let mut scenario = Scenario::new();
    for i in 0..=Scenario::MOST_NODES {
        scenario.add(&format!("n{i}"), Role::Host);
    }
    assert_eq!(scenario.check().unwrap_err().to_string(), "nodes[200]: more than 200 nodes are too many");
}

#[test]
fn committed_scenarios_are_read_and_say_what_they_show() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "scn")).collect();
    assert!(files.len() >= 25);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario: Scenario = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(read(&scenario.to_string()), scenario, "{}", path.display());
        assert!(text.starts_with("# ") && !scenario.expects.is_empty(), "{}", path.display());
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        assert!(longest <= 120, "{}: a line of {longest}", path.display());
    }
}

#[test]
fn a_thousand_lines_are_read_at_once() {
    let mut text = "host a\nhost b\nlink a <-> b 1ms\n".to_owned();
    for i in 0..1_000 {
        text += &format!("0.{i:09} a connect b:7 idle=2s probe=500ms misses=3\n");
    }
    let fastest = (0..5).map(|_| {
        let start = Instant::now();
        read(&text);
        start.elapsed()
    });
    // A debug build on a busy machine takes about 10 ms; something quadratic would take seconds.
    assert!(fastest.min().unwrap() < Duration::from_millis(500));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = text.parse::<Scenario>();
    }

    #[test]
    fn no_damage_makes_it_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, "[ -~\nü]{0,3}"), 1..5),
    ) {
        let mut text: Vec<char> = EVERYTHING.chars().collect();
        for (at, cut, put) in damage {
            let at = at.index(text.len());
            let end = text.len().min(at + cut);
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        match text.parse::<Scenario>() {
            Ok(read) => prop_assert_eq!(read.to_string().parse(), Ok(read)),
            Err(error) => {
                let lines: Vec<&str> = text.split('\n').collect();
                let line = lines.get(error.line as usize - 1).expect("a line of the text");
                prop_assert!((1..=line.chars().count() + 1).contains(&(error.column as usize)), "{}", error);
            }
        }
    }
}
