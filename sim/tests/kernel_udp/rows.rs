//! The table: every row happens, and the columns of ICMP are those that were measured.

use std::collections::BTreeSet;

use resound_core::signal::{Errno, IcmpError, Version, icmp};
use resound_sim::kernel::table::{self, Code, Effect, Gave, Gives, Probe, Row, RowId, Signal, State};
use resound_sim::kernel::{Fate, Fd, UdpOptions};
use resound_sim::packet::Packet;

use super::{Errno::*, *};

fn rows() -> impl Iterator<Item = (RowId, &'static Row)> {
    let all = table::ROWS.iter().flat_map(|rows| rows.iter()).enumerate();
    all.map(|(at, row)| (RowId(at as u16), row)).filter(|(_, row)| row.name.contains("udp/"))
}

/// Every type and code that the core knows, and some that nobody does.
fn errors(version: Version) -> impl Iterator<Item = (u8, u8)> {
    let known = icmp::TABLE.iter().filter(move |row| row.version == version);
    let known = known.flat_map(|row| [*row.codes.start(), *row.codes.end()].map(|code| (row.kind, code)));
    known.chain([(5, 0), (5, 1), (8, 0), (137, 0), (255, 255)])
}

fn error(version: Version, (kind, code): (u8, u8)) -> IcmpError {
    IcmpError { version, kind, code, offender: None, destination: None, mtu: None }
}

struct Case {
    host: Host,
    fd: Fd,
    /// The first datagram.
    sent: Packet,
    to: SocketAddr,
}

impl Case {
    fn new(profile: Profile, version: Version, state: State, options: &UdpOptions) -> Self {
        let mut host = Host::of(profile, version);
        let to = peer(version, 7);
        let fd = host.socket(options);
        if state == State::Connected {
            host.connect(fd, to).unwrap();
        }
        let sent = host.sent(fd, to, b"ping");
        Self { host, fd, sent, to }
    }

    fn call(&mut self, probe: Probe) -> Gave {
        let gave = |result: Result<usize, Errno>| match result {
            Ok(n) => Gave::Bytes(n),
            Err(Again) => Gave::Again,
            Err(errno) => Gave::Error(Code::Is(errno)),
        };
        match probe {
            Probe::Recv => gave(self.host.recv(self.fd).map(|bytes| bytes.len())),
            Probe::Send => gave(self.host.send(self.fd, self.to, b"ping")),
            Probe::SoError => self
                .host
                .kernel
                .so_error(self.fd)
                .map_or(Gave::Bytes(0), |errno| Gave::Error(Code::Is(errno))),
            Probe::Poll => Gave::Events(self.host.kernel.poll(self.fd)),
            Probe::ErrorQueue => match self.host.recv_error(self.fd) {
                Ok(_) => Gave::Entry,
                Err(errno) => gave(Err(errno)),
            },
        }
    }

    /// What the row says is what calls give; `says` is what the message stands for.
    fn compare(&mut self, id: RowId, row: &Row, says: Option<Errno>) {
        for (step, Gives { call, result }) in row.then.iter().enumerate() {
            let expected = match result {
                Gave::Error(Code::OfIcmp) => Gave::Error(Code::Is(says.expect("it has a number"))),
                other => *other,
            };
            assert_eq!(self.call(*call), expected, "{}, {call:?} as call {step} ({says:?})", row.name);
        }
        assert!(self.host.kernel.effects.rows.contains(&id), "{} was obeyed", row.name);
    }
}

/// Makes the row happen in all its ways; how many that were.
fn play(id: RowId, row: &Row, version: Version, recverr: bool) -> usize {
    let options = UdpOptions {
        recverr,
        receive_buffer: matches!(row.signal, Signal::Overflow).then_some(0),
        ..OPTIONS
    };
    let case = || Case::new(row.profile, version, row.state, &options);
    let mut case_of_its_own = case();
    let host = &mut case_of_its_own.host;
    match row.signal {
        Signal::Icmp(class, _) => {
            let of_class: Vec<_> = errors(version)
                .map(|at| (at, table::verdict(row.profile, &error(version, at))))
                .filter(|(_, (is, _))| *is == class)
                .collect();
            for (at, (_, says)) in &of_class {
                let mut case = case();
                let fate = case.host.complain(&case.sent.clone(), router(version), *at);
                assert_eq!(
                    matches!(fate, Fate::Acted(_)),
                    row.effect != Effect::Nothing,
                    "{} {at:?}",
                    row.name
                );
                case.compare(id, row, *says);
            }
            return of_class.len();
        }
        Signal::NeighbourFailed => {
            host.kernel.neighbour_failed(host.now, &case_of_its_own.sent);
            case_of_its_own.compare(id, row, Some(HostUnreach));
        }
        Signal::Route(kind) => {
            host.kernel.route(Some(case_of_its_own.to.ip()), Some(kind));
            case_of_its_own.compare(id, row, None);
        }
        Signal::Overflow => {
            let (from, port) = (case_of_its_own.to, host.port(case_of_its_own.fd));
            while host.kernel.drops(case_of_its_own.fd) == 0 {
                host.datagram(from, port, b"pong");
            }
            case_of_its_own.compare(id, row, None);
        }
        signal => panic!("{}: {signal:?} is not a signal of UDP", row.name),
    }
    1
}

