//! Every row of TCP is made to happen, and what calls then give is compared with what it says.

use std::collections::BTreeSet;
use std::time::Duration;

use resound_core::signal::icmp::TABLE;
use resound_core::signal::{Errno, IcmpError, Version};
use resound_core::stream::Close;
use resound_sim::kernel::table::{
    Code, Effect, Gave, Gives, IcmpClass, ORDERS, Probe, ROWS, Row, RowId, Signal, State, find,
};
use resound_sim::kernel::{Fd, Profile, TcpOptions, TcpState};
use resound_sim::packet::{Body, Datagram, Flags, Packet, Seq};
use resound_sim::scenario::Pick;

use crate::BOTH;
use crate::wire::{CLIENT, PID, SERVER, Wire};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn tcp_rows() -> impl Iterator<Item = (RowId, &'static Row)> {
    let all = ROWS.iter().flat_map(|rows| rows.iter()).enumerate();
    let all = all.map(|(at, row)| (RowId(at as u16), row));
    all.filter(|(_, row)| !matches!(row.state, State::Connected | State::Unconnected))
}

/// A socket in the state of a row, before its signal.
struct Situation {
    wire: Wire,
    host: usize,
    fd: Fd,
    listener: Option<Fd>,
}

fn of_class(version: Version, class: IcmpClass) -> Vec<IcmpError> {
    let rows = TABLE.iter().filter(|row| row.version == version);
    let errors = rows.map(|row| IcmpError {
        version,
        kind: row.kind,
        code: *row.codes.end(),
        offender: None,
        destination: None,
        mtu: (row.meaning.errno == Some(Errno::MsgSize)).then_some(1_300),
    });
    let mut all: Vec<_> = errors.filter(|error| IcmpClass::of(error) == class).collect();
    if class == IcmpClass::Ignored && version == Version::V6 {
        // Information, not an error: the nearest that IPv6 has to what is ignored.
        all.push(IcmpError { version, kind: 200, code: 0, offender: None, destination: None, mtu: None });
    }
    all
}

/// `tcp_v4_err`: what ends a request; `tcp_v6_err`: what is fatal.
fn drops_request(error: &IcmpError) -> bool {
    match error.version {
        Version::V4 => matches!((error.kind, error.code), (3, 0 | 1) | (11 | 12, _)),
        Version::V6 => IcmpClass::of(error) == IcmpClass::Hard,
    }
}

const fn timer(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::RetriesExhausted
            | Signal::RetriesExhaustedAfterIcmp
            | Signal::UserTimeout
            | Signal::KeepaliveExhausted
    )
}

fn options(row: &Row, recverr: bool) -> TcpOptions {
    let idle = matches!(row.state, State::Idle | State::Queued);
    let probes = matches!(row.signal, Signal::KeepaliveExhausted | Signal::Route(_));
    let keepalive = probes || row.signal == Signal::UserTimeout && idle;
    TcpOptions {
        recverr,
        user_timeout: (row.signal == Signal::UserTimeout).then_some(ms(1_500)),
        keepalive: keepalive.then_some((ms(1_000), ms(1_000), 3)),
        ..TcpOptions::default()
    }
}

