//! Hosts that somebody else plays: what passes between them and the world, and in which order.

use std::time::Duration;

use resound_core::Instant;
use resound_core::signal::Version;
use resound_sim::faults::Interface;
use resound_sim::packet::{Body, Datagram, Packet};
use resound_sim::scenario::{HostFault, NodeId, RouteKind, Said, Way, address};
use resound_sim::world::{Errand, Live};
use resound_sim::{Echo, Record, Scenario, World};

const CLIENT: NodeId = NodeId(0);
const SERVER: NodeId = NodeId(2);

/// From the client to its router.
const OUT: Way = Way { from: CLIENT, to: NodeId(1) };

fn ms(ms: u64) -> Instant {
    Instant::EPOCH + Duration::from_millis(ms)
}

fn scenario(more: &str) -> Scenario {
    let three = "
        host client ; router router ; host server
        link client <-> router 10ms ; link router <-> server 1ms
        0 server serve udp 7
    ";
    format!("{three}\n{more}").parse().expect("a scenario")
}

/// What an RFC 862 server returns.
fn datagram(payload: &[u8]) -> Packet {
    let [from, to] = [CLIENT, SERVER].map(|node| address(node, Version::V4));
    let datagram = Datagram { source: 40_000, destination: 7, payload: payload.to_vec() };
    Packet::new(from, to, Body::Udp(datagram))
}

fn errands(live: &mut Live<'_>) -> Vec<Errand> {
    std::iter::from_fn(|| live.next_errand()).collect()
}

#[test]
fn nobody_outside_is_a_world_like_any_other() {
    let scenario =
        scenario("0 client connect udp server:7\n1 client send \"hello\"\n!2 server kill\nuntil 30");
    let played = World::new(&scenario, &mut Echo).play(Record::Said);
    let mut cast = Echo;
    let mut live = Live::new(&scenario, &mut cast, Record::Said, |_| false);
    while let Some(next) = live.next().filter(|next| *next <= Instant::EPOCH + scenario.until) {
        live.advance(next);
    }
    let run = live.finish();
    assert_eq!((run.digest, &run.said), (played.digest, &played.said));
    assert!(played.said.len() > 3);
}

#[test]
fn a_packet_passes_the_links_and_comes_back() {
    let (scenario, mut cast) = (scenario(""), Echo);
    let mut live = Live::new(&scenario, &mut cast, Record::Everything, |node| node == CLIENT);
    live.advance(ms(5));
    live.sets_out(ms(5), OUT, datagram(b"hello"));
    assert_eq!(live.next(), Some(ms(15)), "the first link takes 10 ms");
    live.advance(ms(26));
    assert_eq!(errands(&mut live), []);
    live.advance(ms(27));
    let back = errands(&mut live);
    let [Errand::Deliver { host: CLIENT, from: Some(NodeId(1)), packet }] = &back[..] else {
        panic!("{back:?}")
    };
    let Body::Udp(echo) = &packet.body else { panic!("{packet:?}") };
    assert_eq!((&echo.payload[..], echo.destination), (&b"hello"[..], 40_000));
    assert_eq!((packet.hops, live.finish().packets), (63, 4));
}

#[test]
fn faults_happen_to_what_comes_from_outside_and_to_the_host_itself() {
    let faults = "
        !client->router#1 drop
        !1.0 client kill
        !2.0 client route to server unreachable until 3.0
        !4.0 client reboot 500ms
        4.2 client connect udp server:7
        5.0 client connect udp server:7
    ";
    let (scenario, mut cast) = (scenario(faults), Echo);
    let mut live = Live::new(&scenario, &mut cast, Record::Said, |node| node == CLIENT);
    live.sets_out(ms(10), OUT, datagram(b"lost"));
    live.advance(ms(900));
    assert_eq!(errands(&mut live), []);
    live.advance(ms(1_000));
    let killed = errands(&mut live);
    let [Errand::Afflict(fault, CLIENT, HostFault::Kill)] = killed[..] else { panic!("{killed:?}") };
    live.acted(fault, "it is dead");
    live.advance(ms(3_000));
    let (lost, back) = (Some(RouteKind::Unreachable), None);
    let route = |kind| Errand::Route(CLIENT, Some(SERVER), kind);
    assert_eq!(errands(&mut live), [route(lost), route(back)]);
    live.advance(ms(4_100));
    assert!(matches!(errands(&mut live)[..], [Errand::Afflict(_, CLIENT, HostFault::Reboot(_))]));
    // Without power it sends nothing, and hears nobody.
    live.sets_out(ms(4_100), OUT, datagram(b"dead"));
    assert!(!live.asks(ms(4_150), CLIENT, NodeId(1)));
    live.advance(ms(5_000));
    let booted = errands(&mut live);
    assert!(matches!(booted[..], [Errand::Boot(CLIENT), Errand::Ask { host: CLIENT, .. }]), "{booted:?}");
    assert!(live.asks(ms(5_100), CLIENT, NodeId(1)));
    let run = live.finish();
    let effects: Vec<_> = run.ledger.iter().map(|effect| effect.as_str()).collect();
    assert_eq!(effects, ["acted"; 4], "{:?}", run.ledger);
    let said: Vec<_> = run.said.iter().map(|remark| remark.said.clone()).collect();
    assert_eq!(said, [Said::Refused("the host has no power".into())]);
    assert_eq!(run.packets, 1);
}

#[test]
fn a_host_that_boots_has_its_interfaces_as_they_were() {
    let faults = "!0.5 client->router link-down until 2 ; !1 client reboot 500ms";
    let (scenario, mut cast) = (scenario(faults), Echo);
    let mut live = Live::new(&scenario, &mut cast, Record::Said, |node| node == CLIENT);
    let mut until = |at| {
        live.advance(ms(at));
        let mut errands = errands(&mut live);
        // Of the cable nothing is asked here.
        errands.retain(|errand| !matches!(errand, Errand::Plug(..)));
        errands
    };
    let interface = |interface| Errand::Interface(OUT, interface);
    assert_eq!(until(500), [interface(Interface::Down)]);
    let booted = until(1_900);
    assert!(matches!(booted[..], [Errand::Afflict(..), Errand::Boot(CLIENT)]), "{booted:?}");
    assert_eq!(until(2_000), [interface(Interface::Up)]);
}

#[test]
fn what_is_said_outside_triggers_faults() {
    let (scenario, mut cast) = (scenario("!client says \"up\" client->router cut until 1.0"), Echo);
    let mut live = Live::new(&scenario, &mut cast, Record::Said, |node| node == CLIENT);
    live.says(ms(20), CLIENT, Said::Up);
    live.sets_out(ms(30), OUT, datagram(b"into the cut"));
    live.advance(ms(200));
    assert_eq!(errands(&mut live), []);
}
