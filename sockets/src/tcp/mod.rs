//! TCP: which calls, with which flags, and what their answers mean.
//!
//! Each function does one thing to one socket, waits for nothing, and gives what the core wants to hear: `None` for
//! "not now" (EAGAIN), a [`Signal`] for an error. EINTR is repeated here. Sockets are made non-blocking and closed on
//! exec, in the same call that makes them.
//!
//! The life of a connection, and what is asked at each point:
//!
//! ```text
//!   dial ──► Pending ──writable──► finish_dial ──► Established ──► read, write ──► shutdown_write ──► close(Drop)
//!     │                                 │              │
//!     └──► Up                           └──► Signal    └── in doubt: read, then kernel_view ─────────► close(Reset)
//! ```
//!
//! What Linux does with a dead connection, and why nobody may ask it in another order: data that came before a reset is
//! still given to `recv`, then ECONNRESET once, then 0. A `send` that comes first eats the ECONNRESET, so a failed
//! write is followed by a read before anybody is convicted; `SO_ERROR` eats it too.

use core::net::SocketAddr;
use std::io;

use resound_core::signal::{Errno, Signal};
use socket2::{Domain, Protocol, Socket, Type};

use crate::errno;

mod close;
mod describe;
mod dial;
mod info;
mod listen;
#[cfg(target_os = "linux")]
mod patience;
mod transfer;
mod witness;

pub use close::{close, shutdown_write};
pub use describe::describe;
pub use dial::{DialOptions, Dialing, Target, dial, finish_dial, finish_reported_dial};
pub use info::kernel_view;
pub use listen::{Linger, ListenOptions, ReadBack, Sharing, Wildcard, accept, arrival, listen};
#[cfg(target_os = "linux")]
pub use patience::set_syn_retries;
pub use transfer::{GATHER, read, write};
pub use witness::{dial_witnessed, outstanding};

/// A non-blocking TCP socket, closed on exec.
fn new_socket(family_of: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(family_of);
    #[cfg(target_os = "linux")]
    return Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP));
    #[cfg(not(target_os = "linux"))]
    {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// Makes a call, again after EINTR; EAGAIN is `None`.
fn attempt<T>(mut call: impl FnMut() -> io::Result<T>) -> Option<Result<T, Signal>> {
    loop {
        match call() {
            Ok(done) => return Some(Ok(done)),
            Err(error) => match errno::name(&error) {
                Errno::Intr => {}
                Errno::Again => return None,
                errno => return Some(Err(Signal::Errno(errno))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_made_again_and_again_means_not_now() {
        let mut answers = [nix::libc::EINTR, nix::libc::EINTR, nix::libc::EAGAIN].into_iter();
        let mut next = || -> io::Result<()> { Err(io::Error::from_raw_os_error(answers.next().unwrap())) };
        assert_eq!(attempt(&mut next), None);
        assert_eq!(answers.next(), None);
    }
}
