//! Waiting in `poll(2)` for sockets, and for other threads.
//!
//! A thread that waits in `poll` for its sockets cannot wait for a condition variable as well. So what another thread
//! wants to tell it must be a descriptor: [`Waker`].

use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno as Number;
use nix::poll::PollTimeout;
use resound_core::signal::Errno;

pub use nix::poll::{PollFd, PollFlags};

use crate::errno;

/// Waits until one of `fds` has something to tell, but no longer than `timeout`; `None` waits for ever. `poll(2)` counts
/// whole milliseconds and at most 24 days: what is left is rounded up, or the wait ends early.
///
/// A wait that a signal interrupts ends early too, with nothing told: the caller looks at its clock again.
///
/// # Errors
///
/// What `poll(2)` said otherwise: ENOMEM, or EINVAL for more descriptors than the process may have. Nothing is told
/// then. Do not call again at once.
pub fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<(), Errno> {
    match nix::poll::poll(fds, timeout.map_or(PollTimeout::NONE, in_millis)) {
        Ok(_) | Err(Number::EINTR) => Ok(()),
        Err(number) => Err(errno::from_raw(number as i32)),
    }
}

fn in_millis(timeout: Duration) -> PollTimeout {
    let up = timeout.saturating_add(Duration::from_nanos(999_999));
    PollTimeout::try_from(up.as_millis()).unwrap_or(PollTimeout::MAX)
}

/// A descriptor that becomes readable when [`wake`](Self::wake) is called, and stays so until it is
/// [`clear`](Self::clear)ed. One that is never cleared tells any number of threads that something is over.
///
/// ```
/// use std::os::fd::AsFd;
/// use resound_sockets::poll::{PollFd, PollFlags, Waker, wait};
///
/// let waker = Waker::new()?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| waker.wake());
///     let mut fds = [PollFd::new(waker.as_fd(), PollFlags::POLLIN)];
///     wait(&mut fds, None).unwrap();
///     assert_eq!(fds[0].any(), Some(true));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Waker(imp::Waker);

impl Waker {
    /// One that nobody has woken.
    ///
    /// # Errors
    ///
    /// The process or the system has no descriptor left (EMFILE, ENFILE), or no memory.
    pub fn new() -> io::Result<Self> {
        imp::Waker::new().map(Self)
    }

    /// Makes it readable. Never blocks; doing it twice is doing it once.
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Makes it unreadable again. Never blocks.
    pub fn clear(&self) {
        self.0.clear();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(target_os = "linux")]
mod imp {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};

    use nix::sys::eventfd::{EfdFlags, EventFd};

    /// One descriptor; the kernel keeps a counter.
    #[derive(Debug)]
    pub(super) struct Waker(EventFd);

    impl Waker {
        pub(super) fn new() -> io::Result<Self> {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            Ok(Self(EventFd::from_value_and_flags(0, flags)?))
        }

        pub(super) fn wake(&self) {
            // It fails only with a counter that is full (eventfd(2)), and then it is readable already.
            let _ = self.0.write(1);
        }

        pub(super) fn clear(&self) {
            // It fails only with a counter that is zero.
            let _ = self.0.read();
        }
    }

    impl AsFd for Waker {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::io::{self, Read as _, Write as _};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    /// A pair of sockets: one byte in it means awake.
    #[derive(Debug)]
    pub(super) struct Waker {
        reader: UnixStream,
        writer: UnixStream,
    }

    impl Waker {
        pub(super) fn new() -> io::Result<Self> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Self { reader, writer })
        }

        pub(super) fn wake(&self) {
            // It fails only with a buffer that is full, and then it is readable already.
            let _ = (&self.writer).write(&[1]);
        }

        pub(super) fn clear(&self) {
            let mut some = [0; 64];
            while matches!((&self.reader).read(&mut some), Ok(64)) {}
        }
    }

    impl AsFd for Waker {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.reader.as_fd()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn readable(waker: &Waker) -> bool {
        let mut fds = [PollFd::new(waker.as_fd(), PollFlags::POLLIN)];
        wait(&mut fds, Some(Duration::ZERO)).unwrap();
        fds[0].any() == Some(true)
    }

    #[test]
    fn a_waker_stays_awake_until_it_is_cleared() {
        let waker = Waker::new().unwrap();
        assert!(!readable(&waker));
        waker.wake();
        waker.wake();
        assert!(readable(&waker) && readable(&waker));
        waker.clear();
        assert!(!readable(&waker));
        waker.clear();
    }

    #[test]
    fn a_wait_is_never_too_short() {
        assert_eq!(in_millis(Duration::from_nanos(1)), PollTimeout::from(1u8));
        assert_eq!(in_millis(Duration::from_millis(7)), PollTimeout::from(7u8));
        assert_eq!(in_millis(Duration::ZERO), PollTimeout::ZERO);
        assert_eq!(in_millis(Duration::MAX), PollTimeout::MAX);
        let began = Instant::now();
        wait(&mut [], Some(Duration::from_micros(1_500))).unwrap();
        assert!(began.elapsed() >= Duration::from_micros(1_500));
    }
}
