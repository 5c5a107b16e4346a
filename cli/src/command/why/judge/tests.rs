//! The table: evidence, and what it amounts to.

use core::net::IpAddr;
use core::time::Duration;

use resound_core::liveness::{KernelView, Writing};
use resound_core::signal::{Cause, Errno, IcmpError, Origin, Reason, Version};

use super::super::evidence::{
    Datagrams, Dialed, Ending, Evidence, Hop, Moment, Others, Parting, Replied, Route, Session, Silence, Told,
};
use super::super::situation::{Candidate, Situation};
use super::{Finding, judge, nameless};
use crate::exit::Exit;

const TO: &str = "10.0.0.3";
const HERE: &str = "10.0.0.1";
const ROUTER: &str = "10.0.0.2";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn evidence(told: Told) -> Evidence {
    let hop = Hop::OnLink("eth0".into());
    Evidence {
        to: (ip(TO), 7).into(),
        route: Ok(Route { source: ip(HERE), hop }),
        told,
        others: Others::default(),
    }
}

fn icmp(kind: u8, code: u8, from: &str) -> IcmpError {
    let destination = Some((ip(TO), 7).into());
    IcmpError { version: Version::V4, kind, code, offender: Some(ip(from)), destination, mtu: None }
}

fn icmp6(kind: u8, code: u8, from: &str) -> IcmpError {
    IcmpError { version: Version::V6, offender: Some(ip(from)), ..icmp(kind, code, from) }
}

fn failed(errno: Errno, icmp: Option<IcmpError>) -> Told {
    Told::Dialed(Dialed::Failed { errno, icmp })
}

fn session(end: Ending) -> Told {
    Told::Session(Session { echoed: 0, end, soft: None })
}

fn datagrams(sent: u64, echoed: u64, end: Parting) -> Told {
    Told::Datagrams(Datagrams { sent, echoed, since: sent - echoed, end })
}

fn silent(writing: Writing, kernel: KernelView) -> Ending {
    Ending::Silent(Silence {
        lasted: Duration::from_secs(10),
        kernel: Some(kernel),
        writing,
        acknowledged: 56,
    })
}

/// Everything is acknowledged.
fn acknowledged() -> Ending {
    silent(Writing::Free, KernelView::default())
}

/// It is sent again and again.
fn resent() -> Ending {
    let since_ack = Duration::from_secs(10);
    silent(Writing::Free, KernelView { unacked: 1, retransmits: 5, since_ack, ..KernelView::default() })
}

/// The peer's window is closed.
fn shut() -> Ending {
    silent(Writing::Blocked, KernelView { unsent: 5_000, peer_window: Some(0), ..KernelView::default() })
}

#[track_caller]
fn holds(evidence: &Evidence, situation: Situation, between: &[Candidate], code: u8) -> Finding {
    let finding = judge(evidence);
    assert_eq!((finding.situation, finding.between.as_slice()), (situation, between), "{evidence:?}");
    let exit = finding.cause.map_or(Exit::Good, |cause| cause.reason.into());
    assert_eq!(exit.code(), code, "{evidence:?}");
    assert!(finding.certain() || situation.entry().decide.is_some(), "nothing would decide {situation:?}");
    assert!(!finding.headline().contains('{'));
    finding
}

#[test]
fn what_this_host_says_at_once() {
    use Errno as E;
    use Situation as S;

    for (dial, route, situation, code) in [
        (E::NetUnreach, Some(E::NetUnreach), S::NoRoute, 12),
        (E::HostUnreach, Some(E::HostUnreach), S::UnreachableRoute, 12),
        (E::Acces, Some(E::Acces), S::ProhibitRoute, 17),
        (E::Inval, Some(E::Inval), S::BlackholeRoute, 12),
        (E::NetUnreach, Some(E::Acces), S::Broadcast, 12),
        (E::AddrNotAvail, None, S::NoPorts, 17),
        (E::AddrNotAvail, Some(E::Again), S::NoPorts, 17),
        (E::AddrNotAvail, Some(E::AddrNotAvail), S::NoSource, 17),
        (E::AfNoSupport, Some(E::AfNoSupport), S::NoSource, 17),
        (E::MFile, Some(E::MFile), S::NoResources, 17),
        (E::NoBufs, None, S::NoResources, 17),
        (E::Perm, None, S::NotPermitted, 17),
        (E::Acces, None, S::NotPermitted, 17),
    ] {
        let mut evidence = evidence(Told::Dialed(Dialed::AtOnce(dial)));
        if let Some(errno) = route {
            evidence.route = Err(errno);
        }
        let finding = holds(&evidence, situation, &[], code);
        assert_eq!(finding.cause.unwrap().origin, Origin::Local, "{dial}");
    }
}

