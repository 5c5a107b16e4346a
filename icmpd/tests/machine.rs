//! The decisions: who is told what, and what happens when there is too much. No socket is opened.

#![allow(missing_docs)]
#![cfg(target_os = "linux")]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::num::NonZeroUsize;

use proptest::prelude::*;
use resound_core::Instant;
use resound_core::signal::{IcmpError, Version};
use resound_icmpd::machine::{ClientId, Failure, Limits, Machine, Tally};
use resound_icmpd::protocol::{Event, Place, Who};
use resound_icmpd::table::{Bound, Reach, Table};

const NOW: Instant = Instant::EPOCH;
const ALICE: Who = Who { pid: 100, uid: 1000 };
const BOB: Who = Who { pid: 200, uid: 2000 };
const ROOT: Who = Who { pid: 1, uid: 0 };

fn limits(clients: usize, registrations: usize, queue: usize) -> Limits {
    let count = |n| NonZeroUsize::new(n).unwrap();
    Limits { clients: count(clients), registrations: count(registrations), queue: count(queue) }
}

fn bound(local: &str, inode: u64, owner: u32) -> Bound {
    Bound { local: local.parse().unwrap(), reach: Reach::OwnVersion, inode, owner }
}

fn failure(source: SocketAddr) -> Failure {
    let destination = "192.0.2.7:7".parse().unwrap();
    let error = IcmpError {
        version: Version::V4,
        kind: 3,
        code: 3,
        offender: Some(Ipv4Addr::new(192, 0, 2, 7).into()),
        destination: Some(destination),
        mtu: None,
    };
    Failure { error, source, destination, quoted: 3, first: vec![1, 2, 0xff] }
}

fn fails(machine: &mut Machine, source: &str, table: &Table) {
    machine.receive(NOW, &failure(source.parse().unwrap()), Some(table));
}

/// Everything a client is told now.
fn read(machine: &mut Machine, client: ClientId) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(line) = machine.front(client).cloned() {
        machine.sent(client);
        events.push(line.event);
    }
    events
}

fn icmps(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Icmp(_))).count()
}

/// A client of this user with this socket, whose answer was read.
fn registered(machine: &mut Machine, who: Who, socket: Bound) -> ClientId {
    let client = machine.connect(NOW, who).unwrap();
    machine.register(NOW, client, vec![socket]);
    assert!(matches!(read(machine, client)[..], [Event::Registered { .. }]));
    client
}

