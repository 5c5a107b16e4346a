//! Whatever arrives, in whatever state: no panic, and a kernel that still works.

use std::time::Duration;

use proptest::prelude::*;
use resound_core::signal::Version;
use resound_core::stream::Close;
use resound_sim::kernel::{Fd, TcpOptions};
use resound_sim::packet::{Body, Flags, Packet, Segment, Seq};
use resound_sim::scenario::RouteKind;

use crate::wire::{CLIENT, PID, PORT, SERVER, Wire};

#[derive(Clone, Debug)]
enum Step {
    Segment {
        to: usize,
        stray: bool,
        seq: i32,
        ack: Option<i32>,
        flags: u8,
        window: u32,
        mss: Option<u16>,
        length: usize,
    },
    Icmp {
        to: usize,
        kind: u8,
        code: u8,
        mtu: Option<u32>,
        seq: i32,
    },
    Send(usize, usize),
    Recv(usize),
    Shutdown(usize),
    ShutdownRead(usize),
    Close(usize, bool),
    Connect,
    Accept,
    Cut(usize, bool),
    Route(bool),
    Forget(usize),
    Run(u64),
}

/// Numbers near what is expected, and any.
fn near() -> impl Strategy<Value = i32> {
    prop_oneof![4 => -2_i32..3, 2 => -70_000_i32..70_000, 1 => any::<i32>()]
}

fn step() -> impl Strategy<Value = Step> {
    let segment = (
        (0_usize..2, prop::bool::weighted(0.1), near(), prop::option::weighted(0.8, near()), 0_u8..8),
        (
            prop_oneof![Just(0_u32), 1_u32..70_000, any::<u32>()],
            prop::option::of(any::<u16>()),
            0_usize..3_000,
        ),
    );
    let segment = segment.prop_map(|((to, stray, seq, ack, flags), (window, mss, length))| Step::Segment {
        to,
        stray,
        seq,
        ack,
        flags,
        window,
        mss,
        length,
    });
    let icmp = (0_usize..2, any::<u8>(), 0_u8..20, prop::option::of(any::<u32>()), near());
    let icmp = icmp.prop_map(|(to, kind, code, mtu, seq)| Step::Icmp { to, kind: kind % 16, code, mtu, seq });
    prop_oneof![
        8 => segment,
        3 => icmp,
        4 => (0_usize..2, 0_usize..200_000).prop_map(|(host, n)| Step::Send(host, n)),
        4 => (0_usize..2).prop_map(Step::Recv),
        1 => (0_usize..2).prop_map(Step::Shutdown),
        1 => (0_usize..2).prop_map(Step::ShutdownRead),
        1 => (0_usize..2, any::<bool>()).prop_map(|(host, reset)| Step::Close(host, reset)),
        2 => Just(Step::Connect),
        2 => Just(Step::Accept),
        1 => (0_usize..2, any::<bool>()).prop_map(|(host, cut)| Step::Cut(host, cut)),
        1 => any::<bool>().prop_map(Step::Route),
        1 => (0_usize..2).prop_map(Step::Forget),
        6 => (0_u64..200).prop_map(Step::Run),
        1 => (1_000_u64..100_000).prop_map(Step::Run),
    ]
}

struct Rig {
    wire: Wire,
    listener: Fd,
    open: [Vec<Fd>; 2],
}

