//! Ending a connection, in part or as a whole, without ever waiting.

use core::time::Duration;
use std::net::Shutdown;
use std::os::fd::AsFd;

use resound_core::stream::Close;
use socket2::SockRef;

/// Half-closes: what was written is sent, then FIN; reading goes on.
///
/// There is no result. It can only fail on a connection that has ended, and the reader hears of that, with the reason.
pub fn shutdown_write(fd: impl AsFd) {
    let _ = SockRef::from(&fd).shutdown(Shutdown::Write);
}

/// Closes, by dropping `stream`; at once, whatever is still unsent and whoever is silent.
///
/// [`Close::Drop`] leaves the rest to the kernel, which sends what it holds for as long as its own rules say (minutes,
/// to a silent peer). Linux turns it into a reset if there are bytes that nobody read. [`Close::Reset`] forgets what is
/// unsent and sends a RST.
///
/// `SO_LINGER` is looked at in both cases: with a time in it, from wherever, `close` would block for that long, on a
/// non-blocking socket too. On and with no time it is left alone: [`Close::Drop`] is a reset then, as
/// [`ListenOptions::linger`](super::ListenOptions::linger) may have asked.
///
/// `stream` is the socket itself (hence `'static`): closing a borrowed one would close nothing.
pub fn close(stream: impl AsFd + 'static, how: Close) {
    let socket = SockRef::from(&stream);
    // Where it fails the connection has already ended, and there is nothing to linger over.
    let _ = match how {
        Close::Drop if socket.linger().is_ok_and(|linger| linger.is_none_or(|time| time.is_zero())) => Ok(()),
        Close::Drop => socket.set_linger(None),
        Close::Reset => socket.set_linger(Some(Duration::ZERO)),
    };
    drop(stream);
}
