//! What a server, its connections and its handles share.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU8, Ordering};
use core::task::{Context, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use resound_core::Instant;
use resound_core::signal::Signal;
use resound_core::stream::admission::{AcceptError, Admission, Refusal};
use resound_core::stream::server::Command;
use resound_sockets::clock::Clock;
use resound_sockets::pool::Pool;
use resound_sockets::tcp::ReadBack;

/// Whether a server goes on. Only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    Open,
    Draining,
    Aborting,
}

pub(super) struct Control {
    pub(super) local_addr: SocketAddr,
    /// Of the listener.
    pub(super) options: Vec<(&'static str, String)>,
    pub(super) read_back: ReadBack,
    pub(super) clock: Clock,
    pub(super) pool: Pool,
    /// A [`Phase`], outside of the lock because every connection looks at it in every turn.
    phase: AtomicU8,
    state: Mutex<State>,
}

struct State {
    admission: Admission,
    acceptor: Option<Waker>,
    seats: Seats,
}

/// The wakers of the connections, each at a place that the connection remembers.
#[derive(Default)]
struct Seats {
    wakers: Vec<Option<Waker>>,
    free: Vec<Seat>,
}

/// A connection's place among the wakers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat(u32);

impl Control {
    pub(super) fn new(
        local_addr: SocketAddr,
        options: Vec<(&'static str, String)>,
        read_back: ReadBack,
        admission: Admission,
        clock: Clock,
    ) -> Self {
        Self {
            local_addr,
            options,
            read_back,
            clock,
            pool: Pool::default(),
            phase: AtomicU8::new(Phase::Open as u8),
            state: Mutex::new(State { admission, acceptor: None, seats: Seats::default() }),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Open,
            1 => Phase::Draining,
            _ => Phase::Aborting,
        }
    }

    /// For the acceptor: woken when the phase changes, and when the last connection has gone.
    pub(super) fn poll_phase(&self, cx: &mut Context<'_>) -> Phase {
        let mut state = self.lock();
        if !state.acceptor.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.acceptor = Some(cx.waker().clone());
        }
        drop(state);
        self.phase()
    }

    pub(super) fn leave(&self, how: Command) {
        let phase = match how {
            Command::Drain => Phase::Draining,
            Command::Abort => Phase::Aborting,
        };
        if self.phase.fetch_max(phase as u8, Ordering::AcqRel) >= phase as u8 {
            return;
        }
        let mut state = self.lock();
        state.admission.drain();
        // A connection that takes a seat from now on sees the new phase.
        let connections: Vec<Waker> = state.seats.wakers.iter().flatten().cloned().collect();
        let acceptor = state.acceptor.take();
        drop(state);
        acceptor.into_iter().chain(connections).for_each(Waker::wake);
    }

    // Admission.

    pub(super) fn live(&self) -> u32 {
        self.lock().admission.live()
    }

    pub(super) fn admit(&self, peer: SocketAddr) -> Result<(), Refusal> {
        let mut state = self.lock();
        state.admission.accepted();
        state.admission.admit(peer)
    }

    pub(super) fn failed(&self, signal: Signal) -> AcceptError {
        self.lock().admission.failed(self.clock.now(), signal)
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.lock().admission.ready_at()
    }

    pub(super) fn resume(&self) {
        let _ = self.lock().admission.resume(self.clock.now());
    }

    pub(super) fn release(&self, peer: SocketAddr) {
        let mut state = self.lock();
        state.admission.release(peer);
        let acceptor = if state.admission.live() == 0 { state.acceptor.take() } else { None };
        drop(state);
        if let Some(acceptor) = acceptor {
            acceptor.wake();
        }
    }

    // Seats.

    /// Leaves a waker, at the seat that was taken before or at a new one.
    pub(super) fn sit(&self, seat: Option<Seat>, waker: &Waker) -> Seat {
        let mut state = self.lock();
        let seats = &mut state.seats;
        let seat = seat.or_else(|| seats.free.pop()).unwrap_or_else(|| {
            seats.wakers.push(None);
            Seat((seats.wakers.len() - 1) as u32)
        });
        let old = seats.wakers[seat.0 as usize].replace(waker.clone());
        drop(state);
        drop(old);
        seat
    }

    pub(super) fn stand_up(&self, seat: Seat) {
        let mut state = self.lock();
        let old = state.seats.wakers[seat.0 as usize].take();
        state.seats.free.push(seat);
        drop(state);
        // Dropping a waker may run other people's code: not under the lock.
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("local_addr", &self.local_addr)
            .field("phase", &self.phase())
            .field("admission", &self.lock().admission)
            .finish_non_exhaustive()
    }
}