#[test]
fn a_limit_of_udp_says_nothing_about_a_connection() {
    let mut evidence = evidence(session(Ending::Echoed));
    evidence.route = Err(Errno::Again);
    holds(&evidence, Situation::Healthy, &[], 0);
    evidence.told = datagrams(0, 0, Parting::Local(Errno::Again));
    holds(&evidence, Situation::NoPorts, &[], 17);
}

#[test]
fn what_icmp_says_of_a_connect() {
    use Errno as E;
    use Situation as S;

    for (kind, code, errno, situation, exit) in [
        (3, 0, E::NetUnreach, S::NetUnreachable, 12),
        (3, 1, E::HostUnreach, S::HostUnreachable, 12),
        (3, 2, E::NoProtoOpt, S::ProtocolUnreachable, 12),
        (3, 3, E::ConnRefused, S::Rejected, 10),
        (3, 9, E::NetUnreach, S::Prohibited, 12),
        (3, 10, E::HostUnreach, S::Prohibited, 12),
        (3, 13, E::HostUnreach, S::Prohibited, 12),
        (11, 0, E::HostUnreach, S::TtlExceeded, 12),
        (12, 0, E::Proto, S::HeaderRejected, 12),
    ] {
        let finding = holds(&evidence(failed(errno, Some(icmp(kind, code, ROUTER)))), situation, &[], exit);
        assert_eq!((finding.who, finding.cause.unwrap().origin), (Some(ip(ROUTER)), Origin::Router));
    }
    for (kind, code, errno, situation, exit) in [
        (1, 0, E::NetUnreach, S::NetUnreachable, 12),
        (1, 1, E::Acces, S::Prohibited, 12),
        (1, 2, E::HostUnreach, S::SourceRejected, 12),
        (1, 3, E::HostUnreach, S::HostUnreachable, 12),
        (1, 6, E::Acces, S::Prohibited, 12),
        (3, 0, E::HostUnreach, S::TtlExceeded, 12),
    ] {
        holds(&evidence(failed(errno, Some(icmp6(kind, code, ROUTER)))), situation, &[], exit);
    }
}

#[test]
fn who_says_so_makes_a_difference() {
    let finding =
        holds(&evidence(failed(Errno::ConnRefused, Some(icmp(3, 3, TO)))), Situation::PortClosed, &[], 10);
    assert_eq!(finding.cause.unwrap().reason, Reason::ConnRefused);
    holds(&evidence(failed(Errno::ConnRefused, None)), Situation::PortClosed, &[], 10);
    let ours = failed(Errno::HostUnreach, Some(icmp(3, 1, HERE)));
    let absent = [Candidate::HostDown, Candidate::AddressUnused, Candidate::LinkCut];
    let finding = holds(&evidence(ours.clone()), Situation::NeighbourSilent, &absent, 12);
    assert_eq!(finding.cause.unwrap().origin, Origin::Local);
    let mut behind = evidence(ours);
    behind.route = Ok(Route { source: ip(HERE), hop: Hop::Gateway(ip(ROUTER), "eth0".into()) });
    let finding = holds(&behind, Situation::GatewaySilent, &[Candidate::GatewayDown, Candidate::LinkCut], 12);
    assert!(finding.headline().contains(ROUTER), "{}", finding.headline());
    let filtered = failed(Errno::ConnRefused, Some(icmp(3, 3, HERE)));
    holds(&evidence(filtered), Situation::LocalReject, &[], 10);
    let unknown = failed(Errno::HostUnreach, None);
    holds(&evidence(unknown), Situation::Unreachable, &[], 12);
}

