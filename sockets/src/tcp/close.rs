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
/// `SO_LINGER` is set in both cases: with a time in it, from wherever, `close` would block for that long, on a
/// non-blocking socket too.
///
/// `stream` is the socket itself (hence `'static`): closing a borrowed one would close nothing.
pub fn close(stream: impl AsFd + 'static, how: Close) {
    let linger = match how {
        Close::Drop => None,
        Close::Reset => Some(Duration::ZERO),
    };
    // Where it fails the connection has already ended, and there is nothing to linger over.
    let _ = SockRef::from(&stream).set_linger(linger);
    drop(stream);
}