fn situation(row: &Row, version: Version, recverr: bool) -> Situation {
    let mut wire = Wire::short(version);
    let mut own = options(row, recverr);
    let plain = TcpOptions::default();
    let keepalive = row.signal == Signal::KeepaliveExhausted;
    match row.state {
        State::SynSent => {
            wire.cut[SERVER] = true;
            let fd = wire.connect(&own);
            wire.run_for(ms(1));
            return Situation { wire, host: CLIENT, fd, listener: None };
        }
        State::SynReceived | State::Queued => {
            let listener = wire.listen(8, &own);
            wire.connect(&plain);
            wire.run_for(ms(5));
            wire.cut[CLIENT] = row.state == State::SynReceived;
            wire.run_for(ms(40));
            let fd = wire.moves.iter().find(|(host, ..)| *host == SERVER).expect("it answered").1;
            return Situation { wire, host: SERVER, fd, listener: Some(listener) };
        }
        _ => {}
    }
    let full = row.state == State::ZeroWindow;
    own.send_buffer = full.then_some(4_608);
    let peer = TcpOptions { receive_buffer: full.then_some(2_304), ..plain };
    let (fd, other, listener) = wire.pair(&own, &peer);
    let lost = matches!(row.signal, Signal::RouteLost(_));
    let fails = timer(row.signal) || lost;
    match row.state {
        State::Sending if matches!(row.signal, Signal::Route(_)) => {}
        State::Sending | State::Orphan => {
            wire.cut[CLIENT] = true;
            assert_eq!(wire.send(CLIENT, fd, b"hello"), Ok(5));
            if row.state == State::Orphan {
                wire.call(CLIENT, |kernel, now| kernel.close(now, fd, Close::Drop));
            }
        }
        State::ZeroWindow => {
            assert_eq!(wire.send(CLIENT, fd, &[0; 2_304]), Ok(2_304));
            wire.run_for(ms(100));
            assert_eq!(wire.send(CLIENT, fd, &[0; 2_304]), Ok(1_152));
        }
        State::Unread => {
            assert_eq!(wire.send(SERVER, other, b"hello"), Ok(5));
            wire.run_for(ms(60));
        }
        State::CloseWait => {
            wire.call(SERVER, |kernel, now| kernel.shutdown(now, other)).expect("shuts down");
            wire.run_for(ms(60));
        }
        State::HalfClosed => {
            wire.cut[CLIENT] = fails && !keepalive;
            wire.call(CLIENT, |kernel, now| kernel.shutdown(now, fd)).expect("shuts down");
            wire.run_for(ms(20));
        }
        State::BothClosed => {
            wire.call(SERVER, |kernel, now| kernel.shutdown(now, other)).expect("shuts down");
            wire.run_for(ms(60));
            wire.cut[CLIENT] = true;
            wire.call(CLIENT, |kernel, now| kernel.shutdown(now, fd)).expect("shuts down");
        }
        State::TimeWait => {
            wire.call(CLIENT, |kernel, now| kernel.shutdown(now, fd)).expect("shuts down");
            wire.run_for(ms(20));
            wire.call(SERVER, |kernel, now| kernel.shutdown(now, other)).expect("shuts down");
            wire.run_for(ms(20));
            assert_eq!(wire.state(CLIENT, fd), Some(TcpState::TimeWait));
        }
        _ => {}
    }
    wire.run_for(ms(1));
    if fails && !keepalive && matches!(row.state, State::Unread | State::CloseWait) {
        wire.cut[CLIENT] = true;
        assert_eq!(wire.send(CLIENT, fd, b"hello"), Ok(5));
    }
    Situation { wire, host: CLIENT, fd, listener: Some(listener) }
}

impl Situation {
    fn icmp(&self, error: &IcmpError, pick: Pick) -> Packet {
        let mut about =
            self.wire.sent.iter().rev().find(|sent| sent.1 == self.host).expect("it sent").2.clone();
        if let Body::Tcp(segment) = &mut about.body {
            // What comes next, and so the end of what is in flight.
            let next = segment.end();
            segment.seq = if pick == Pick::Outside { next + 100_000 } else { next };
        }
        let offender = self.wire.addresses[1 - self.host];
        about.complain(offender, error.kind, error.code, error.mtu, 528)
    }

    /// What reaches the socket, if it is a packet.
    fn packet(&self, signal: Signal, error: Option<&IcmpError>) -> Option<Packet> {
        let (host, wire) = (self.host, &self.wire);
        let seen = wire.last(host);
        let expected = seen.ack.unwrap_or_default();
        let connecting = seen.ack.is_none();
        Some(match signal {
            Signal::Icmp(_, pick) | Signal::Drops(pick) => self.icmp(error.expect("a message"), pick),
            Signal::Rst(Pick::Exact) if connecting => wire.forge(host, Seq(0), None, Flags::RST),
            Signal::Rst(_) if connecting => wire.forge(host, Seq(0), Some(seen.seq + 77), Flags::RST),
            Signal::Rst(Pick::Exact) => wire.forge(host, expected, None, Flags::RST),
            Signal::Rst(Pick::Inside) => wire.forge(host, expected + 1, None, Flags::RST),
            Signal::Rst(Pick::Outside) => {
                wire.forge(host, Seq(expected.0.wrapping_sub(1_000)), None, Flags::RST)
            }
            Signal::Refusal => wire.forge(host, Seq(0), Some(seen.end()), Flags::RST),
            Signal::Syn => wire.forge(host, expected, None, Flags::SYN),
            Signal::LateData => {
                let mut packet = wire.forge(host, expected, Some(seen.end()), Flags::NONE);
                if let Body::Tcp(segment) = &mut packet.body {
                    segment.payload = b"late".to_vec();
                }
                packet
            }
            Signal::Fin => {
                let other = wire.last(1 - host);
                let mut packet = wire.forge(host, expected, other.ack, Flags::FIN);
                if let Body::Tcp(segment) = &mut packet.body {
                    segment.window = other.window;
                }
                packet
            }
            _ => return None,
        })
    }