#[test]
fn silence_is_judged_by_what_else_answers() {
    use Candidate::{AcceptQueueFull, AddressUnused, Filtered, HostDown, LocalFilter, PathCut, PortFiltered};

    let any = [Filtered, HostDown, AddressUnused, PathCut, AcceptQueueFull];
    let mut evidence = evidence(Told::Dialed(Dialed::Silent));
    holds(&evidence, Situation::Silence, &any, 11);
    evidence.told = failed(Errno::TimedOut, None);
    holds(&evidence, Situation::Silence, &any, 11);
    evidence.others.datagram = Some(Replied::Local(Errno::Perm));
    holds(&evidence, Situation::Silence, &[&[LocalFilter], &any[..]].concat(), 11);
    let refused = Dialed::Failed { errno: Errno::ConnRefused, icmp: None };
    for others in [
        Others { elsewhere: Some(refused), ..Others::default() },
        Others { elsewhere: Some(Dialed::Stands), ..Others::default() },
        Others { datagram: Some(Replied::Answered), ..Others::default() },
        Others { datagram: Some(Replied::Icmp(icmp(3, 3, TO))), ..Others::default() },
    ] {
        evidence.others = others;
        holds(&evidence, Situation::PortSilent, &[AcceptQueueFull, PortFiltered], 11);
    }
    evidence.others = Others { datagram: Some(Replied::Icmp(icmp(3, 1, ROUTER))), ..Others::default() };
    holds(&evidence, Situation::HostUnreachable, &[], 12);
    // What a router says in its own name is not the host's word.
    evidence.others = Others { datagram: Some(Replied::Icmp(icmp(3, 13, ROUTER))), ..Others::default() };
    holds(&evidence, Situation::Silence, &any, 11);
}

#[test]
fn how_a_connection_ended() {
    use Candidate as C;
    use Situation as S;

    let restricted = [C::PeerRestricted, C::ServerFull, C::ServerCrashes, C::InBetween];
    let unread = [C::ClosedUnread, C::HostRestarted, C::ServerCrashes, C::InBetween];
    let later = [C::ServerRestarted, C::LimitsSessions, C::InBetween];
    let reset_later = [C::ServerRestarted, C::HostRestarted, C::InBetween];
    let no_echo = [C::NotEcho, C::ServerCrashes, C::InBetween];
    holds(&evidence(failed(Errno::ConnReset, None)), S::ResetAtOnce, &restricted, 13);
    for (end, situation, between, code) in [
        (Ending::Echoed, S::Healthy, &[][..], 0),
        (Ending::Differs, S::NotEcho, &[], 15),
        (Ending::Closed(Moment::Unasked), S::ClosedAtOnce, &restricted, 13),
        (Ending::Closed(Moment::Unanswered), S::ClosedUnanswered, &no_echo, 13),
        (Ending::Closed(Moment::Idle), S::ClosedLater, &later, 13),
        (Ending::Closed(Moment::Due), S::ClosedLater, &later, 13),
        (Ending::Reset(Moment::Unasked), S::ResetAtOnce, &restricted, 13),
        (Ending::Reset(Moment::Unanswered), S::ResetOnWrite, &unread, 13),
        (Ending::Reset(Moment::Idle), S::ResetLater, &reset_later, 13),
        (Ending::Reset(Moment::Due), S::ResetLater, &reset_later, 13),
    ] {
        holds(&evidence(session(end)), situation, between, code);
    }
}

#[test]
fn a_port_that_refuses_afterwards_tells_that_the_server_is_gone() {
    let gone =
        Others { again: Some(Dialed::Failed { errno: Errno::ConnRefused, icmp: None }), ..Others::default() };
    let mut evidence = evidence(session(Ending::Closed(Moment::Due)));
    evidence.others = gone;
    holds(&evidence, Situation::ServerGone, &[], 13);
    evidence.told = session(Ending::Reset(Moment::Due));
    let killed = [Candidate::ServerKilled, Candidate::HostRestarted];
    holds(&evidence, Situation::ServerGone, &killed, 13);
}

#[test]
fn a_silence_is_told_by_what_the_kernel_knows() {
    use Candidate::{HostDown, NotAccepted, NotEcho, PathCut, ServerHung};
    use Situation as S;

    holds(&evidence(session(acknowledged())), S::PeerStalled, &[ServerHung, NotAccepted, NotEcho], 14);
    holds(&evidence(session(shut())), S::ZeroWindow, &[ServerHung, NotAccepted], 14);
    holds(&evidence(session(resent())), S::PathDead, &[HostDown, PathCut], 14);
    let open = KernelView { unsent: 56, probes: 1, peer_window: Some(65_536), ..KernelView::default() };
    let mut stuck = evidence(session(silent(Writing::Free, open)));
    stuck.others.again = Some(Dialed::AtOnce(Errno::NetUnreach));
    holds(&stuck, S::NoRoute, &[], 12);
    // What answered a moment ago is an echo server that was accepted.
    for (end, situation) in [(acknowledged(), S::PeerStalled), (shut(), S::ZeroWindow)] {
        holds(&evidence(Told::Session(Session { echoed: 1, end, soft: None })), situation, &[], 14);
    }
    let mut queued = evidence(session(acknowledged()));
    queued.others.again = Some(Dialed::Silent);
    holds(&queued, S::PeerStalled, &[NotAccepted, ServerHung, NotEcho], 14);
    let Ending::Silent(swallowed) = acknowledged() else { panic!() };
    let swallowed = Ending::Silent(Silence { acknowledged: 1_000_000, ..swallowed });
    holds(&evidence(session(swallowed)), S::PeerStalled, &[NotEcho, ServerHung], 14);
    let Ending::Silent(unknown) = acknowledged() else { panic!() };
    let unknown = Silence { kernel: None, ..unknown };
    let finding = judge(&evidence(session(Ending::Silent(unknown))));
    assert_eq!((finding.situation, finding.certain()), (S::NoEcho, false));
}

