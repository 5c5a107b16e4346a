//! What a connection does with a segment (RFC 9293 §3.10.7, with RFC 5961 as Linux has it).

use super::{Context, Early, LEAST_MSS, Tcp, TcpState};
use crate::kernel::Fate::{self, Absorbed, Acted};
use crate::kernel::Sysctl;
use crate::kernel::table::{Effect, Signal};
use crate::packet::{Segment, Seq};
use crate::scenario::Pick;

use Verdict::{Is, Refuse};

/// What a connection does with a segment.
pub(super) enum Verdict {
    /// This became of it.
    Is(Fate),
    /// It is about no connection: to be answered with a reset.
    Refuse(&'static str),
}

impl Tcp {
    pub(super) fn arrives(&mut self, cx: &mut Context<'_>, segment: Segment) -> Verdict {
        match self.state {
            TcpState::Closed | TcpState::Listen => Refuse("refused with a reset: no such connection"),
            TcpState::SynSent => self.arrives_in_syn_sent(cx, &segment),
            TcpState::TimeWait => Is(self.arrives_in_time_wait(cx, &segment)),
            _ => self.arrives_in_connection(cx, segment),
        }
    }

    /// `tcp_rcv_synsent_state_process`
    fn arrives_in_syn_sent(&mut self, cx: &mut Context<'_>, segment: &Segment) -> Verdict {
        let acceptable = segment.ack == Some(self.nxt);
        if segment.ack.is_some() && !acceptable {
            self.clock.hurry(cx.now);
            if segment.flags.rst {
                self.obey(cx, Signal::Rst(Pick::Outside), None);
                return Is(Absorbed(
                    "a reset that acknowledges nothing of this attempt: the SYN is sent again",
                ));
            }
            return Refuse("refused with a reset: it acknowledges something else");
        }
        if segment.flags.rst {
            if acceptable {
                self.obey(cx, Signal::Refusal, None);
                return Is(Acted("refused the connect"));
            }
            self.obey(cx, Signal::Rst(Pick::Exact), None);
            return Is(Absorbed("ignored: a reset that acknowledges nothing"));
        }
        if !segment.flags.syn {
            return Is(Absorbed("ignored: neither SYN nor RST"));
        }
        self.take_syn(segment);
        if acceptable {
            self.una = self.nxt;
            self.latches.soft = None;
            self.clock.heard(cx.now);
            self.clock.advanced(cx.env, cx.now, self.una, false, true);
            self.establish(cx);
            self.emit_ack(cx);
            return Is(Acted("connected"));
        }
        // Both sides have sent a SYN, or this one to itself (RFC 9293 §3.5).
        self.enter(cx, TcpState::SynReceived);
        self.emit_syn_ack(cx);
        Is(Acted("crossed with this side's SYN"))
    }

    /// What the peer's SYN says.
    pub(in crate::kernel) fn take_syn(&mut self, segment: &Segment) {
        self.rcv_nxt = segment.seq + 1;
        self.acked = self.rcv_nxt;
        // The window was told with the SYN already, or is told with the answer.
        self.edge = self.rcv_nxt;
        self.window_seq = segment.seq;
        self.window_end = self.nxt + segment.window as usize;
        self.mss = self.mss.min(segment.mss.map_or(536, usize::from)).max(LEAST_MSS);
    }

    fn establish(&mut self, cx: &mut Context<'_>) {
        self.enter(cx, TcpState::Established);
        if let Some((idle, ..)) = self.options.keepalive {
            self.clock.start_keepalive(cx.now, idle);
        }
        cx.wake = true;
    }

    /// `tcp_timewait_state_process`
    fn arrives_in_time_wait(&mut self, cx: &mut Context<'_>, segment: &Segment) -> Fate {
        let outside = segment.end().before(self.rcv_nxt) || self.edge.before(segment.seq);
        if segment.flags.rst {
            let pick = match (segment.seq == self.rcv_nxt, outside) {
                (true, _) => Pick::Exact,
                (false, false) => Pick::Inside,
                (false, true) => Pick::Outside,
            };
            return match self.obey(cx, Signal::Rst(pick), None) {
                Effect::Vanishes => Acted("ended TIME_WAIT"),
                _ => Absorbed("ignored: a reset that is not exact, for an old connection"),
            };
        }
        let bare = segment.length() == 0 && segment.seq == self.rcv_nxt;
        // A SYN that acknowledges nothing may be a new one as well as an old duplicate.
        if bare || segment.ack.is_some() {
            self.clock.over_at(cx.now + cx.env.seconds(Sysctl::TimeWait));
        }
        if bare {
            return Acted("kept an old connection for longer");
        }
        if segment.flags.syn {
            self.obey(cx, Signal::Syn, None);
            return Acted("challenged: a SYN for an old connection");
        }
        if self.clock.may_challenge(cx.env, cx.now) {
            self.emit_ack(cx);
        }
        Acted("acknowledged again, by an old connection")
    }