#[test]
fn every_row_happens_and_calls_give_what_it_says() {
    for (id, row) in rows() {
        let mut cases = 0;
        for version in VERSIONS.into_iter().filter(|version| row.version.is_none_or(|only| only == *version))
        {
            for recverr in [false, true].into_iter().filter(|is| row.recverr.is_none_or(|only| only == *is)) {
                cases += play(id, row, version, recverr);
            }
        }
        assert!(cases > 0, "{} cannot happen", row.name);
    }
}

#[test]
fn names_are_unique_and_no_row_hides_another() {
    let mut names = BTreeSet::new();
    for (id, row) in rows() {
        assert!(names.insert(row.name), "{} twice", row.name);
        for version in VERSIONS.into_iter().filter(|version| row.version.is_none_or(|only| only == *version))
        {
            for recverr in [false, true].into_iter().filter(|is| row.recverr.is_none_or(|only| only == *is)) {
                let found = table::find(row.profile, version, row.state, recverr, row.signal);
                assert_eq!(found.map(|(id, _)| id), Some(id), "{}", row.name);
            }
        }
    }
}

/// No case that Linux can meet is without a row.
#[test]
fn no_case_of_udp_is_left_out() {
    use resound_sim::kernel::table::IcmpClass::{Hard, Ignored, Soft, TooBig};
    use resound_sim::scenario::{Pick, RouteKind};

    let icmp = [Soft, Hard, TooBig, Ignored].map(|class| Signal::Icmp(class, Pick::Exact));
    let routes = [RouteKind::Unreachable, RouteKind::Prohibit, RouteKind::Blackhole, RouteKind::Missing];
    let signals = icmp.into_iter().chain(routes.map(Signal::Route));
    for signal in signals.chain([Signal::NeighbourFailed, Signal::Overflow]) {
        for state in [State::Connected, State::Unconnected] {
            for (version, recverr) in
                VERSIONS.into_iter().flat_map(|version| [(version, false), (version, true)])
            {
                let found = table::find(Profile::Linux, version, state, recverr, signal);
                assert!(found.is_some(), "{state:?} {signal:?} recverr={recverr} {version:?}");
            }
        }
    }
}

/// Type and code, and what a connected socket without RECVERR, and any with it, was told.
type Column = (Version, u8, u8, Option<Errno>, Option<Errno>);