#[test]
fn whoever_stops_a_second_connection_tells_why_the_first_is_dead() {
    use Candidate::{FlowForgotten, HostDown, MtuBlackHole};

    let dead = |again: Option<Dialed>, datagram: Option<Replied>, soft: Option<Errno>| Evidence {
        others: Others { again, elsewhere: None, datagram },
        ..evidence(Told::Session(Session { echoed: 1, end: resent(), soft }))
    };
    let by_router = Dialed::Failed { errno: Errno::HostUnreach, icmp: Some(icmp(3, 1, ROUTER)) };
    holds(&dead(Some(by_router), None, None), Situation::HostUnreachable, &[], 12);
    let prohibited = Dialed::Failed { errno: Errno::HostUnreach, icmp: Some(icmp(3, 13, ROUTER)) };
    holds(&dead(Some(prohibited), None, None), Situation::Prohibited, &[], 12);
    let by_datagram = Some(Replied::Icmp(icmp(3, 0, ROUTER)));
    holds(&dead(Some(Dialed::Silent), by_datagram, None), Situation::NetUnreachable, &[], 12);
    // What is prohibited to a datagram need not be to a connection.
    let by_datagram = Some(Replied::Icmp(icmp(3, 13, ROUTER)));
    let path = [HostDown, Candidate::PathCut];
    holds(&dead(Some(Dialed::Silent), by_datagram, None), Situation::PathDead, &path, 14);
    let here = Dialed::Failed { errno: Errno::HostUnreach, icmp: Some(icmp(3, 1, HERE)) };
    let absent = [HostDown, Candidate::AddressUnused, Candidate::LinkCut];
    holds(&dead(Some(here), None, None), Situation::NeighbourSilent, &absent, 12);
    let flow = [FlowForgotten, MtuBlackHole];
    holds(&dead(Some(Dialed::Stands), None, None), Situation::FlowDead, &flow, 14);
    holds(&dead(None, Some(Replied::Icmp(icmp(3, 3, TO))), None), Situation::FlowDead, &flow, 14);
    holds(&dead(Some(Dialed::AtOnce(Errno::NetUnreach)), None, None), Situation::NoRoute, &[], 12);
    // Somebody said so, and it is not known who.
    holds(&dead(Some(Dialed::Silent), None, Some(Errno::HostUnreach)), Situation::Unreachable, &[], 12);
    let given_up = Session { echoed: 1, end: Ending::GivenUp(Errno::NetUnreach), soft: None };
    holds(&evidence(Told::Session(given_up)), Situation::Unreachable, &[], 12);
    let given_up = Session { echoed: 1, end: Ending::GivenUp(Errno::TimedOut), soft: None };
    holds(&evidence(Told::Session(given_up)), Situation::PathDead, &[HostDown, Candidate::PathCut], 14);
}

