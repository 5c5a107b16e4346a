//! What a runtime supplies: a socket that it watches, and a timer.

use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A runtime, as far as a driver needs it. The type is a name and is never instantiated.
///
/// An adapter for another runtime implements this and its two types, in about a hundred lines; see `resound-tokio` and
/// `resound-smol`.
pub trait Runtime: fmt::Debug + 'static {
    /// A socket that the runtime watches.
    type Socket: Socket;
    /// The runtime's timer.
    type Timer: Timer;
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the peer. A listener accepts in this direction.
    Read,
    /// To the peer. A dial ends in this direction.
    Write,
}

/// What a call left behind in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Left {
    /// Nothing, as far as the call could see: the next call is worth making when the kernel reports readiness anew.
    Nothing,
    /// There may be more: the next call may be made at once.
    More,
}

/// A non-blocking descriptor, stream or listener, that the runtime watches. Dropping it closes the descriptor.
pub trait Socket: AsFd + Sized + fmt::Debug + 'static {
    /// Hands a non-blocking descriptor to the runtime.
    ///
    /// # Errors
    ///
    /// What the system said: usually that it has no memory for one more.
    fn register(fd: OwnedFd) -> io::Result<Self>;

    /// Ready if a call in this direction is worth making; else the task is woken when it is. The end of the stream and
    /// a pending error count as readiness.
    ///
    /// # Errors
    ///
    /// The runtime can no longer watch it, usually because it is shutting down.
    fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Makes `call`, once, unless the runtime remembers that the socket is not ready; `None` then. After
    /// [`Left::Nothing`] the runtime forgets the readiness that it had seen **before** the call, and no later one: an
    /// event that came meanwhile must not be lost.
    fn attempt<T>(&self, direction: Direction, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T>;
}

/// A timer. It counts whole milliseconds at best, and may fire late. It is made when it is first needed.
pub trait Timer: Sized + 'static {
    /// A timer that fires after this time.
    fn after(delay: Duration) -> Self;

    /// Fires after this time instead, whether it has fired or not.
    fn reset(&mut self, delay: Duration);

    /// Ready if it has fired since it was set; else the task is woken when it does.
    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}