    fn arrives_in_connection(&mut self, cx: &mut Context<'_>, segment: Segment) -> Verdict {
        let (seq, end) = (segment.seq, segment.end());
        let edge = if self.edge.before(self.rcv_nxt) { self.rcv_nxt } else { self.edge };
        let outside = end.before(self.rcv_nxt) || edge.before(seq);
        if segment.flags.rst {
            return Is(self.arrives_reset(cx, &segment, outside));
        }
        let crossing = self.state == TcpState::SynReceived
            && segment.flags.syn
            && seq + 1 == self.rcv_nxt
            && segment.ack == Some(self.nxt);
        if segment.flags.syn && !crossing {
            self.obey(cx, Signal::Syn, None);
            return Is(Acted("challenged: a SYN for a connection that stands"));
        }
        if outside {
            // Keepalive and window probes end here, and are answered.
            let empty = segment.payload.is_empty();
            if !empty || self.clock.may_challenge(cx.env, cx.now) {
                self.emit_ack(cx);
            }
            return Is(if empty {
                Absorbed("acknowledged: a probe, or old news")
            } else {
                Absorbed("acknowledged: nothing in it is expected")
            });
        }
        let Some(ack) = segment.ack else { return Is(Absorbed("ignored: it acknowledges nothing")) };
        if self.nxt.before(ack) {
            if self.state == TcpState::SynReceived {
                return Refuse("refused with a reset: it acknowledges what was not sent");
            }
            return Is(Absorbed("ignored: it acknowledges what was not sent"));
        }
        let acted = self.arrives_ack(cx, &segment, ack);
        if matches!(self.state, TcpState::SynReceived | TcpState::Closed) {
            return Is(if acted {
                Acted("acknowledged the FIN")
            } else {
                Absorbed("ignored: an old acknowledgement")
            });
        }
        if crossing {
            self.emit_ack(cx);
            return Is(Acted("connected"));
        }
        if segment.length() > 0 {
            let fate = self.arrives_data(cx, segment);
            self.push(cx);
            return fate;
        }
        self.push(cx);
        Is(if acted { Acted("acknowledged") } else { Absorbed("nothing new") })
    }

    fn arrives_reset(&mut self, cx: &mut Context<'_>, segment: &Segment, outside: bool) -> Fate {
        // After a FIN, the number before it counts too (tcp_reset_check).
        let fin_seen = matches!(self.state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing);
        let exact = segment.seq == self.rcv_nxt || fin_seen && segment.seq + 1 == self.rcv_nxt;
        let pick = match (exact, outside) {
            (true, _) => Pick::Exact,
            (false, false) => Pick::Inside,
            (false, true) => Pick::Outside,
        };
        match self.obey(cx, Signal::Rst(pick), None) {
            Effect::Ends(_) | Effect::Vanishes => Acted("reset the connection"),
            Effect::Challenges => Acted("challenged: a reset in the window, not exact"),
            _ => Absorbed("ignored: a reset outside of the window"),
        }
    }

    /// `tcp_ack`: whether it told anything new.
    #[inline]
    fn arrives_ack(&mut self, cx: &mut Context<'_>, segment: &Segment, ack: Seq) -> bool {
        if ack.before(self.una) {
            return false;
        }
        self.clock.heard(cx.now);
        self.latches.soft = None;
        let advance = ack.since(self.una) as usize;
        let new_end = ack + segment.window as usize;
        let newer = advance > 0
            || self.window_seq.before(segment.seq)
            || self.window_seq == segment.seq && self.window_end.before(new_end);
        let opened = newer && self.window_end.before(new_end);
        if newer {
            self.window_seq = segment.seq;
            self.window_end = new_end;
        }
        // tcp_ack_probe: what waited for a way is tried again at once, too, and begins to wait anew if it finds none.
        if self.stuck() && self.window_end.since(self.nxt) > 0 {
            self.clock.window_opened();
        }
        if advance == 0 {
            return opened;
        }
        if self.state == TcpState::SynReceived {
            self.una = ack;
            self.clock.advanced(cx.env, cx.now, ack, false, true);
            self.establish(cx);
            return true;
        }
        let fin_acknowledged = self.fin_sent && ack == self.nxt;
        let bytes = (advance - usize::from(fin_acknowledged)).min(self.out.len());
        self.out.drain(..bytes);
        self.una = ack;
        let (rest, single) = (self.una != self.nxt, self.in_flight_segments() <= 1);
        self.clock.advanced(cx.env, cx.now, ack, rest, single);
        if self.blocked && self.poll().writable {
            self.blocked = false;
            cx.wake = true;
        }
        if fin_acknowledged {
            self.fin_acknowledged(cx);
        } else if rest && self.clock.recovering() {
            self.resend_lost(cx);
        }
        true
    }

    /// Sends the two oldest segments that are in flight again.
    pub(super) fn resend_lost(&mut self, cx: &mut Context<'_>) {
        if self.una == self.nxt {
            return;
        }
        let Some(first) = self.resend(cx, 0) else { return };
        if first > 0 && first < self.sent() {
            self.resend(cx, first);
        }
    }