impl Rig {
    fn take(&mut self, step: Step) {
        let last = |rig: &Self, host: usize| rig.open[host].last().copied().unwrap_or(Fd(99));
        match step {
            Step::Segment { to, stray, seq, ack, flags, window, mss, length } => {
                let seen = self.wire.last(to);
                let shift = |seq: Seq, by: i32| Seq(seq.0.wrapping_add_signed(by));
                let segment = Segment {
                    source: if stray { 4_242 } else { seen.destination },
                    destination: if stray { PORT } else { seen.source },
                    seq: shift(seen.ack.unwrap_or_default(), seq),
                    ack: ack.map(|by| shift(seen.end(), by)),
                    flags: Flags { syn: flags & 1 != 0, fin: flags & 2 != 0, rst: flags & 4 != 0 },
                    window,
                    mss,
                    payload: vec![b'x'; length],
                };
                let addresses = self.wire.addresses;
                let packet = Packet::new(addresses[1 - to], addresses[to], Body::Tcp(segment));
                self.wire.inject(to, packet);
            }
            Step::Icmp { to, kind, code, mtu, seq } => {
                let Some(mut about) =
                    self.wire.sent.iter().rev().find(|sent| sent.1 == to).map(|s| s.2.clone())
                else {
                    return;
                };
                if let Body::Tcp(segment) = &mut about.body {
                    segment.seq = Seq(segment.seq.0.wrapping_add_signed(seq));
                }
                let offender = self.wire.addresses[1 - to];
                self.wire.inject(to, about.complain(offender, kind, code, mtu, 8));
            }
            Step::Send(host, n) => {
                let _ = self.wire.send(host, last(self, host), &vec![0; n]);
            }
            Step::Recv(host) => {
                let _ = self.wire.recv(host, last(self, host));
            }
            Step::Shutdown(host) => {
                let fd = last(self, host);
                let _ = self.wire.call(host, |kernel, now| kernel.shutdown(now, fd));
            }
            Step::ShutdownRead(host) => {
                let fd = last(self, host);
                let _ = self.wire.call(host, |kernel, now| kernel.shutdown_read(now, fd));
            }
            Step::Close(host, reset) => {
                let Some(fd) = self.open[host].pop() else { return };
                let how = if reset { Close::Reset } else { Close::Drop };
                self.wire.call(host, |kernel, now| kernel.close(now, fd, how));
            }
            Step::Connect => {
                let fd = self.wire.call(CLIENT, |kernel, now| {
                    let to = std::net::SocketAddr::new([10, 0, 1, 1].into(), PORT);
                    let options = TcpOptions {
                        recverr: now.nanos() % 2 == 0,
                        receive_buffer: Some(2_304),
                        keepalive: Some((Duration::from_secs(1), Duration::from_secs(1), 3)),
                        ..TcpOptions::default()
                    };
                    kernel.tcp_connect(now, PID, to, &options)
                });
                self.open[CLIENT].extend(fd.ok());
            }
            Step::Accept => {
                let listener = self.listener;
                let child = self.wire.call(SERVER, |kernel, now| kernel.accept(now, listener, PID));
                self.open[SERVER].extend(child.ok().map(|child| child.0));
            }
            Step::Cut(host, cut) => self.wire.cut[host] = cut,
            Step::Route(gone) => {
                self.wire.call(CLIENT, |kernel, _| kernel.route(None, gone.then_some(RouteKind::Prohibit)));
            }
            Step::Forget(host) => {
                self.wire.call(host, |kernel, _| kernel.forget());
            }
            Step::Run(ms) => self.wire.run_for(Duration::from_millis(ms)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_segment_and_no_call_makes_a_kernel_panic(steps in prop::collection::vec(step(), 1..60)) {
        let plain = TcpOptions::default();
        let mut wire = Wire::short(Version::V4);
        let (client, server, listener) = wire.pair(&plain, &plain);
        let mut rig = Rig { wire, listener, open: [vec![client], vec![server]] };
        for step in steps {
            rig.take(step);
        }
        // It still works.
        let mut wire = rig.wire;
        wire.cut = [false; 2];
        wire.call(CLIENT, |kernel, _| kernel.route(None, None));
        for (host, fds) in rig.open.into_iter().enumerate() {
            for fd in fds {
                wire.call(host, |kernel, now| kernel.close(now, fd, Close::Reset));
            }
        }
        wire.call(SERVER, |kernel, now| kernel.close(now, listener, Close::Drop));
        wire.run_for(Duration::from_secs(1_000));
        let (client, server, _) = wire.pair(&plain, &TcpOptions { reuse_address: true, ..plain });
        prop_assert_eq!(wire.send(CLIENT, client, b"hello"), Ok(5));
        wire.run_for(Duration::from_millis(20));
        prop_assert_eq!(wire.recv(SERVER, server), Ok(b"hello".to_vec()));
    }
}
