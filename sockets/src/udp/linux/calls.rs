//! The calls that neither `nix` nor `socket2` make without an allocation: all `unsafe` of UDP is here.
//!
//! Their headers hold pointers, so they are made anew for each call, on the stack: 80 bytes for a message, which cost
//! less than the call's own copies. What they point to is allocated once, and the structures that own it can go to other
//! threads.

#![allow(unsafe_code, reason = "recvmmsg and sendmmsg over buffers that stay, and options by their numbers")]

use core::mem::MaybeUninit;
use core::ptr::null_mut;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::libc::{self, c_int};
use resound_core::signal::Errno;

use super::{control, name};
use crate::errno;

/// The most messages of one call. UIO_MAXIOV would be 1 024; beyond a few dozen nothing is gained.
const MOST: usize = 64;

/// Room for messages to be received into.
#[derive(Debug)]
pub(super) struct Slots {
    room: usize,
    bytes: Box<[u8]>,
    heads: Box<[Head]>,
}

/// What belongs to one message, besides its bytes.
#[derive(Clone, Debug)]
pub(super) struct Head {
    name: name::Name,
    name_len: usize,
    control: control::Room,
    control_len: usize,
    pub(super) len: usize,
    pub(super) flags: c_int,
}

impl Head {
    pub(super) fn name(&self) -> &[u8] {
        &self.name.0[..self.name_len]
    }

    pub(super) fn control(&self) -> &[u8] {
        &self.control.0[..self.control_len]
    }
}

impl Slots {
    /// Room for so many messages, of so many bytes each. At least one of each, at most [`MOST`] messages.
    pub(super) fn new(count: usize, room: usize) -> Self {
        let (count, room) = (count.clamp(1, MOST), room.max(1));
        let head = Head {
            name: name::Name::EMPTY,
            name_len: 0,
            control: control::Room([0; control::ROOM]),
            control_len: 0,
            len: 0,
            flags: 0,
        };
        Self { room, bytes: vec![0; count * room].into(), heads: vec![head; count].into() }
    }

    pub(super) fn count(&self) -> usize {
        self.heads.len()
    }

    /// What was received into a slot.
    pub(super) fn get(&self, at: usize) -> (&Head, &[u8]) {
        let head = &self.heads[at];
        (head, &self.bytes[at * self.room..][..head.len.min(self.room)])
    }

    /// As many messages as there are and fit; at least one.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>, flags: c_int) -> Result<usize, Errno> {
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MOST];
        let mut iovecs = [const { MaybeUninit::<libc::iovec>::uninit() }; MOST];
        let slots = self.heads.iter_mut().zip(self.bytes.chunks_exact_mut(self.room));
        for ((header, iovec), (head, bytes)) in headers.iter_mut().zip(iovecs.chunks_mut(1)).zip(slots) {
            iovec[0].write(libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() });
            let (name, control) = (&mut head.name.0, &mut head.control.0);
            header.write(message(name, iovec, control.as_mut_ptr(), control.len()));
        }
        let count = self.heads.len();
        let got = again(|| {
            // SAFETY: `fd` is open for as long as it is borrowed. The first `count` (at most `MOST`) headers were
            // written above; each points to an iovec on this stack, and to bytes, name and control of a slot of its
            // own, all valid for writing for the lengths given, and untouched until the call is over. The kernel keeps
            // none of the pointers. No time-out is given.
            unsafe {
                libc::recvmmsg(
                    fd.as_raw_fd(),
                    headers.as_mut_ptr().cast(),
                    count as _,
                    (flags | libc::MSG_DONTWAIT) as _,
                    null_mut(),
                )
            }
        })?;
        for (head, header) in self.heads.iter_mut().zip(&headers[..got.min(count)]) {
            // SAFETY: the first `count` headers were written above, and the kernel changes only integers in them.
            let header = unsafe { header.assume_init_ref() };
            head.name_len = (header.msg_hdr.msg_namelen as usize).min(name::ROOM);
            head.control_len = header.msg_hdr.msg_controllen.min(control::ROOM);
            head.len = header.msg_len as usize;
            head.flags = header.msg_hdr.msg_flags;
        }
        Ok(got.min(count))
    }
}

/// What goes with a message's bytes, as the kernel wants it.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) name: (name::Name, usize),
    pub(super) control: control::Outgoing,
}

