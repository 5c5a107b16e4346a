//! TIME_WAIT: what is left of a connection (`tcp_timewait_state_process`), and what its program has of it.

use std::time::Duration;

use resound_core::signal::{Errno, Version};
use resound_sim::kernel::{Fate, Fd, TcpOptions, TcpState};
use resound_sim::packet::{Flags, Seq};

use crate::BOTH;
use crate::wire::{CLIENT, SERVER, Wire};

/// The client has ended first, and its program still has the socket.
fn waiting(version: Version) -> (Wire, Fd) {
    let plain = TcpOptions::default();
    let mut wire = Wire::new(version);
    let (client, server, _) = wire.pair(&plain, &plain);
    for (host, fd) in [(CLIENT, client), (SERVER, server)] {
        wire.call(host, |kernel, now| kernel.shutdown(now, fd)).expect("shuts down");
        wire.run_for(Duration::from_millis(20));
    }
    assert_eq!(wire.state(CLIENT, client), Some(TcpState::TimeWait));
    (wire, client)
}

/// Measured on 6.18.
#[test]
fn its_program_has_a_closed_socket() {
    for version in BOTH {
        let (mut wire, fd) = waiting(version);
        assert_eq!(wire.kernels[CLIENT].poll(fd).to_string(), "IN|OUT|HUP|RDHUP");
        assert_eq!(wire.kernels[CLIENT].peer_addr(fd), None);
        let shut = wire.call(CLIENT, |kernel, now| [kernel.shutdown(now, fd), kernel.shutdown_read(now, fd)]);
        assert_eq!(shut, [Err(Errno::NotConn); 2]);
        assert_eq!(wire.recv(CLIENT, fd), Ok(vec![]));
        assert_eq!(wire.send(CLIENT, fd, b"x"), Err(Errno::Pipe));
        assert_eq!(wire.call(CLIENT, |kernel, _| kernel.so_error(fd)), None);
    }
}

#[test]
fn its_end_wakes_nobody() {
    let (mut wire, fd) = waiting(Version::V4);
    wire.woken.clear();
    wire.run_for(Duration::from_secs(61));
    assert_eq!(wire.state(CLIENT, fd), Some(TcpState::Closed));
    assert_eq!(wire.woken, []);
}

#[test]
fn only_an_exact_reset_ends_it() {
    for (off, ends) in [(0, true), (1, false), (-1, false), (100_000, false)] {
        let (mut wire, fd) = waiting(Version::V4);
        let next = wire.last(CLIENT).ack.expect("it acknowledges");
        let reset = wire.forge(CLIENT, Seq(next.0.wrapping_add_signed(off)), None, Flags::RST);
        let fate = wire.inject(CLIENT, reset);
        assert_eq!(matches!(fate, Fate::Acted(_)), ends, "{off}");
        assert_eq!(wire.state(CLIENT, fd) == Some(TcpState::Closed), ends, "{off}");
    }
}

#[test]
fn whatever_belongs_to_it_makes_it_last_and_an_old_syn_does_not() {
    let cases = [
        ("a bare acknowledgement", 0, true, Flags::NONE, true),
        ("the FIN again", -1, true, Flags::FIN, true),
        ("an old SYN", -100, false, Flags::SYN, false),
    ];
    for (what, off, acknowledges, flags, lasts) in cases {
        let (mut wire, fd) = waiting(Version::V4);
        // What the peer has forgotten, it would answer with a reset, which is exact.
        wire.cut[CLIENT] = true;
        wire.run_for(Duration::from_secs(50));
        let seen = wire.last(CLIENT);
        let seq = Seq(seen.ack.expect("it acknowledges").0.wrapping_add_signed(off));
        let packet = wire.forge(CLIENT, seq, acknowledges.then_some(seen.end()), flags);
        wire.inject(CLIENT, packet);
        wire.run_for(Duration::from_secs(20));
        assert_eq!(wire.state(CLIENT, fd) == Some(TcpState::TimeWait), lasts, "{what}");
        wire.run_for(Duration::from_secs(60));
        assert_eq!(wire.state(CLIENT, fd), Some(TcpState::Closed), "{what}");
    }
}
