//! A runtime's own server, and clients that misbehave.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use resound_core::signal::{Origin, Reason};
use resound_core::stream::admission::Refusal;
use socket2::{Domain, Socket, Type};

use super::{Load, Promise, Scenario, Transport, Within};
use crate::runtime::ServerEvent;
use crate::stage::{Played, Stage};

/// How long a client waits for what the server must do.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) const IDLE_LIMIT: Scenario = Scenario {
    name: "server-idle-limit",
    about: "A client connects and says nothing: at the idle limit the server closes the connection.",
    promise: Promise {
        events: &["server: accepted", "client: end of stream", "server: ended aborted (timer)"],
        verdict: Some((Reason::Aborted, Origin::Timer)),
        within: Some(Within::ServerIdle),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: idle_limit,
};

fn idle_limit(stage: &mut Stage<'_>) -> Played {
    let server = stage.serve()?;
    stage.fault(Instant::now());
    let mut client = connect(server.session.local_addr())?;
    stage.server_says(&server, "the connection", accepted)?;
    let end = see_end(stage, &mut client);
    stage.measure(end);
    stage.server_says(&server, "its end", ended)?;
    Ok(())
}

pub(super) const STALL_LIMIT: Scenario = Scenario {
    name: "server-stall-limit",
    about: "A client sends and never reads: when nothing has moved for the stall limit, the server resets it.",
    promise: Promise {
        events: &["server: accepted", "client: reset", "server: ended write-blocked (timer)"],
        verdict: Some((Reason::WriteBlocked, Origin::Timer)),
        within: Some(Within::ServerStall),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: stall_limit,
};

fn stall_limit(stage: &mut Stage<'_>) -> Played {
    let server = stage.serve()?;
    let client = connect(server.session.local_addr())?;
    stage.server_says(&server, "the connection", accepted)?;
    // The buffers on the way are full within milliseconds: the client's window is small, and what the server's kernel
    // does not get rid of it does not make room for.
    stage.fault(Instant::now());
    let end = write_until_the_end(stage, &client);
    stage.measure(end);
    stage.server_says(&server, "its end", ended)?;
    Ok(())
}

pub(super) const DRAIN: Scenario = Scenario {
    name: "server-drain",
    about: "The server drains: its client sees the end of the stream, and nobody listens any more.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "echo×3",
            "down closed (peer)",
            "retry",
            "dialing",
            "dial-failed conn-refused (peer)",
            "server: accepted",
            "server: ended closed (peer)",
            "server: done",
        ],
        verdict: Some((Reason::Closed, Origin::Peer)),
        within: Some(Within::AtOnce),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: drain,
};

fn drain(stage: &mut Stage<'_>) -> Played {
    let server = stage.serve()?;
    stage.dial([server.session.local_addr()])?;
    stage.send(3)?;
    stage.echoes(3)?;
    stage.fault(Instant::now());
    server.session.drain();
    stage.down()?;
    stage.dial_failed()?;
    stage.server_says(&server, "its end", done)?;
    Ok(())
}

