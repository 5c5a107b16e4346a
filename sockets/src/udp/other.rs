//! Systems other than Linux: one datagram for one call, no error queue, no counter of what was dropped, and a reply
//! leaves from whatever address the routes say. Written to compile; not verified.

use core::mem::MaybeUninit;
use std::io;
use std::os::fd::BorrowedFd;

use nix::libc;
use resound_core::datagram::{Cast, End};
use resound_core::signal::Errno;
use socket2::{MaybeUninitSlice, SockAddr, SockRef};

use super::options::Options;
use super::{Arrival, Entry, Facts, Message};
use crate::errno;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

#[derive(Debug)]
pub(super) struct Arrivals {
    bytes: Box<[MaybeUninit<u8>]>,
    filled: Vec<u8>,
    from: Option<SockAddr>,
    end: End,
}

impl Arrivals {
    pub(super) fn new(_: usize, room: usize) -> Self {
        let room = room.max(1);
        let bytes = vec![MaybeUninit::new(0); room].into();
        Self { bytes, filled: Vec::with_capacity(room), from: None, end: End::Whole }
    }

    pub(super) const fn most(&self) -> usize {
        1
    }

    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        let socket = SockRef::from(&fd);
        let (len, flags, from) = again(|| {
            let mut room = [MaybeUninitSlice::new(&mut self.bytes)];
            socket.recv_from_vectored_with_flags(&mut room, libc::MSG_DONTWAIT)
        })?;
        // Copied, because only what was received is known to be there.
        self.filled.clear();
        #[allow(unsafe_code, reason = "socket2 hands out no initialized slice")]
        // SAFETY: every byte was initialized when the box was made, and a `u8` stays one.
        self.filled.extend(self.bytes[..len].iter().map(|byte| unsafe { byte.assume_init() }));
        self.end = if flags.is_truncated() { End::Truncated } else { End::Whole };
        self.from = Some(from);
        Ok(1)
    }

    pub(super) fn get(&self, _: usize) -> Option<Arrival<'_>> {
        let mut from = self.from.as_ref()?.as_socket()?;
        from.set_ip(from.ip().to_canonical());
        let bytes = &self.filled[..];
        let (cast, end, size) = (Cast::Unicast, self.end, bytes.len());
        Some(Arrival { from, to: None, cast, source: None, bytes, size, end, dropped: None })
    }
}

/// Never made: no socket has one.
#[derive(Debug)]
pub(super) enum ErrorQueue {}

impl ErrorQueue {
    pub(super) fn new() -> Option<Self> {
        None
    }

    pub(super) const fn most(&self) -> usize {
        match *self {}
    }

    pub(super) const fn receive(&mut self, _: BorrowedFd<'_>) -> Result<usize, Errno> {
        match *self {}
    }

    pub(super) const fn get(&self, _: usize) -> Option<Entry<'_>> {
        match *self {}
    }
}

pub(super) fn send<'a>(
    fd: BorrowedFd<'_>,
    family: Family,
    mut messages: impl Iterator<Item = Message<'a>>,
) -> Result<usize, Errno> {
    let Some(message) = messages.next() else { return Ok(0) };
    let mut to = message.to;
    if let (Family::V6, std::net::IpAddr::V4(v4)) = (family, to.ip()) {
        to.set_ip(v4.to_ipv6_mapped().into());
    }
    let socket = SockRef::from(&fd);
    again(|| socket.send_to_with_flags(message.datagram(), &to.into(), libc::MSG_DONTWAIT))?;
    Ok(1)
}

fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> Result<T, Errno> {
    loop {
        match call().map_err(|error| errno::name(&error)) {
            Err(Errno::Intr) => {}
            done => return done,
        }
    }
}

pub(super) const fn dropped(_: BorrowedFd<'_>) -> Option<u32> {
    None
}

pub(super) const fn prepare(_: BorrowedFd<'_>, _: Family, _: &Options) -> io::Result<()> {
    Ok(())
}

/// Not without a structure of the system's own: the routes decide.
pub(super) const fn multicast_interface_v4(_: BorrowedFd<'_>, _: u32) -> io::Result<()> {
    Ok(())
}

pub(super) const fn one_by_one(_: BorrowedFd<'_>) {}

pub(super) fn facts(fd: BorrowedFd<'_>) -> Facts {
    let v4 = SockRef::from(&fd).local_addr().is_ok_and(|local| local.is_ipv4());
    let family = if v4 { Family::V4 } else { Family::V6 };
    Facts { family, errors: false, trains: false, segments: 1 }
}

pub(super) fn describe(_: BorrowedFd<'_>, _: impl FnMut(&'static str, String)) {}
