//! One run by hand, in all the forms in which it can be shown.

use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use expect_test::expect_file;
use resound_core::Instant;
use resound_core::signal::{Origin, Reason};
use resound_sim::kernel::{Fate, TcpState};
use resound_sim::packet::{Body, Datagram, FaultId, Flags, Packet, Segment, Seq};
use resound_sim::run::{Effect, Happened, Moment, Remark, Run};
use resound_sim::scenario::{
    Fault, Forgery, Link, NodeId, Pick, Role, Said, Scenario, Tamper, Trigger, Way, What,
};
use resound_sim::wire;

const CLIENT: NodeId = NodeId(0);
const ROUTER: NodeId = NodeId(1);
const SERVER: NodeId = NodeId(2);

const OUT: [Way; 2] = [Way { from: CLIENT, to: ROUTER }, Way { from: ROUTER, to: SERVER }];
const BACK: [Way; 2] = [Way { from: SERVER, to: ROUTER }, Way { from: ROUTER, to: CLIENT }];

fn micros(micros: u64) -> Instant {
    Instant::EPOCH + Duration::from_micros(micros)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A segment of the client's connection, numbers counted from each side's first byte.
fn segment(from_client: bool, flags: Flags, seq: i32, ack: Option<u32>, payload: &str) -> Packet {
    let (client, server) = (ip("10.0.0.1"), ip("10.0.1.2"));
    // One side's numbers pass through zero.
    let [own, peer] = if from_client { [u32::MAX, 5_000] } else { [5_000, u32::MAX] };
    let [source, destination] = if from_client { [40_000, 7] } else { [7, 40_000] };
    let (from, to) = if from_client { (client, server) } else { (server, client) };
    let body = Body::Tcp(Segment {
        source,
        destination,
        seq: Seq(own.wrapping_add_signed(seq)),
        ack: ack.map(|ack| Seq(peer.wrapping_add(ack))),
        flags,
        window: 65_535,
        mss: flags.syn.then_some(1_460),
        payload: payload.as_bytes().to_vec(),
    });
    Packet::new(from, to, body)
}

/// A run that is told moment by moment.
struct Teller(Run);

impl Teller {
    fn new() -> Self {
        let ended = Instant::EPOCH;
        Self(Run {
            said: vec![],
            moments: vec![],
            ledger: vec![],
            ended,
            packets: 0,
            coverage: Default::default(),
            ways: vec![],
            order: vec![],
            disturbed: None,
            digest: 0x00c0_ffee,
        })
    }

    fn happened(&mut self, at: u64, what: Happened) {
        self.0.ended = micros(at);
        self.0.moments.push(Moment { at: micros(at), what });
    }

    fn sent(&mut self, at: u64, way: Way, packet: &Packet, fault: Option<(u32, &'static str)>) {
        let delay = if way.from == SERVER || way.to == SERVER { 1_000 } else { 10_000 };
        let lost = matches!(fault, Some((_, "drop" | "cut")));
        let arrives = (!lost).then(|| micros(at + delay));
        let fault = fault.map(|(id, word)| (FaultId(id), word));
        self.0.packets += 1;
        self.happened(at, Happened::Sent { way, packet: packet.clone(), arrives, fault });
    }

    /// All the way, from the client or back.
    fn passed(&mut self, at: u64, [first, second]: [Way; 2], packet: &Packet) {
        self.sent(at, first, packet, None);
        let delay = if first.from == CLIENT { 10_000 } else { 1_000 };
        self.sent(at + delay, second, packet, None);
    }

    fn said(&mut self, at: u64, node: NodeId, said: Said) {
        self.0.said.push(Remark { at: micros(at), node, said: said.clone() });
        self.happened(at, Happened::Said { node, said });
    }

    fn asked(&mut self, at: u64, node: NodeId, command: &str) {
        self.happened(at, Happened::Asked { node, command: command.to_owned() });
    }

    fn state(&mut self, at: u64, node: NodeId, state: TcpState) {
        self.happened(at, Happened::State { node, state });
    }
}

fn scenario() -> Scenario {
    let mut scenario = Scenario::three_nodes();
    let forge = |from, packet| What::Forge { from, to: CLIENT, packet };
    let icmp = Forgery::Icmp { kind: 3, code: 1, mtu: None, quote: Pick::Exact, quoted: 8 };
    let faults = [
        (Trigger::Packet(OUT[1], 1), What::Tamper(OUT[1], Tamper::Drop)),
        (Trigger::At(Duration::from_micros(1_060_000)), forge(ROUTER, icmp)),
        (Trigger::At(Duration::from_micros(1_070_000)), forge(ROUTER, Forgery::Rst(Pick::Exact))),
        (Trigger::At(Duration::from_micros(1_200_000)), What::Cut(OUT[0], None)),
        (Trigger::State(CLIENT, TcpState::LastAck), What::Tamper(OUT[0], Tamper::Corrupt)),
    ];
    scenario.faults.extend(faults.map(|(when, what)| Fault::new(when, what)));
    scenario
}

/// A connection whose SYN is lost at first, whose data goes twice, which shrugs off an ICMP error and dies of a reset;
/// then UDP over IPv6 that is refused, and a packet that a filter swallows.
fn run() -> Run {
    let mut run = Teller::new();
    run.asked(0, CLIENT, "connect server:7");
    run.said(0, CLIENT, Said::Dialing);
    let syn = segment(true, Flags::SYN, -1, None, "");
    run.state(0, CLIENT, TcpState::SynSent);
    run.sent(0, OUT[0], &syn, None);
    run.sent(10_000, OUT[1], &Packet { fault: Some(FaultId(0)), ..syn.clone() }, Some((0, "drop")));
    run.passed(1_000_000, OUT, &syn);
    run.state(1_011_000, SERVER, TcpState::SynReceived);
    run.passed(1_011_000, BACK, &segment(false, Flags::SYN, -1, Some(0), ""));
    run.state(1_022_000, CLIENT, TcpState::Established);
    run.said(1_022_000, CLIENT, Said::Up);
    run.passed(1_022_000, OUT, &segment(true, Flags::NONE, 0, Some(0), ""));
    run.said(1_033_000, SERVER, Said::Accepted);
    run.asked(1_040_000, CLIENT, "send \"hello\"");
    let data = segment(true, Flags::NONE, 0, Some(0), "hello");
    run.sent(1_040_000, OUT[0], &data, None);
    run.sent(1_041_000, OUT[0], &data, None);
    let mut busy = segment(false, Flags::NONE, 0, Some(5), "");
    if let Body::Tcp(segment) = &mut busy.body {
        segment.window = 0;
    }
    run.passed(1_051_000, BACK, &busy);

    let by = |fault, packet| Packet { fault: Some(FaultId(fault)), ..packet };
    let router = ip("10.0.0.254");
    let forged = by(1, data.complain(router, 3, 1, None, 8));
    run.sent(1_060_000, BACK[1], &forged, Some((1, "icmp")));
    run.happened(
        1_070_000,
        Happened::Arrived { node: CLIENT, fate: Fate::Absorbed("remembered as a soft error") },
    );
    let reset = by(2, segment(false, Flags::RST, 0, Some(5), ""));
    run.sent(1_070_000, BACK[1], &reset, Some((2, "rst")));
    run.happened(1_080_000, Happened::Arrived { node: CLIENT, fate: Fate::Acted("reset") });
    run.state(1_080_000, CLIENT, TcpState::Closed);
    run.said(1_080_000, CLIENT, Said::Down(Reason::Reset, Origin::Peer));
    // The keepalive of the other side, which knows of nothing.
    run.passed(1_081_000, BACK, &segment(false, Flags::NONE, -1, Some(5), ""));
    run.passed(1_092_000, OUT, &segment(true, Flags::RST, 5, None, ""));
    run.said(1_103_000, SERVER, Said::Ended(Reason::Reset));

    let ask = Datagram { source: 40_001, destination: 7, payload: vec![0x5a; 37] };
    let ask = Packet::new(ip("fd00::1"), ip("fd00:1::2"), Body::Udp(ask));
    run.passed(1_120_000, OUT, &ask);
    run.passed(1_131_000, BACK, &ask.complain(ip("fd00:1::2"), 1, 4, None, 37));
    run.said(1_142_000, CLIENT, Said::other("udp refused: \"no; #1\"\n\u{7}ünd"));
    run.happened(1_200_000, Happened::Fault { fault: FaultId(3), what: "cut client -> router".to_owned() });
    run.sent(1_201_000, OUT[0], &by(3, ask), Some((3, "cut")));

    run.0.ended = micros(60_000_000);
    run.0.ledger = vec![
        Effect::Acted("SYN lost".to_owned()),
        Effect::Absorbed("remembered as a soft error".to_owned()),
        Effect::Acted("reset".to_owned()),
        Effect::Acted("1 packet lost".to_owned()),
        Effect::Inert("the state was never entered".to_owned()),
    ];
    run.0
}

// The ladder.

#[test]
fn the_ladder_of_three_nodes() {
    let timeline = run().timeline(&scenario()).to_string();
    expect_file!["snapshots/timeline.txt"].assert_eq(&timeline);
}

#[test]
fn the_ladder_for_a_plain_terminal() {
    let (run, scenario) = (run(), scenario());
    let timeline = run.timeline(&scenario).unicode(false).states(false).to_string();
    assert!(timeline.is_ascii());
    assert!(!timeline.contains("tcp "), "states were to be left out");
    expect_file!["snapshots/timeline-ascii.txt"].assert_eq(&timeline);
}

#[test]
fn a_ladder_of_three_nodes_is_no_wider_than_a_terminal() {
    for line in run().timeline(&scenario()).to_string().lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

/// Colours add escapes, and change nothing else.
#[test]
fn without_its_escapes_the_coloured_ladder_is_the_same() {
    let (run, scenario) = (run(), scenario());
    let colored = run.timeline(&scenario).color(true).to_string();
    let mut parts = colored.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').expect("an escape ends with m").1);
    }
    assert_ne!(plain, colored);
    assert_eq!(plain, run.timeline(&scenario).to_string());
}

/// Eight nodes in a row, and packets between some that are far apart.
#[test]
fn the_ladder_of_eight_nodes() {
    let mut scenario = Scenario::new();
    for name in ["a", "bravo", "charlie-and-company", "d", "e", "f", "g", "hotel"] {
        scenario.add(name, Role::Host);
    }
    for (from, to) in [(0, 1), (0, 7), (6, 2)] {
        scenario.links.push(Link::new(NodeId(from), NodeId(to), Duration::from_millis(1)));
    }
    let mut run = Teller::new();
    let syn = segment(true, Flags::SYN, -1, None, "");
    let error = syn.complain(ip("10.0.0.254"), 3, 13, None, 0);
    let far = |from, to| Way { from: NodeId(from), to: NodeId(to) };
    run.sent(0, far(0, 1), &syn, None);
    run.sent(1_000, far(0, 7), &syn, None);
    run.sent(2_000, far(6, 2), &error, None);
    run.sent(3_000, far(1, 0), &error, Some((0, "drop")));
    run.sent(4_000, far(7, 0), &segment(false, Flags::SYN, -1, Some(0), ""), Some((0, "drop")));
    run.sent(5_000, far(3, 3), &syn, None);
    let damaged = Packet { damaged: true, ..syn.clone() };
    run.sent(5_100, far(0, 1), &damaged, None);
    run.sent(5_200, far(0, 1), &syn, Some((0, "delay")));
    run.sent(5_300, far(1, 2), &Packet { fault: Some(FaultId(0)), ..syn }, None);
    run.said(6_000, NodeId(3), Said::other("a word that is longer than the column"));
    run.said(7_000, NodeId(7), Said::Up);
    expect_file!["snapshots/timeline-eight.txt"].assert_eq(&run.0.timeline(&scenario).to_string());
}

/// Of a run of which only what was said is known, that is shown; and what the scenario does not have does not stop it.
#[test]
fn a_run_without_moments_tells_what_was_said() {
    let mut run = run();
    run.moments.clear();
    run.said.push(Remark { at: micros(2_000_000), node: NodeId(9), said: Said::Closed });
    let timeline = run.timeline(&scenario()).to_string();
    assert!(timeline.contains("1.022000  * up"), "{timeline}");
    assert!(timeline.contains("2.000000"), "{timeline}");
    let nobody = Scenario::new();
    assert!(run.timeline(&nobody).to_string().contains("* up"));
    assert!(run.json_lines(&nobody).to_string().contains(r#""node":"?""#));
    assert!(run.mermaid(&nobody).to_string().contains("Note over n0: 1.022000 up"));
    assert!(!run.pcapng(&nobody).is_empty());
}

// JSON lines.

#[test]
fn json_lines_are_json() {
    let text = run().json_lines(&scenario()).to_string();
    expect_file!["snapshots/timeline.jsonl"].assert_eq(&text);
    let parsed =
        |line| serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let lines: Vec<_> = text.lines().map(parsed).collect();

    assert_eq!(lines.len(), 1 + run().moments.len() + run().ledger.len() + 1);
    assert!(lines.iter().all(|line| line["kind"].is_string()));
    assert_eq!(lines[0]["nodes"], serde_json::json!(["client", "router", "server"]));
    let forged: Vec<_> = lines.iter().filter(|line| line["forged"] == true).collect();
    assert_eq!(forged.len(), 2);
    assert_eq!(forged[0]["packet"]["quote"]["source_port"], 40_000);
    let lost = lines.iter().find(|line| line["did"] == "drop").expect("the lost SYN");
    assert!(lost["arrives_ns"].is_null());
}

#[test]
fn any_text_is_json() {
    let mut awkward: String = (0..=0x1f_u8).map(char::from).collect();
    awkward.push_str("\"\\/\u{7f}\u{2028}😀");
    let mut scenario = Scenario::new();
    scenario.add(&awkward, Role::Host);
    let mut run = Teller::new();
    run.said(0, CLIENT, Said::other(&awkward));
    let text = run.0.json_lines(&scenario).to_string();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert_eq!(lines[1]["text"], awkward);
    assert_eq!(lines[1]["node"], awkward);
}

// Mermaid.

#[test]
fn a_sequence_diagram() {
    let text = run().mermaid(&scenario()).to_string();
    expect_file!["snapshots/timeline.mmd"].assert_eq(&text);
}

/// Each line is of a form that Mermaid's grammar has, and its text has nothing that would end it.
#[test]
fn a_sequence_diagram_has_only_lines_that_mermaid_knows() {
    let text = run().mermaid(&scenario()).to_string();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("sequenceDiagram"));
    for line in lines {
        let line = line.strip_prefix("    ").expect("indented");
        let text = if let Some(name) = line.strip_prefix("participant n") {
            name.split_once(" as ").expect("a name").1
        } else {
            let (head, text) = line.split_once(": ").expect("a text");
            let known =
                head.starts_with("Note over n") || ["->>n", "-xn", "--xn"].iter().any(|a| head.contains(a));
            assert!(known, "{line}");
            text
        };
        let unescaped: String = text
            .split('#')
            .enumerate()
            .map(|(at, part)| match at {
                0 => part,
                _ => part.split_once(';').expect("an entity ends").1,
            })
            .collect();
        assert!(!unescaped.contains([';', '%', '<', '>', '\n']), "{line}");
    }
}

// SVG.

/// The elements and texts of a drawing; another's parser says that it is XML.
fn drawn(svg: &str) -> (Vec<String>, Vec<String>) {
    let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
    let classes = document.descendants().filter_map(|node| node.attribute("class")).map(String::from);
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    let texts = texts.filter_map(|node| node.text()).map(String::from);
    (classes.collect(), texts.collect())
}

#[test]
fn a_drawing() {
    let svg = run().svg(&scenario()).to_string();
    expect_file!["snapshots/timeline.svg"].assert_eq(&svg);
    let (classes, texts) = drawn(&svg);
    let sent = run().moments.iter().filter(|moment| matches!(moment.what, Happened::Sent { .. })).count();
    let count = |class: &str| classes.iter().filter(|of| of.split(' ').any(|of| of == class)).count();
    assert_eq!((count("lost"), count("forged"), count("shaft")), (2, 2, sent));
    assert_eq!((count("icmp"), count("rst")), (3, 3), "the forged ones and what hosts answered");
    for text in ["client", "SYN", "up", "ICMP 3/1", "data 0..5 again", "fault 4: cut client -> router"] {
        assert!(texts.iter().any(|told| told == text), "{text}: {texts:?}");
    }
}

#[test]
fn a_drawing_within_a_page_brings_no_style() {
    let (run, scenario) = (run(), scenario());
    let svg = run.svg(&scenario).within_page().states(false).to_string();
    assert!(!svg.contains("<style") && !svg.contains("tcp established"), "{svg}");
    drawn(&svg);
}

#[test]
fn any_text_can_be_drawn() {
    let mut awkward: String = "\u{0}\u{1}\n\u{1f}".to_owned();
    awkward.push_str("]]>\"'&lt;</svg>\u{7f}\u{fffe}\u{2028}😀");
    let mut scenario = Scenario::new();
    scenario.add(&awkward, Role::Host);
    let mut run = Teller::new();
    run.said(0, CLIENT, Said::other(&awkward));
    run.asked(0, NodeId(9), &awkward);
    let (_, texts) = drawn(&run.0.svg(&scenario).to_string());
    assert!(texts.iter().any(|text| text.contains("]]>\"'&lt;</svg>")), "{texts:?}");
    drawn(&run.0.svg(&Scenario::new()).to_string());
}

/// Long silence is a break, and a long course is folded: the drawing stays short, and says what it leaves out.
#[test]
fn what_goes_on_and_on_is_folded() {
    let mut run = Teller::new();
    for at in 0..500 {
        run.passed(60_000_000 * at, OUT, &segment(true, Flags::NONE, 0, Some(0), "x"));
    }
    let (_, texts) = drawn(&run.0.svg(&scenario()).to_string());
    let folded = "… 976 more (976 packets), until 29700.010000";
    assert!(texts.iter().any(|text| text == folded), "{texts:?}");
    assert!(texts.iter().any(|text| text == "+60.0 s"), "{texts:?}");
    assert!(texts.len() < 100, "{}", texts.len());
}

/// On a real host words come a little later than the packet that they are about.
#[test]
fn no_words_lie_over_the_head_of_an_arrow() {
    let mut run = Teller::new();
    run.sent(0, OUT[0], &segment(true, Flags::SYN, -1, None, ""), None);
    run.said(10_200, ROUTER, Said::Up);
    let svg = run.0.svg(&scenario()).to_string();
    let document = roxmltree::Document::parse(&svg).expect("it is XML");
    let shaft =
        document.descendants().find(|node| node.attribute("class") == Some("shaft")).expect("an arrow");
    let (_, end) = shaft.attribute("d").and_then(|line| line.rsplit_once(' ')).expect("a line");
    let words = document.descendants().rfind(|node| node.has_tag_name("rect")).expect("a box");
    let (end, words): (u32, u32) = (end.parse().unwrap(), words.attribute("y").unwrap().parse().unwrap());
    assert!(end <= words, "the arrow ends at {end}, the box begins at {words}: {svg}");
}

// The capture file.

/// A block's type and body.
fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
    let mut found = Vec::new();
    while !file.is_empty() {
        let length = word(file, 4) as usize;
        assert_eq!(length % 4, 0);
        let (block, rest) = file.split_at(length);
        assert_eq!(word(block, length - 4) as usize, length, "the length at both ends");
        found.push((word(block, 0), &block[8..length - 4]));
        file = rest;
    }
    found
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn options(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    loop {
        let kind = word(bytes, 0) as u16;
        let length = (word(bytes, 0) >> 16) as usize;
        if kind == 0 {
            assert_eq!((length, bytes.len()), (0, 4), "the end of options is the end of the block");
            return found;
        }
        found.push((kind, &bytes[4..4 + length]));
        bytes = &bytes[4 + length.next_multiple_of(4)..];
    }
}

#[test]
fn a_capture_file_has_each_packet_on_its_link() {
    let (run, scenario) = (run(), scenario());
    let file = run.pcapng(&scenario);
    let blocks = blocks(&file);
    let [(0x0a0d_0d0a, section), (1, first), (1, second), packets @ ..] = &blocks[..] else {
        panic!("a section and two interfaces: {blocks:?}")
    };
    assert_eq!(word(section, 0), 0x1a2b_3c4d);
    assert_eq!(word(section, 4), 1, "version 1.0");
    for (interface, name) in [(first, "client-router"), (second, "router-server")] {
        assert_eq!(word(interface, 0), 101, "raw IP");
        assert_eq!(options(&interface[8..]), [(2, name.as_bytes()), (9, &[9])]);
    }

    let mut packets = packets.iter();
    let mut commented = Vec::new();
    for Moment { at, what } in &run.moments {
        let Happened::Sent { way, packet, .. } = what else { continue };
        let (kind, block) = packets.next().expect("a block for each packet");
        assert_eq!(*kind, 6);
        assert_eq!(word(block, 0) == 0, [way.from, way.to].contains(&CLIENT), "its link");
        assert_eq!(u64::from(word(block, 4)) << 32 | u64::from(word(block, 8)), at.nanos());
        let length = word(block, 12) as usize;
        assert_eq!(word(block, 16) as usize, length);
        let bytes = &block[20..20 + length];
        assert_eq!(wire::decode(bytes), Ok(Packet { fault: None, ..packet.clone() }));

        let options = options(&block[20 + length.next_multiple_of(4)..]);
        let (comments, flags) = options.split_at(options.len() - 1);
        let outbound = OUT.contains(way);
        assert_eq!(flags, [(2, &(if outbound { 2_u32 } else { 1 }).to_le_bytes()[..])]);
        commented.extend(comments.iter().map(|(kind, text)| {
            assert_eq!(*kind, 1);
            String::from_utf8_lossy(text).into_owned()
        }));
    }
    assert_eq!(packets.next(), None);
    assert_eq!(
        commented,
        [
            "SYN, lost: drop (fault 1): !router->server#1 drop",
            "ICMP 3/1 host-unreach about data 0..5, forged (fault 2): !1.060 router icmp 3/1 to client quote=exact",
            "RST 0, forged (fault 3): !1.070 router rst to client seq=exact",
            "UDP 37 bytes, lost: cut (fault 4): !1.200 client->router cut",
        ]
    );
}

/// What Wireshark sees in it, where it is installed: each packet with the protocols that are in it, those of quotes too, and
/// no checksum that is wrong.
#[test]
fn wireshark_reads_the_capture_file() {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r", "-", "-T", "fields", "-e", "frame.time_epoch"]);
    command.args(["-e", "frame.interface_name", "-e", "frame.protocols", "-e", "_ws.malformed"]);
    for protocol in ["tcp", "udp", "icmp", "icmpv6"] {
        command.args(["-e", &format!("{protocol}.checksum.status")]);
    }
    for protocol in ["ip", "tcp", "udp"] {
        command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
    }
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut tshark) = started else {
        println!("skipped: tshark is not installed");
        return;
    };
    let (run, scenario) = (run(), scenario());
    let file = run.pcapng(&scenario);
    tshark.stdin.take().expect("piped").write_all(&file).expect("tshark reads");
    let output = tshark.wait_with_output().expect("tshark ends");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");

    let mut lines = text.lines();
    for Moment { at, what } in &run.moments {
        let Happened::Sent { way, packet, .. } = what else { continue };
        let line = lines.next().expect("a line for each packet");
        let [time, link, protocols, malformed, statuses @ ..] = &line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("{line}")
        };
        assert_eq!(*time, format!("{}.{:09}", at.nanos() / 1_000_000_000, at.nanos() % 1_000_000_000));
        assert_eq!(
            *link,
            if [way.from, way.to].contains(&CLIENT) { "client-router" } else { "router-server" }
        );
        // Wireshark goes on to what is in the payload, by the port.
        assert!(protocols.starts_with(&format!("raw:{}", protocols_of(packet))), "{line}");
        assert_eq!(*malformed, "");
        assert!(statuses.contains(&"1"), "no checksum was right: {line}");
        assert!(statuses.iter().all(|status| !status.contains('0')), "a checksum was wrong: {line}");
    }
    assert_eq!(lines.next(), None);
}

fn protocols_of(packet: &Packet) -> String {
    let (ip, icmp) = if packet.destination.is_ipv4() { ("ip", "icmp") } else { ("ipv6", "icmpv6") };
    match &packet.body {
        Body::Tcp(_) => format!("{ip}:tcp"),
        Body::Udp(_) => format!("{ip}:udp"),
        Body::Icmp(error) => format!("{ip}:{icmp}:{}", protocols_of(&error.quote)),
    }
}

// What a run gives.

#[test]
fn a_run_tells_who_said_what_and_which_faults_did_nothing() {
    let run = run();
    let server: Vec<_> = run.said_by(SERVER).map(|remark| remark.said.to_string()).collect();
    assert_eq!(server, ["accepted", "ended reset"]);
    assert_eq!(run.inert().collect::<Vec<_>>(), [(FaultId(4), "the state was never entered")]);
    assert_eq!(run.ledger[1].to_string(), "absorbed: remembered as a soft error");
}