    fn happen(&mut self, row: &Row, error: Option<&IcmpError>) {
        if (row.signal, row.state) == (Signal::LateData, State::HalfClosed) {
            let fd = self.fd;
            self.wire.call(self.host, |kernel, now| kernel.shutdown_read(now, fd)).expect("shuts down");
        }
        if let Some(packet) = self.packet(row.signal, error) {
            let before = self.wire.count(self.host);
            self.wire.inject(self.host, packet);
            let answered = self.wire.count(self.host) > before;
            assert!(row.effect != Effect::Challenges || answered, "{}: no challenge", row.name);
            return;
        }
        if let Signal::Route(kind) = row.signal {
            self.wire.call(self.host, |kernel, _| kernel.route(None, Some(kind)));
            match row.state {
                State::Sending => {
                    assert_eq!(self.wire.send(self.host, self.fd, b"hello"), Ok(5), "{}", row.name);
                }
                // The peer's FIN comes again, and is to be acknowledged again.
                State::TimeWait => {
                    let seen = self.wire.last(self.host);
                    let before = Seq(seen.ack.unwrap_or_default().0.wrapping_sub(1));
                    let fin = self.wire.forge(self.host, before, Some(seen.end()), Flags::FIN);
                    self.wire.inject(self.host, fin);
                }
                // What is sent again would be a lost route's: over IPv4, only an answer is not.
                State::BothClosed | State::Orphan if self.wire.addresses[0].is_ipv4() => {
                    let expected = self.wire.last(self.host).ack.unwrap_or_default();
                    let syn = self.wire.forge(self.host, expected, None, Flags::SYN);
                    self.wire.inject(self.host, syn);
                }
                // Something is sent again, or a probe.
                _ => self.wire.run_for(ms(1_200)),
            }
            return;
        }
        if let Signal::RouteLost(kind) = row.signal {
            self.wire.call(self.host, |kernel, _| kernel.route(None, Some(kind)));
            return self.wire.run_for(ms(1_200));
        }
        self.wire.cut = [true; 2];
        if row.signal == Signal::RetriesExhaustedAfterIcmp {
            let packet = self.icmp(error.expect("a message"), Pick::Exact);
            self.wire.inject(self.host, packet);
        }
        self.wire.run_for(Duration::from_secs(400));
    }

    fn probe(&mut self, probe: Probe) -> Gave {
        let (wire, host, fd) = (&mut self.wire, self.host, self.fd);
        let error = |errno| if errno == Errno::Again { Gave::Again } else { Gave::Error(Code::Is(errno)) };
        match probe {
            Probe::Recv => match wire.recv(host, fd) {
                Ok(bytes) if bytes.is_empty() => Gave::Eof,
                Ok(bytes) => Gave::Bytes(bytes.len()),
                Err(errno) => error(errno),
            },
            Probe::Send => wire.send(host, fd, b"hello").map_or_else(error, Gave::Bytes),
            Probe::SoError => wire.call(host, |kernel, _| kernel.so_error(fd)).map_or(Gave::Bytes(0), error),
            Probe::Poll => Gave::Events(wire.kernels[host].poll(fd)),
            Probe::ErrorQueue => {
                wire.call(host, |kernel, now| kernel.recv_error(now, fd)).map_or_else(error, |_| Gave::Entry)
            }
        }
    }

    fn calls(&mut self, row: &Row, then: &[Gives], error: Option<&IcmpError>, case: &str) {
        if row.state == State::Queued {
            self.fd = self.wire.accept(self.listener.expect("it listens"));
        }
        for (step, gives) in then.iter().enumerate() {
            let given = self.probe(gives.call);
            let result = match gives.result {
                Gave::Error(Code::OfIcmp) => {
                    Gave::Error(Code::Is(error.and_then(|error| error.meaning().errno).expect("an errno")))
                }
                result => result,
            };
            assert_eq!(given, result, "{case}: call {step}, {:?}", gives.call);
        }
    }
}

