//! A socket's options, as the kernel took them.

use core::time::Duration;
use std::io;
use std::os::fd::AsFd;

use socket2::SockRef;

use super::info;

pub(super) const BACKLOG: &str = "backlog";
pub(super) const LINGER: &str = "SO_LINGER";
pub(super) const RECEIVE_BUFFER: &str = "SO_RCVBUF";
pub(super) const REUSE_PORT: &str = "SO_REUSEPORT";
pub(super) const SEND_BUFFER: &str = "SO_SNDBUF";

/// The options that matter here, by the names that `setsockopt` knows, and their values for people to read. What was
/// asked for and what is in force differ: Linux doubles a buffer's size, and caps it. An option that this system does
/// not tell is left out. A listener tells the length of its queue too, where Linux does: [`ListenOptions::asked`] has the
/// same names for what was asked.
///
/// [`ListenOptions::asked`]: super::ListenOptions::asked
#[must_use]
pub fn describe(fd: impl AsFd) -> Vec<(&'static str, String)> {
    let socket = SockRef::from(&fd);
    let mut told = Vec::new();
    let mut tell = |name, value: io::Result<String>| told.extend(value.ok().map(|value| (name, value)));
    tell(RECEIVE_BUFFER, socket.recv_buffer_size().map(bytes));
    tell(SEND_BUFFER, socket.send_buffer_size().map(bytes));
    tell("SO_REUSEADDR", socket.reuse_address().map(switch));
    tell(REUSE_PORT, socket.reuse_port().map(switch));
    tell("SO_KEEPALIVE", socket.keepalive().map(switch));
    tell(LINGER, socket.linger().map(time));
    tell("TCP_NODELAY", socket.tcp_nodelay().map(switch));
    tell("TCP_MAXSEG", socket.tcp_mss().map(bytes));
    #[cfg(target_os = "linux")]
    tell("TCP_USER_TIMEOUT", socket.tcp_user_timeout().map(time));
    told.extend(info::backlog(fd).map(|length| (BACKLOG, length.to_string())));
    told
}

pub(super) fn bytes(n: impl core::fmt::Display) -> String {
    format!("{n} bytes")
}

pub(super) fn switch(on: bool) -> String {
    String::from(if on { "on" } else { "off" })
}

pub(super) fn time(t: Option<Duration>) -> String {
    match t {
        None => String::from("off"),
        Some(Duration::ZERO) => String::from("0s"),
        Some(t) => format!("{t:?}"),
    }
}
