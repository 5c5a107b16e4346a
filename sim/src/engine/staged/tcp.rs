//! How each state of TCP comes about, and each signal.
//!
//! The socket in question is the client's `a`, or, where it takes a listener, the server's `b`. A path that is to be silent
//! is cut behind the router, so that what the router makes up still arrives.

use resound_core::signal::{Errno, Version};

use super::draft::{At, CLIENT, Draft, SERVER, Socket, name, route};
use super::{Ask, LONG};
use crate::kernel::table::{Code, Effect, Signal, State};
use crate::scenario::{NodeId, Pick};

const A: Socket = Socket { host: CLIENT, name: "a", to: None };
const B: Socket = Socket { host: SERVER, name: "b", to: None };

// Milliseconds.
const CONNECTS: At = 50;
const ACCEPTS: At = 150;
const STANDS: At = 200;
/// From a signal to the first call: the link's delay, and what a busy machine needs.
const REACHES: At = 80;

pub(super) fn stage(ask: &Ask, draft: &mut Draft) {
    match ask.row.state {
        State::SynSent => connecting(ask, draft),
        State::SynReceived => requested(ask, draft),
        State::Queued => queued(ask, draft),
        State::Orphan => orphan(ask, draft),
        State::TimeWait => time_wait(ask, draft),
        State::Nobody => nobody(ask, draft),
        _ => standing(ask, draft),
    }
}

const fn gives_up(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::RetriesExhausted
            | Signal::RetriesExhaustedAfterIcmp
            | Signal::UserTimeout
            | Signal::KeepaliveExhausted
    )
}

/// The options of the socket in question.
fn options(ask: &Ask) -> String {
    let quiet = matches!(ask.row.state, State::Idle | State::Queued);
    let mut options = String::new();
    if ask.recverr {
        options.push_str(" recverr");
    }
    options.push_str(match ask.row.signal {
        Signal::KeepaliveExhausted => " keepalive=1s/1s/1",
        Signal::UserTimeout if quiet => " uto=1500ms keepalive=1s/1s/3",
        Signal::UserTimeout => " uto=1s",
        // So that something is sent that finds no way.
        Signal::Route(_) => " keepalive=1s/1s/3",
        _ => "",
    });
    options
}

/// Timers that give up soon.
fn hurry(ask: &Ask, draft: &mut Draft, host: NodeId) {
    let settings = match (ask.row.state, ask.row.signal) {
        (State::SynSent, Signal::RetriesExhausted) => "tcp_syn_retries=1 tcp_syn_linear_timeouts=0",
        (State::SynReceived, Signal::RetriesExhausted) => "tcp_synack_retries=1",
        (State::Orphan, signal) if gives_up(signal) => "tcp_orphan_retries=1 tcp_rto_max_ms=1000",
        (_, Signal::RetriesExhausted | Signal::RetriesExhaustedAfterIcmp) => {
            "tcp_retries2=2 tcp_rto_max_ms=1000"
        }
        _ => return,
    };
    draft.set(host, settings);
}

const fn pick(pick: Pick) -> &'static str {
    match pick {
        Pick::Exact => "exact",
        Pick::Inside => "inside",
        Pick::Outside => "outside",
    }
}

/// An ICMP error about what the host has sent. It quotes the oldest byte in flight: the last packet may have been a probe,
/// which quotes nothing that is.
fn icmp(ask: &Ask, draft: &mut Draft, at: At, host: NodeId, quote: Pick) {
    let (kind, code) = ask.icmp.unwrap_or((3, 3));
    let quote = if quote == Pick::Outside { "outside" } else { "inside" };
    let mtu = if ask.errno() == Some(Errno::MsgSize) { " mtu=1300" } else { "" };
    draft.fault(at, format_args!("router icmp {kind}/{code} to {} quote={quote}{mtu}", name(host)));
}