/// Makes a row happen in all the ways there are, with these calls after it.
fn verify(id: RowId, row: &Row, then: &[Gives]) {
    let versions = BOTH.into_iter().filter(|version| row.version.is_none_or(|only| only == *version));
    for version in versions {
        let errors: Vec<Option<IcmpError>> = match row.signal {
            Signal::Icmp(class, _) if row.state == State::SynReceived => {
                let spared = of_class(version, class).into_iter().filter(|error| !drops_request(error));
                spared.map(Some).collect()
            }
            Signal::Icmp(class, _) => of_class(version, class).into_iter().map(Some).collect(),
            Signal::Drops(_) => {
                let all = [IcmpClass::Soft, IcmpClass::Hard].map(|class| of_class(version, class));
                all.into_iter().flatten().filter(drops_request).map(Some).collect()
            }
            Signal::RetriesExhaustedAfterIcmp => {
                of_class(version, IcmpClass::Hard).into_iter().map(Some).collect()
            }
            _ => vec![None],
        };
        let recverr = row.recverr.map_or(vec![false, true], |only| vec![only]);
        for (error, recverr) in errors.iter().flat_map(|error| recverr.iter().map(move |r| (error, *r))) {
            let case = format!("{} {version:?} {error:?} recverr {recverr}", row.name);
            if row.state == State::SynSent && matches!(row.signal, Signal::Route(_)) {
                fails_at_once(id, row, version, recverr);
                continue;
            }
            if row.state == State::Nobody {
                answers_nothing(id, row, version);
                continue;
            }
            let mut situation = situation(row, version, recverr);
            situation.happen(row, error.as_ref());
            let obeyed: Vec<_> = situation.wire.rows.iter().filter(|row| row.0 == situation.host).collect();
            assert!(
                obeyed.contains(&&(situation.host, id)),
                "{case}: it did not happen, but {:?}",
                obeyed.iter().map(|(_, id)| resound_sim::kernel::table::row(*id).name).collect::<Vec<_>>()
            );
            situation.calls(row, then, error.as_ref(), &case);
            let over = matches!(row.effect, Effect::Ends(_) | Effect::EndsAndQueues(_) | Effect::Vanishes);
            let state = situation.wire.state(situation.host, situation.fd);
            assert_eq!(over, matches!(state, None | Some(TcpState::Closed)), "{case}: {state:?}");
        }
    }
}

/// A closed port would answer with a reset, or with an ICMP error.
fn answers_nothing(id: RowId, row: &Row, version: Version) {
    let Signal::Route(kind) = row.signal else { unreachable!("only routes do") };
    let mut wire = Wire::new(version);
    wire.call(SERVER, |kernel, _| kernel.route(None, Some(kind)));
    wire.connect(&TcpOptions::default());
    wire.run_for(ms(6));
    assert_eq!((wire.count(SERVER), &wire.rows[..]), (0, &[(SERVER, id)][..]), "{}", row.name);
    let datagram = Datagram { source: 9, destination: 9, payload: b"x".to_vec() };
    let [from, to] = wire.addresses;
    wire.inject(SERVER, Packet::new(from, to, Body::Udp(datagram)));
    assert_eq!((wire.count(SERVER), &wire.rows[..]), (0, &[(SERVER, id); 2][..]), "{}", row.name);
}

fn fails_at_once(id: RowId, row: &Row, version: Version, recverr: bool) {
    let Signal::Route(kind) = row.signal else { unreachable!("only routes do") };
    let mut wire = Wire::new(version);
    wire.call(CLIENT, |kernel, _| kernel.route(None, Some(kind)));
    let (to, options) = (wire.at(SERVER), options(row, recverr));
    let connected = wire.call(CLIENT, |kernel, now| kernel.tcp_connect(now, PID, to, &options));
    let Effect::Fails(Code::Is(errno)) = row.effect else { panic!("{}: it fails", row.name) };
    assert_eq!(connected, Err(errno), "{}", row.name);
    assert_eq!(wire.rows, [(CLIENT, id)]);
}

#[test]
fn every_linux_row_happens_and_gives_what_it_says() {
    let rows = tcp_rows().filter(|(_, row)| row.profile == Profile::Linux);
    let mut many = 0;
    for (id, row) in rows {
        verify(id, row, row.then);
        many += 1;
    }
    assert!(many > 150, "{many}");
}

#[test]
fn the_order_of_the_calls_decides_who_gets_the_error() {
    for order in ORDERS {
        let (id, row) = tcp_rows().find(|(_, row)| row.name == order.row).expect("it names a row");
        verify(id, row, order.then);
    }
}

#[test]
fn names_are_unique_and_every_row_can_be_found() {
    let mut names = BTreeSet::new();
    for (id, row) in tcp_rows() {
        assert!(names.insert(row.name), "twice: {}", row.name);
        let version = row.version.unwrap_or(Version::V4);
        let found = find(row.profile, version, row.state, row.recverr.unwrap_or(false), row.signal);
        assert_eq!(found.map(|(id, row)| (id, row.name)), Some((id, row.name)), "hidden by another");
    }
}
