//! What the ordinary runs meet: the committed scenarios, the staged rows of the kernel table, and every single fault at every
//! packet of some sessions.
//!
//! The matrix is a committed file, `COVERAGE.md`; `UPDATE_EXPECT=1` writes it anew. The number of holes has a ceiling, which
//! may only shrink: whoever closes one lowers it.

mod support;

use std::cell::RefCell;
use std::time::Duration;

use expect_test::expect_file;
use resound_core::signal::Version;
use resound_sim::engine::explore::{End, Explore, Item, Menu, Within};
use resound_sim::engine::{Trial, staged};
use resound_sim::run::Coverage;
use resound_sim::scenario::{Fault, Forgery, HostFault, Pick, RouteKind, Scenario, Trigger, What};
use resound_sim::{Echo, Record, Run, World};

/// Cells that can be met and are not. It may only become less.
const CEILING: usize = 11;

/// Sessions of clients and servers, and of single calls that bring a socket into each state.
const SESSIONS: &[&str] = &[
    "0.000 server serve 7
     0.010 client connect server:7 idle=2s probe=500ms misses=3 round=5s
     0.500 client send \"one\"
     1.500 client send 60000 bytes
     20.00 client close",
    "0.000 server serve udp 7
     0.010 client connect udp server:7 idle=2s probe=500ms misses=3 round=5s
     0.500 client send \"one\"
     1.500 client send 1300 bytes
     20.00 client close",
    // Nobody probes: silence is for the kernel to notice.
    "0.000 server serve 7
     0.010 client connect server:7 idle=0s round=5s
     0.500 client send \"one\"",
    // Nobody serves.
    "0.010 client connect server:7 round=5s rounds=2",
    "0.010 client connect udp server:7 round=5s rounds=2",
    // A connection of either kind that idles, sends, holds what it was sent; that does not read; that is not accepted.
    "0.0 server call l = tcp listen 7 backlog=1
     0.1 client call c = tcp connect server:7 RECVERR
     0.5 client call c send \"zero\"
     1.0 server call s = accept l
     2.0 client call c send \"one\"
     3.0 server call s send \"two\"
     4.0 client call c recv 100
     5.0 client call c shutdown
     6.0 server call s recv 100
     7.0 server call s close",
    "0.0 server call l = tcp listen 7 backlog=1 rcvbuf=4608
     0.1 client call c = tcp connect server:7 RECVERR
     1.0 client call c send 60000 bytes
     9.0 client call c so_error",
    "0.0 server call l = tcp listen 7 backlog=1
     0.1 client call c = tcp connect server:7 RECVERR
     1.0 server call s = accept l
     2.0 server call s shutdown
     3.0 client call c send \"one\"
     3.1 client call c send \"two\"
     4.0 client call c close",
    // Closed with data on its way; both at the same time.
    "0.0 server call l = tcp listen 7 backlog=1
     0.1 client call c = tcp connect server:7 RECVERR
     1.0 server call s = accept l
     2.0 client call c send \"one\"
     2.0 client call c close",
    "0.0 server call l = tcp listen 7 backlog=1
     0.1 client call c = tcp connect server:7 RECVERR
     1.0 server call s = accept l
     2.0 client call c shutdown
     2.0 server call s shutdown",
    "0.0 server call u = udp 7
     0.1 client call u = udp 0 RECVERR
     0.2 client call u sendto server:7 \"one\"
     0.3 client call u sendto server:9 \"two\"
     0.5 client call u recv 10
     0.6 client call u errqueue
     1.0 client call u connect server:9
     1.1 client call u send \"three\"
     1.5 client call u recv 10
     1.6 client call u errqueue",
];