/// Sends the first of these messages, as many as one call takes, and says how many went. An error is about the first of
/// them, or about something that was sent earlier; one that a later message met is not told (`__sys_sendmmsg`).
///
/// No message has more than [`MOST`] pieces.
pub(super) fn send<'a>(
    fd: BorrowedFd<'_>,
    messages: impl Iterator<Item = (Envelope, impl Iterator<Item = &'a [u8]>)>,
) -> Result<usize, Errno> {
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MOST];
    let mut envelopes = [const { MaybeUninit::<Envelope>::uninit() }; MOST];
    let mut iovecs = [const { MaybeUninit::<libc::iovec>::uninit() }; MOST];
    let (mut free, mut count) = (&mut iovecs[..], 0);
    for ((header, envelope), (content, mut pieces)) in headers.iter_mut().zip(&mut envelopes).zip(messages) {
        let mut used = 0;
        for (iovec, piece) in free.iter_mut().zip(pieces.by_ref()) {
            iovec.write(libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() });
            used += 1;
        }
        // No place is left for another piece: there may have been one. The next call begins with this message.
        if used == free.len() && pieces.next().is_some() {
            break;
        }
        let (mine, rest) = core::mem::take(&mut free).split_at_mut(used);
        free = rest;
        let Envelope { name: (name, name_len), control } = envelope.write(content);
        let mut message = message(&mut name.0, mine, control.bytes.as_mut_ptr(), control.len);
        message.msg_hdr.msg_namelen = *name_len as libc::socklen_t;
        header.write(message);
        count += 1;
        if free.is_empty() {
            break;
        }
    }
    if count == 0 {
        return Ok(0);
    }
    again(|| {
        // SAFETY: `fd` is open for as long as it is borrowed. The first `count` (at most `MOST`) headers were written
        // above; each points to a name and control messages in its own envelope and to its own part of the iovecs, all
        // written above and on this stack, and the iovecs to bytes that are borrowed for `'a`; all are valid for
        // reading for the lengths given. The kernel writes only the headers' own `msg_len`, and keeps no pointer.
        unsafe {
            libc::sendmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                count,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        }
    })
}

fn message(
    name: &mut [u8],
    iovecs: &mut [MaybeUninit<libc::iovec>],
    control: *mut u8,
    control_len: usize,
) -> libc::mmsghdr {
    // SAFETY: integers and pointers, for all of which zero is a value. (Some C libraries have private padding in it.)
    let mut header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_hdr.msg_name = name.as_mut_ptr().cast();
    header.msg_hdr.msg_namelen = name.len() as libc::socklen_t;
    header.msg_hdr.msg_iov = iovecs.as_mut_ptr().cast();
    header.msg_hdr.msg_iovlen = iovecs.len() as _;
    header.msg_hdr.msg_control = if control_len == 0 { null_mut() } else { control.cast() };
    header.msg_hdr.msg_controllen = control_len as _;
    header
}

/// Makes the call, again after EINTR.
fn again(mut call: impl FnMut() -> c_int) -> Result<usize, Errno> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        match errno::name(&std::io::Error::last_os_error()) {
            Errno::Intr => {}
            errno => return Err(errno),
        }
    }
}

/// Sets an option that is one or more `int`s.
pub(super) fn set(fd: BorrowedFd<'_>, level: c_int, option: c_int, values: &[c_int]) -> Result<(), Errno> {
    let len = size_of_val(values) as libc::socklen_t;
    // SAFETY: `fd` is open for as long as it is borrowed; the pointer is to `len` readable bytes, and is not kept.
    let answer = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, values.as_ptr().cast(), len) };
    if answer == 0 { Ok(()) } else { Err(errno::name(&std::io::Error::last_os_error())) }
}

/// An option that is one or more `int`s: fills in as many as the kernel knows, and says how many.
pub(super) fn get(fd: BorrowedFd<'_>, level: c_int, option: c_int, values: &mut [c_int]) -> Option<usize> {
    let mut len = size_of_val(values) as libc::socklen_t;
    // SAFETY: `fd` is open for as long as it is borrowed; the pointers are to `len` writable bytes, of which any value
    // is a valid `c_int`, and to a socklen_t. The kernel keeps neither.
    let answer =
        unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, values.as_mut_ptr().cast(), &raw mut len) };
    if answer == 0 { Some(len as usize / size_of::<c_int>()) } else { None }
}