/// The signal comes to this host; when it has done what it does.
fn happen(ask: &Ask, draft: &mut Draft, at: At, host: NodeId) -> At {
    let to = name(host);
    let connecting = ask.row.state == State::SynSent;
    match ask.row.signal {
        Signal::Icmp(_, quote) | Signal::Drops(quote) => icmp(ask, draft, at, host, quote),
        Signal::Refusal => draft.fault(at, format_args!("router rst to {to} seq=exact")),
        // Of an attempt, a reset that acknowledges nothing.
        Signal::Rst(Pick::Exact) if connecting => {
            draft.fault(at, format_args!("router rst to {to} seq=inside"));
        }
        Signal::Rst(seq) => draft.fault(at, format_args!("router rst to {to} seq={}", pick(seq))),
        Signal::Syn => draft.fault(at, format_args!("router syn to {to} seq=exact")),
        // What is in flight would be sent again by a lost route: over IPv4, only an answer is not.
        Signal::Route(kind) if ask.version == Version::V4 && ask.row.state == State::BothClosed => {
            draft.fault(at, format_args!("{to} route {}", route(kind)));
            draft.fault(at + 20, format_args!("router syn to {to} seq=exact"));
            return at + 20 + REACHES;
        }
        // A second after the last segment comes a probe; by then, what is in flight was sent again.
        Signal::Route(kind) | Signal::RouteLost(kind) => {
            draft.fault(at, format_args!("{to} route {}", route(kind)));
            return at + 1_250;
        }
        Signal::Fin if host == CLIENT => draft.prepare(at, SERVER, "b shutdown", "b shutdown 0"),
        Signal::Fin => draft.prepare(at, CLIENT, "a shutdown", "a shutdown 0"),
        Signal::LateData => draft.prepare(at, SERVER, "b send \"late\"", "b send 4"),
        Signal::RetriesExhaustedAfterIcmp => {
            icmp(ask, draft, at + 50, host, Pick::Exact);
            return at + 4_000;
        }
        Signal::RetriesExhausted => return at + 4_000,
        Signal::UserTimeout if ask.row.state == State::ZeroWindow => return at + 3_500,
        Signal::UserTimeout if matches!(ask.row.state, State::Idle | State::Queued) => return at + 3_200,
        Signal::UserTimeout => return at + 2_500,
        Signal::KeepaliveExhausted => return at + 3_000,
        Signal::NeighbourFailed | Signal::Overflow => {}
    }
    at + REACHES
}

/// A connect that is not answered, or that fails at once.
fn connecting(ask: &Ask, draft: &mut Draft) {
    hurry(ask, draft, CLIENT);
    let connect = format!("a = tcp connect server:7{}", options(ask));
    if let (Signal::Route(kind), Effect::Fails(Code::Is(errno))) = (ask.row.signal, ask.row.effect) {
        draft.fault(CONNECTS, format_args!("client route {}", route(kind)));
        return draft.fails(CONNECTS + 100, CLIENT, connect, format!("a connect {errno}"));
    }
    draft.fault(0, "router->server cut");
    draft.prepare(CONNECTS, CLIENT, connect, "a connect EINPROGRESS");
    let at = happen(ask, draft, STANDS, CLIENT);
    draft.then(at, ask, A);
}

/// A SYN-ACK whose acknowledgement is lost. Then the path is whole again, and the client sends: if the request is still
/// there, it becomes a connection; if not, nobody knows of one.
fn requested(ask: &Ask, draft: &mut Draft) {
    hurry(ask, draft, SERVER);
    let recverr = if ask.recverr { " recverr" } else { "" };
    draft.prepare(0, SERVER, format_args!("s = tcp listen 7 backlog=8{recverr}"), "s listen 0");
    draft.prepare(CONNECTS, CLIENT, "a = tcp connect server:7", "a connect EINPROGRESS");
    let whole = match ask.row.signal {
        Signal::Route(kind) => {
            // The SYN-ACK is to be sent again after a second.
            draft.fault(STANDS, format_args!("server route {} until 1400ms", route(kind)));
            1_500
        }
        // One second, and then two.
        Signal::RetriesExhausted => 3_700,
        // What the client sends echoes the challenge's timestamp, and is not believed until the SYN-ACK came again
        // (snt_tsval_last in tcp_check_req).
        Signal::Rst(Pick::Inside) => {
            happen(ask, draft, STANDS, SERVER);
            1_500
        }
        _ => happen(ask, draft, STANDS, SERVER),
    };
    draft.fault_when("server->router#1", format_args!("client->router cut until {whole}ms"));
    draft.prepare(whole + 60, CLIENT, "a send \"hello\"", "a send 5");
    let gone = matches!(ask.row.effect, Effect::Vanishes | Effect::Ends(_));
    let seen = whole + 160;
    if gone {
        draft.see(seen, SERVER, "b = accept s", "b accept EAGAIN");
        draft.see(seen, CLIENT, "a recv 100", "a recv ECONNRESET");
    } else {
        draft.see(seen, SERVER, "b = accept s", "b accept 0");
        draft.see(seen + 10, SERVER, "b recv 100", "b recv 5");
        draft.see(seen, CLIENT, "a recv 100", "a recv EAGAIN");
    }
}