/// What happens to a host besides: a way that it loses, a neighbour that is gone, time-outs of sockets.
const BESIDES: &[&str] = &[
    "0.0 server call l = tcp listen 7 backlog=1 ; 0.1 client call c = tcp connect server:7
     !0.5 client route KIND ; 1.0 client call c send \"one\" ; 1.1 client call d = tcp connect server:7",
    "0.0 server call u = udp 7 ; 0.1 client call u = udp 0 ; 0.2 client call u connect server:7
     !0.5 client route KIND ; 1.0 client call u send \"one\" ; 1.1 client call v = udp 0
     1.2 client call v sendto server:7 \"two\"",
    "0.0 server serve udp 7 ; !0.005 client route KIND until 3.0 ; 0.01 client connect udp server:7 idle=2s probe=1s
     !8.0 client route KIND until 9.0 ; 8.1 client send \"one\"
     !client says \"suspect\" client route KIND until 30.0 ; !12.0 router->client cut until 15.0",
    "0.0 server serve udp 7 ; 0.01 client connect udp server:7 idle=2s probe=1s
     !1.0 server route KIND ; 1.5 client send \"one\"",
    "0.0 client connect server:7 ; !0.0 client route KIND until 5.0",
    "0.1 client call u = udp 0 RECVERR ; 0.2 client call u sendto server:7 \"one\" ; !0.0 client<->router unplug
     5.0 client call u connect server:7 ; 5.1 client call u send \"two\" ; 9.0 client call u errqueue",
    "0.0 client call u = udp 0 RECVERR ; 0.1 client call u connect server:7 ; 0.2 client call u send \"one\"
     !0.0 client<->router unplug ; 5.0 client call u errqueue",
    "0.0 client call u = udp 5 RECVERR rcvbuf=2304 ; 0.1 client call u connect server:7 ; 0.1 server call s = udp 7
     0.2 server call s sendto client:5 \"one\" ; 0.2 server call s sendto client:5 \"two\"
     0.2 server call s sendto client:5 \"three\" ; 0.2 server call s sendto client:5 \"four\"",
    "!0.0 client rcvbuf 2304 ; 0.0 server serve udp 7 ; 0.01 client connect udp server:7 idle=2s probe=1s
     !1.0 client pause 500ms ; 0.99 client send 3 bytes ; 0.991 client send 3 bytes ; 0.992 client send 3 bytes
     0.993 client send 3 bytes ; 0.994 client send 3 bytes ; 0.995 client send 3 bytes ; 0.996 client send 3 bytes",
    "!0.0 server rcvbuf 2304 ; 0.0 server serve udp 7 ; 0.01 client connect udp server:7 idle=2s probe=1s
     !1.0 server pause 500ms ; 1.1 client send 3 bytes ; 1.1 client send 3 bytes ; 1.1 client send 3 bytes
     1.1 client send 3 bytes ; 1.1 client send 3 bytes ; 1.1 client send 3 bytes ; 1.1 client send 3 bytes",
    "0.0 client connect server:7 ; !0.0 client->router cut",
    "0.1 client call c = tcp connect server:7 UTO ; !0.0 client->router cut",
    "0.0 server serve 7 ; 0.0 client connect server:7 idle=2s probe=1s ; !1.0 client->router cut until 4.5
     !client says \"suspect\" server kill may-be-inert",
    "0.0 server serve 7 ; !0.0 client sndbuf 4608 ; 0.0 client connect server:7 idle=2s probe=1s
     !1.0 client->router cut until 4.5 ; 2.5 client send 30000 bytes ; 3.8 client send 30000 bytes",
    "0.0 server serve 7 ; 0.0 client connect server:7 ; !client->router#1 router icmp 3/2 to client quote=exact may-be-inert
     !client->router#1 router icmp 4/0 to client quote=exact may-be-inert",
    "0.0 server serve 7 ; 0.0 client connect server:7 idle=2s probe=1s ; !1.0 server->router cut
     !client says \"suspect\" client forget ; 3.5 client send \"one\"",
    "0.0 server serve 7 ; 0.0 client connect server:7 idle=1s probe=500ms ; 1.0 client send \"one\" ; 1.0 client close
     !0.9 server pause 20s",
    // Nobody is there, and no way to say so.
    "!0.0 server route KIND ; 0.1 client call c = tcp connect server:7",
    // Data for somebody who wants none.
    "0.0 server call l = tcp listen 7 backlog=1 ; 0.1 client call c = tcp connect server:7 ; 0.5 server call s = accept l
     1.0 client call c shutdown-read ; 1.0 client call c shutdown ; 2.0 server call s send \"KIND\"",
    // Given up: nothing in flight or unread, with a time of the user's own.
    "0.0 server call l = tcp listen 7 backlog=1 uto=1500ms keepalive=1s/1s/9
     0.1 client call c = tcp connect server:7 ; 0.5 server call s = accept l ; !0.9 client->router cut",
    "0.0 server call l = tcp listen 7 backlog=1 UTO keepalive=1s/1s/2
     0.1 client call c = tcp connect server:7 ; !0.9 client->router cut",
    // No way for what is left of a connection: half-closed, closed by both sides at once, by a program that is gone, in
    // TIME_WAIT; and for one that has not begun.
    "0.0 server call l = tcp listen 7 backlog=1 ; 0.1 client call c = tcp connect server:7 RECVERR
     0.5 server call s = accept l ; 1.0 client call c shutdown ; !1.5 client route KIND ; 2.0 server call s send \"one\"",
    "0.0 server call l = tcp listen 7 backlog=1 ; 0.1 client call c = tcp connect server:7 RECVERR
     0.5 server call s = accept l ; 1.0 client call c shutdown ; 1.0 server call s shutdown
     !1.001 client route KIND ; !1.001 server route KIND",
    "0.0 server call l = tcp listen 7 backlog=1 ; 0.1 client call c = tcp connect server:7
     0.5 server call s = accept l ; !0.9 client route KIND ; 1.0 client call c close",
    "0.0 server call l = tcp listen 7 backlog=1 ; 0.1 client call c = tcp connect server:7
     !0.4 server route KIND ; 0.5 client call c send \"one\"",
    // One that idles and is asked for a sign of life; one whose peer sends, or ends; one that waits for a window.
    "0.0 server call l = tcp listen 7 backlog=1 keepalive=1s/1s/2 ; 0.1 client call c = tcp connect server:7
     0.5 server call s = accept l ; !0.9 server route KIND",
    "0.0 server call l = tcp listen 7 backlog=1 ; 0.1 client call c = tcp connect server:7
     0.5 server call s = accept l ; !0.9 client route KIND ; 1.0 server call s send \"one\"
     2.0 server call s send \"two\" ; 3.0 server call s shutdown",
    "0.0 server call l = tcp listen 7 backlog=1 rcvbuf=4608 ; 0.1 client call c = tcp connect server:7
     0.5 client call c send 60000 bytes ; !1.0 client route KIND until 20.0",
    "0.0 server call l = tcp listen 7 backlog=1 ; 0.1 client call c = tcp connect server:7
     0.5 server call s = accept l ; 0.6 server call s send \"one\" ; 0.7 server call s shutdown
     !0.705 client route KIND ; 1.0 client call c recv 10",
    "0.0 server call l = tcp listen 7 backlog=1 ; 0.1 client call c = tcp connect server:7
     0.5 server call s = accept l ; 1.0 client call c shutdown ; !1.0 router->client cut until 1.5
     2.0 server call s close ; !2.0 router->server cut until 2.3 ; !2.1 client route KIND",
    "0.0 server call l = tcp listen 7 backlog=1 ; !0.0 server route KIND ; 0.1 client call c = tcp connect server:7",
    "0.0 server call l = tcp listen 7 backlog=1 uto=1500ms keepalive=1s/1s/2
     0.1 client call c = tcp connect server:7 UTO ; 0.5 server call s = accept l ; 0.6 client call c send \"one\"
     1.0 server call s send \"two\" ; 1.5 client->router cut",
];

