//! Admission against a model that has all the memory in the world, and the accept loop that never spins.

extern crate alloc;

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use proptest::prelude::*;
use resound_core::Instant;
use resound_core::signal::{Errno, Signal};
use resound_core::stream::admission::{AcceptError, Admission, Config, Foreign, Refusal};

/// A peer, and the number of the source it must be counted for.
fn peer(pool: u16) -> impl Strategy<Value = (u32, SocketAddr)> {
    (0..pool, any::<u64>(), 0u8..4, any::<u16>()).prop_map(|(n, host, form, port)| {
        let v4 = Ipv4Addr::new(192, 0, (n >> 8) as u8, n as u8);
        // An IPv6 network whose number is that of the IPv4 address: they are not the same peer.
        let v6 = |host| IpAddr::V6(Ipv6Addr::from_bits(u128::from(v4.to_bits()) << 64 | u128::from(host)));
        let (source, ip) = match form {
            0 => (u32::from(n), v4.into()),
            1 => (u32::from(n), v4.to_ipv6_mapped().into()),
            _ => (u32::from(n) | 1 << 16, v6(host)),
        };
        (source, SocketAddr::new(ip, port))
    })
}

fn config() -> impl Strategy<Value = Config> {
    (1u32..60, 1u32..5, 1u32..60).prop_map(|(connections, per_address, addresses)| Config {
        connections,
        per_address,
        addresses,
        ..Config::default()
    })
}

#[derive(Clone, Debug)]
enum Told {
    Admit((u32, SocketAddr)),
    /// The connection at this place among those that are live ends.
    Release(prop::sample::Index),
    /// A release that nobody was admitted for.
    Foreign((u32, SocketAddr)),
}

fn script(pool: u16, foreign: u32) -> impl Strategy<Value = Vec<Told>> {
    let told = prop_oneof![
        4 => peer(pool).prop_map(Told::Admit),
        3 => any::<prop::sample::Index>().prop_map(Told::Release),
        foreign => peer(pool).prop_map(Told::Foreign),
    ];
    prop::collection::vec(told, 0..300)
}

/// What admission promises, without a hash.
struct Model {
    config: Config,
    counts: BTreeMap<u32, u32>,
    uncounted: u32,
}

impl Model {
    fn live(&self) -> u32 {
        self.counts.values().sum::<u32>() + self.uncounted
    }

    fn admit(&mut self, source: u32) -> Result<(), Refusal> {
        if self.live() == self.config.connections {
            return Err(Refusal::Connections);
        }
        let table_full = self.counts.len() as u32 == self.config.addresses;
        match self.counts.get_mut(&source) {
            Some(count) if *count == self.config.per_address => return Err(Refusal::PerAddress),
            Some(count) => *count += 1,
            None if table_full => self.uncounted += 1,
            None => drop(self.counts.insert(source, 1)),
        }
        Ok(())
    }

    fn release(&mut self, source: u32) {
        match self.counts.get_mut(&source) {
            Some(1) => drop(self.counts.remove(&source)),
            Some(count) => *count -= 1,
            None => self.uncounted = self.uncounted.saturating_sub(1),
        }
    }
}

