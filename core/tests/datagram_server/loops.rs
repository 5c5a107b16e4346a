//! Two servers that can be made to answer each other, by one datagram with a forged source.

use core::net::SocketAddr;
use core::time::Duration;

use proptest::prelude::*;
use resound_core::Instant;
use resound_core::datagram::server::{Config, REFLECTING, Reflecting, Server};

use super::limit::assert_within;
use super::{KEY, SECOND, START, ask};

struct Wired {
    servers: [Server; 2],
    addresses: [SocketAddr; 2],
    /// When each has answered.
    answers: [Vec<(Instant, usize)>; 2],
}

impl Wired {
    fn new(ports: [u16; 2], config: &Config) -> Self {
        let server = |port| Server::new(Config { own_ports: vec![port], ..config.clone() }, KEY).unwrap();
        let address = |n: usize| SocketAddr::from(([192, 0, 2, n as u8], ports[n]));
        Self { servers: ports.map(server), addresses: [0, 1].map(address), answers: [vec![], vec![]] }
    }

    /// One datagram to the first that claims to be from the second; then what they make of it. Returns when it ended,
    /// if it did within `time`.
    fn forge(&mut self, way: Duration, time: Duration) -> Option<Instant> {
        let mut now = START;
        let mut at = 0;
        while now - START < time {
            let answered = ask(&mut self.servers[at], now, self.addresses[1 - at], 1);
            self.answers[at].push((now, answered));
            if answered == 0 {
                return Some(now);
            }
            now = now + way;
            at = 1 - at;
        }
        None
    }
}

#[test]
fn a_forged_datagram_between_two_servers_gets_no_answer() {
    // The default port, two servers on one port of their own, and every service that answers.
    let pairs = [[7_007, 7_007], [7_007, 9_000], [9_000, 7_007], [9_000, 9_000]];
    let reflecting = REFLECTING.iter().map(|entry| [9_000, entry.port]);
    for ports in pairs.into_iter().chain(reflecting) {
        let mut wired = Wired::new(ports, &Config { rate: None, ..Config::default() });
        let ended = wired.forge(Duration::from_micros(50), SECOND);
        // Where only the second is known to be a server, the first is never asked by it: one datagram, no loop.
        let [first, second] = wired.servers.map(|server| server.counts().echoed);
        assert!(ended.is_some(), "{ports:?}");
        assert_eq!(second, 0, "{ports:?}");
        assert_eq!(
            first,
            u64::from(Reflecting::find(ports[1]).is_none() && ports[0] != ports[1]),
            "{ports:?}"
        );
    }
}

proptest! {
    /// On two ports that nobody has listed, the exchange stays within the limit, and one that goes round faster than the
    /// limit ends.
    #[test]
    fn two_servers_on_unlisted_ports_stay_within_the_limit(
        way in 1u64..3_000_000, rate in 1u32..2_000, burst in 1u32..200,
    ) {
        let config = Config { rate: Some(rate), burst, ..Config::default() };
        let mut wired = Wired::new([9_000, 9_001], &config);
        let way = Duration::from_nanos(way);
        let round = way * 2;
        let ended = wired.forge(way, round * 1_000);
        wired.answers.iter().for_each(|answers| assert_within(answers, rate, burst, 1));
        // At twice the limit, each round costs half of a datagram's share that does not come back.
        let fast = round * rate * 2 < SECOND;
        prop_assert!(!fast || ended.is_some_and(|at| at - START <= round * (2 * burst + 2)), "{:?}", ended);
    }
}
