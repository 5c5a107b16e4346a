//! What the kernel knows about a connection: TCP_INFO.
//!
//! The structure has only ever grown at its end (`struct tcp_info`, `include/uapi/linux/tcp.h`), and a kernel fills as
//! much of it as it knows and says how much that is. So it is read as bytes, each field at its offset, and a field that
//! the kernel did not fill is absent instead of zero.

use std::os::fd::AsFd;

use resound_core::liveness::KernelView;

/// What the kernel knows about the connection. `None` where it cannot be asked: not Linux, a Linux before 4.6, not a
/// TCP socket.
#[must_use]
pub fn kernel_view(fd: impl AsFd) -> Option<KernelView> {
    imp::kernel_view(fd.as_fd())
}

/// How many connections a listener's queue was made for: `sk_max_ack_backlog`, which Linux tells in a field that a
/// listener has no other use for (`tcp_get_info`). `None` for what does not listen.
pub(super) fn backlog(fd: impl AsFd) -> Option<u32> {
    imp::backlog(fd.as_fd())
}

#[cfg(target_os = "linux")]
mod imp {
    use core::time::Duration;
    use std::os::fd::{AsRawFd as _, BorrowedFd};

    use nix::libc;
    use resound_core::liveness::KernelView;

    /// Offsets in `struct tcp_info`, in bytes.
    mod offset {
        pub(super) const STATE: usize = 0;
        pub(super) const RETRANSMITS: usize = 2;
        pub(super) const PROBES: usize = 3;
        pub(super) const BACKOFF: usize = 4;
        pub(super) const UNACKED: usize = 24;
        pub(super) const SACKED: usize = 28;
        pub(super) const LAST_ACK_RECV: usize = 56;
        pub(super) const NOTSENT_BYTES: usize = 144;
        pub(super) const SND_WND: usize = 228;
    }

    /// Up to and including `tcpi_snd_wnd`: nothing behind it is asked for.
    const WANTED: usize = offset::SND_WND + 4;

    /// `TCP_LISTEN`, `include/net/tcp_states.h`.
    const LISTEN: u8 = 10;

    pub(super) fn backlog(fd: BorrowedFd<'_>) -> Option<u32> {
        let mut info = [0; WANTED];
        let info = tcp_info(fd, &mut info)?;
        if *info.get(offset::STATE)? == LISTEN { word(info, offset::SACKED) } else { None }
    }

    pub(super) fn kernel_view(fd: BorrowedFd<'_>) -> Option<KernelView> {
        let mut info = [0; WANTED];
        view(tcp_info(fd, &mut info)?)
    }

    #[allow(
        unsafe_code,
        reason = "nix and socket2 have no TCP_INFO, and nix panics on a structure that is shorter"
    )]
    fn tcp_info<'a>(fd: BorrowedFd<'_>, info: &'a mut [u8; WANTED]) -> Option<&'a [u8]> {
        let mut len = WANTED as libc::socklen_t;
        // SAFETY: `fd` is open for as long as it is borrowed. `info` points to `len` writable bytes and `len` to a
        // socklen_t; the kernel writes at most `len` bytes (do_tcp_getsockopt takes the smaller of `len` and its own
        // size), of which any value is a valid `u8`, and keeps neither pointer.
        let answer = unsafe {
            libc::getsockopt(
                fd.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        if answer == 0 { info.get(..len as usize) } else { None }
    }

    fn view(info: &[u8]) -> Option<KernelView> {
        Some(KernelView {
            unacked: word(info, offset::UNACKED)?,
            unsent: word(info, offset::NOTSENT_BYTES)?,
            retransmits: *info.get(offset::RETRANSMITS)?,
            backoff: *info.get(offset::BACKOFF)?,
            probes: *info.get(offset::PROBES)?,
            since_ack: Duration::from_millis(u64::from(word(info, offset::LAST_ACK_RECV)?)),
            peer_window: word(info, offset::SND_WND),
        })
    }

    fn word(info: &[u8], at: usize) -> Option<u32> {
        info.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn each_field_is_read_at_its_place() {
            let mut info = [0; WANTED];
            for (i, at) in [offset::UNACKED, offset::LAST_ACK_RECV, offset::NOTSENT_BYTES, offset::SND_WND]
                .into_iter()
                .enumerate()
            {
                info[at..at + 4].copy_from_slice(&(1000 + i as u32).to_ne_bytes());
            }
            info[2..5].copy_from_slice(&[7, 8, 9]);
            let expected = KernelView {
                unacked: 1000,
                unsent: 1002,
                retransmits: 7,
                backoff: 9,
                probes: 8,
                since_ack: Duration::from_millis(1001),
                peer_window: Some(1003),
            };
            assert_eq!(view(&info), Some(expected));
        }

        #[test]
        fn an_older_kernel_fills_less_and_absent_is_not_zero() {
            let info = [1; WANTED];
            assert_eq!(view(&info[..192]).unwrap().peer_window, None);
            assert_eq!(view(&info[..104]), None);
            assert_eq!(view(&[]), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::os::fd::BorrowedFd;

    use resound_core::liveness::KernelView;

    pub(super) fn kernel_view(_: BorrowedFd<'_>) -> Option<KernelView> {
        None
    }

    pub(super) fn backlog(_: BorrowedFd<'_>) -> Option<u32> {
        None
    }
}
