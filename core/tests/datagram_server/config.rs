//! A configuration that cannot be meant is refused, and the field is named.

use resound_core::datagram::server::{Config, Groups, Habit, REFLECTING, Reflecting, Remote, Server};

use super::{KEY, ip, peer};

#[test]
fn the_table_of_reflecting_ports_can_be_looked_up() {
    for entry in REFLECTING {
        assert_eq!(Reflecting::find(entry.port), Some(entry));
    }
    for port in [7, 13, 17, 19, 37, 53, 69, 111, 123, 137, 161, 389, 520, 1434, 1900, 3702, 5353, 7007, 11211]
    {
        assert!(Reflecting::find(port).is_some(), "{port}");
    }
    assert_eq!(Reflecting::find(7).map(|entry| entry.habit), Some(Habit::Echoes));
    assert_eq!(Reflecting::find(40_000), None);
}

#[test]
fn a_bad_field_is_named() {
    let good = Config::default;
    let remote = |remote: Remote| Config { only_remote: Some(remote), own_ports: vec![9_000], ..good() };
    let cases = [
        (Config { own_ports: vec![9_000, 0], ..good() }, "server.own_ports"),
        (Config { only_local: Some(ip("0.0.0.0")), ..good() }, "server.only_local"),
        (Config { only_local: Some(ip("::")), ..good() }, "server.only_local"),
        (Config { only_local: Some(ip("224.0.0.1")), ..good() }, "server.only_local"),
        (remote(ip("::").into()), "server.only_remote"),
        (remote(ip("ff02::1").into()), "server.only_remote"),
        (remote(peer("192.0.2.1:0").into()), "server.only_remote"),
        (remote(peer("192.0.2.1:19").into()), "server.only_remote"),
        (remote(peer("192.0.2.1:9000").into()), "server.only_remote"),
        (Config { rate: Some(0), ..good() }, "server.rate"),
        (Config { rate: Some(10_000_001), ..good() }, "server.rate"),
        (Config { burst: 0, ..good() }, "server.burst"),
        (Config { burst: (1 << 20) + 1, ..good() }, "server.burst"),
        (Config { sources: 0, ..good() }, "server.sources"),
        (Config { sources: (1 << 20) + 1, ..good() }, "server.sources"),
    ];
    for (config, field) in cases {
        assert_eq!(Server::new(config, KEY).expect_err("a bad configuration").field, field);
    }
    let group = Config { only_local: Some(ip("224.0.0.1")), groups: Groups::Answer, ..good() };
    assert!(Server::new(group, KEY).is_ok());
    assert!(Server::new(remote(peer("192.0.2.1:40000").into()), KEY).is_ok());
}
