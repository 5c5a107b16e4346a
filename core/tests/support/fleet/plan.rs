//! What a world is made of and what happens in it: drawn by proptest.

use core::net::SocketAddr;
use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::datagram::client::{Config, HEADER};
use resound_core::signal::Errno;

/// The address of the peer with this number: the families take turns.
pub(crate) fn address(which: usize) -> SocketAddr {
    let k = which as u16 + 1;
    if which % 2 == 0 {
        SocketAddr::from(([192, 0, 2, k as u8], 7))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, k], 7))
    }
}

/// What a peer, or what stands in its way, does with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    Echoes,
    Silent,
    /// Nothing listens there: port unreachable, with so much of the payload quoted.
    Refuses {
        quoted: usize,
    },
    /// Answers from another address.
    Elsewhere,
    /// Answers something else.
    Garbles,
    /// A router says so, and drops it.
    Router {
        which: usize,
        quoted: usize,
    },
    /// This host cannot send there.
    Unsendable(Errno),
}

/// What routers say, as types and codes of both versions.
pub(super) const COMPLAINTS: [[(u8, u8); 2]; 5] =
    [[(3, 1), (1, 3)], [(3, 13), (1, 1)], [(11, 0), (3, 0)], [(3, 4), (2, 0)], [(3, 0), (1, 0)]];

/// How the way to a peer and back is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) delay_ms: u64,
    pub(crate) spread_ms: u64,
    pub(crate) loss_percent: u64,
    pub(crate) double_percent: u64,
}

pub(crate) const GOOD: Way = Way { delay_ms: 20, spread_ms: 0, loss_percent: 0, double_percent: 0 };

/// Configurations: the defaults, and others of which each changes what comes before what.
pub(crate) fn configs() -> impl Strategy<Value = Config> {
    let idle = prop_oneof![Just(2_000u64), Just(15_000), Just(600_000)];
    let probe = prop_oneof![Just(500u64), Just(2_000)];
    let timeout = prop_oneof![Just(200u64), Just(3_000), Just(30_000)];
    let other = (idle, probe, 1u8..6, timeout, 0usize..20, 1usize..20).prop_map(
        |(idle, probe, misses, timeout, remember_most, max_in_flight)| {
            let mut config =
                Config { remember_most: remember_most + 1_000, max_in_flight, ..Config::default() };
            config.timeout = Duration::from_millis(timeout);
            config.remember = config.timeout + Duration::from_secs(100);
            config.link.liveness.idle = Duration::from_millis(idle);
            config.link.liveness.probe = Duration::from_millis(probe);
            config.link.liveness.misses = misses;
            config.link.race.round = Duration::from_millis(idle.min(8_000));
            config
        },
    );
    prop_oneof![1 => Just(Config::default()), 2 => other]
}

/// A forgery: of what it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stuff {
    Random,
    /// A datagram of a client with the same peers and another secret.
    OtherSecret,
    /// A datagram that went to another peer.
    OtherPeer,
    /// A datagram to this peer that has been answered or given up.
    Old,
    /// A datagram to this peer with a few bits changed.
    Bent,
    /// A datagram to this peer, cut within the tag.
    Cut,
    Nothing,
}

pub(super) const STUFF: [Stuff; 7] = [
    Stuff::Random,
    Stuff::OtherSecret,
    Stuff::OtherPeer,
    Stuff::Old,
    Stuff::Bent,
    Stuff::Cut,
    Stuff::Nothing,
];

/// One thing that the world, the program or the driver does.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    Sleep { ms: u64 },
    Late { ms: u64 },
    Send { which: usize, len: usize },
    Add { which: usize },
    Remove { which: usize },
    Become { which: usize, nature: Nature },
    Road { which: usize, way: Way },
    ForgeAnswer { which: usize, stuff: Stuff },
    ForgeIcmp { which: usize, stuff: Stuff, complaint: usize },
    Block { ms: u64 },
    Overrun,
    Resumed,
    Hurry { which: usize },
    Close,
    Abort,
}

pub(crate) const PEERS: usize = 5;

fn natures() -> impl Strategy<Value = Nature> {
    let quoted = prop_oneof![Just(0usize), 1usize..HEADER, Just(HEADER), Just(548)];
    let errnos = Errno::ALL.to_vec();
    prop_oneof![
        8 => Just(Nature::Echoes),
        3 => Just(Nature::Silent),
        3 => quoted.clone().prop_map(|quoted| Nature::Refuses { quoted }),
        1 => Just(Nature::Elsewhere),
        1 => Just(Nature::Garbles),
        3 => (0usize..COMPLAINTS.len(), quoted).prop_map(|(which, quoted)| Nature::Router { which, quoted }),
        2 => proptest::sample::select(errnos).prop_map(Nature::Unsendable),
        1 => Just(Nature::Unsendable(Errno::NoBufs)),
    ]
}

fn ways() -> impl Strategy<Value = Way> {
    let delay_ms = prop_oneof![4 => 0u64..200, 1 => 200u64..5_000];
    let spread_ms = prop_oneof![2 => Just(0u64), 2 => 1u64..100, 1 => 100u64..4_000];
    (
        delay_ms,
        spread_ms,
        prop_oneof![3 => Just(0u64), 1 => 0u64..60],
        prop_oneof![2 => Just(0u64), 1 => 0u64..60],
    )
        .prop_map(|(delay_ms, spread_ms, loss_percent, double_percent)| Way {
            delay_ms,
            spread_ms,
            loss_percent,
            double_percent,
        })
}

pub(crate) fn operations() -> impl Strategy<Value = Vec<Do>> {
    let which = 0usize..PEERS;
    let stuff = proptest::sample::select(STUFF.to_vec());
    let one = prop_oneof![
        10 => prop_oneof![3 => 0u64..8_000, 1 => 0u64..30_000].prop_map(|ms| Do::Sleep { ms }),
        2 => prop_oneof![1u64..90, 150u64..8_000].prop_map(|ms| Do::Late { ms }),
        14 => (which.clone(), 0usize..100).prop_map(|(which, len)| Do::Send { which, len }),
        4 => which.clone().prop_map(|which| Do::Add { which }),
        1 => which.clone().prop_map(|which| Do::Remove { which }),
        4 => (which.clone(), natures()).prop_map(|(which, nature)| Do::Become { which, nature }),
        3 => (which.clone(), ways()).prop_map(|(which, way)| Do::Road { which, way }),
        3 => (which.clone(), stuff.clone()).prop_map(|(which, stuff)| Do::ForgeAnswer { which, stuff }),
        5 => (which.clone(), stuff, 0usize..6)
            .prop_map(|(which, stuff, complaint)| Do::ForgeIcmp { which, stuff, complaint }),
        1 => (1u64..6_000).prop_map(|ms| Do::Block { ms }),
        1 => Just(Do::Overrun),
        1 => Just(Do::Resumed),
        1 => which.prop_map(|which| Do::Hurry { which }),
    ];
    let end = prop_oneof![2 => Just(vec![]), 1 => Just(vec![Do::Close]), 1 => Just(vec![Do::Abort])];
    (vec(one, 1..80), end, 0u64..60_000).prop_map(|(mut all, end, rest)| {
        for which in 0..2 {
            all.insert(0, Do::Add { which });
        }
        all.extend(end);
        all.push(Do::Sleep { ms: rest });
        all
    })
}
