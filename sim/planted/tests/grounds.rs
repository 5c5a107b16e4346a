//! Where bugs are looked for: small scenarios, and what may go wrong in them. They are the same for every bug.

use std::time::Duration;

use resound_planted_sim as resound_sim;

use resound_sim::Scenario;
use resound_sim::engine::explore::{End, Item, Menu, Within};
use resound_sim::scenario::{Forgery, HostFault, Pick, Tamper};

/// A scenario, and which schedules of faults are tried in it.
pub(crate) struct Ground {
    pub(crate) name: &'static str,
    pub(crate) base: Scenario,
    pub(crate) menu: Menu,
    pub(crate) most_faults: u32,
    /// How many packets of each way faults may stand at.
    pub(crate) within: Within,
}

impl Ground {
    /// A scenario that is played as it is.
    fn plain(name: &'static str, base: &str) -> Self {
        Self::new(name, base, Menu::default(), 0, 0)
    }

    fn new(name: &'static str, base: &str, menu: Menu, most_faults: u32, packets: u32) -> Self {
        let base = base.parse().unwrap_or_else(|malformed| panic!("{name}: {malformed}"));
        Self { name, base, menu, most_faults, within: Within::EachWay(packets) }
    }
}

/// Every ground, those with short schedules first.
pub(crate) fn all() -> Vec<Ground> {
    plain().into_iter().chain(streams()).chain(datagrams()).chain(pairs()).collect()
}

/// Where nothing goes wrong, or all that does is written down.
fn plain() -> [Ground; 10] {
    [
        Ground::plain(
            "nobody listens",
            "host client ; host server ; link client <-> server 10ms ; until 400
             0 client connect server:7",
        ),
        Ground::plain(
            "nobody listens, three rounds",
            "host client ; host server ; link client <-> server 10ms
             0 client connect server:7 rounds=3",
        ),
        Ground::plain(
            "a close",
            "host client ; host server ; link client <-> server 10ms
             0 server serve 7 ; 0 client connect server:7
             0.5 client send \"hello\" ; 0.5 client close",
        ),
        Ground::plain(
            "six minutes",
            "host client ; host server ; link client <-> server 10ms ; until 400
             0 server serve 7 ; 0 client connect server:7",
        ),
        Ground::plain(
            "nobody reads",
            "host client ; host server wmem_default=4608 ; link client <-> server 10ms ; until 100
             0 server serve 7 ; 0 client call a = tcp connect server:7 rcvbuf=2304
             0.5 client call a send 60000 bytes
             expect server ended write-blocked by 70",
        ),
        Ground::plain(
            "one of two",
            "host client ; host server ; host other
             link client <-> server 10ms ; link client <-> other 10ms
             0 server serve udp 7 ; 0 client connect udp other:7 ; 0 client connect udp server:7",
        ),
        Ground::plain(
            "two of a kind",
            "host client ; host server ; link client <-> server 10ms
             0 server serve udp 9000 ; 0 client call a = udp 9000
             0.1 client call a sendto server:9000 \"x\"",
        ),
        Ground::plain(
            "a reflector",
            "host client ; host server ; link client <-> server 10ms
             0 server serve udp 9000 ; 0 client call a = udp 19
             0.1 client call a sendto server:9000 \"x\"",
        ),
        Ground::plain(
            "a loop",
            "host one ; host two ; link one <-> two 100us ; until 1
             0 one call a = udp 9000 ; 0 two serve udp 9001
             0.01 one call a sendto two:9001 \"x\" ; 0.01 one call a close
             0.01 one serve udp 9000",
        ),
        Ground::plain(
            "an old quote",
            "host client ; host server ; link client <-> server 10ms
             0 server serve udp 7 ; 0 client connect udp server:7
             0.5 client send \"hello\"
             !0.8 server icmp 3/3 to client quoted=528",
        ),
    ]
}

/// TCP, with one fault.
fn streams() -> [Ground; 5] {
    let talk = Menu(vec![
        Item::Tamper(Tamper::Drop),
        Item::Tamper(Tamper::Alter(0)),
        Item::Forge(Forgery::Rst(Pick::Exact), End::Sender),
        Item::Forge(Forgery::Fin(Pick::Exact), End::Sender),
        host(HostFault::Kill, End::Receiver),
        host(HostFault::PowerLoss, End::Receiver),
        host(HostFault::ShortReads(2), End::Sender),
        host(HostFault::ShortWrites(2), End::Sender),
        pause(2_500, End::Receiver),
        pause(30_000, End::Receiver),
    ]);
    let ends = Menu(vec![
        Item::Forge(Forgery::Rst(Pick::Exact), End::Sender),
        Item::Forge(Forgery::Fin(Pick::Exact), End::Sender),
        host(HostFault::PowerLoss, End::Receiver),
        pause(310_000, End::Receiver),
    ]);
    let dial = Menu(vec![Item::Outage(1_000), Item::Outage(5), pause(4_000, End::Sender)]);
    [
        Ground::new(
            "tcp",
            "host client ; host server ; link client <-> server 10ms
             0 server serve 7 ; 0 client connect server:7 idle=1s probe=1s round=3s
             0.5 client send \"hello\" ; 1.0 client send \"again\"",
            talk.clone(),
            1,
            8,
        ),
        Ground::new(
            "tcp, idle",
            "host client ; host server ; link client <-> server 10ms
             0 server serve 7 ; 0 client connect server:7",
            talk,
            1,
            8,
        ),
        Ground::new(
            "tcp, no detector",
            "host client ; host server ; link client <-> server 10ms ; until 400
             0 server serve 7 ; 0 client connect server:7 idle=0ns
             25 client send \"hello\" ; 60 client send \"again\"",
            ends.clone(),
            1,
            8,
        ),
        Ground::new(
            "tcp, no detector, a close",
            "host client ; host server ; link client <-> server 10ms
             0 server serve 7 ; 0 client connect server:7 idle=0ns
             0.5 client send \"hello\" ; 0.5 client close",
            ends,
            1,
            8,
        ),
        Ground::new(
            "tcp, dialing",
            "host client ; host server ; link client <-> server 10ms
             0 server serve 7 ; 0 client connect server:7 round=3s",
            dial,
            1,
            3,
        ),
    ]
}

