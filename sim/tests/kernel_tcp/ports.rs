//! Listeners, their queues, and who may have a port.

use std::time::Duration;

use resound_core::signal::{Errno, Version};
use resound_core::stream::Close;
use resound_sim::kernel::{Fd, Profile, Sysctl, Sysctls, TcpOptions, TcpState};
use resound_sim::packet::Flags;

use crate::wire::{CLIENT, PID, SERVER, Wire};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_backlog_of_one_takes_two_and_drops_the_third() {
    let mut wire = Wire::new(Version::V4);
    let plain = TcpOptions::default();
    let listener = wire.listen(1, &plain);
    let clients: Vec<Fd> = (0..3)
        .map(|_| {
            let fd = wire.connect(&plain);
            wire.run_for(ms(50));
            fd
        })
        .collect();
    let states: Vec<_> = clients.iter().map(|&fd| wire.state(CLIENT, fd)).collect();
    let (up, out) = (Some(TcpState::Established), Some(TcpState::SynSent));
    assert_eq!(states, [up, up, out]);
    assert_eq!(wire.kernels[SERVER].tallies.queue_full, 1);
    wire.accept(listener);
    wire.run_for(ms(1_100));
    assert_eq!(wire.state(CLIENT, clients[2]), up);
    // None fits where the host says so.
    wire.call(SERVER, |kernel, _| kernel.accept_queue(0));
    let fd = wire.connect(&plain);
    wire.run_for(Duration::from_secs(200));
    assert_eq!(wire.call(CLIENT, |kernel, _| kernel.tcp_connected(fd)), Some(Err(Errno::TimedOut)));
}

#[test]
fn a_host_can_shorten_its_listeners_queues_but_not_lengthen_them() {
    let plain = TcpOptions::default();
    for (most, fit) in [(0, 0), (1, 1), (100, 1)] {
        let mut wire = Wire::new(Version::V4);
        wire.listen(0, &plain);
        wire.call(SERVER, |kernel, _| kernel.accept_queue(most));
        let clients = [(); 3].map(|()| {
            let fd = wire.connect(&plain);
            wire.run_for(ms(50));
            fd
        });
        let up = clients.iter().filter(|&&fd| wire.state(CLIENT, fd) == Some(TcpState::Established));
        assert_eq!(up.count(), fit, "at most {most}");
    }
}

#[test]
fn accept_succeeds_after_a_reset() {
    let mut wire = Wire::new(Version::V4);
    let plain = TcpOptions::default();
    let listener = wire.listen(1, &plain);
    let client = wire.connect(&plain);
    wire.run_for(ms(50));
    wire.call(CLIENT, |kernel, now| kernel.close(now, client, Close::Reset));
    wire.run_for(ms(50));
    let peer = wire.accept(listener);
    assert_eq!(wire.kernels[SERVER].peer_addr(peer), None);
    assert_eq!(wire.recv(SERVER, peer), Err(Errno::ConnReset));
    assert_eq!(wire.recv(SERVER, peer), Ok(vec![]));
}

#[test]
fn those_who_wait_are_reset_when_the_listener_closes() {
    let mut wire = Wire::new(Version::V4);
    let plain = TcpOptions::default();
    let listener = wire.listen(1, &plain);
    let client = wire.connect(&plain);
    wire.run_for(ms(50));
    wire.call(SERVER, |kernel, now| kernel.close(now, listener, Close::Drop));
    wire.run_for(ms(50));
    assert_eq!(wire.recv(CLIENT, client), Err(Errno::ConnReset));
}

#[test]
fn leftovers_keep_a_port_unless_both_reuse_the_address() {
    for reuse_address in [false, true] {
        let mut wire = Wire::new(Version::V4);
        let options = TcpOptions { reuse_address, ..TcpOptions::default() };
        let (_, peer, listener) = wire.pair(&TcpOptions::default(), &options);
        let listen = |wire: &mut Wire| {
            let at = wire.at(SERVER);
            wire.call(SERVER, |kernel, now| kernel.tcp_listen(now, PID, at, 1, &options))
        };
        // SO_REUSEADDR never allows a second listener.
        assert_eq!(listen(&mut wire), Err(Errno::AddrInUse));
        wire.call(SERVER, |kernel, now| kernel.close(now, listener, Close::Drop));
        let again = listen(&mut wire);
        assert_eq!(again.is_ok(), reuse_address);
        if again.is_err() {
            wire.call(SERVER, |kernel, now| kernel.close(now, peer, Close::Reset));
            assert!(listen(&mut wire).is_ok());
        }
    }
}

