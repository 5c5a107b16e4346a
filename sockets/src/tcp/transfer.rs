//! Reading and writing, one system call at a time.

use std::io::{IoSlice, Read as _};
use std::os::fd::AsFd;

use nix::libc;
use resound_core::Chunk;
use resound_core::signal::{Errno, Signal};
use socket2::SockRef;

use super::attempt;

/// How many slices one [`write()`] takes; it leaves the rest for the next.
pub const GATHER: usize = 64;

/// Without this a write to a connection that has ended kills a process that has SIGPIPE at its default. Where the flag
/// does not exist the option SO_NOSIGPIPE does, and `socket2` and std set it on every socket they make.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGPIPE: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGPIPE: libc::c_int = 0;

/// Reads once into the chunk's spare room, marks it filled, and says how many bytes came; 0 is the end. `None`: nothing
/// is there.
///
/// A chunk without room is refused as [`Errno::NoBufs`], without a call: the kernel's answer would be 0, and look like
/// the end.
pub fn read(fd: impl AsFd, chunk: &mut Chunk) -> Option<Result<usize, Signal>> {
    let room = chunk.spare();
    if room.is_empty() {
        return Some(Err(Signal::Errno(Errno::NoBufs)));
    }
    let socket = SockRef::from(&fd);
    let got = attempt(|| (&*socket).read(room));
    if let Some(Ok(n)) = got {
        chunk.filled(n);
    }
    got
}

/// Writes once, the first of `bufs` first, at most [`GATHER`] of them, and says how many bytes the kernel took. `None`:
/// it has no room. Never raises SIGPIPE.
///
/// An error here is not the last word: what the peer sent before, and what it said at the end, is still to be read.
pub fn write(fd: impl AsFd, bufs: &[&[u8]]) -> Option<Result<usize, Signal>> {
    let socket = SockRef::from(&fd);
    match bufs {
        [] => Some(Ok(0)),
        [only] => attempt(|| socket.send_with_flags(only, NO_SIGPIPE)),
        _ => {
            let mut gathered = [IoSlice::new(&[]); GATHER];
            let n = bufs.len().min(GATHER);
            for (slot, buf) in gathered.iter_mut().zip(bufs) {
                *slot = IoSlice::new(buf);
            }
            attempt(|| socket.send_vectored_with_flags(&gathered[..n], NO_SIGPIPE))
        }
    }
}