proptest! {
    #[test]
    fn the_table_does_what_the_model_does(
        config in config(), key: [u64; 2], script in script(40, 1),
    ) {
        let mut admission = Admission::new(config, key, Instant::EPOCH).expect("an accepted configuration");
        let mut model = Model { config, counts: BTreeMap::new(), uncounted: 0 };
        let mut live = Vec::new();
        for told in script {
            match told {
                Told::Admit((source, peer)) => {
                    let admitted = admission.admit(peer);
                    prop_assert_eq!(admitted, model.admit(source));
                    live.extend(admitted.map(|()| (source, peer)));
                }
                Told::Release(which) if !live.is_empty() => {
                    let (source, peer) = live.swap_remove(which.index(live.len()));
                    admission.release(peer);
                    model.release(source);
                }
                Told::Release(_) => {}
                Told::Foreign((source, peer)) => {
                    admission.release(peer);
                    model.release(source);
                }
            }
            prop_assert_eq!(admission.live(), model.live());
        }
    }

    /// Counted by the connections themselves, for a driver that releases what it admitted.
    #[test]
    fn no_limit_is_ever_exceeded(config in config(), key: [u64; 2], script in script(100, 0)) {
        let config = Config { addresses: config.connections, ..config };
        let mut admission = Admission::new(config, key, Instant::EPOCH).expect("an accepted configuration");
        let mut live = Vec::new();
        for told in script {
            match told {
                Told::Admit((source, peer)) => {
                    let mine = live.iter().filter(|(other, _)| *other == source).count() as u32;
                    let expected = if live.len() as u32 == config.connections {
                        Err(Refusal::Connections)
                    } else if mine == config.per_address {
                        Err(Refusal::PerAddress)
                    } else {
                        Ok(())
                    };
                    prop_assert_eq!(admission.admit(peer), expected);
                    live.extend(expected.map(|()| (source, peer)));
                }
                Told::Release(which) if !live.is_empty() => {
                    let (_, peer) = live.swap_remove(which.index(live.len()));
                    admission.release(peer);
                }
                Told::Release(_) | Told::Foreign(_) => {}
            }
            prop_assert_eq!(admission.live() as usize, live.len());
        }
        for (_, peer) in live {
            admission.release(peer);
        }
        prop_assert_eq!(admission.live(), 0);
    }

    /// A loop that does what it is told, on a clock that only pauses move, makes few attempts in any time.
    #[test]
    fn the_accept_loop_never_spins(
        which in prop::collection::vec(any::<prop::sample::Index>(), 1..8), other: i32, start: u64,
    ) {
        let mut admission = Admission::new(Config::default(), [1, 2], Instant::EPOCH).expect("the default");
        let signals: Vec<Signal> = which.iter().map(|which| {
            let at = which.index(Errno::ALL.len() + 1);
            Signal::Errno(Errno::ALL.get(at).copied().unwrap_or(Errno::Other(other)))
        }).collect();
        let start = Instant::from_nanos(start / 2);
        let mut now = start;
        let mut attempts = 0u32;
        for &signal in signals.iter().cycle().take(1_000) {
            match admission.failed(now, signal) {
                AcceptError::Continue => prop_assert!(admission.resume(now)),
                AcceptError::Fatal => return Ok(()),
                AcceptError::Pause { until } => {
                    prop_assert!(until > now);
                    prop_assert_eq!(admission.ready_at(), Some(until));
                    prop_assert!(!admission.resume(now));
                    prop_assert!(admission.resume(until));
                    prop_assert_eq!(admission.ready_at(), None);
                    now = until;
                }
            }
            attempts += 1;
        }
        // 64 in every 10 ms.
        prop_assert!(now - start >= Duration::from_millis(10) * (attempts / 64));
    }
}

fn admission() -> Admission {
    Admission::new(Config::default(), [1, 2], Instant::EPOCH).expect("the default")
}

fn at(ms: u64) -> Instant {
    Instant::EPOCH + Duration::from_millis(ms)
}