/// UDP, with one fault.
fn datagrams() -> [Ground; 4] {
    let menu = Menu(vec![
        Item::Tamper(Tamper::Drop),
        Item::Tamper(Tamper::Duplicate(ms(5))),
        Item::Tamper(Tamper::Delay(ms(4_000))),
        // The lowest bit of the number in the header.
        Item::Tamper(Tamper::Alter(184)),
        icmp(3, 1, 528, End::Sender),
        icmp(3, 3, 528, End::Receiver),
        icmp(3, 3, 8, End::Sender),
        host(HostFault::PowerLoss, End::Receiver),
    ]);
    [
        Ground::new(
            "udp",
            "host client ; host server ; link client <-> server 10ms
             0 server serve udp 7 ; 0 client connect udp server:7
             0.5 client send \"hello\" ; 0.5 client send \"again\" ; 0.5 client send \"more\"",
            menu.clone(),
            1,
            8,
        ),
        Ground::new(
            "udp, patient",
            "host client ; host server ; link client <-> server 10ms
             0 server serve udp 7 ; 0 client connect udp server:7 probe=15s
             0.5 client send \"hello\"",
            menu.clone(),
            1,
            4,
        ),
        Ground::new(
            "udp, a router",
            "host client ; router router ; host server
             link client <-> router 10ms ; link router <-> server 1ms
             0 server serve udp 7 ; 0 client connect udp server:7
             0.5 client send \"hello\"",
            menu,
            1,
            4,
        ),
        Ground::new(
            "udp, a small buffer",
            "host client rmem_default=2304 ; host server ; link client <-> server 10ms
             0 server serve udp 7 ; 0 client connect udp server:7
             0.5 client send 1000 bytes ; 0.5 client send 1000 bytes ; 0.5 client send 1000 bytes",
            Menu(vec![pause(60, End::Sender)]),
            1,
            6,
        ),
    ]
}

/// Where it takes two faults, or two that meet.
fn pairs() -> [Ground; 4] {
    let stalls = Menu(vec![
        // A server that is back just before the verdict, and a client that then sleeps over it, but not for too long.
        pause(3_950, End::Receiver),
        pause(90, End::Receiver),
        pause(1_500, End::Sender),
        host(HostFault::PowerLoss, End::Receiver),
        host(HostFault::Kill, End::Receiver),
    ]);
    [
        Ground::new(
            "tcp, bulk",
            "host client wmem_default=4608 ; host server ; link client <-> server 10ms ; until 20
             0 server serve 7 ; 0 client connect server:7
             0.5 client send 20000 bytes",
            Menu(vec![host(HostFault::Kill, End::Receiver), pause(90, End::Receiver)]),
            2,
            8,
        ),
        Ground::new(
            "tcp, stalls",
            "host client ; host server ; link client <-> server 10ms ; until 14
             0 server serve 7 ; 0 client connect server:7 idle=4s probe=1s
             0.5 client send \"hello\"",
            stalls,
            2,
            6,
        ),
        Ground::new(
            "udp, rumours",
            "host client ; host server ; link client <-> server 10ms
             0 server serve udp 7 ; 0 client connect udp server:7
             0.5 client send \"hello\" ; 1.0 client send \"again\"",
            Menu(vec![icmp(3, 1, 8, End::Sender)]),
            2,
            6,
        ),
        Ground::new(
            "udp, late",
            "host client ; host server ; link client <-> server 10ms
             0 server serve udp 7 ; 0 client connect udp server:7 round=3s",
            Menu(vec![Item::Tamper(Tamper::Delay(ms(6_000))), Item::Outage(4)]),
            2,
            6,
        ),
    ]
}

// What may go wrong.

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn host(what: HostFault, end: End) -> Item {
    Item::Host(what, end)
}

const fn pause(time: u64, end: End) -> Item {
    host(HostFault::Pause(ms(time)), end)
}

/// An error that quotes so many bytes of the payload: 8 are too few for the tag of a datagram.
const fn icmp(kind: u8, code: u8, quoted: u16, end: End) -> Item {
    Item::Forge(Forgery::Icmp { kind, code, mtu: None, quote: Pick::Exact, quoted }, end)
}
