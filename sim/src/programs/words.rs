//! What programs do with the lines of a script, and the words for what they have to tell.
//!
//! There is one table of words. The simulated programs use it, and so do those that run on a real kernel: where both say
//! the same, it is because the same happened.

use std::net::SocketAddr;

use bytes::Bytes;
use resound_core::datagram::{client as datagram_client, server as datagram_server};
use resound_core::liveness::KernelView;
use resound_core::signal::Errno;
use resound_core::stream::{client as stream_client, server as stream_server};
use resound_core::{Instant, link};

use crate::scenario::{Command, Knobs, Payload, Peer, Said, Transport};

/// How many connections wait to be accepted by a server.
pub const BACKLOG: u32 = 128;

/// What a payload is.
#[must_use]
pub fn bytes(payload: &Payload) -> Bytes {
    match payload {
        Payload::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
        Payload::Bytes(count) => (0..*count).map(|at| (at % 251) as u8).collect(),
    }
}

/// The secret of a program with this seed, from which the tags of its datagrams follow.
#[must_use]
pub const fn secret(seed: u64) -> [u64; 2] {
    [seed, seed.rotate_left(32) ^ 0x5ec2_e75e_c2e7]
}

fn turn_knobs(config: &mut link::Config, knobs: Knobs) {
    let liveness = &mut config.liveness;
    liveness.idle = knobs.idle.unwrap_or(liveness.idle);
    // The probe's time-out is never longer than the idle time, unless somebody asks for that.
    let usual = if liveness.idle.is_zero() { liveness.probe } else { liveness.probe.min(liveness.idle) };
    liveness.probe = knobs.probe.unwrap_or(usual);
    liveness.misses = knobs.misses.unwrap_or(liveness.misses);
    config.race.round = knobs.round.unwrap_or(config.race.round);
    config.give_up.rounds = knobs.rounds.or(config.give_up.rounds);
}

// TCP.

/// What a client over TCP is configured to do.
#[must_use]
pub fn stream_config(knobs: Knobs) -> stream_client::Config {
    let mut config = stream_client::Config::default();
    turn_knobs(&mut config.link, knobs);
    if knobs.resend {
        config.on_loss = stream_client::OnLoss::Resend;
    }
    config
}

/// What a line of the script is to a client over TCP; `None`: it is not for one.
#[must_use]
pub fn stream_command(command: &Command) -> Option<stream_client::Command> {
    Some(match command {
        Command::Send(payload) => stream_client::Command::Send(bytes(payload)),
        Command::Close => stream_client::Command::Close,
        Command::Abort => stream_client::Command::Abort,
        _ => return None,
    })
}

/// What a client over TCP says of an event.
#[must_use]
pub fn describe_stream(event: &stream_client::Event) -> Option<Said> {
    use stream_client::Event;
    Some(match event {
        Event::Dialing { .. } => Said::Dialing,
        Event::DialFailed { cause, .. } => Said::DialFailed(cause.reason, cause.origin),
        Event::Up { .. } => Said::Up,
        Event::Echoed { seq, .. } => Said::Echo(seq.0),
        Event::Lost { seq, cause, .. } => Said::Lost(seq.0, cause.reason),
        Event::Suspect { unanswered } => Said::Suspect(*unanswered),
        Event::Down { cause, .. } => Said::down(cause),
        Event::Retry { level, delay } => Said::Retry { level: *level, delay: *delay },
        Event::Stalled { late } => Said::Stalled(*late),
        Event::GaveUp { cause } => Said::GaveUp(cause.reason),
        Event::Closed => Said::Closed,
    })
}

/// What a server over TCP says of the end of a connection. That one [began](Said::Accepted), its driver says.
#[must_use]
pub const fn describe_ended(ended: &stream_server::Ended) -> Said {
    Said::Ended(ended.cause.reason)
}

// UDP.

/// What a server over TCP says of an accept that failed.
#[must_use]
pub fn accept_failed(errno: Errno) -> Option<Said> {
    // Whoever was to be accepted has gone: nothing is wrong.
    (errno != Errno::ConnAborted).then(|| Said::other(format_args!("accept-failed {errno}")))
}

/// What a client over UDP is configured to do.
#[must_use]
pub fn datagram_config(knobs: Knobs) -> datagram_client::Config {
    let mut config = datagram_client::Config::default();
    turn_knobs(&mut config.link, knobs);
    config
}

