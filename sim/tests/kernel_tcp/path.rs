//! What a connection makes of an MTU that it is told.

use resound_core::signal::Version;
use resound_sim::kernel::{Fate, TcpOptions};

use crate::wire::{CLIENT, Wire, segment};

/// A connection with data in flight is told of this MTU; what it then sends: payload, and whether in fragments.
fn told(version: Version, mtu: u32) -> (Fate, Vec<(usize, bool)>) {
    let mut wire = Wire::new(version);
    let plain = TcpOptions::default();
    let (fd, ..) = wire.pair(&plain, &plain);
    wire.cut[CLIENT] = true;
    assert_eq!(wire.send(CLIENT, fd, &[0; 4_000]), Ok(4_000));
    let about = wire.sent.iter().rev().find(|sent| sent.1 == CLIENT).expect("it sent").2.clone();
    let (kind, code) = if version == Version::V4 { (3, 4) } else { (2, 0) };
    let (before, offender) = (wire.sent.len(), wire.addresses[1]);
    let fate = wire.inject(CLIENT, about.complain(offender, kind, code, Some(mtu), 8));
    let sent = wire.sent[before..]
        .iter()
        .map(|(.., packet)| (segment(packet).expect("a segment").payload.len(), packet.may_be_fragmented()));
    (fate, sent.collect())
}

#[test]
fn segments_become_as_short_as_the_path_needs() {
    let acted = Fate::Acted("told of a smaller MTU");
    assert_eq!(told(Version::V4, 1_000), (acted, vec![(960, false); 2]));
    assert_eq!(told(Version::V6, 1_280), (acted, vec![(1_220, false); 2]));
}

/// A forged MTU of 68 bytes is an old attack: below `ip_rt_min_pmtu` IPv4 gives up DF instead, and IPv6 does not listen
/// below the least MTU that there is.
#[test]
fn an_mtu_below_the_floor_is_not_believed() {
    assert_eq!(told(Version::V4, 68), (Fate::Acted("told of a smaller MTU"), vec![(512, true); 2]));
    let (fate, sent) = told(Version::V6, 1_279);
    assert!(matches!(fate, Fate::Absorbed(_)), "{fate:?}");
    assert_eq!(sent, []);
}
