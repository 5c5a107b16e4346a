//! How each state of UDP comes about, and each signal.
//!
//! The socket in question is the client's `u`. It has sent one datagram before the signal, which nobody gets.

use resound_core::signal::Errno;

use super::Ask;
use super::draft::{At, CLIENT, Draft, PAYLOAD, SERVER, Socket, UDP, route};
use crate::kernel::table::{Signal, State};

const PEER: &str = "server:9";
const SENDS: At = 80;
const SIGNAL: At = 200;
const REACHES: At = 80;

pub(super) fn stage(ask: &Ask, draft: &mut Draft) {
    let connected = ask.row.state == State::Connected;
    let socket = Socket { host: CLIENT, name: UDP, to: (!connected).then_some(PEER) };
    let overflows = ask.row.signal == Signal::Overflow;
    match ask.row.signal {
        Signal::NeighbourFailed => draft.fault(0, "client<->router unplug"),
        _ => draft.fault(0, "router->server cut"),
    }
    let recverr = if ask.recverr { " recverr" } else { "" };
    let room = if overflows { " rcvbuf=2304" } else { "" };
    draft.prepare(50, CLIENT, format_args!("{UDP} = udp 5000{recverr}{room}"), "u bind 0");
    if connected {
        draft.prepare(60, CLIENT, format_args!("{UDP} connect {PEER}"), "u connect 0");
        draft.prepare(SENDS, CLIENT, format_args!("{UDP} send {PAYLOAD}"), "u send 4");
    } else {
        draft.prepare(SENDS, CLIENT, format_args!("{UDP} sendto {PEER} {PAYLOAD}"), "u sendto 4");
    }
    let at = match ask.row.signal {
        Signal::Icmp(..) => {
            let (kind, code) = ask.icmp.unwrap_or((3, 3));
            let mtu = if ask.errno() == Some(Errno::MsgSize) { " mtu=1300" } else { "" };
            draft.fault(SIGNAL, format_args!("router icmp {kind}/{code} to client{mtu}"));
            SIGNAL + REACHES
        }
        // Three questions, a second apart.
        Signal::NeighbourFailed => SENDS + 3_400,
        Signal::Route(kind) => {
            draft.fault(SIGNAL, format_args!("client route {}", route(kind)));
            SIGNAL + REACHES
        }
        Signal::Overflow => {
            draft.prepare(100, SERVER, "w = udp 9", "w bind 0");
            for nth in 0..5 {
                draft.prepare(
                    SIGNAL + nth * 5,
                    SERVER,
                    format_args!("w sendto client:5000 {PAYLOAD}"),
                    "w sendto 4",
                );
            }
            SIGNAL + 20 + REACHES
        }
        _ => SIGNAL,
    };
    draft.then(at, ask, socket);
}
