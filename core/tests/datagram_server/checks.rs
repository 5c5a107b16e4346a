//! Each check, by name: why a datagram is not answered.

use core::net::SocketAddr;
use core::time::Duration;

use resound_core::datagram::server::{Config, Event, Groups, Ignored};
use resound_core::datagram::{Cast, End, Fact, Machine, Step, Train};

use super::{BYTES, SECOND, START, ask, host, ip, local, peer, server};

/// Why a datagram is not answered.
fn objection(config: &Config, train: &Train<'_>) -> Option<Ignored> {
    let mut server = server(config.clone());
    server.handle(START, Fact::Received { train });
    match server.poll() {
        Step::Event(Event::Ignored { why, from, count }) => {
            assert_eq!((from, count, train.echo.get()), (train.from, train.count() as u64, 0));
            Some(why)
        }
        step => {
            assert_eq!(step, Step::Wait(Some(START + SECOND)));
            assert_eq!(train.echo.get(), train.count());
            None
        }
    }
}

#[test]
fn each_check_has_its_word() {
    let open = Config { own_ports: vec![9_000], ..Config::default() };
    let one = |from: &str| Train::one(peer(from), b"hello");
    let cases = [
        ("192.0.2.1:40000", None),
        ("[2001:db8::1]:40000", None),
        ("192.0.2.1:0", Some(Ignored::Unanswerable)),
        ("0.0.0.0:40000", Some(Ignored::Unanswerable)),
        ("[::]:40000", Some(Ignored::Unanswerable)),
        ("255.255.255.255:40000", Some(Ignored::Unanswerable)),
        ("[::ffff:255.255.255.255]:40000", Some(Ignored::Unanswerable)),
        ("224.0.0.1:40000", Some(Ignored::Unanswerable)),
        ("[ff02::1]:40000", Some(Ignored::Unanswerable)),
        ("192.0.2.1:19", Some(Ignored::ReflectingPort)),
        ("[2001:db8::1]:7007", Some(Ignored::ReflectingPort)),
        ("192.0.2.1:9000", Some(Ignored::OwnPort)),
    ];
    for (from, why) in cases {
        assert_eq!(objection(&open, &one(from)), why, "{from}");
    }
}

#[test]
fn groups_are_answered_only_if_configured() {
    let train = |cast| Train { cast, ..Train::one(peer("192.0.2.1:40000"), b"hello") };
    let ignore = Config::default();
    assert_eq!(objection(&ignore, &train(Cast::Broadcast)), Some(Ignored::Broadcast));
    assert_eq!(objection(&ignore, &train(Cast::Multicast)), Some(Ignored::Multicast));
    let answer = Config { groups: Groups::Answer, ..ignore };
    assert_eq!(objection(&answer, &train(Cast::Broadcast)), None);
    assert_eq!(objection(&answer, &train(Cast::Multicast)), None);
}

#[test]
fn a_restricted_server_answers_one_address_or_one_peer() {
    let train = |from: &str, to| Train { to, ..Train::one(peer(from), b"hello") };
    let from = "192.0.2.1:40000";
    let config = Config { only_local: Some(ip("::ffff:198.51.100.1")), ..Config::default() };
    assert_eq!(objection(&config, &train(from, Some(local(1)))), None);
    assert_eq!(objection(&config, &train(from, Some(ip("::ffff:198.51.100.1")))), None);
    assert_eq!(objection(&config, &train(from, Some(local(2)))), Some(Ignored::LocalAddress));
    assert_eq!(objection(&config, &train(from, None)), Some(Ignored::LocalAddress));

    let other = Some(Ignored::RemoteAddress);
    let config = Config { only_remote: Some(peer(from).into()), ..Config::default() };
    assert_eq!(objection(&config, &train(from, None)), None);
    assert_eq!(objection(&config, &train("[::ffff:192.0.2.1]:40000", None)), None);
    assert_eq!(objection(&config, &train("192.0.2.1:40001", None)), other);
    assert_eq!(objection(&config, &train("192.0.2.2:40000", None)), other);
    let config = Config { only_remote: Some(ip("192.0.2.1").into()), ..Config::default() };
    assert_eq!(objection(&config, &train("192.0.2.1:40001", None)), None);
    assert_eq!(objection(&config, &train("192.0.2.2:40001", None)), other);
}

#[test]
fn of_a_train_whose_last_is_cut_the_others_are_answered() {
    let mut server = server(Config::default());
    let from = peer("192.0.2.1:40000");
    let train = Train { size: 4, end: End::Truncated, ..Train::one(from, &BYTES[..10]) };
    server.handle(START, Fact::Received { train: &train });
    assert_eq!(train.echo.get(), 2);
    let alone = Train { end: End::Truncated, ..Train::one(from, b"") };
    server.handle(START, Fact::Received { train: &alone });
    assert_eq!(alone.echo.get(), 0);
    let counts = server.counts();
    assert_eq!((counts.received, counts.echoed, counts.bytes), (4, 2, 8));
    assert_eq!(counts.ignored(Ignored::Truncated), 2);
}

#[test]
fn an_empty_datagram_is_echoed() {
    let train = Train::one(peer("192.0.2.1:40000"), b"");
    assert_eq!(objection(&Config::default(), &train), None);
    assert_eq!(train.echo.get(), 1);
}

#[test]
fn the_limit_cuts_a_train() {
    let mut server = server(Config { burst: 3, ..Config::default() });
    assert_eq!(ask(&mut server, START, host(1), 5), 3);
    assert_eq!(server.poll(), ignored_event(Ignored::RateLimit, host(1), 2));
    assert_eq!(ask(&mut server, START + Duration::from_millis(2), host(1), 5), 2);
}

fn ignored_event(why: Ignored, from: SocketAddr, count: u64) -> Step<Event> {
    Step::Event(Event::Ignored { why, from, count })
}