#[test]
fn two_listeners_share_a_port_only_if_both_ask_to() {
    let shared = TcpOptions { reuse_port: true, ..TcpOptions::default() };
    for (first, second) in [(true, true), (true, false), (false, true)] {
        let mut wire = Wire::new(Version::V4);
        let of = |shares: bool| if shares { shared } else { TcpOptions::default() };
        let a = wire.listen(8, &of(first));
        let at = wire.at(SERVER);
        let b = wire.call(SERVER, |kernel, now| kernel.tcp_listen(now, PID, at, 8, &of(second)));
        assert_eq!(b.is_ok(), first && second);
        let Ok(b) = b else { continue };
        for _ in 0..8 {
            wire.connect(&TcpOptions::default());
        }
        wire.run_for(ms(50));
        let both = [a, b].map(|fd| wire.kernels[SERVER].poll(fd).readable);
        assert_eq!(both, [true, true]);
    }
}

#[test]
fn ports_run_out() {
    let mut sysctls = Sysctls::default();
    sysctls.set(Sysctl::PortLow, 40_000);
    sysctls.set(Sysctl::PortHigh, 40_001);
    let mut wire = Wire::with(Version::V4, Profile::Linux, sysctls);
    let plain = TcpOptions::default();
    let to = wire.at(SERVER);
    let connect = |wire: &mut Wire| wire.call(CLIENT, |kernel, now| kernel.tcp_connect(now, PID, to, &plain));
    assert!(connect(&mut wire).is_ok() && connect(&mut wire).is_ok());
    assert_eq!(connect(&mut wire), Err(Errno::AddrNotAvail));
}

#[test]
fn after_a_reboot_an_old_connection_is_refused() {
    let mut wire = Wire::new(Version::V4);
    let plain = TcpOptions::default();
    let (client, _, _) = wire.pair(&plain, &plain);
    wire.call(SERVER, |kernel, _| kernel.forget());
    assert_eq!(wire.send(CLIENT, client, b"hello"), Ok(5));
    wire.run_for(ms(20));
    assert_eq!(wire.last(SERVER).flags, Flags::RST);
    assert_eq!(wire.recv(CLIENT, client), Err(Errno::ConnReset));
}

#[test]
fn calls_without_a_connection() {
    let mut wire = Wire::new(Version::V4);
    let plain = TcpOptions::default();
    let listener = wire.listen(1, &plain);
    assert_eq!(wire.recv(SERVER, listener), Err(Errno::NotConn));
    assert_eq!(wire.send(SERVER, listener, b"hello"), Err(Errno::Pipe));
    assert_eq!(wire.call(SERVER, |kernel, now| kernel.accept(now, listener, PID)), Err(Errno::Again));
    let anywhere = "0.0.0.0:7".parse().expect("an address");
    let own = wire.call(SERVER, |kernel, now| kernel.tcp_connect(now, PID, anywhere, &plain));
    assert!(own.is_ok(), "the unspecified address is this host");
    let many = "224.0.0.1:7".parse().expect("an address");
    let many = wire.call(SERVER, |kernel, now| kernel.tcp_connect(now, PID, many, &plain));
    assert_eq!(many, Err(Errno::NetUnreach));
}

#[test]
fn reading_can_be_shut_and_still_gives_what_comes_later() {
    let mut wire = Wire::new(Version::V4);
    let plain = TcpOptions::default();
    let (client, peer, _) = wire.pair(&plain, &plain);
    wire.call(CLIENT, |kernel, now| kernel.shutdown_read(now, client)).expect("connected");
    assert_eq!(wire.recv(CLIENT, client), Ok(vec![]));
    assert_eq!(wire.send(SERVER, peer, b"hello"), Ok(5));
    wire.run_for(ms(20));
    assert_eq!(wire.recv(CLIENT, client), Ok(b"hello".to_vec()));
    assert_eq!(wire.recv(CLIENT, client), Ok(vec![]));
}