#[test]
fn what_came_of_datagrams() {
    use Candidate::{AddressUnused, Filtered, HostDown, NotAnswering, PathCut, PortFiltered};
    use Situation as S;

    holds(&evidence(datagrams(1, 1, Parting::Enough)), S::Healthy, &[], 0);
    assert_eq!(judge(&evidence(datagrams(3, 1, Parting::Enough))).situation, S::Lossy);
    let before = [Filtered, HostDown, PathCut, NotAnswering];
    holds(&evidence(datagrams(9, 5, Parting::Enough)), S::Silence, &before, 14);
    let finding = holds(&evidence(datagrams(1, 0, Parting::Icmp(icmp(3, 3, TO)))), S::PortClosed, &[], 10);
    assert_eq!(
        (finding.cause.unwrap().reason, finding.cause.unwrap().origin),
        (Reason::PortUnreach, Origin::Peer)
    );
    holds(&evidence(datagrams(1, 0, Parting::Icmp(icmp(3, 3, ROUTER)))), S::Rejected, &[], 10);
    holds(&evidence(datagrams(1, 0, Parting::Icmp(icmp(11, 0, ROUTER)))), S::TtlExceeded, &[], 12);
    holds(&evidence(datagrams(1, 0, Parting::Local(Errno::Perm))), S::NotPermitted, &[], 17);
    holds(&evidence(datagrams(1, 0, Parting::Local(Errno::MsgSize))), S::TooBig, &[], 12);
    holds(&evidence(datagrams(1, 0, Parting::Differs)), S::NotEcho, &[], 15);
    let from = (ip(ROUTER), 7).into();
    let finding = holds(&evidence(datagrams(1, 0, Parting::Elsewhere(from))), S::AnswerElsewhere, &[], 11);
    assert_eq!(finding.who, Some(ip(ROUTER)));

    let any = [Filtered, HostDown, AddressUnused, PathCut, NotAnswering];
    let mut unanswered = evidence(datagrams(5, 0, Parting::Enough));
    holds(&unanswered, S::Silence, &any, 11);
    unanswered.others.elsewhere = Some(Dialed::Failed { errno: Errno::ConnRefused, icmp: None });
    holds(&unanswered, S::PortSilent, &[NotAnswering, PortFiltered], 11);
    let by_router = Dialed::Failed { errno: Errno::NetUnreach, icmp: Some(icmp(3, 0, ROUTER)) };
    unanswered.others.elsewhere = Some(by_router);
    holds(&unanswered, S::NetUnreachable, &[], 12);
    let rejected = Dialed::Failed { errno: Errno::HostUnreach, icmp: Some(icmp(3, 13, ROUTER)) };
    unanswered.others.elsewhere = Some(rejected);
    holds(&unanswered, S::Silence, &any, 11);
}

#[test]
fn this_host_is_up_and_was_not_restarted() {
    use Candidate::{
        AcceptQueueFull, ClosedUnread, Filtered, InBetween, PathCut, ServerCrashes, ServerRestarted,
    };

    let looked_up = |to: &str| Evidence {
        to: (ip(to), 7).into(),
        route: Ok(Route { source: ip(to), hop: Hop::Here }),
        ..evidence(session(Ending::Echoed))
    };
    // Loopback is known without a look for the route, which may have met a limit of UDP's.
    let unrouted = |to: &str| Evidence { route: Err(Errno::Again), ..looked_up(to) };
    for mut here in [looked_up(HERE), looked_up("::1"), unrouted("127.0.0.1"), unrouted("::1")] {
        here.told = session(Ending::Reset(Moment::Unanswered));
        let unread = [ClosedUnread, ServerCrashes, InBetween];
        let finding = holds(&here, Situation::ResetOnWrite, &unread, 13);
        assert!(!finding.advice("host:7", Some(here.to)).join(" ").contains("restarted"));
        here.told = session(Ending::Reset(Moment::Due));
        holds(&here, Situation::ResetLater, &[ServerRestarted, InBetween], 13);
        here.told = Told::Dialed(Dialed::Silent);
        holds(&here, Situation::Silence, &[Filtered, PathCut, AcceptQueueFull], 11);
        // One explanation is left, and that is certain.
        here.told = session(Ending::Reset(Moment::Due));
        here.others.again = Some(Dialed::Failed { errno: Errno::ConnRefused, icmp: None });
        holds(&here, Situation::ServerGone, &[], 13);
    }
}

#[test]
fn advice_can_be_pasted() {
    let finding = judge(&evidence(Told::Dialed(Dialed::Silent)));
    let to = Some((ip(TO), 7).into());
    let advice = finding.advice("host:7", to).join(" ");
    assert!(advice.contains("traceroute -T -p 7 10.0.0.3"), "{advice}");
    assert!(nameless().advice("host:7", None).join(" ").contains("`getent ahosts host`"));
}

#[test]
fn on_loopback_nobody_is_told_to_look_for_a_server_on_loopback() {
    let finding = Finding::new(Situation::PortClosed, Cause::peer(Reason::ConnRefused));
    let advice = |to: &str| finding.advice("host:7", Some(to.parse().unwrap())).join(" ");
    assert!(advice("10.0.0.3:7").contains("127.0.0.1 only"));
    for here in ["127.0.0.1:7", "[::1]:7", "0.0.0.0:7", "[::]:7"] {
        assert!(!advice(here).contains("127.0.0.1 only"), "{here}");
    }
}

#[test]
fn a_connection_to_oneself_and_a_name_without_address() {
    holds(&evidence(Told::Dialed(Dialed::SelfConnect)), Situation::SelfConnect, &[], 15);
    let nameless = nameless();
    assert_eq!(nameless.situation, Situation::NameNotFound);
    assert_eq!(Exit::from(nameless.cause.unwrap().reason), Exit::NameResolution);
}