#[test]
fn pauses_double_up_to_the_longest_until_an_accept_succeeds() {
    let mut admission = admission();
    let mut pause = |now| match admission.failed(now, Signal::Errno(Errno::MFile)) {
        AcceptError::Pause { until } => (until - now).as_millis(),
        other => panic!("{other:?}"),
    };
    let mut pauses = Vec::new();
    for k in 0..9 {
        pauses.push(pause(at(10_000 * k)));
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    admission.accepted();
    assert_eq!(admission.ready_at(), None);
    assert_eq!(admission.failed(at(0), Signal::Errno(Errno::NFile)), AcceptError::Pause { until: at(10) });
    assert_ne!(admission.failed(Instant::MAX, Signal::Errno(Errno::NFile)), AcceptError::Continue);
}

#[test]
fn accept_errors_are_told_apart() {
    let lost = [
        Errno::ConnAborted,
        Errno::Intr,
        Errno::Proto,
        Errno::Perm,
        // accept(2): "the network errors".
        Errno::NetDown,
        Errno::NoProtoOpt,
        Errno::HostDown,
        Errno::NoNet,
        Errno::HostUnreach,
        Errno::OpNotSupp,
        Errno::NetUnreach,
    ];
    for errno in lost {
        assert_eq!(admission().failed(at(0), Signal::Errno(errno)), AcceptError::Continue, "{errno}");
    }
    for errno in [Errno::MFile, Errno::NFile, Errno::NoBufs, Errno::NoMem, Errno::Other(12_345)] {
        let paused = AcceptError::Pause { until: at(10) };
        assert_eq!(admission().failed(at(0), Signal::Errno(errno)), paused, "{errno}");
    }
    for errno in [Errno::BadF, Errno::Inval, Errno::NotSock] {
        assert_eq!(admission().failed(at(0), Signal::Errno(errno)), AcceptError::Fatal, "{errno}");
    }
}

/// What the kernel calls a lost connection might be the listener after all (EOPNOTSUPP is both).
#[test]
fn a_long_row_of_lost_connections_costs_a_short_pause() {
    let mut admission = admission();
    for _ in 0..3 {
        for _ in 0..63 {
            assert_eq!(admission.failed(at(0), Signal::Errno(Errno::OpNotSupp)), AcceptError::Continue);
        }
        let paused = AcceptError::Pause { until: at(10) };
        assert_eq!(admission.failed(at(0), Signal::Errno(Errno::OpNotSupp)), paused);
    }
}

#[test]
fn draining_admits_nobody_and_keeps_what_is_live() {
    let mut admission = admission();
    let peer = SocketAddr::from(([192, 0, 2, 1], 7));
    assert_eq!(admission.admit(peer), Ok(()));
    admission.drain();
    assert_eq!(admission.admit(peer), Err(Refusal::Draining));
    assert_eq!(admission.live(), 1);
    admission.release(peer);
    assert_eq!(admission.live(), 0);
}

#[test]
fn the_first_accept_waits_as_long_as_was_asked_and_no_other_does() {
    let config = Config { first_accept_after: Duration::from_millis(30), ..Config::default() };
    let mut admission = Admission::new(config, [1, 2], at(5)).expect("an accepted configuration");
    assert!(!admission.resume(at(34)));
    assert_eq!(admission.ready_at(), Some(at(35)));
    assert!(admission.resume(at(35)));
    admission.accepted();
    assert_eq!(admission.failed(at(40), Signal::Errno(Errno::MFile)), AcceptError::Pause { until: at(50) });
}

#[test]
fn a_foreign_address_keeps_everybody_else_out() {
    let only = |foreign: Foreign| {
        let config = Config { foreign: Some(foreign), ..Config::default() };
        Admission::new(config, [1, 2], at(0)).expect("an accepted configuration")
    };
    let ip = IpAddr::from([192, 0, 2, 1]);
    let mapped = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    for known in [ip, mapped] {
        let mut any_port = only(Foreign { ip: known, port: None });
        let mut one_port = only(Foreign { ip: known, port: Some(7) });
        for peer in [ip, mapped] {
            assert_eq!(any_port.admit((peer, 8).into()), Ok(()));
            assert_eq!(one_port.admit((peer, 7).into()), Ok(()));
            assert_eq!(one_port.admit((peer, 8).into()), Err(Refusal::Foreign));
        }
        assert_eq!(any_port.admit(([192, 0, 2, 2], 7).into()), Err(Refusal::Foreign));
        assert_eq!((any_port.live(), one_port.live()), (2, 2));
    }
}

#[test]
fn a_full_table_falls_back_to_the_limit_for_all() {
    let config = Config { connections: 5, per_address: 1, addresses: 1, ..Config::default() };
    let mut admission = Admission::new(config, [1, 2], Instant::EPOCH).expect("an accepted configuration");
    let [counted, other] = [1, 2].map(|n| SocketAddr::from(([192, 0, 2, n], 7)));
    assert_eq!(admission.admit(counted), Ok(()));
    assert_eq!(admission.admit(counted), Err(Refusal::PerAddress));
    for _ in 0..4 {
        assert_eq!(admission.admit(other), Ok(()));
    }
    assert_eq!(admission.admit(other), Err(Refusal::Connections));
}

#[test]
fn a_bad_field_is_named() {
    let good = Config::default();
    let ms = Duration::from_millis;
    let cases = [
        (Config { connections: 0, ..good }, "admission.connections"),
        (Config { per_address: 0, ..good }, "admission.per_address"),
        (Config { addresses: 0, ..good }, "admission.addresses"),
        (Config { addresses: (1 << 20) + 1, ..good }, "admission.addresses"),
        (Config { first_pause: ms(0), ..good }, "admission.first_pause"),
        (Config { longest_pause: ms(9), ..good }, "admission.longest_pause"),
        (Config { longest_pause: Duration::MAX, ..good }, "admission.longest_pause"),
    ];
    for (config, field) in cases {
        assert_eq!(
            Admission::new(config, [1, 2], Instant::EPOCH).expect_err("a bad configuration").field,
            field
        );
    }
}