/// Without probes there is no TCP_USER_TIMEOUT either: the kernel gives up, and says the last soft error that it was told.
/// KIND/CODE is that.
const KERNEL_GIVES_UP: &str = "0.0 server serve 7 ; 0.0 client connect server:7 idle=0s
     !1.0 client->router cut ; 1.1 client send \"one\"
     !1.2 router icmp KIND/CODE to client quote=exact may-be-inert";

fn kernel_gives_up() -> impl Iterator<Item = Scenario> {
    // Timed out (too big is no error of this kind), unreachable, prohibited, protocol, refused.
    let v4 = [(3, 4), (3, 1), (3, 2), (3, 3)].map(|code| (4, code));
    let v6 = [(2, 0), (1, 0), (1, 1), (4, 0), (1, 4)].map(|code| (6, code));
    v4.into_iter().chain(v6).map(|(version, (kind, code))| {
        let session = KERNEL_GIVES_UP.replace("KIND", &kind.to_string()).replace("CODE", &code.to_string());
        format!("{}{session}", head(version)).parse().unwrap()
    })
}

fn besides() -> impl Iterator<Item = Scenario> {
    let versions = [4, 6].into_iter();
    versions.flat_map(|version| {
        let kinds = ["unreachable", "prohibit", "blackhole", "missing"].into_iter();
        kinds.flat_map(move |kind| {
            let each = BESIDES
                .iter()
                .flat_map(|session| [("", ""), ("recverr", "uto=1500ms")].map(|with| (session, with)));
            each.map(move |(session, (recverr, uto))| {
                let session = session.replace("KIND", kind).replace("RECVERR", recverr).replace("UTO", uto);
                let session = session.replace("1.5 client->router cut", "!1.5 client->router cut");
                format!("{}{session}", head(version)).parse().unwrap()
            })
        })
    })
}

