//! Segments that leave.

use std::net::IpAddr;

use resound_core::signal::Version;

use super::{Context, Tcp, TcpState, own_mss};
use crate::kernel::table::Signal;
use crate::packet::{Body, Flags, Packet, Segment, Seq};

/// Whether this host had a way for a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Posted {
    Left,
    NoWay,
}

impl Tcp {
    /// Sends what the peer's window allows, the FIN behind it, or else asks for window probes. What finds no way stays unsent,
    /// and is tried again like a window probe (`tcp_write_xmit`, `tcp_check_probe_timer`; measured).
    pub(super) fn push(&mut self, cx: &mut Context<'_>) {
        if !matches!(
            self.state,
            TcpState::Established
                | TcpState::CloseWait
                | TcpState::FinWait1
                | TcpState::Closing
                | TcpState::LastAck
        ) {
            return;
        }
        let idle = self.una == self.nxt;
        while let Some(posted) = self.push_one(cx) {
            if posted == Posted::NoWay {
                return self.wait_for_way(cx);
            }
        }
        if idle && self.una != self.nxt {
            self.clock.sent(cx.now, self.nxt, self.in_flight_segments() <= 1);
        } else if idle && self.stuck() {
            self.clock.wait_for_window(cx.now);
        }
    }

    /// Sends the next segment that the peer's window allows, with the FIN if that fits behind the last byte; `None`: there is
    /// nothing to send, or no room for it.
    #[inline]
    pub(super) fn push_one(&mut self, cx: &mut Context<'_>) -> Option<Posted> {
        if self.fin_sent {
            return None;
        }
        let sent = self.sent();
        let waiting = self.out.len() - sent;
        let room = self.window_end.since(self.nxt).max(0) as usize;
        let length = room.min(self.mss).min(waiting);
        let fin = self.shut_write && length == waiting && length < room;
        if length == 0 && !fin {
            return None;
        }
        let seq = self.nxt;
        self.nxt = seq + (length + usize::from(fin));
        self.fin_sent = fin;
        let posted = self.emit_bytes(cx, seq, sent..sent + length, fin);
        if posted == Posted::NoWay {
            self.nxt = seq;
            self.fin_sent = false;
        }
        Some(posted)
    }

    /// A segment found no way. While something is in flight, that is sent again first.
    fn wait_for_way(&mut self, cx: &mut Context<'_>) {
        if self.state != TcpState::Closed && self.una == self.nxt {
            self.clock.wait_for_window(cx.now);
        }
    }

    /// Something is to be sent, nothing is in flight, and the window does not allow it, or there was no way.
    pub(super) fn stuck(&self) -> bool {
        self.una == self.nxt && (!self.out.is_empty() || self.shut_write && !self.fin_sent)
    }

    pub(super) fn in_flight_segments(&self) -> usize {
        (self.nxt.since(self.una).max(0) as usize).div_ceil(self.mss.max(1))
    }

    /// Sends the oldest segment that is in flight again, from this byte of `out` on: how long it is; `None`: it found no way.
    pub(super) fn resend(&mut self, cx: &mut Context<'_>, from: usize) -> Option<usize> {
        let (posted, length) = match self.state {
            TcpState::SynSent => (self.emit_syn(cx), 0),
            TcpState::SynReceived => (self.emit_syn_ack(cx), 0),
            _ => {
                let sent = self.sent();
                let from = from.min(sent);
                let to = sent.min(from + self.mss);
                let fin = self.fin_sent && to == self.out.len();
                if to == from && !fin {
                    return Some(0);
                }
                (self.emit_bytes(cx, self.una + from, from..to, fin), to - from)
            }
        };
        (posted == Posted::Left).then_some(length)
    }

    fn emit_bytes(
        &mut self,
        cx: &mut Context<'_>,
        seq: Seq,
        range: std::ops::Range<usize>,
        fin: bool,
    ) -> Posted {
        let (front, back) = self.out.as_slices();
        let split = front.len();
        let mut payload = cx.buffers.take();
        if range.start < split {
            payload.extend_from_slice(&front[range.start..range.end.min(split)]);
        }
        if range.end > split {
            payload.extend_from_slice(&back[range.start.max(split) - split..range.end - split]);
        }
        self.emit(cx, seq, Flags { fin, ..Flags::NONE }, payload)
    }

    pub(super) fn emit_syn(&mut self, cx: &mut Context<'_>) -> Posted {
        let segment = Segment {
            ack: None,
            mss: Some(own_mss(self.local) as u16),
            window: self.receive_room as u32,
            ..self.segment(self.una, Flags::SYN, Vec::new())
        };
        self.post(cx, segment)
    }

