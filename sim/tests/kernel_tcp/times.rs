//! When timers give up: what was measured on Linux 6.18, to the tenth of a second or a few per cent.

use std::time::Duration;

use resound_core::signal::{Errno, Version};
use resound_core::stream::Close;
use resound_sim::kernel::{Profile, Sysctl, Sysctls, TcpOptions, TcpState};

use crate::wire::{CLIENT, SERVER, Wire, segment};

const PLAIN: TcpOptions = TcpOptions {
    recverr: false,
    user_timeout: None,
    keepalive: None,
    syn_retries: None,
    receive_buffer: None,
    send_buffer: None,
    reuse_address: false,
    reuse_port: false,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[track_caller]
fn close_to(took: Option<Duration>, measured: f64) {
    let took = took.expect("it ends").as_secs_f64();
    assert!((took - measured).abs() <= (measured * 0.035).max(0.15), "{took} s, measured {measured} s");
}

/// How long a connect to nobody takes.
fn connect(options: &TcpOptions, linear: u64) -> Option<Duration> {
    let mut sysctls = Sysctls::default();
    sysctls.set(Sysctl::SynLinearTimeouts, linear);
    let mut wire = Wire::with(Version::V4, Profile::Linux, sysctls);
    wire.cut[CLIENT] = true;
    let fd = wire.connect(options);
    let took = wire.run_until(Duration::from_secs(400), |wire| wire.kernels[CLIENT].poll(fd).error);
    assert_eq!(wire.call(CLIENT, |kernel, _| kernel.tcp_connected(fd)), Some(Err(Errno::TimedOut)));
    took
}

#[test]
fn a_connect_to_silence() {
    let syn = |n| TcpOptions { syn_retries: Some(n), ..PLAIN };
    close_to(connect(&PLAIN, 4), 133.8);
    close_to(connect(&syn(1), 4), 3.1);
    close_to(connect(&syn(2), 4), 7.1);
    close_to(connect(&syn(3), 4), 19.5);
    close_to(connect(&syn(3), 0), 15.3);
    for (most, measured) in [(500, 1.0), (1_500, 1.5), (5_000, 5.0)] {
        close_to(connect(&TcpOptions { user_timeout: Some(ms(most)), ..PLAIN }, 4), measured);
    }
}

/// How long a connection lives without an answer, with data in flight or idle.
fn silence(mut wire: Wire, options: &TcpOptions, data: &[u8]) -> (Option<Duration>, Errno) {
    let (fd, ..) = wire.pair(options, &PLAIN);
    wire.cut = [true; 2];
    if !data.is_empty() {
        assert_eq!(wire.send(CLIENT, fd, data), Ok(data.len()));
    }
    let took = wire.run_until(Duration::from_secs(10_000), |wire| wire.kernels[CLIENT].poll(fd).error);
    (took, wire.recv(CLIENT, fd).expect_err("it has ended"))
}

#[test]
fn silence_with_data_in_flight() {
    let of = |wire, options: &TcpOptions| silence(wire, options, b"hello").0;
    close_to(of(Wire::short(Version::V4), &PLAIN), 5.8);
    close_to(of(Wire::new(Version::V6), &PLAIN), 938.6);
    for (most, measured) in [(200, 0.64), (1_500, 1.94), (3_000, 3.44)] {
        let options = TcpOptions { user_timeout: Some(ms(most)), ..PLAIN };
        close_to(of(Wire::short(Version::V4), &options), measured);
    }
    // Keepalive does not run meanwhile.
    let options = TcpOptions { keepalive: Some((ms(1_000), ms(1_000), 1)), ..PLAIN };
    close_to(of(Wire::short(Version::V4), &options), 5.8);
}

#[test]
fn silence_while_idle() {
    let keepalive = Some((ms(1_000), ms(1_000), 3));
    let of = |user: Option<u64>| {
        let options = TcpOptions { keepalive, user_timeout: user.map(ms), ..PLAIN };
        silence(Wire::short(Version::V4), &options, b"").0
    };
    close_to(of(None), 4.0);
    close_to(of(Some(1_500)), 1.98);
    close_to(of(Some(10_000)), 10.2);
    let mut wire = Wire::short(Version::V4);
    let options = TcpOptions { user_timeout: Some(ms(1_000)), ..PLAIN };
    let (fd, ..) = wire.pair(&options, &PLAIN);
    wire.cut = [true; 2];
    wire.run_for(Duration::from_secs(10_000));
    assert_eq!(wire.state(CLIENT, fd), Some(TcpState::Established));
}

#[test]
fn a_closed_window_lasts_as_long_as_the_peer_answers() {
    let mut wire = Wire::short(Version::V4);
    let (fd, ..) = wire.pair(&PLAIN, &TcpOptions { receive_buffer: Some(2_304), ..PLAIN });
    assert_eq!(wire.send(CLIENT, fd, &[0; 5_000]), Ok(5_000));
    wire.run_for(Duration::from_secs(1_000));
    assert_eq!(wire.state(CLIENT, fd), Some(TcpState::Established));
    let view = wire.kernels[CLIENT].tcp_info(wire.now, fd).expect("a connection");
    assert_eq!((view.unacked, view.unsent, view.retransmits, view.probes), (0, 3_848, 0, 0));
    assert_eq!(view.peer_window, Some(0));
    assert!(view.backoff > 0 && view.since_ack <= ms(1_000), "{view:?}");
    wire.cut[SERVER] = true;
    let took = wire.run_until(Duration::from_secs(100), |wire| wire.kernels[CLIENT].poll(fd).error);
    assert!(took.is_some());
    assert_eq!(wire.recv(CLIENT, fd), Err(Errno::TimedOut));

    let options = TcpOptions { user_timeout: Some(ms(2_000)), ..PLAIN };
    let mut wire = Wire::short(Version::V4);
    let (fd, ..) = wire.pair(&options, &TcpOptions { receive_buffer: Some(2_304), ..PLAIN });
    assert_eq!(wire.send(CLIENT, fd, &[0; 5_000]), Ok(5_000));
    let took = wire.run_until(Duration::from_secs(100), |wire| wire.kernels[CLIENT].poll(fd).error);
    let took = took.expect("it ends").as_secs_f64();
    assert!((1.8..2.5).contains(&took), "{took}");
}

#[test]
fn a_window_that_opens_again_is_used_at_once() {
    let mut wire = Wire::new(Version::V6);
    let (fd, peer, _) = wire.pair(&PLAIN, &TcpOptions { receive_buffer: Some(20_000), ..PLAIN });
    assert_eq!(wire.send(CLIENT, fd, &[7; 30_000]), Ok(30_000));
    wire.run_for(ms(2_000));
    let mut got = 0;
    while got < 30_000 {
        got += wire.recv(SERVER, peer).expect("data").len();
        wire.run_for(ms(15));
    }
}

#[test]
fn orphans() {
    let orphan = |mut wire: Wire, options: &TcpOptions| {
        let (fd, ..) = wire.pair(options, &PLAIN);
        wire.cut = [true; 2];
        assert_eq!(wire.send(CLIENT, fd, b"hello"), Ok(5));
        wire.call(CLIENT, |kernel, now| kernel.close(now, fd, Close::Drop));
        wire.run_until(Duration::from_secs(1_000), |wire| wire.state(CLIENT, fd).is_none())
    };
    close_to(orphan(Wire::new(Version::V4), &PLAIN), 106.5);
    close_to(orphan(Wire::short(Version::V4), &PLAIN), 2.7);
    let options = TcpOptions { user_timeout: Some(ms(1_500)), ..PLAIN };
    close_to(orphan(Wire::new(Version::V4), &options), 1.9);

    let mut wire = Wire::new(Version::V4);
    let (fd, ..) = wire.pair(&PLAIN, &PLAIN);
    wire.call(CLIENT, |kernel, now| kernel.close(now, fd, Close::Drop));
    close_to(wire.run_until(Duration::from_secs(100), |wire| wire.state(CLIENT, fd).is_none()), 61.0);
}

#[test]
fn a_keepalive_probe_lies_before_what_is_in_flight() {
    let mut wire = Wire::new(Version::V4);
    let options = TcpOptions { keepalive: Some((ms(1_000), ms(1_000), 3)), ..PLAIN };
    let (fd, ..) = wire.pair(&options, &PLAIN);
    let next = wire.last(CLIENT).end();
    wire.run_for(ms(1_100));
    assert_eq!(wire.last(CLIENT).seq + 1, next);
    // The peer has answered, and will again.
    assert!(wire.last(SERVER).payload.is_empty() && segment(&wire.sent.last().expect("sent").2).is_some());
    wire.run_for(Duration::from_secs(1_000));
    assert_eq!(wire.state(CLIENT, fd), Some(TcpState::Established));
    // A reboot is found out by the next one.
    wire.call(SERVER, |kernel, _| kernel.forget());
    wire.run_for(ms(1_100));
    assert_eq!(wire.recv(CLIENT, fd), Err(Errno::ConnReset));
}

#[test]
fn a_challenge_is_not_repeated_within_500_ms() {
    let mut wire = Wire::new(Version::V4);
    let (fd, ..) = wire.pair(&PLAIN, &PLAIN);
    let answers = |wire: &mut Wire| {
        let expected = wire.last(CLIENT).ack.expect("established");
        let before = wire.count(CLIENT);
        let packet = wire.forge(CLIENT, expected + 9, None, resound_sim::packet::Flags::RST);
        wire.inject(CLIENT, packet);
        wire.count(CLIENT) - before
    };
    assert_eq!(answers(&mut wire), 1);
    wire.run_for(ms(400));
    assert_eq!(answers(&mut wire), 0);
    wire.run_for(ms(200));
    assert_eq!(answers(&mut wire), 1);
    assert_eq!(wire.state(CLIENT, fd), Some(TcpState::Established));
}

/// RFC 6069: each host unreachable takes back the doubling that its retransmission has made, so that a path that is mended
/// is found at once. Over IPv6 only `no route` says as much.
#[test]
fn a_retransmission_that_a_router_complains_about_is_not_waited_for_twice_as_long() {
    let distances = |version, kind, code| {
        let mut wire = Wire::new(version);
        let (fd, ..) = wire.pair(&PLAIN, &PLAIN);
        wire.cut[CLIENT] = true;
        assert_eq!(wire.send(CLIENT, fd, b"hello"), Ok(5));
        let mut times = Vec::new();
        while times.len() < 7 {
            let before = wire.count(CLIENT);
            wire.run_until(Duration::from_secs(100), |wire| wire.count(CLIENT) > before)
                .expect("sends again");
            times.push(wire.now);
            let about = wire.sent.last().expect("it sent").2.clone();
            let offender = wire.addresses[1];
            wire.inject(CLIENT, about.complain(offender, kind, code, None, 8));
        }
        // Behind the loss probe.
        times[1..].windows(2).map(|two| (two[1] - two[0]).as_millis()).collect::<Vec<_>>()
    };
    for (version, kind, code) in [(Version::V4, 3, 1), (Version::V4, 3, 0), (Version::V6, 1, 0)] {
        let patient = distances(version, kind, code);
        assert!(patient.iter().all(|ms| (200..250).contains(ms)), "{version:?} {kind}/{code}: {patient:?}");
    }
    for (version, kind, code) in [(Version::V4, 3, 13), (Version::V6, 1, 3)] {
        let doubled = distances(version, kind, code);
        assert!(doubled.windows(2).all(|two| two[1] == two[0] * 2), "{version:?} {kind}/{code}: {doubled:?}");
    }
}