#[test]
fn whose_datagram_it_was_is_told_and_nobody_else() {
    let (a, b) = (bound("192.0.2.1:5000", 1, 1000), bound("192.0.2.1:5001", 2, 2000));
    let table = Table::from_iter([a, b]);
    let mut machine = Machine::new(Limits::default());
    let (alice, bob) = (registered(&mut machine, ALICE, a), registered(&mut machine, BOB, b));
    machine.take_journal();
    fails(&mut machine, "192.0.2.1:5000", &table);
    let told = read(&mut machine, alice);
    let [Event::Icmp(icmp)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((icmp.peer, icmp.local), ("192.0.2.7:7".parse().unwrap(), "192.0.2.1:5000".parse().unwrap()));
    assert_eq!((&*icmp.reason, &*icmp.origin, icmp.forgeable), ("port-unreach", "peer", true));
    assert_eq!((icmp.quoted.bytes, &*icmp.quoted.first), (3, "0102ff"));
    assert_eq!(read(&mut machine, bob), []);
    assert_eq!(icmps(&machine.take_journal().into_iter().map(|line| line.event).collect::<Vec<_>>()), 1);
    fails(&mut machine, "192.0.2.1:5002", &table);
    fails(&mut machine, "192.0.2.9:5000", &table);
    assert_eq!((read(&mut machine, alice), read(&mut machine, bob)), (vec![], vec![]));
    assert_eq!((machine.tally().told, machine.tally().unclaimed), (1, 2));
    assert!(machine.take_journal().is_empty());
}

#[test]
fn a_closed_socket_ends_its_registration_before_its_ports_next_owner_is_told_of() {
    let a = bound("0.0.0.0:5000", 1, 1000);
    let mut machine = Machine::new(Limits::default());
    let alice = registered(&mut machine, ALICE, a);
    // Closed; the port is Bob's now.
    let table = Table::from_iter([bound("0.0.0.0:5000", 2, 2000)]);
    assert!(machine.misses(&table));
    fails(&mut machine, "192.0.2.1:5000", &table);
    let told = read(&mut machine, alice);
    assert!(matches!(told[..], [Event::Deregistered { registration: 1, .. }]), "{told:?}");
    assert!(!machine.concerns("192.0.2.1:5000".parse().unwrap()));
}

#[test]
fn a_socket_that_connects_keeps_its_registration_with_its_new_address() {
    let mut machine = Machine::new(Limits::default());
    let alice = registered(&mut machine, ALICE, bound("0.0.0.0:5000", 1, 1000));
    let table = Table::from_iter([bound("192.0.2.1:5000", 1, 1000)]);
    fails(&mut machine, "192.0.2.9:5000", &table);
    assert_eq!(read(&mut machine, alice), []);
    fails(&mut machine, "192.0.2.1:5000", &table);
    assert_eq!(icmps(&read(&mut machine, alice)), 1);
}

#[test]
fn a_port_that_users_share_is_told_to_nobody_but_root() {
    let (a, b) = (bound("0.0.0.0:5000", 1, 1000), bound("192.0.2.1:5000", 2, 2000));
    let table = Table::from_iter([a, b]);
    let mut machine = Machine::new(Limits::default());
    let (alice, bob) = (registered(&mut machine, ALICE, a), registered(&mut machine, BOB, b));
    fails(&mut machine, "192.0.2.1:5000", &table);
    assert_eq!((read(&mut machine, alice), read(&mut machine, bob)), (vec![], vec![]));
    assert_eq!(machine.tally().withheld, 1);
    let root = registered(&mut machine, ROOT, a);
    fails(&mut machine, "192.0.2.1:5000", &table);
    assert_eq!(icmps(&read(&mut machine, root)), 1);
    assert_eq!((read(&mut machine, alice), read(&mut machine, bob)), (vec![], vec![]));
    // Only Alice's can have sent this.
    fails(&mut machine, "192.0.2.2:5000", &table);
    assert_eq!((icmps(&read(&mut machine, alice)), icmps(&read(&mut machine, bob))), (1, 0));
}

#[test]
fn without_the_kernels_word_nobody_is_told() {
    let mut machine = Machine::new(Limits::default());
    let alice = registered(&mut machine, ALICE, bound("0.0.0.0:5000", 1, 1000));
    machine.receive(NOW, &failure("192.0.2.1:5000".parse().unwrap()), None);
    assert_eq!(read(&mut machine, alice), []);
    assert_eq!(machine.tally().withheld, 1);
}

#[test]
fn to_register_twice_is_to_register_once() {
    let a = bound("0.0.0.0:5000", 1, 1000);
    let mut machine = Machine::new(limits(1, 1, 8));
    let alice = registered(&mut machine, ALICE, a);
    machine.register(NOW, alice, vec![a]);
    let told = read(&mut machine, alice);
    assert!(matches!(&told[..], [Event::Registered { registration: 1, .. }]), "{told:?}");
    fails(&mut machine, "192.0.2.1:5000", &Table::from_iter([a]));
    assert_eq!(icmps(&read(&mut machine, alice)), 1);
}

#[test]
fn the_limits_are_told() {
    let mut machine = Machine::new(limits(1, 1, 8));
    let alice = registered(&mut machine, ALICE, bound("0.0.0.0:5000", 1, 1000));
    machine.register(NOW, alice, vec![bound("0.0.0.0:5001", 2, 1000)]);
    let told = read(&mut machine, alice);
    assert!(matches!(&told[..], [Event::NotRegistered { why }] if why.contains('1')), "{told:?}");
    assert!(machine.connect(NOW, BOB).is_err());
    machine.disconnect(alice);
    assert!(!machine.concerns("192.0.2.1:5000".parse().unwrap()));
    machine.connect(NOW, BOB).unwrap();
    assert_eq!((machine.tally().clients, machine.tally().refused), (2, 2));
}

#[test]
fn what_a_slow_client_misses_is_told_in_its_place() {
    let a = bound("0.0.0.0:5000", 1, 1000);
    let table = Table::from_iter([a]);
    let mut machine = Machine::new(limits(1, 1, 3));
    let alice = registered(&mut machine, ALICE, a);
    for _ in 0..10 {
        fails(&mut machine, "192.0.2.1:5000", &table);
    }
    assert!(!machine.wants_request(alice), "an answer would have no room");
    let told = read(&mut machine, alice);
    let [Event::Icmp(_), Event::Icmp(_), Event::Icmp(_), Event::Dropped { count: 7, at: Place::Client }] =
        told[..]
    else {
        panic!("{told:?}")
    };
    assert!(machine.wants_request(alice));
    assert_eq!(machine.tally().dropped, 7);
    fails(&mut machine, "192.0.2.1:5000", &table);
    assert_eq!(icmps(&read(&mut machine, alice)), 1);
}

#[test]
fn what_the_kernel_threw_away_is_told_to_whoever_it_may_concern() {
    let mut machine = Machine::new(Limits::default());
    let alice = registered(&mut machine, ALICE, bound("0.0.0.0:5000", 1, 1000));
    let bob = machine.connect(NOW, BOB).unwrap();
    machine.overflowed(NOW, 5);
    assert_eq!(read(&mut machine, alice), [Event::Dropped { count: 5, at: Place::Daemon }]);
    assert_eq!(read(&mut machine, bob), []);
}

/// An address from a world so small that everything meets everything.
fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        Just(Ipv4Addr::UNSPECIFIED.into()),
        (1..3_u8).prop_map(|last| Ipv4Addr::new(192, 0, 2, last).into()),
        Just(Ipv6Addr::UNSPECIFIED.into()),
        (1..3_u16).prop_map(|last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()),
        (0..3_u8).prop_map(|last| Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped().into()),
    ]
}