    pub(super) fn emit_syn_ack(&mut self, cx: &mut Context<'_>) -> Posted {
        let window = self.window();
        let segment = Segment {
            mss: Some(own_mss(self.local) as u16),
            window,
            ..self.segment(self.una, Flags::SYN, Vec::new())
        };
        self.post(cx, segment)
    }

    /// A segment without payload that acknowledges everything.
    pub(super) fn emit_ack(&mut self, cx: &mut Context<'_>) {
        self.emit(cx, self.nxt, Flags::NONE, Vec::new());
    }

    /// A segment that lies just before the window, so that the peer answers it (`tcp_xmit_probe_skb`).
    pub(super) fn emit_probe(&mut self, cx: &mut Context<'_>) {
        self.emit(cx, Seq(self.una.0.wrapping_sub(1)), Flags::NONE, Vec::new());
    }

    /// `tcp_send_active_reset`
    pub(super) fn emit_reset(&mut self, cx: &mut Context<'_>) {
        self.emit(cx, self.nxt, Flags::RST, Vec::new());
    }

    #[inline]
    fn emit(&mut self, cx: &mut Context<'_>, seq: Seq, flags: Flags, payload: Vec<u8>) -> Posted {
        let window = self.window();
        let segment = Segment { window, ..self.segment(seq, flags, payload) };
        self.clock.acknowledged();
        self.acked = self.rcv_nxt;
        self.post(cx, segment)
    }

    #[inline]
    fn segment(&self, seq: Seq, flags: Flags, payload: Vec<u8>) -> Segment {
        Segment {
            source: self.local.port(),
            destination: self.remote.port(),
            seq,
            ack: Some(self.rcv_nxt),
            flags,
            window: 0,
            mss: None,
            payload,
        }
    }

    #[inline]
    fn post(&mut self, cx: &mut Context<'_>, segment: Segment) -> Posted {
        if cx.env.ways.are_lost() {
            if let Some(kind) = cx.env.ways.routed_to(self.remote.ip()) {
                let again = segment.length() > 0 && segment.seq.before(self.left);
                let told_apart = match self.state {
                    TcpState::SynSent => true,
                    TcpState::SynReceived => false,
                    _ => self.version() == Version::V4,
                };
                let lost = again && told_apart;
                self.obey(cx, if lost { Signal::RouteLost(kind) } else { Signal::Route(kind) }, None);
                return Posted::NoWay;
            }
        }
        if self.left.before(segment.end()) {
            self.left = segment.end();
        }
        let mut packet = Packet::new(self.local.ip(), self.remote.ip(), Body::Tcp(segment));
        packet.fragments = self.fragments;
        cx.effects.packets.push(packet);
        Posted::Left
    }

    /// The window to tell: what is free, but nothing silly, and never less than was told before
    /// (`__tcp_select_window`).
    #[inline]
    pub(super) fn window(&mut self) -> u32 {
        let told = self.edge.since(self.rcv_nxt).max(0) as usize;
        let window = told.max(self.free_window());
        self.edge = self.rcv_nxt + window;
        window as u32
    }

    /// What is free for the peer, or 0 if too little to speak of.
    pub(super) fn free_window(&self) -> usize {
        let free = self.receive_room.saturating_sub(self.in_order.len());
        if free < own_mss(self.local).min(self.receive_room / 2) { 0 } else { free }
    }
}

/// The answer to a segment for which there is no connection, with the addresses, ports, acknowledgement and end that it
/// has (RFC 9293 §3.10.7.1).
pub(super) fn reset(
    (source, destination): (IpAddr, IpAddr),
    ports: (u16, u16),
    ack: Option<Seq>,
    end: Seq,
) -> Packet {
    let (seq, ack) = match ack {
        Some(ack) => (ack, None),
        None => (Seq(0), Some(end)),
    };
    let reset = Segment {
        source: ports.1,
        destination: ports.0,
        seq,
        ack,
        flags: Flags::RST,
        window: 0,
        mss: None,
        payload: Vec::new(),
    };
    Packet::new(destination, source, Body::Tcp(reset))
}

/// What a smaller MTU leaves for a segment.
pub(super) const fn mss_of(mtu: u32, version: Version) -> usize {
    let header = match version {
        Version::V4 => 40,
        Version::V6 => 60,
    };
    (mtu as usize).saturating_sub(header)
}
