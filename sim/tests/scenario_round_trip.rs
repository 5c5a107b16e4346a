//! Whatever scenario there is: what is written is read as the same.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use resound_core::signal::Version;
use resound_sim::kernel::{Profile, Sysctl, TcpState, Unverified};
use resound_sim::scenario::{
    Address, Call, Comeback, Command, End, Expect, Fault, Forgery, HostFault, Knobs, Line, Link, Mode, Node,
    NodeId, Open, Payload, Peer, Pick, Role, RouteKind, Scenario, SocketKnobs, Tamper, Transport, Trigger,
    Way, What,
};

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..10_000_u64).prop_map(Duration::from_millis),
        any::<u64>().prop_map(Duration::from_nanos),
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
    ]
}

/// Before the end of the generated scenarios.
fn time() -> impl Strategy<Value = Duration> {
    (0..50_u64, prop_oneof![Just(0), 0..1_000_000_000_u32])
        .prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}( [a-z0-9-]{1,5}){0,2}",
        "[ -~]*x[ -~]*",
        "(?s).*x.*",
        Just("never by 5".to_owned())
    ]
}

fn bytes() -> impl Strategy<Value = u32> {
    0..=Scenario::MOST_BYTES
}

fn late() -> impl Strategy<Value = Duration> {
    span().prop_map(|span| span.max(Duration::from_nanos(1)))
}

/// What a kernel takes, and so that the first local port does not lie behind the last.
fn setting((sysctl, value): (Sysctl, u64)) -> (Sysctl, u64) {
    let (least, most) = match sysctl {
        Sysctl::PortLow => (1, 1_024),
        Sysctl::PortHigh => (32_768, 65_535),
        sysctl => sysctl.bounds(),
    };
    (sysctl, least + value % (most - least + 1))
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![any::<String>().prop_map(Payload::Text), bytes().prop_map(Payload::Bytes)]
}

fn hosts() -> impl Strategy<Value = NodeId> {
    select(vec![NodeId(0), NodeId(2)])
}

fn peer() -> impl Strategy<Value = Peer> {
    (hosts(), any::<u16>()).prop_map(|(host, port)| Peer { host, port })
}

fn end() -> impl Strategy<Value = End> {
    let at = prop_oneof![
        hosts().prop_map(Address::Of),
        select(vec![Address::Any, Address::Loopback, Address::Broadcast]),
        any::<u8>().prop_map(Address::Group),
    ];
    (at, any::<u16>()).prop_map(|(at, port)| End { at, port })
}

/// Where a TCP socket can be bound.
fn own_end() -> impl Strategy<Value = End> {
    let at = prop_oneof![hosts().prop_map(Address::Of), select(vec![Address::Any, Address::Loopback])];
    (at, any::<u16>()).prop_map(|(at, port)| End { at, port })
}

fn way() -> impl Strategy<Value = Way> {
    select(vec![(0, 1), (1, 0), (1, 2), (2, 1)])
        .prop_map(|(from, to)| Way { from: NodeId(from), to: NodeId(to) })
}

fn transport() -> impl Strategy<Value = Transport> {
    select(vec![Transport::Tcp, Transport::Udp])
}

fn knobs() -> impl Strategy<Value = Knobs> {
    let some = || prop::option::of(span());
    (some(), some(), prop::option::of(1..=u8::MAX), some(), prop::option::of(1..=u32::MAX), any::<bool>())
        .prop_map(|(idle, probe, misses, round, rounds, resend)| Knobs {
            idle,
            probe,
            misses,
            round,
            rounds,
            resend,
        })
}