/// What a line of the script is to a client over UDP, where `addr` says what a peer's address is. `None`: it is not for
/// one; otherwise what is said of it, or why it cannot be done.
pub fn command_datagram(
    client: &mut datagram_client::Client,
    now: Instant,
    command: &Command,
    addr: impl Fn(Peer) -> SocketAddr,
) -> Option<Result<Vec<Said>, String>> {
    match command {
        Command::Connect(Transport::Udp, peer, _) => {
            Some(client.add(now, addr(*peer)).map(|_| Vec::new()).map_err(|why| why.to_string()))
        }
        Command::Send(payload) => {
            // To everybody, one after the other.
            let peers: Vec<_> = client.peers().collect();
            let each = peers.into_iter().map(|peer| client.send(now, peer, bytes(payload)));
            let sent: Result<Vec<_>, _> = each.collect();
            Some(match sent {
                Ok(seqs) => Ok(seqs.into_iter().map(|seq| Said::Sent(seq.get())).collect()),
                Err(refused) => Err(refused.to_string()),
            })
        }
        Command::Close => {
            client.close(now);
            Some(Ok(Vec::new()))
        }
        Command::Abort => {
            client.abort(now);
            Some(Ok(Vec::new()))
        }
        _ => None,
    }
}

/// What a client over UDP says of an event. `named` is the name of the peer that it is about, where that has to be said:
/// with several peers.
#[must_use]
pub fn describe_datagram(event: &datagram_client::Event, named: Option<&str>) -> Option<Said> {
    use datagram_client::Event;
    let said = match event {
        Event::Dialing { .. } => Said::Dialing,
        Event::DialFailed { cause, .. } => Said::DialFailed(cause.reason, cause.origin),
        Event::Up { .. } => Said::Up,
        Event::Echoed { seq, .. } => Said::Echo(seq.get()),
        Event::Lost { seq, cause, .. } => Said::Lost(seq.get(), cause.reason),
        Event::Late { seq, .. } => Said::other(format_args!("late {}", seq.get())),
        Event::Duplicated { seq, .. } => Said::other(format_args!("duplicated {}", seq.get())),
        Event::Suspect { unanswered, .. } => Said::Suspect(*unanswered),
        Event::Down { cause, .. } => Said::down(cause),
        Event::Retry { level, delay, .. } => Said::Retry { level: *level, delay: *delay },
        Event::GaveUp { cause, .. } => Said::GaveUp(cause.reason),
        Event::Trouble { cause, .. } => {
            Said::other(format_args!("trouble {} {}", cause.reason, cause.origin))
        }
        Event::TooBig { .. } => Said::other("too-big"),
        Event::WrongAddress { .. } => Said::other("wrong-address"),
        Event::Overrun { lost } => Said::other(format_args!("overrun {lost}")),
        Event::Stalled { late } => Said::Stalled(*late),
        Event::Failed { signal, .. } => Said::other(format_args!("failed {signal:?}")),
        Event::Closed => Said::Closed,
    };
    Some(match named {
        Some(name) => Said::other(format_args!("{name} {said}")),
        None => said,
    })
}

/// What a server over UDP says of an event.
#[must_use]
pub fn describe_datagram_server(event: &datagram_server::Event) -> Option<Said> {
    match event {
        datagram_server::Event::Ignored { why, .. } => Some(Said::other(format_args!("ignored {why}"))),
        datagram_server::Event::Overrun { lost } => Some(Said::other(format_args!("overrun {lost}"))),
        datagram_server::Event::Failed { .. } | datagram_server::Event::Stopped => None,
    }
}

// Single calls.

/// What a call on the socket of this name gave.
#[must_use]
pub fn gave(name: &str, call: &str, result: Result<u64, Errno>) -> Said {
    Said::Call(format!("{name} {call}").into_boxed_str(), result)
}

/// What a `recv` of so many bytes gave of a datagram that was longer.
#[must_use]
pub fn gave_a_part(name: &str, bytes: usize) -> Said {
    Said::other(format_args!("{name} recv {bytes} truncated"))
}

/// What calls gave that were made on several sockets, of which this is the first, until nothing was left: how often each
/// gave something, the most first, so that it does not matter which socket that was.
#[must_use]
pub fn gave_in_all(name: &str, call: &str, mut counts: Vec<u32>) -> Said {
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let counts: Vec<String> = counts.iter().map(u32::to_string).collect();
    Said::other(format_args!("{name} {call} {}", counts.join(" ")))
}

/// What `TCP_INFO` says; `None`: it is no connection.
#[must_use]
pub fn info(name: &str, view: Option<&KernelView>) -> Said {
    Said::other(match view {
        None => format!("{name} info -"),
        Some(view) => format!(
            "{name} info unacked={} unsent={} retransmits={} backoff={} probes={}",
            view.unacked, view.unsent, view.retransmits, view.backoff, view.probes
        ),
    })
}
