//! For whom a segment is: a connection, a listener, or nobody.

use super::input::Verdict::{Is, Refuse};
use super::{Kernel, TcpState, output};
use crate::kernel::Fate::{self, Absorbed, Acted};
use crate::kernel::Fd;
use crate::packet::{Body, Packet, Segment};

impl Kernel {
    pub(in crate::kernel) fn receive_segment(&mut self, packet: Packet) -> Fate {
        let (remote, local) = packet.ends();
        let Body::Tcp(segment) = &packet.body else { return Absorbed("ignored: not TCP") };
        let Some(fd) = self.tcp_lookup(local, remote) else { return self.stray(&packet, segment) };
        self.recent = fd;
        if let Some(tcp) = self.tcp(fd) {
            if tcp.state == TcpState::SynReceived {
                if let Some(listener) = tcp.parent {
                    return self.receive_for_child(listener, fd, packet);
                }
            }
            let anew = segment.flags.syn && segment.ack.is_none() && tcp.rcv_nxt.before(segment.seq);
            if tcp.state == TcpState::TimeWait && anew && self.listener_for(local, remote).is_some() {
                // A new connection takes the place of the old one (tcp_timewait_state_process, TCP_TW_SYN).
                self.work(fd, |tcp, cx| tcp.done(cx));
                return self.stray(&packet, segment);
            }
        }
        let (ends, flags) = ((packet.source, packet.destination), segment.flags);
        let Body::Tcp(segment) = packet.body else { return Absorbed("ignored: not TCP") };
        let answer = (segment.ack, segment.end(), segment.source, segment.destination);
        match self.work(fd, |tcp, cx| tcp.arrives(cx, segment)) {
            Some(Is(fate)) => fate,
            Some(Refuse(why)) => {
                if !flags.rst {
                    let (ack, end, source, destination) = answer;
                    self.answer_for_nobody(output::reset(ends, (source, destination), ack, end));
                }
                Acted(why)
            }
            None => Absorbed("ignored: no such socket"),
        }
    }

    /// A segment for which there is no connection: for a listener, or to be refused.
    fn stray(&mut self, packet: &Packet, segment: &Segment) -> Fate {
        let (remote, local) = packet.ends();
        if segment.flags.rst {
            return Absorbed("ignored: a reset without a connection");
        }
        if segment.ack.is_none() && segment.flags.syn && !segment.flags.fin {
            if let Some(listener) = self.listener_for(local, remote) {
                return self.knock(listener, local, remote, segment);
            }
        } else if segment.ack.is_none() && self.listener_for(local, remote).is_some() {
            return Absorbed("ignored: neither SYN nor ACK, for a listener");
        }
        let (ends, ports) = ((packet.source, packet.destination), (segment.source, segment.destination));
        self.answer_for_nobody(output::reset(ends, ports, segment.ack, segment.end()));
        Acted("refused with a reset: no such connection")
    }

    /// A segment for a connection that a listener has not got yet.
    fn receive_for_child(&mut self, listener: Fd, fd: Fd, packet: Packet) -> Fate {
        let (source, destination) = (packet.source, packet.destination);
        let Body::Tcp(segment) = packet.body else { return Absorbed("ignored: not TCP") };
        let acknowledges = segment.ack.is_some() && !segment.flags.rst && !segment.flags.syn;
        if acknowledges && self.queue_full(listener) {
            return Absorbed("dropped: the accept queue is full");
        }
        let answer = (segment.ack, segment.end(), (segment.source, segment.destination));
        let verdict = self.work(fd, |tcp, cx| {
            if segment.flags.syn && segment.ack.is_none() && segment.seq + 1 == tcp.rcv_nxt {
                tcp.emit_syn_ack(cx);
                return Is(Acted("answered the SYN again"));
            }
            let verdict = tcp.arrives(cx, segment);
            // Already in the queue, whatever has become of it: accept succeeds after a reset too.
            tcp.queued = !matches!(tcp.state, TcpState::SynReceived | TcpState::Closed);
            verdict
        });
        if self.tcp(fd).is_some_and(|tcp| tcp.queued) {
            self.enqueue(listener, fd);
        }
        match verdict {
            Some(Is(fate)) => fate,
            Some(Refuse(why)) => {
                let (ack, end, ports) = answer;
                self.answer_for_nobody(output::reset((source, destination), ports, ack, end));
                Acted(why)
            }
            None => Absorbed("ignored: no such socket"),
        }
    }
}
