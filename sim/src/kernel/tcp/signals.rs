//! The table obeyed: what a signal does to a connection, and which signal an ICMP error is.

use resound_core::signal::{Errno, IcmpError, Version};

use super::{Context, Tcp, TcpState, output};
use crate::kernel::errors::has_error_queue;
use crate::kernel::table::{Code, Effect, IcmpClass, Signal, find, verdict};
use crate::kernel::{Fate, Fd, Kernel, Profile, QueuedError, path};
use crate::packet::Segment;
use crate::scenario::Pick;

/// An ICMP error about a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) error: &'a IcmpError,
    pub(super) quoted: &'a Segment,
}

impl Tcp {
    /// Does what the table says; what that was. Nothing, for a case that it does not have.
    pub(super) fn obey(&mut self, cx: &mut Context<'_>, signal: Signal, about: Option<About<'_>>) -> Effect {
        let found = find(cx.env.profile, self.version(), self.case(), self.options.recverr, signal);
        let Some((id, row)) = found else { return Effect::Nothing };
        cx.effects.rows.push(id);
        match row.effect {
            Effect::Ends(code) => self.fail(cx, code, about),
            Effect::EndsAndQueues(code) => {
                self.queue(cx.env.profile, code, about);
                self.fail(cx, code, about);
            }
            Effect::Queues(code) => {
                self.queue(cx.env.profile, code, about);
                self.latches.hard = self.errno(cx.env.profile, code, about);
                cx.wake = true;
            }
            Effect::Latches(code) => {
                self.latches.hard = self.errno(cx.env.profile, code, about);
                cx.wake = true;
            }
            Effect::Remembers(code) | Effect::Fails(code) => {
                self.latches.soft = self.errno(cx.env.profile, code, about);
            }
            Effect::Challenges => {
                if self.clock.may_challenge(cx.env, cx.now) {
                    self.emit_ack(cx);
                }
            }
            Effect::HalfCloses => self.peer_ended(cx),
            Effect::Vanishes => self.done(cx),
            Effect::Shrinks => self.shrink(cx, about),
            Effect::Drops | Effect::Nothing => {}
        }
        row.effect
    }

    fn fail(&mut self, cx: &mut Context<'_>, code: Code, about: Option<About<'_>>) {
        self.latches.hard = self.errno(cx.env.profile, code, about);
        self.done(cx);
    }

    fn errno(&self, profile: Profile, code: Code, about: Option<About<'_>>) -> Option<Errno> {
        match code {
            Code::Is(errno) => Some(errno),
            Code::OfIcmp => about.and_then(|about| verdict(profile, about.error).1),
            Code::RememberedOr(errno) => Some(self.latches.soft.unwrap_or(errno)),
        }
    }

    fn queue(&mut self, profile: Profile, code: Code, about: Option<About<'_>>) {
        if !has_error_queue(profile) {
            return;
        }
        let (Some(errno), Some(about)) = (self.errno(profile, code, about), about) else { return };
        self.errors.push_back(QueuedError {
            errno,
            icmp: Some(*about.error),
            destination: self.remote,
            offender: about.error.offender,
            quote: about.quoted.payload.clone(),
        });
    }

    /// The path takes only shorter segments (RFC 1191, RFC 8201): what is in flight is sent again at once. Not shorter than
    /// the [floor](path::believe) of the IP version allows, whatever was said.
    fn shrink(&mut self, cx: &mut Context<'_>, about: Option<About<'_>>) {
        let Some(mtu) = about.and_then(|about| about.error.mtu) else { return };
        let Some(believed) = path::believe(self.version(), mtu) else { return };
        let mss = output::mss_of(believed.mtu, self.version());
        if mss < self.mss {
            self.mss = mss;
            self.fragments |= believed.locked;
            if self.state != TcpState::SynSent {
                self.resend_lost(cx);
            }
        }
    }
}

impl Kernel {
    /// An ICMP error about this connection.
    pub(in crate::kernel) fn tcp_icmp(&mut self, fd: Fd, error: &IcmpError, quoted: &Segment) -> Fate {
        let worked = self.work(fd, |tcp, cx| {
            if tcp.state == TcpState::Closed {
                return Fate::Absorbed("ignored: the connection has ended");
            }
            let class = verdict(cx.env.profile, error).0;
            let in_flight = !quoted.seq.before(tcp.una) && !tcp.nxt.before(quoted.seq);
            let pick = if in_flight || class == IcmpClass::Ignored { Pick::Exact } else { Pick::Outside };
            let request = tcp.state == TcpState::SynReceived;
            let signal = match class {
                IcmpClass::Soft | IcmpClass::Hard if request && drops_request(class, error) => {
                    Signal::Drops(pick)
                }
                class => Signal::Icmp(class, pick),
            };
            if !request && quoted.seq == tcp.una && says_the_path_is_broken(error) {
                tcp.clock.take_back_a_doubling(cx.env, cx.now);
            }
            let (about, mss) = (About { error, quoted }, tcp.mss);
            match tcp.obey(cx, signal, Some(about)) {
                Effect::Ends(_) | Effect::EndsAndQueues(_) | Effect::Vanishes => {
                    Fate::Acted("ended the connect")
                }
                Effect::Latches(_) | Effect::Queues(_) => Fate::Acted("the next call takes the error"),
                Effect::Remembers(_) => Fate::Acted("remembered for the end of the retransmissions"),
                Effect::Shrinks if tcp.mss < mss => Fate::Acted("told of a smaller MTU"),
                Effect::Shrinks => Fate::Absorbed("ignored: its MTU is no news, or too small to be believed"),
                _ if pick == Pick::Outside => Fate::Absorbed("ignored: it quotes nothing that is in flight"),
                _ => Fate::Absorbed("ignored: this kernel does not look at such a message"),
            }
        });
        worked.unwrap_or(Fate::Absorbed("ignored: no such socket"))
    }
}

/// Whether `tcp_v4_err` or `tcp_v6_err` tells `tcp_req_err` to drop the request.
const fn drops_request(class: IcmpClass, error: &IcmpError) -> bool {
    match (error.version, error.kind, error.code) {
        (Version::V4, 3, 0 | 1) | (Version::V4, 11 | 12, _) => true,
        (Version::V4, ..) => false,
        (Version::V6, ..) => matches!(class, IcmpClass::Hard),
    }
}

/// An ICMP error that tells a broken path from a full one (RFC 6069 §3): net and host unreachable, no route.
const fn says_the_path_is_broken(error: &IcmpError) -> bool {
    matches!((error.version, error.kind, error.code), (Version::V4, 3, 0 | 1) | (Version::V6, 1, 0))
}