fn head(version: u8) -> String {
    format!(
        "ip {version} ; until 60
         host client tcp_retries2=3 tcp_syn_retries=2 tcp_orphan_retries=2
         host server tcp_retries2=3 tcp_synack_retries=2 tcp_orphan_retries=2
         router router
         link client <-> router 10ms ; link router <-> server 1ms\n"
    )
}

fn sessions() -> impl Iterator<Item = Scenario> {
    let versions = [4, 6].into_iter();
    versions.flat_map(|version| {
        let options = ["", "recverr"].into_iter();
        options.flat_map(move |option| {
            let head = head(version);
            let of_option =
                SESSIONS.iter().filter(move |session| option.is_empty() || session.contains("RECVERR"));
            of_option
                .map(move |session| format!("{head}{}", session.replace("RECVERR", option)).parse().unwrap())
        })
    })
}

/// A way that a host loses while its socket is in whatever state it is in then, and has something to say later.
fn ways_lost() -> impl Iterator<Item = Scenario> {
    let kinds = [RouteKind::Unreachable, RouteKind::Prohibit, RouteKind::Blackhole, RouteKind::Missing];
    sessions().filter(|session| session.to_string().contains("call ")).flat_map(move |session| {
        let each = kinds.into_iter().flat_map(|kind| (0..24).map(move |step| (kind, 115 + step * 290)));
        each.flat_map(move |(kind, at)| {
            let hosts = ["client", "server"].map(|host| session.node(host).expect("a host"));
            hosts.map(|host| {
                let mut session = session.clone();
                let what = What::Route { at: host, to: None, kind, until: None };
                let fault = Fault::new(Trigger::At(Duration::from_millis(at)), what);
                session.faults.push(Fault { may_be_inert: true, ..fault });
                session
            })
        })
    })
}

/// Silence, both ways, in whatever state sockets are that have timers of their own.
fn silences() -> impl Iterator<Item = Scenario> {
    let options = ["keepalive=1s/1s/2", "uto=1500ms", "keepalive=1s/1s/2 uto=1500ms", "recverr"].into_iter();
    options.flat_map(|option| {
        let of_tcp = SESSIONS.iter().filter(|session| session.contains("tcp connect server:7 RECVERR"));
        of_tcp.flat_map(move |session| {
            let session = session.replace("RECVERR", option);
            let session = session.replace("backlog=1", &format!("backlog=1 {}", option.replace("recverr", "")));
            (0..24).map(move |step| {
                let at = f64::from(115 + step * 290) / 1_000.0;
                let silence = format!("!{at} client<->router cut may-be-inert");
                let icmp = format!("!{at} router icmp 3/1 to client may-be-inert\n!{at} router icmp 3/1 to server may-be-inert");
                format!("{}{session}\n{icmp}\n{silence}", head(4)).parse().unwrap()
            })
        })
    })
}