prop_compose! {
    fn any_bound()(ip in ip(), port in 1..4_u16, both: bool, inode in 1..9_u64, owner in 0..3_u32) -> Bound {
        let reach = if both { Reach::BothVersions } else { Reach::OwnVersion };
        Bound { local: (ip, port).into(), reach, inode, owner }
    }
}

/// What a datagram can have as its source.
fn source() -> impl Strategy<Value = SocketAddr> {
    let specific = ip().prop_filter("an address of this host", |ip| !ip.is_unspecified());
    let sent = specific.prop_map(|ip| ip.to_canonical());
    (sent, 1..4_u16).prop_map(SocketAddr::from)
}

/// A table as the kernel can have one: no socket is in it twice.
fn table() -> impl Strategy<Value = Table> {
    prop::collection::vec(any_bound(), 0..6).prop_map(|bounds| {
        let mut table = Table::default();
        for bound in bounds {
            table.merge(Table::from_iter([bound]));
        }
        table
    })
}

/// The rule, told another way: IPv4 in IPv4 form, compared one by one.
fn plainly_could_have_sent(bound: &Bound, source: SocketAddr) -> bool {
    let local = bound.local.ip().to_canonical();
    let versions_agree = match (bound.local.ip(), source.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => true,
        (IpAddr::V6(ip), IpAddr::V4(_)) if ip.is_unspecified() => bound.reach == Reach::BothVersions,
        (IpAddr::V6(_), IpAddr::V4(_)) => local.is_ipv4(),
        (IpAddr::V6(_), IpAddr::V6(_)) => local.is_ipv6(),
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    };
    let addresses_agree = local.is_unspecified() || local == source.ip();
    bound.local.port() == source.port() && versions_agree && addresses_agree
}

#[derive(Clone, Debug)]
enum Act {
    Register(usize, Bound),
    Fail(SocketAddr, Option<Table>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..3_usize, any_bound()).prop_map(|(client, bound)| Act::Register(client, bound)),
        (source(), prop::option::weighted(0.9, table())).prop_map(|(source, table)| Act::Fail(source, table)),
    ]
}

#[derive(Clone, Debug)]
enum Load {
    Register(usize, u16),
    Close(u64),
    Fail,
    Overflow,
    Read(usize, usize),
}

fn load() -> impl Strategy<Value = Load> {
    prop_oneof![
        2 => (0..2_usize, 1..6_u16).prop_map(|(client, port)| Load::Register(client, port)),
        1 => (2..6_u64).prop_map(Load::Close),
        8 => Just(Load::Fail),
        1 => Just(Load::Overflow),
        2 => (0..2_usize, 1..9_usize).prop_map(|(client, lines)| Load::Read(client, lines)),
    ]
}

/// What a client was told, in numbers.
#[derive(Default)]
struct Heard {
    news: u64,
    missed: u64,
    answers: u64,
}

