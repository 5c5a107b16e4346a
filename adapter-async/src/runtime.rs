//! What a runtime supplies: a socket that it watches, and a timer.

use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;

use resound_sockets::port::Socket;
use resound_sockets::udp;

/// A runtime, as far as a driver needs it. The type is a name and is never instantiated.
///
/// An adapter for another runtime implements this and its three types, in about a hundred lines; see `resound-tokio` and
/// `resound-smol`.
pub trait Runtime: fmt::Debug + 'static {
    /// A socket that the runtime watches. The task of the context is the one to be woken.
    type Socket: for<'a> Socket<Context<'a> = Context<'a>> + fmt::Debug;
    /// A UDP socket that the runtime watches, likewise.
    type UdpSocket: for<'a> udp::Socket<Context<'a> = Context<'a>> + fmt::Debug;
    /// The runtime's timer.
    type Timer: Timer;
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