/// What was measured on Linux 6.18; of 3/255, 11/2, and of ICMPv6 1/9, what its source says.
#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    (Version::V4,  3,   0, None,              Some(NetUnreach)),
    (Version::V4,  3,   1, None,              Some(HostUnreach)),
    (Version::V4,  3,   2, Some(NoProtoOpt),  Some(NoProtoOpt)),
    (Version::V4,  3,   3, Some(ConnRefused), Some(ConnRefused)),
    (Version::V4,  3,   4, Some(MsgSize),     Some(MsgSize)),
    (Version::V4,  3,   5, None,              Some(OpNotSupp)),
    (Version::V4,  3,   6, Some(NetUnreach),  Some(NetUnreach)),
    (Version::V4,  3,   7, Some(HostDown),    Some(HostDown)),
    (Version::V4,  3,   8, Some(NoNet),       Some(NoNet)),
    (Version::V4,  3,   9, Some(NetUnreach),  Some(NetUnreach)),
    (Version::V4,  3,  10, Some(HostUnreach), Some(HostUnreach)),
    (Version::V4,  3,  11, None,              Some(NetUnreach)),
    (Version::V4,  3,  12, None,              Some(HostUnreach)),
    (Version::V4,  3,  13, Some(HostUnreach), Some(HostUnreach)),
    (Version::V4,  3,  14, Some(HostUnreach), Some(HostUnreach)),
    (Version::V4,  3,  15, Some(HostUnreach), Some(HostUnreach)),
    (Version::V4,  3,  16, None,              None),
    (Version::V4,  3, 255, None,              None),
    (Version::V4,  4,   0, None,              None),
    (Version::V4,  5,   0, None,              None),
    (Version::V4,  5,   1, None,              None),
    (Version::V4, 11,   0, None,              Some(HostUnreach)),
    (Version::V4, 11,   1, None,              None),
    (Version::V4, 11,   2, None,              Some(HostUnreach)),
    (Version::V4, 12,   0, Some(Proto),       Some(Proto)),
    (Version::V6,  1,   0, None,              Some(NetUnreach)),
    (Version::V6,  1,   1, Some(Acces),       Some(Acces)),
    (Version::V6,  1,   2, None,              Some(HostUnreach)),
    (Version::V6,  1,   3, None,              Some(HostUnreach)),
    (Version::V6,  1,   4, Some(ConnRefused), Some(ConnRefused)),
    (Version::V6,  1,   5, Some(Acces),       Some(Acces)),
    (Version::V6,  1,   6, Some(Acces),       Some(Acces)),
    (Version::V6,  1,   7, Some(Proto),       Some(Proto)),
    (Version::V6,  1,   8, Some(Proto),       Some(Proto)),
    (Version::V6,  1,   9, Some(Proto),       Some(Proto)),
    (Version::V6,  2,   0, Some(MsgSize),     Some(MsgSize)),
    (Version::V6,  3,   0, None,              Some(HostUnreach)),
    (Version::V6,  3,   1, None,              Some(HostUnreach)),
    (Version::V6,  4,   0, Some(Proto),       Some(Proto)),
    (Version::V6,  4,   1, Some(Proto),       Some(Proto)),
    (Version::V6, 137,  0, None,              None),
];

#[test]
fn each_icmp_error_gives_each_kind_of_socket_what_was_measured() {
    for &(version, kind, code, connected, recverr) in COLUMNS {
        let columns = [
            (State::Connected, OPTIONS, connected, false),
            (State::Unconnected, OPTIONS, None, false),
            (State::Connected, RECVERR, recverr, true),
            (State::Unconnected, RECVERR, recverr, true),
        ];
        for (state, options, expected, queue) in columns {
            let mut case = Case::new(Profile::Linux, version, state, &options);
            case.host.receive(case.sent.complain(router(version), kind, code, Some(1_280), 4));
            let named = format!("{version:?} {kind}/{code} {state:?} recverr={}", options.recverr);
            let entry =
                expected.filter(|_| queue).map(|errno| (errno, Some(1_280), case.to, Some(router(version))));
            assert_eq!(case.host.kernel.so_error(case.fd), expected, "{named}");
            let queued = case.host.recv_error(case.fd).ok();
            let told = queued.map(|it| (it.errno, it.icmp.unwrap().mtu, it.destination, it.offender));
            assert_eq!(told, entry, "{named}");
        }
    }
}

#[test]
fn the_columns_have_every_row_of_the_core() {
    for row in icmp::TABLE {
        let has = |&(version, kind, code, ..): &Column| {
            version == row.version && kind == row.kind && row.codes.contains(&code)
        };
        assert!(COLUMNS.iter().any(has), "{row:?}");
    }
}

/// As its source reads: prohibited is refused, and soft errors count; nobody has measured it.
#[test]
fn macos_folds_differently_and_tells_connected_sockets_of_soft_errors() {
    use resound_sim::kernel::Unverified::MacOs;

    for (at, expected) in
        [((3, 1), NetUnreach), ((3, 13), ConnRefused), ((3, 3), ConnRefused), ((12, 0), NoProtoOpt)]
    {
        let mut case = Case::new(Profile::Unverified(MacOs), Version::V4, State::Connected, &RECVERR);
        case.host.complain(&case.sent.clone(), router(Version::V4), at);
        assert_eq!(case.host.recv(case.fd), Err(expected), "{at:?}");
        assert_eq!(case.host.recv_error(case.fd), Err(Again), "there is no error queue");
    }
}

/// As it is documented: one for each, on whatever socket, and only from recv.
#[test]
fn windows_resets_unconnected_sockets_once_for_each_error() {
    use resound_sim::kernel::Unverified::Windows;

    let mut case = Case::new(Profile::Unverified(Windows), Version::V4, State::Unconnected, &OPTIONS);
    for at in [(3, 3), (11, 0), (3, 3)] {
        case.host.complain(&case.sent.clone(), router(Version::V4), at);
    }
    assert_eq!(case.host.send(case.fd, case.to, b"x"), Ok(1));
    let told = [(); 4].map(|()| case.host.recv(case.fd));
    assert_eq!(told, [Err(ConnReset), Err(NetReset), Err(ConnReset), Err(Again)]);
}