/// Everything that can be forged, in and out of what is expected, and what hosts do.
fn menu(version: Version) -> Menu {
    let (codes, own): (&[(u8, u8)], _) = match version {
        Version::V4 => (&[(3, 1), (3, 3), (3, 4), (5, 0)], (3, 1)),
        Version::V6 => (&[(1, 0), (1, 4), (2, 0), (137, 0)], (1, 3)),
    };
    let icmp = |(kind, code), quote| {
        let mtu = matches!((kind, code), (3, 4) | (2, 0)).then_some(1_000);
        Forgery::Icmp { kind, code, mtu, quote, quoted: 528 }
    };
    let picks = [Pick::Exact, Pick::Inside, Pick::Outside];
    let forged =
        codes.iter().flat_map(|&code| picks.map(|pick| icmp(code, pick))).chain([icmp(own, Pick::Exact)]);
    let ends = [End::Sender, End::Receiver];
    let mut items: Vec<_> = forged.flat_map(|forgery| ends.map(|end| Item::Forge(forgery, end))).collect();
    items.extend([
        Item::Outage(60),
        Item::Host(HostFault::NoPorts(None), End::Sender),
        Item::Host(HostFault::SendBuffer(4_608), End::Receiver),
        Item::Host(HostFault::PowerLoss, End::Receiver),
        Item::Host(HostFault::Pause(Duration::from_secs(30)), End::Receiver),
    ]);
    Menu(items).and(Menu::standard()).and(Menu::tcp_errors())
}

#[test]
fn holes_are_named_and_become_fewer() {
    let coverage = RefCell::new(Coverage::default());
    for (_, scenario) in support::committed() {
        coverage.borrow_mut().add(&World::new(&scenario, &mut Echo).play(Record::Said).coverage);
    }
    for case in staged::cases(staged::Extent::Rows).into_iter().flatten() {
        coverage.borrow_mut().add(&World::new(&case.scenario, &mut Echo).play(Record::Said).coverage);
    }
    for scenario in besides().chain(kernel_gives_up()).chain(ways_lost()).chain(silences()) {
        coverage.borrow_mut().add(&World::new(&scenario, &mut Echo).play(Record::Said).coverage);
    }
    for session in sessions() {
        let note = |_: &Scenario, run: &Run| {
            coverage.borrow_mut().add(&run.coverage);
            Ok(())
        };
        let trial = Trial::echo().must(note);
        let search = Explore::new(&session).menu(menu(session.version)).most_faults(1);
        search.within(Within::EachWay(12)).run(&trial).unwrap();
    }
    let coverage = coverage.into_inner();
    let holes = coverage.holes();
    let list: String = holes.iter().map(|hole| format!("* {hole}\n")).collect();
    let page = format!(
        "# What the ordinary runs meet\n\n\
         Made by `tests/coverage.rs`: the committed scenarios, each row of the kernel table staged, and every single\n\
         fault of a menu at every packet of some sessions, over TCP and UDP, IPv4 and IPv6. **met**: it happened; **hole**: it can, and did not;\n\
         –: it cannot.\n\n{coverage}\n## Holes: {} of at most {CEILING}\n\n{list}",
        holes.len()
    );
    // What is met is possible: a reason that is wrong would hide a hole.
    assert_eq!(coverage.impossible_and_met(), Vec::<String>::new());
    expect_file!["../COVERAGE.md"].assert_eq(&page);
    assert!(holes.len() <= CEILING, "{} holes, at most {CEILING}:\n{list}", holes.len());
}
