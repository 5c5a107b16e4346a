//! Listeners.
use super::{Fd, Kernel, Poll};
use resound_core::Instant;
use std::net::SocketAddr;
#[derive(Debug)]
pub(super) struct Listener {
    local: SocketAddr,
}
impl Listener {
    pub(super) fn poll(&self) -> Poll {
        Poll::default()
    }
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }
    pub(super) fn deadline(&self) -> Option<Instant> {
        None
    }
}
impl Kernel {
    pub(super) fn listener_close(&mut self, fd: Fd) {
        let _ = fd;
    }
    pub(super) fn listener_timer(&mut self, fd: Fd) {
        let _ = fd;
    }
}