pub(super) const DRAIN_WITH_ECHOES_DUE: Scenario = Scenario {
    name: "server-drain-with-echoes-due",
    about: "The server drains while its client has sent much and read nothing: every echo that was made arrives.",
    promise: Promise {
        events: &["server: accepted", "client: end of stream", "server: ended closed (peer)", "server: done"],
        verdict: None,
        within: None,
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: drain_with_echoes_due,
};

/// A server that closed while bytes waited unread in its receive buffer would make its kernel reset the connection, and
/// take away echoes that are still on their way (RFC 2525 §2.17).
fn drain_with_echoes_due(stage: &mut Stage<'_>) -> Played {
    // More than the buffers on the way hold: the server leaves while bytes wait unread.
    let numbers: Vec<u8> = (0..1 << 20).flat_map(u32::to_be_bytes).collect();
    let server = stage.serve()?;
    let mut client = connect(server.session.local_addr())?;
    stage.server_says(&server, "the connection", accepted)?;
    let sent = fill(&client, &numbers)?;
    // Wait for the first echo, and leave it in the receive buffer.
    client.peek(&mut [0])?;
    server.session.drain();
    let mut back = Vec::new();
    let result = client.read_to_end(&mut back);
    end_seen(stage, result.err());
    drop(client);
    let mut echoed = 0;
    stage.server_says(&server, "its end", |event| {
        if let ServerEvent::Connection { event, .. } = event {
            echoed = event.echoed;
        }
        done(event)
    })?;
    let came = back.len() as u64;
    stage.check(came == echoed && came > 0, || format!("{echoed} bytes were echoed, but {came} came back"));
    stage.check(numbers[..sent].starts_with(&back), || String::from("what came back is not what was sent"));
    Ok(())
}

pub(super) const ABORT: Scenario = Scenario {
    name: "server-abort",
    about: "The server aborts: every connection is reset, and nobody listens any more.",
    promise: Promise {
        events: &[
            "dialing",
            "up",
            "echo×3",
            "down reset (peer)",
            "retry",
            "dialing",
            "dial-failed conn-refused (peer)",
            "server: accepted",
            "server: ended aborted (local)",
            "server: done",
        ],
        verdict: Some((Reason::Reset, Origin::Peer)),
        within: Some(Within::AtOnce),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: abort,
};

fn abort(stage: &mut Stage<'_>) -> Played {
    let server = stage.serve()?;
    stage.dial([server.session.local_addr()])?;
    stage.send(3)?;
    stage.echoes(3)?;
    stage.fault(Instant::now());
    server.session.abort();
    stage.down()?;
    stage.dial_failed()?;
    stage.server_says(&server, "its end", done)?;
    Ok(())
}

pub(super) const PER_ADDRESS_LIMIT: Scenario = Scenario {
    name: "server-per-address-limit",
    about: "Two connections may come from one address: a third is reset, one from elsewhere is served.",
    promise: Promise {
        events: &[
            "server: accepted×2",
            "server: refused, the address has all the connections it may have",
            "client: reset",
            "server: accepted",
            "client: echo",
        ],
        verdict: None,
        within: Some(Within::AtOnce),
    },
    over: Transport::Tcp,
    load: Load::Light,
    play: per_address_limit,
};

fn per_address_limit(stage: &mut Stage<'_>) -> Played {
    stage.profile.server.admission.per_address = 2;
    let server = stage.serve()?;
    let addr = server.session.local_addr();
    let _two = [connect(addr)?, connect(addr)?];
    for _ in 0..2 {
        stage.server_says(&server, "a connection", accepted)?;
    }
    stage.fault(Instant::now());
    let mut third = connect(addr)?;
    stage.server_says(&server, "a refusal", |event| {
        matches!(event, ServerEvent::Refused { why: Refusal::PerAddress, .. })
    })?;
    let end = see_end(stage, &mut third);
    stage.measure(end);
    let mut elsewhere = connect_from([127, 0, 0, 2], addr)?;
    stage.server_says(&server, "a connection", accepted)?;
    elsewhere.write_all(b"hello")?;
    let mut echo = [0; 5];
    elsewhere.read_exact(&mut echo)?;
    stage.note(Instant::now(), if echo == *b"hello" { "client: echo" } else { "client: no echo" });
    Ok(())
}

fn accepted(event: &ServerEvent) -> bool {
    matches!(event, ServerEvent::Accepted { .. })
}

fn ended(event: &ServerEvent) -> bool {
    matches!(event, ServerEvent::Connection { .. })
}

fn done(event: &ServerEvent) -> bool {
    matches!(event, ServerEvent::Done)
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    connect_from([127, 0, 0, 1], server)
}

/// From a loopback address, with a small receive buffer.
fn connect_from(ip: [u8; 4], server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4_096)?;
    socket.bind(&SocketAddr::from((ip, 0)).into())?;
    socket.connect(&server.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Sends for a while, unless it has sent everything before; how much it sent.
fn fill(mut client: &TcpStream, with: &[u8]) -> io::Result<usize> {
    // Long enough for the buffers on the way to fill up, and far less than the stall limit, which begins to run then.
    const WHILE: Duration = Duration::from_millis(100);
    client.set_nonblocking(true)?;
    let end = Instant::now() + WHILE;
    let mut sent = 0;
    while sent < with.len() && Instant::now() < end {
        match client.write(&with[sent..]) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error),
        }
    }
    client.set_nonblocking(false)?;
    Ok(sent)
}

/// Reads until the connection ends, and writes down how; when.
fn see_end(stage: &mut Stage<'_>, client: &mut TcpStream) -> Instant {
    let result = io::copy(client, &mut io::sink());
    end_seen(stage, result.err())
}

/// Writes until the connection ends, and writes down how; when.
fn write_until_the_end(stage: &mut Stage<'_>, mut client: &TcpStream) -> Instant {
    let error = loop {
        if let Err(error) = client.write_all(&[b'x'; 65_536]) {
            break error;
        }
    };
    end_seen(stage, Some(error))
}

fn end_seen(stage: &mut Stage<'_>, error: Option<io::Error>) -> Instant {
    let at = Instant::now();
    let what = match error {
        None => String::from("client: end of stream"),
        Some(error) if error.kind() == ErrorKind::ConnectionReset => String::from("client: reset"),
        Some(error) => format!("client: {error}"),
    };
    stage.note(at, &what);
    at
}