/// A connection that its server has not accepted yet.
fn queued(ask: &Ask, draft: &mut Draft) {
    draft.prepare(0, SERVER, format_args!("s = tcp listen 7 backlog=8{}", options(ask)), "s listen 0");
    draft.prepare(CONNECTS, CLIENT, "a = tcp connect server:7", "a connect EINPROGRESS");
    if gives_up(ask.row.signal) {
        draft.fault(STANDS, "router->client cut");
    }
    let at = happen(ask, draft, STANDS + 50, SERVER);
    draft.prepare(at, SERVER, "b = accept s", "b accept 0");
    draft.then(at + 10, ask, B);
}

/// `a` and `b` are connected.
fn connect(draft: &mut Draft, client: &str, server: &str) {
    draft.prepare(0, SERVER, format_args!("s = tcp listen 7 backlog=8{server}"), "s listen 0");
    draft.prepare(
        CONNECTS,
        CLIENT,
        format_args!("a = tcp connect server:7{client}"),
        "a connect EINPROGRESS",
    );
    draft.prepare(ACCEPTS, SERVER, "b = accept s", "b accept 0");
}

/// The client's program has a connection that stands.
fn standing(ask: &Ask, draft: &mut Draft) {
    const CUT: &str = "router->server cut";
    hurry(ask, draft, CLIENT);
    let (state, signal) = (ask.row.state, ask.row.signal);
    let mut client = options(ask);
    let full = state == State::ZeroWindow;
    if full {
        client.push_str(" sndbuf=4608");
    }
    connect(draft, &client, if full { " rcvbuf=32768" } else { "" });
    let lost = matches!(signal, Signal::RouteLost(_));
    let silent = lost || gives_up(signal) && signal != Signal::KeepaliveExhausted;
    let mut ready = STANDS + 100;
    match state {
        State::Idle if gives_up(signal) => draft.fault(STANDS, CUT),
        State::Sending => {
            match signal {
                Signal::Route(kind) => draft.fault(STANDS, format_args!("client route {}", route(kind))),
                _ => draft.fault(STANDS, CUT),
            }
            if ask.row.effect == Effect::Shrinks {
                draft.prepare(STANDS + 50, CLIENT, format_args!("a send {LONG} bytes"), "a send 1400");
            } else {
                draft.prepare(STANDS + 50, CLIENT, "a send \"hello\"", "a send 5");
            }
            if matches!(signal, Signal::Route(_)) {
                draft.then(STANDS + 50 + REACHES, ask, A);
                return;
            }
        }
        State::ZeroWindow => {
            for nth in 0..20 {
                draft.prepare(STANDS + nth * 25, CLIENT, "a send 20000 bytes", "a send");
            }
            ready = STANDS + 550;
            if silent && signal != Signal::UserTimeout {
                draft.fault(ready - 50, CUT);
            }
        }
        State::Unread => draft.prepare(STANDS, SERVER, "b send \"hello\"", "b send 5"),
        State::CloseWait => draft.prepare(STANDS, SERVER, "b shutdown", "b shutdown 0"),
        State::HalfClosed => {
            if silent {
                draft.fault(STANDS - 20, CUT);
            }
            draft.prepare(STANDS + 30, CLIENT, "a shutdown", "a shutdown 0");
            if signal == Signal::LateData {
                draft.prepare(STANDS + 40, CLIENT, "a shutdown-read", "a shutdown-read 0");
            }
        }
        State::BothClosed => {
            draft.prepare(STANDS, SERVER, "b shutdown", "b shutdown 0");
            draft.fault(STANDS + 60, CUT);
            draft.prepare(STANDS + 110, CLIENT, "a shutdown", "a shutdown 0");
            ready = STANDS + 160;
        }
        _ => {}
    }
    match state {
        State::Unread | State::CloseWait if silent => {
            draft.fault(ready, CUT);
            draft.prepare(ready + 50, CLIENT, "a send \"hello\"", "a send 5");
            ready += 50;
        }
        State::Unread | State::CloseWait | State::HalfClosed if gives_up(signal) && !silent => {
            draft.fault(ready - 20, CUT);
        }
        _ => {}
    }
    let at = happen(ask, draft, ready, CLIENT);
    draft.then(at, ask, A);
}

