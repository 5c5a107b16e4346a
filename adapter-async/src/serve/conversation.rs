//! One connection of a server: a machine, its socket, and a timer that is made when it is first needed.
//!
//! It is small, because a server has many that do nothing: no buffer, no queue, no channel. What it shares with the
//! others it reaches through one pointer.

use alloc::sync::Arc;
use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use resound_core::stream::admission::Event;
use resound_core::stream::server::Command;
use resound_core::stream::{Machine, turn};
use resound_sockets::port::{Lines, Switchboard};
use resound_sockets::tcp::DialOptions;

use super::control::{Control, Phase, Seat};
use crate::alarm::Alarm;
use crate::runtime::Runtime;

/// One connection, as a future that is ready when it has ended.
#[must_use = "a connection is served only while it is polled"]
pub struct Conversation<R: Runtime, M: Machine, E> {
    machine: M,
    lines: Lines<R::Socket>,
    alarm: Alarm<R::Timer>,
    peer: SocketAddr,
    /// What the machine knows of the server's phase.
    told: Phase,
    /// Where its waker is, and a copy, so as to see without the lock that it is still the right one.
    seat: Option<(Seat, Waker)>,
    control: Arc<Control>,
    event: Arc<E>,
}

/// A server never dials.
static NO_DIAL: DialOptions = DialOptions { bind: None, user_timeout: None };

/// How often one poll turns the machine before other tasks have their turn.
const TURNS: u8 = 4;

impl<R: Runtime, M: Machine, E> Conversation<R, M, E> {
    pub(super) fn new(
        machine: M,
        socket: R::Socket,
        peer: SocketAddr,
        control: Arc<Control>,
        event: Arc<E>,
    ) -> Self {
        let lines = Lines::accepted(socket);
        Self { machine, lines, alarm: Alarm::default(), peer, told: Phase::Open, seat: None, control, event }
    }
}

impl<R: Runtime, M: Machine<Command: From<Command>>, E> Conversation<R, M, E> {
    fn hear_of_the_server(&mut self, cx: &mut Context<'_>) {
        if !self.seat.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker())) {
            let seat = self.seat.as_ref().map(|(seat, _)| *seat);
            self.seat = Some((self.control.sit(seat, cx.waker()), cx.waker().clone()));
        }
        let phase = self.control.phase();
        if phase > self.told {
            self.told = phase;
            let how = if phase == Phase::Draining { Command::Drain } else { Command::Abort };
            // Refused only by a machine that has ended.
            let _ = self.machine.command(self.control.clock.now(), how.into());
        }
    }
}

impl<R, M, E> Future for Conversation<R, M, E>
where
    R: Runtime,
    M: Machine<Target = Infallible, Command: From<Command>>,
    E: Fn(Event<M::Event>),
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.hear_of_the_server(cx);
        for _ in 0..TURNS {
            let (control, peer, event) = (&this.control, this.peer, &this.event);
            let mut port = Switchboard::new(&mut this.lines, &NO_DIAL, &control.pool, cx);
            let until = turn(
                &mut this.machine,
                &mut port,
                || control.clock.now(),
                |said| {
                    event(Event::Connection { peer, event: said });
                },
            );
            let exhausted = port.exhausted();
            if this.machine.is_done() {
                return Poll::Ready(());
            }
            if exhausted {
                break;
            }
            if this.alarm.poll(&control.clock, until, cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Nothing in it is pinned in place.
impl<R: Runtime, M: Machine, E> Unpin for Conversation<R, M, E> {}

impl<R: Runtime, M: Machine, E> Drop for Conversation<R, M, E> {
    fn drop(&mut self) {
        if let Some((seat, _)) = self.seat.take() {
            self.control.stand_up(seat);
        }
        self.control.release(self.peer);
    }
}

impl<R: Runtime, M: Machine, E> fmt::Debug for Conversation<R, M, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("peer", &self.peer)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}