impl Heard {
    fn add(&mut self, event: &Event) {
        match event {
            Event::Icmp(_) | Event::Dropped { at: Place::Daemon, .. } => self.news += 1,
            Event::Dropped { count, at: Place::Client } => self.missed += count,
            Event::Registered { .. } | Event::NotRegistered { .. } => self.answers += 1,
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// An error is told to a client if and only if one of its registered sockets is open, could have sent the datagram,
    /// and shares that with no other user's. Each error ends once.
    #[test]
    fn attribution_is_never_wrong(acts in prop::collection::vec(act(), 1..40)) {
        let mut machine = Machine::new(limits(3, 1000, 1000));
        let mut clients: Vec<(ClientId, u32, Vec<Bound>)> = (0..3)
            .map(|uid| (machine.connect(NOW, Who { pid: 1, uid }).unwrap(), uid, Vec::new()))
            .collect();
        for act in acts {
            match act {
                Act::Register(which, bound) => {
                    let (id, _, known) = &mut clients[which];
                    machine.register(NOW, *id, vec![bound]);
                    known.push(bound);
                    read(&mut machine, *id);
                }
                Act::Fail(source, table) => {
                    let before = machine.tally();
                    let concerns = machine.concerns(source);
                    machine.receive(NOW, &failure(source), table.as_ref());
                    let mut told_any = false;
                    for (id, uid, known) in &mut clients {
                        let told = icmps(&read(&mut machine, *id));
                        let Some(table) = table.as_ref().filter(|_| concerns) else {
                            prop_assert_eq!(told, 0);
                            continue;
                        };
                        *known = known.iter().filter_map(|bound| bound.now(table)).collect();
                        let suspects: Vec<&Bound> =
                            table.at(source.port()).iter().filter(|bound| plainly_could_have_sent(bound, source)).collect();
                        let mut mine = known.iter().filter(|bound| plainly_could_have_sent(bound, source));
                        let may = mine.any(|mine| *uid == 0 || suspects.iter().all(|other| other.owner == mine.owner));
                        prop_assert_eq!(told, usize::from(may), "{} for {:?} with {:?}", source, known, table);
                        told_any |= told > 0;
                    }
                    let after = machine.tally();
                    prop_assert_eq!(after.told - before.told, u64::from(told_any));
                    let ends = |tally: &Tally| tally.told + tally.unclaimed + tally.withheld;
                    prop_assert_eq!(ends(&after), ends(&before) + 1);
                }
            }
        }
    }

    /// However slowly clients read: no queue outgrows its limit, each line is told or counted as missed, once, and no
    /// answer is ever missing.
    #[test]
    fn everything_is_bounded_and_accounted_for(
        acts in prop::collection::vec(load(), 1..200),
        queue in 1..6_usize,
        registrations in 1..4_usize,
    ) {
        let mut machine = Machine::new(limits(2, registrations, queue));
        let all: Vec<Bound> = (1..6).map(|n| bound(&format!("0.0.0.0:{n}"), n, 1000)).collect();
        let mut open = all.clone();
        let ids = [machine.connect(NOW, ALICE).unwrap(), machine.connect(NOW, ALICE).unwrap()];
        // Port 1 never closes, so that everybody is told of everything.
        let (mut offered, mut asked) = ([0, 0], [1, 1]);
        let mut heard = [Heard::default(), Heard::default()];
        for id in ids {
            machine.register(NOW, id, vec![all[0]]);
        }
        for act in acts {
            match act {
                Load::Register(client, port) => {
                    if machine.wants_request(ids[client]) {
                        asked[client] += 1;
                        machine.register(NOW, ids[client], vec![all[usize::from(port) - 1]]);
                    }
                }
                Load::Close(inode) => open.retain(|bound| bound.inode != inode),
                Load::Fail => {
                    fails(&mut machine, "192.0.2.1:1", &open.iter().copied().collect());
                    offered = offered.map(|count| count + 1);
                }
                Load::Overflow => {
                    machine.overflowed(NOW, 3);
                    offered = offered.map(|count| count + 1);
                }
                Load::Read(client, lines) => {
                    for _ in 0..lines {
                        let Some(line) = machine.front(ids[client]).cloned() else { break };
                        machine.sent(ids[client]);
                        heard[client].add(&line.event);
                    }
                }
            }
        }
        for (client, id) in ids.into_iter().enumerate() {
            let rest = read(&mut machine, id);
            // One more says what is missing at the end.
            prop_assert!(rest.len() <= queue + registrations + 1, "{} lines", rest.len());
            rest.iter().for_each(|event| heard[client].add(event));
            prop_assert_eq!(heard[client].news + heard[client].missed, offered[client]);
            prop_assert_eq!(heard[client].answers, asked[client]);
        }
        prop_assert_eq!(machine.tally().dropped, heard[0].missed + heard[1].missed);
    }
}