    fn fin_acknowledged(&mut self, cx: &mut Context<'_>) {
        match self.state {
            TcpState::FinWait1 => {
                self.enter(cx, TcpState::FinWait2);
                if self.orphan {
                    self.clock.over_at(cx.now + cx.env.seconds(Sysctl::FinTimeout));
                }
            }
            TcpState::Closing => self.wait_for_stragglers(cx),
            TcpState::LastAck => self.done(cx),
            _ => {}
        }
    }

    fn wait_for_stragglers(&mut self, cx: &mut Context<'_>) {
        self.enter(cx, TcpState::TimeWait);
        self.clock.over_at(cx.now + cx.env.seconds(Sysctl::TimeWait));
        cx.wake = true;
    }

    /// `tcp_data_queue`
    #[inline]
    fn arrives_data(&mut self, cx: &mut Context<'_>, segment: Segment) -> Verdict {
        let end = segment.end();
        let new = self.rcv_nxt.before(end);
        if self.done {
            // RFC 9293 §3.10.7.4: nothing follows a FIN.
            if !new {
                self.emit_ack(cx);
            }
            return Is(Absorbed("ignored: it lies behind the FIN"));
        }
        let half_closed = matches!(self.state, TcpState::FinWait1 | TcpState::FinWait2);
        let bytes_end = segment.seq + segment.payload.len();
        if half_closed && self.shut_read && !segment.payload.is_empty() && self.rcv_nxt.before(bytes_end) {
            // Nobody will ever read it (RFC 1122 §4.2.2.13).
            self.obey(cx, Signal::LateData, None);
            return Refuse("refused with a reset: its program has closed");
        }
        if !new {
            self.emit_ack(cx);
            return Is(Absorbed("acknowledged again: it was there already"));
        }
        self.clock.received = cx.now;
        if self.rcv_nxt.before(segment.seq) {
            self.keep_early(segment);
            self.emit_ack(cx);
            return Is(Acted("kept until what is missing comes"));
        }
        let filled = !self.ahead.is_empty();
        let mut fin = self.take(segment.seq, &segment.payload, segment.flags.fin);
        cx.buffers.put_back(segment.payload);
        while !fin && self.ahead.first().is_some_and(|early| !self.rcv_nxt.before(early.seq)) {
            let early = self.ahead.remove(0);
            fin = self.take(early.seq, &early.bytes, early.fin);
        }
        cx.wake = true;
        if fin {
            self.obey(cx, Signal::Fin, None);
            return Is(Acted("took the FIN"));
        }
        // tcp_ack_snd_check: every second full segment, and at once while something is missing.
        if filled || self.rcv_nxt.since(self.acked) > self.mss as i32 {
            self.emit_ack(cx);
        } else {
            self.clock.acknowledge_later(cx.now);
        }
        Is(Acted("took the data"))
    }

    /// Takes what is new and in the window of bytes that begin at or before the next one expected; whether a FIN follows.
    #[inline]
    fn take(&mut self, seq: Seq, bytes: &[u8], fin: bool) -> bool {
        let old = self.rcv_nxt.since(seq).max(0) as usize;
        let bytes = bytes.get(old..).unwrap_or(&[]);
        let room = self.edge.since(self.rcv_nxt).max(0) as usize;
        let taken = bytes.len().min(room);
        self.in_order.extend(&bytes[..taken]);
        self.rcv_nxt = self.rcv_nxt + taken;
        let fin = fin && taken == bytes.len() && seq + old + taken == self.rcv_nxt;
        if fin {
            self.rcv_nxt = self.rcv_nxt + 1;
        }
        fin
    }

    fn keep_early(&mut self, segment: Segment) {
        let fin = segment.flags.fin;
        let at = self.ahead.partition_point(|early| early.seq.before(segment.seq));
        let same = self.ahead.get(at).filter(|early| early.seq == segment.seq);
        match same.map(|early| early.bytes.len() + usize::from(early.fin)) {
            Some(length) if length >= segment.length() => {}
            Some(_) => self.ahead[at] = Early { seq: segment.seq, bytes: segment.payload, fin },
            None => self.ahead.insert(at, Early { seq: segment.seq, bytes: segment.payload, fin }),
        }
    }

    /// The peer has ended its side (`tcp_fin`).
    pub(super) fn peer_ended(&mut self, cx: &mut Context<'_>) {
        self.done = true;
        self.shut_read = true;
        self.ahead.clear();
        match self.state {
            TcpState::FinWait1 => {
                self.enter(cx, TcpState::Closing);
                self.emit_ack(cx);
            }
            TcpState::FinWait2 => {
                self.emit_ack(cx);
                self.wait_for_stragglers(cx);
            }
            _ => {
                self.enter(cx, TcpState::CloseWait);
                self.emit_ack(cx);
            }
        }
        cx.wake = true;
    }
}