fn socket_knobs() -> impl Strategy<Value = SocketKnobs> {
    let keepalive = prop::option::of((span(), span(), any::<u8>()));
    let numbers = (any::<Option<u8>>(), any::<Option<u32>>(), any::<Option<u32>>());
    (any::<[bool; 3]>(), prop::option::of(span()), keepalive, numbers).prop_map(
        |(flags, uto, keepalive, numbers)| SocketKnobs {
            recverr: flags[0],
            user_timeout: uto,
            keepalive,
            syn_retries: numbers.0,
            receive_buffer: numbers.1,
            send_buffer: numbers.2,
            reuse_address: flags[1],
            reuse_port: flags[2],
            broadcast: false,
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let open = prop_oneof![
        (own_end(), any::<u32>()).prop_map(|(at, backlog)| Open::Listen(at, backlog)),
        (end(), prop::option::of(own_end())).prop_map(|(to, from)| Open::Connect { to, from }),
    ];
    let a = || "a".to_owned();
    prop_oneof![
        (transport(), 1..=u16::MAX).prop_map(|(transport, port)| Command::Serve(transport, port)),
        (transport(), peer(), knobs())
            .prop_map(|(transport, peer, knobs)| Command::Connect(transport, peer, knobs)),
        payload().prop_map(Command::Send),
        Just(Command::Close),
        Just(Command::Abort),
        prop::collection::vec(prop_oneof!["[a-z=:#!-]{0,6}", any::<String>()], 0..4).prop_map(Command::Do),
        (open, socket_knobs()).prop_map(move |(open, knobs)| Command::Call(Call::Open(a(), open, knobs))),
        (end(), any::<bool>(), any::<bool>()).prop_map(move |(at, recverr, broadcast)| {
            let knobs = SocketKnobs { recverr, broadcast, ..SocketKnobs::default() };
            Command::Call(Call::Open(a(), Open::Udp(at), knobs))
        }),
        prop::option::of(end()).prop_map(move |peer| Command::Call(Call::Connect(a(), peer))),
        bytes().prop_map(move |bytes| Command::Call(Call::Recv(a(), bytes))),
        payload().prop_map(move |payload| Command::Call(Call::Send(a(), payload))),
        (end(), payload()).prop_map(move |(to, payload)| Command::Call(Call::SendTo(a(), to, payload))),
        any::<u8>().prop_map(move |group| Command::Call(Call::Join(a(), group))),
        any::<u8>().prop_map(move |group| Command::Call(Call::Leave(a(), group))),
        (1..4_usize, any::<bool>()).prop_map(move |(many, errors)| {
            let names = vec![a(); many];
            Command::Call(if errors { Call::RecvErrorAll(names) } else { Call::RecvAll(names) })
        }),
        select(vec![
            Call::Accept(a(), a()),
            Call::RecvError(a()),
            Call::Shutdown(a()),
            Call::ShutdownRead(a()),
            Call::Close(a()),
            Call::Reset(a()),
            Call::SoError(a()),
            Call::Poll(a()),
            Call::Info(a()),
        ])
        .prop_map(Command::Call),
    ]
}

fn trigger() -> impl Strategy<Value = Trigger> {
    prop_oneof![
        time().prop_map(Trigger::At),
        (way(), 1..=u32::MAX).prop_map(|(way, nth)| Trigger::Packet(way, nth)),
        (hosts(), select(TcpState::ALL.to_vec())).prop_map(|(host, state)| Trigger::State(host, state)),
        (hosts(), words()).prop_map(|(host, words)| Trigger::Says(host, words)),
    ]
}

/// What ends something: never before it begins.
fn until() -> impl Strategy<Value = Option<Trigger>> {
    prop::option::of(trigger().prop_map(|trigger| match trigger {
        Trigger::At(at) => Trigger::At(at + Duration::from_secs(50)),
        other => other,
    }))
}

fn tamper() -> impl Strategy<Value = Tamper> {
    prop_oneof![
        Just(Tamper::Drop),
        late().prop_map(Tamper::Delay),
        late().prop_map(Tamper::Duplicate),
        Just(Tamper::Corrupt),
        any::<u32>().prop_map(Tamper::Alter),
        any::<u16>().prop_map(Tamper::Truncate),
    ]
}

fn forgery() -> impl Strategy<Value = Forgery> {
    let pick = || select(vec![Pick::Exact, Pick::Inside, Pick::Outside]);
    prop_oneof![
        pick().prop_map(Forgery::Rst),
        pick().prop_map(Forgery::Fin),
        pick().prop_map(Forgery::Syn),
        (any::<u8>(), any::<u8>(), any::<Option<u16>>(), pick(), prop_oneof![Just(8), any::<u16>()])
            .prop_map(|(kind, code, mtu, quote, quoted)| Forgery::Icmp { kind, code, mtu, quote, quoted }),
    ]
}

fn host_fault() -> impl Strategy<Value = HostFault> {
    prop_oneof![
        Just(HostFault::Kill),
        span().prop_map(HostFault::Pause),
        Just(HostFault::PowerLoss),
        span().prop_map(HostFault::Reboot),
        Just(HostFault::Forget),
        any::<i64>().prop_map(HostFault::Skew),
        (1..=u32::MAX).prop_map(HostFault::ShortReads),
        (1..=u32::MAX).prop_map(HostFault::ShortWrites),
        Just(HostFault::SpuriousWake),
        any::<u32>().prop_map(HostFault::ReceiveBuffer),
        any::<u32>().prop_map(HostFault::SendBuffer),
        until().prop_map(HostFault::NoPorts),
        until().prop_map(HostFault::NoDescriptors),
        any::<u32>().prop_map(HostFault::AcceptQueue),
    ]
}

fn what() -> impl Strategy<Value = What> {
    let kinds = vec![RouteKind::Unreachable, RouteKind::Prohibit, RouteKind::Blackhole, RouteKind::Missing];
    prop_oneof![
        (way(), tamper()).prop_map(|(way, tamper)| What::Tamper(way, tamper)),
        (way(), until()).prop_map(|(way, until)| What::Cut(way, until)),
        (way(), until()).prop_map(|(way, until)| What::Unplug(way, until)),
        (way(), until(), any::<bool>()).prop_map(|(way, until, bare)| {
            let comeback = if bare { Comeback::Bare } else { Comeback::Configured };
            let way = if way.from == NodeId(1) { Way { from: way.to, to: way.from } } else { way };
            What::LinkDown(way, until.map(|until| (until, comeback)))
        }),
        (way(), 1_280..=u16::MAX).prop_map(|(way, mtu)| What::Mtu(way, mtu)),
        ((0..3_u8).prop_map(NodeId), hosts(), forgery()).prop_map(|(from, to, packet)| What::Forge {
            from,
            to,
            packet
        }),
        (prop::option::of(hosts()), select(kinds), until()).prop_map(|(to, kind, until)| What::Route {
            at: NodeId(1),
            to,
            kind,
            until
        }),
        (hosts(), host_fault()).prop_map(|(host, fault)| What::Host(host, fault)),
    ]
}

fn link(a: u8, b: u8) -> impl Strategy<Value = Link> {
    let ppm = || 0..=1_000_000_u32;
    let rate = prop::option::of(prop_oneof![1..=u64::MAX, (1..100_u64).prop_map(|n| n * 1_000_000)]);
    (span(), span(), rate, any::<u32>(), 1_280..=u16::MAX, (ppm(), ppm(), ppm()), any::<u64>()).prop_map(
        move |(delay, jitter, rate, queue, mtu, (loss, duplicate, corrupt), noise)| Link {
            ends: [NodeId(a), NodeId(b)],
            delay,
            jitter,
            rate,
            queue,
            mtu,
            loss,
            duplicate,
            corrupt,
            noise,
        },
    )
}

fn expect() -> impl Strategy<Value = Expect> {
    let mode = select(vec![Mode::InOrder, Mode::Exactly, Mode::Never]);
    let items = prop::collection::vec((words(), prop::option::of(time())), 1..4);
    (hosts(), mode, items).prop_map(|(node, mode, items)| Expect { node, mode, items })
}

fn makes_a_connection(command: &Command) -> bool {
    matches!(
        command,
        Command::Call(Call::Accept(..) | Call::Open(_, Open::Listen(..) | Open::Connect { .. }, _))
    )
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let profiles = vec![
        Profile::Linux,
        Profile::Unverified(Unverified::MacOs),
        Profile::Unverified(Unverified::Windows),
        Profile::Unverified(Unverified::LinuxPatient),
    ];
    let header = (select(profiles), any::<bool>(), any::<u64>(), 0..1_000_000_000_u32);
    let simulated_only = any::<Option<String>>();
    let settings = prop::collection::btree_map(select(Sysctl::ALL.to_vec()), any::<u64>(), 0..3);
    // No word of the language has a dash in the second place.
    let names = ("[a-m]-[a-zA-Z0-9_-]{0,5}", "n[a-zA-Z0-9_-]{0,5}", "[o-z][a-zA-Z0-9_-]{0,5}");
    let script = prop::collection::vec((time(), hosts(), command()), 0..6);
    let faults = prop::collection::vec((trigger(), what(), any::<bool>()), 0..6);
    let rest = (script, faults, prop::collection::vec(expect(), 0..3));
    ((header, simulated_only), settings, names, (link(0, 1), link(2, 1)), rest).prop_map(
        |((header, simulated_only), settings, names, links, rest)| {
            let mut scenario = Scenario {
                profile: header.0,
                version: if header.1 { Version::V4 } else { Version::V6 },
                seed: header.2,
                until: Duration::new(100, header.3),
                simulated_only,
                ..Scenario::new()
            };
            for (name, role) in [(names.0, Role::Host), (names.1, Role::Router), (names.2, Role::Host)] {
                scenario.nodes.push(Node { name, role, sysctl: Vec::new() });
            }
            scenario.nodes[2].sysctl = settings.into_iter().map(setting).collect();
            scenario.links = vec![links.0, links.1];
            // The socket that the calls are made on.
            let open = Call::Open("a".to_owned(), Open::Udp(End::any(0)), SocketKnobs::default());
            for host in [NodeId(0), NodeId(2)] {
                scenario.at(Duration::ZERO, host, Command::Call(open.clone()));
            }
            scenario.script.extend(rest.0.into_iter().map(|(at, host, command)| Line { at, host, command }));
            scenario.script.sort_by_key(|line| line.at);
            // Datagrams are counted of sockets that have some.
            if scenario.script.iter().any(|line| makes_a_connection(&line.command)) {
                scenario.script.retain(|line| {
                    !matches!(line.command, Command::Call(Call::RecvAll(_) | Call::RecvErrorAll(_)))
                });
            }
            scenario.faults = rest
                .1
                .into_iter()
                .map(|(when, what, may_be_inert)| Fault { when, what, may_be_inert })
                .collect();
            scenario.expects = rest.2;
            scenario
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_as_the_same(scenario in scenario()) {
        prop_assert_eq!(scenario.check(), Ok(()));
        let text = scenario.to_string();
        match text.parse::<Scenario>() {
            Ok(read) => prop_assert_eq!(read, scenario, "{}", text),
            Err(error) => prop_assert!(false, "{}\n{}", error, text),
        }
    }
}
