//! Our server, asked by plain sockets: what is answered, from where, and what never is.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;

use resound_core::datagram::server::{Event, Groups, Ignored};
use resound_sockets::udp::{Group, Multicast};
use socket2::SockRef;

use super::{V4, V6, any_port};
use crate::scenario::{Load, Promise, Scenario, Transport};
use crate::stage::{Failed, Played, ServedUdp, Stage};

/// The loopback device's index: the first device of every network namespace.
const LOOPBACK: u32 = 1;

pub(in crate::scenario) const ZERO_LENGTH: Scenario = Scenario {
    name: "udp-zero-length",
    about: "An empty datagram is a datagram: it comes back, and the next one too.",
    promise: Promise {
        events: &["client: echo of 0 bytes", "client: echo of 4 bytes"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: zero_length,
};

fn zero_length(stage: &mut Stage<'_>) -> Played {
    let server = stage.serve_udp(&[any_port(V4)])?;
    let asker = asker(V4, server.addr()?)?;
    for payload in [&b""[..], b"next"] {
        asker.send(payload)?;
        let echo = heard(&asker)?;
        stage.check(echo == payload, || format!("{payload:?} came back as {echo:?}"));
        stage.note_of("", &format!("client: echo of {} bytes", echo.len()));
    }
    Ok(())
}

pub(in crate::scenario) const ASKED_ADDRESS: Scenario = Scenario {
    name: "udp-asked-address",
    about: "A dual-stack wildcard server is asked at three of its addresses, by who hears nobody but whom it asked.",
    promise: Promise {
        events: &["client: 127.0.0.1 answers", "client: 127.0.0.2 answers", "client: ::1 answers"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: asked_address,
};

fn asked_address(stage: &mut Stage<'_>) -> Played {
    let server = stage.serve_udp(&[any_port(Ipv6Addr::UNSPECIFIED.into())])?;
    let port = server.addr()?.port();
    for (from, asked) in [(V4, V4), (V4, IpAddr::from([127, 0, 0, 2])), (V6, V6)] {
        let asker = asker(from, SocketAddr::new(asked, port))?;
        asker.send(b"is it you?")?;
        heard(&asker)?;
        stage.note_of("", &format!("client: {asked} answers"));
    }
    Ok(())
}

pub(in crate::scenario) const BROADCAST: Scenario = Scenario {
    name: "udp-broadcast",
    about: "A datagram to the broadcast address is ignored, or a whole network would answer; told to, a server answers.",
    promise: Promise {
        events: &["server: ignored broadcast", "client: the server that was told to answers"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: broadcast,
};

fn broadcast(stage: &mut Stage<'_>) -> Played {
    let asker = UdpSocket::bind(any_port(V4))?;
    asker.set_broadcast(true)?;
    asked_of_many(stage, &asker, Ignored::Broadcast, Ipv4Addr::new(127, 255, 255, 255))
}

pub(in crate::scenario) const MULTICAST: Scenario = Scenario {
    name: "udp-multicast",
    about: "The same for a multicast group that the server listens to.",
    promise: Promise {
        events: &["server: ignored multicast", "client: the server that was told to answers"],
        ..BROADCAST.promise
    },
    over: Transport::Udp,
    load: Load::Light,
    play: multicast,
};

fn multicast(stage: &mut Stage<'_>) -> Played {
    let group = Ipv4Addr::new(239, 255, 8, 62);
    let groups = vec![Group { address: group.into(), interface: Some(LOOPBACK) }];
    stage.profile.udp_server.socket.multicast = Multicast { groups, ..Multicast::default() };
    let asker = UdpSocket::bind(any_port(V4))?;
    SockRef::from(&asker).set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    asked_of_many(stage, &asker, Ignored::Multicast, group)
}

/// Asks an address that is many hosts', of a server with its defaults and of one that is told to answer.
fn asked_of_many(stage: &mut Stage<'_>, asker: &UdpSocket, why: Ignored, many: Ipv4Addr) -> Played {
    asker.set_read_timeout(Some(PATIENCE))?;
    let wildcard = any_port(Ipv4Addr::UNSPECIFIED.into());
    let quiet = stage.serve_udp(&[wildcard])?;
    stage.profile.udp_server.echo.groups = Groups::Answer;
    let answering = stage.serve_udp(&[wildcard])?;
    asker.send_to(b"anybody?", (many, quiet.addr()?.port()))?;
    ignored(stage, &quiet, why)?;
    // Whatever answers now, it is not the first one.
    asker.send_to(b"anybody?", (many, answering.addr()?.port()))?;
    let (_, from) = asker.recv_from(&mut [0; 64])?;
    let (asked, counts) = (answering.addr()?.port(), quiet.session.counts());
    stage.check(from.port() == asked && counts.echoed == 0, || {
        format!("{from} answered, and the server that ignores such datagrams sent {}", counts.echoed)
    });
    stage.note_of("", "client: the server that was told to answers");
    Ok(())
}

pub(in crate::scenario) const OWN_PORT: Scenario = Scenario {
    name: "udp-own-port",
    about: "A datagram comes from the port that the server itself serves: answered, two servers would never stop.",
    promise: Promise {
        events: &["server: ignored own-port", "client: another port is answered"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: own_port,
};

fn own_port(stage: &mut Stage<'_>) -> Played {
    let server = stage.serve_udp(&[any_port(V4)])?;
    let addr = server.addr()?;
    // Another host's server, as far as this one can see.
    let storm = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), addr.port()))?;
    storm.send_to(b"as if from a server", addr)?;
    ignored(stage, &server, Ignored::OwnPort)?;
    let asker = asker(V4, addr)?;
    asker.send(b"hello")?;
    heard(&asker)?;
    storm.set_nonblocking(true)?;
    let silent = matches!(storm.recv(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    stage.check(silent, || String::from("a datagram from the server's own port was answered"));
    stage.note_of("", "client: another port is answered");
    Ok(())
}

pub(in crate::scenario) const RATE_LIMIT: Scenario = Scenario {
    name: "udp-rate-limit",
    about: "A source may have ten answers at once: of twenty datagrams ten come back, and another source is served.",
    promise: Promise {
        events: &["server: ignored rate-limit", "client: 10 echoes", "client: another source is answered"],
        verdict: None,
        within: None,
    },
    over: Transport::Udp,
    load: Load::Light,
    play: rate_limit,
};

fn rate_limit(stage: &mut Stage<'_>) -> Played {
    let limit = &mut stage.profile.udp_server.echo;
    (limit.rate, limit.burst) = (Some(1), 10);
    let server = stage.serve_udp(&[any_port(V4)])?;
    let greedy = asker(V4, server.addr()?)?;
    for _ in 0..20 {
        greedy.send(b"more")?;
    }
    ignored(stage, &server, Ignored::RateLimit)?;
    stage.poll_until("every datagram to be counted", |_| Ok(server.session.counts().received == 20))?;
    let mut echoes = 0;
    greedy.set_read_timeout(Some(Duration::from_millis(50)))?;
    while heard(&greedy).is_ok() {
        echoes += 1;
    }
    stage.note_of("", &format!("client: {echoes} echoes"));
    let other = asker(IpAddr::from([127, 0, 0, 2]), server.addr()?)?;
    other.send(b"hello")?;
    heard(&other)?;
    stage.note_of("", "client: another source is answered");
    Ok(())
}

/// For how long a plain socket waits for an answer that must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A plain socket that hears nobody but whom it asks.
fn asker(from: IpAddr, to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn heard(asker: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut buffer = [0; 64];
    let len = asker.recv(&mut buffer)?;
    Ok(buffer[..len].to_vec())
}

/// Waits until the server has told that it ignored something, for this reason.
fn ignored(stage: &mut Stage<'_>, server: &ServedUdp, reason: Ignored) -> Result<(), Failed> {
    let told = |event: &Event| matches!(event, Event::Ignored { why, .. } if *why == reason);
    stage.udp_server_says(server, "what it ignored", told).map(drop)
}
