//! Which fault is weaker than which.

use std::time::Duration;

use crate::scenario::{Comeback, Forgery, HostFault, Pick, QUOTED, RouteKind, Tamper, What};

/// The faults that are one step weaker than this one, the weakest first. The order is without circles:
///
/// | stronger | weaker |
/// |---|---|
/// | alter, truncate → corrupt | drop |
/// | SYN → FIN | RST |
/// | `seq`, `quote`: outside → inside | exact |
/// | ICMP: administratively prohibited, and all else → port | host unreachable |
/// | unplug | cut |
/// | link down until … bare | not bare |
/// | link down | unplug |
/// | route: prohibit, missing, blackhole | unreachable |
/// | reboot, power loss | kill |
/// | a time | half of it |
#[must_use]
pub fn weaker(what: &What) -> Vec<What> {
    match what {
        What::Tamper(way, tamper) => {
            tampers(*tamper).into_iter().map(|weaker| What::Tamper(*way, weaker)).collect()
        }
        What::Unplug(way, until) => vec![What::Cut(*way, until.clone())],
        What::LinkDown(way, until) => {
            let configured = match until {
                Some((until, Comeback::Bare)) => Some(Some((until.clone(), Comeback::Configured))),
                _ => None,
            };
            let configured = configured.map(|until| What::LinkDown(*way, until));
            let until = until.as_ref().map(|(until, _)| until.clone());
            configured.into_iter().chain([What::Unplug(*way, until)]).collect()
        }
        What::Forge { from, to, packet } => {
            let forge = |packet| What::Forge { from: *from, to: *to, packet };
            forgeries(*packet).into_iter().map(forge).collect()
        }
        What::Route { at, to, kind, until } if *kind != RouteKind::Unreachable => {
            vec![What::Route { at: *at, to: *to, kind: RouteKind::Unreachable, until: until.clone() }]
        }
        What::Host(host, fault) => {
            let weaker = match fault {
                HostFault::Reboot(after) => {
                    Some(HostFault::Kill).into_iter().chain(half(*after).map(HostFault::Reboot)).collect()
                }
                HostFault::PowerLoss => vec![HostFault::Kill],
                HostFault::Pause(lasts) => half(*lasts).map(HostFault::Pause).into_iter().collect(),
                HostFault::Skew(by) if by.abs() > 1_000_000 => vec![HostFault::Skew(by / 2)],
                _ => Vec::new(),
            };
            weaker.into_iter().map(|fault| What::Host(*host, fault)).collect()
        }
        What::Cut(..) | What::Mtu(..) | What::Route { .. } => Vec::new(),
    }
}

fn tampers(tamper: Tamper) -> Vec<Tamper> {
    match tamper {
        Tamper::Drop => Vec::new(),
        Tamper::Corrupt => vec![Tamper::Drop],
        Tamper::Alter(0) => vec![Tamper::Drop, Tamper::Corrupt],
        Tamper::Alter(_) => vec![Tamper::Drop, Tamper::Corrupt, Tamper::Alter(0)],
        Tamper::Truncate(_) => vec![Tamper::Drop, Tamper::Corrupt],
        Tamper::Delay(by) => half(by).map(Tamper::Delay).into_iter().collect(),
        Tamper::Duplicate(after) => half(after).map(Tamper::Duplicate).into_iter().collect(),
    }
}

fn forgeries(forgery: Forgery) -> Vec<Forgery> {
    match forgery {
        Forgery::Rst(pick) => picks(pick).iter().map(|&pick| Forgery::Rst(pick)).collect(),
        Forgery::Fin(pick) => {
            let own = picks(pick).iter().map(|&pick| Forgery::Fin(pick));
            Some(Forgery::Rst(Pick::Exact)).into_iter().chain(own).collect()
        }
        Forgery::Syn(pick) => {
            let own = picks(pick).iter().map(|&pick| Forgery::Syn(pick));
            [Forgery::Rst(Pick::Exact), Forgery::Fin(Pick::Exact)].into_iter().chain(own).collect()
        }
        Forgery::Icmp { kind, code, mtu, quote, quoted } => {
            let codes = match (kind, code) {
                (3, 1) | (1, 3) => &[][..],
                (3, 3) => &[(3, 1)],
                (1, 4) => &[(1, 3)],
                // Types 3 and 4 of ICMPv6 have other numbers over IPv4.
                (1 | 2, _) => &[(1, 3), (1, 4)],
                _ => &[(3, 1), (3, 3)],
            };
            let simpler =
                codes.iter().map(|&(kind, code)| Forgery::Icmp { kind, code, mtu: None, quote, quoted });
            let quotes = picks(quote).iter().map(|&quote| Forgery::Icmp { kind, code, mtu, quote, quoted });
            let usual =
                (quoted != QUOTED).then_some(Forgery::Icmp { kind, code, mtu, quote, quoted: QUOTED });
            simpler.chain(quotes).chain(usual).collect()
        }
    }
}

const fn picks(pick: Pick) -> &'static [Pick] {
    match pick {
        Pick::Exact => &[],
        Pick::Inside => &[Pick::Exact],
        Pick::Outside => &[Pick::Exact, Pick::Inside],
    }
}

/// Half of it, in whole milliseconds.
fn half(time: Duration) -> Option<Duration> {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX) / 2;
    (millis > 0).then_some(Duration::from_millis(millis))
}