/// A connection whose program has gone, with data that was not acknowledged. Then the path is whole again: if the connection
/// is still there, the data comes; if not, it never does, and what its peer sends is refused.
fn orphan(ask: &Ask, draft: &mut Draft) {
    hurry(ask, draft, CLIENT);
    connect(draft, &options(ask), "");
    draft.prepare(STANDS + 50, CLIENT, "a send \"hello\"", "a send 5");
    draft.prepare(STANDS + 60, CLIENT, "a close", "a close 0");
    let signal = STANDS + 100;
    let at = match ask.row.signal {
        Signal::Route(kind) if ask.version == Version::V4 => {
            // Only an answer is not sent again.
            let at = signal + 100;
            draft.fault(signal, format_args!("client route {} until {at}ms", route(kind)));
            draft.fault(signal + 20, "router syn to client seq=exact");
            at
        }
        Signal::Route(kind) | Signal::RouteLost(kind) => {
            // So much is sent again in vain.
            let at = signal + 1_000;
            draft.fault(signal, format_args!("client route {} until {at}ms", route(kind)));
            at
        }
        _ => happen(ask, draft, signal, CLIENT),
    };
    // What comes too late is refused with a reset, which is to arrive.
    let whole = if ask.row.signal == Signal::LateData { signal + 8 } else { at };
    draft.fault(STANDS, format_args!("router->server cut until {whole}ms"));
    match (ask.row.signal, ask.row.effect) {
        (Signal::LateData, _) => draft.see(at + 100, SERVER, "b recv 100", "b recv ECONNRESET"),
        (_, Effect::Vanishes | Effect::Ends(_)) => {
            let seen = whole + 1_300;
            draft.see(seen, SERVER, "b recv 100", "b recv EAGAIN");
            draft.see(seen + 10, SERVER, "b send \"late\"", "b send 4");
            draft.see(seen + 100, SERVER, "b recv 100", "b recv ECONNRESET");
        }
        _ => {
            let seen = whole + 1_300;
            draft.see(seen, SERVER, "b recv 100", "b recv 5");
            draft.see(seen + 10, SERVER, "b recv 100", "b recv 0");
        }
    }
}

/// The server's side ends first, and waits for stragglers. It cannot listen there again before it has forgotten.
fn time_wait(ask: &Ask, draft: &mut Draft) {
    connect(draft, "", if ask.recverr { " recverr" } else { "" });
    draft.prepare(STANDS, SERVER, "b shutdown", "b shutdown 0");
    draft.prepare(STANDS + 70, CLIENT, "a shutdown", "a shutdown 0");
    let signal = STANDS + 150;
    let at = match ask.row.signal {
        Signal::Route(kind) => {
            draft.fault(signal, format_args!("server route {}", route(kind)));
            // It is to be answered again.
            draft.fault(signal + 50, "router fin to server seq=exact");
            signal + 50 + REACHES
        }
        Signal::Syn => {
            // Or the client, which knows of nothing, would refuse the challenge, and end it (RFC 1337).
            draft.fault(signal - 20, "client->router cut");
            happen(ask, draft, signal, SERVER)
        }
        _ => happen(ask, draft, signal, SERVER),
    };
    let at = draft.then(at, ask, B);
    draft.prepare(at + 10, SERVER, "s close", "s close 0");
    let gone = ask.row.effect == Effect::Vanishes;
    draft.see(at + 20, SERVER, "t = tcp listen 7", if gone { "t listen 0" } else { "t listen EADDRINUSE" });
}

/// A port that nobody has: the kernel answers by itself, once there is a way.
fn nobody(ask: &Ask, draft: &mut Draft) {
    let Signal::Route(kind) = ask.row.signal else { return };
    draft.fault(20, format_args!("server route {} until 600ms", route(kind)));
    draft.prepare(80, CLIENT, "a = tcp connect server:7", "a connect EINPROGRESS");
    draft.prepare(90, CLIENT, "u = udp 0", "u bind 0");
    draft.prepare(100, CLIENT, "u connect server:9", "u connect 0");
    draft.prepare(110, CLIENT, "u send \"ping\"", "u send 4");
    draft.see(300, CLIENT, "a poll", "a poll -");
    draft.see(310, CLIENT, "u recv 100", "u recv EAGAIN");
    draft.prepare(700, CLIENT, "u send \"ping\"", "u send 4");
    draft.see(800, CLIENT, "u recv 100", "u recv ECONNREFUSED");
    // The SYN is sent again after a second.
    draft.see(1_350, CLIENT, "a recv 100", "a recv ECONNREFUSED");
}
