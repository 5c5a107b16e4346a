//! A socket's options, as the kernel took them.

use core::time::Duration;
use std::io;
use std::os::fd::AsFd;

use socket2::SockRef;

/// The options that matter here, by the names that `setsockopt` knows, and their values for people to read. What was
/// asked for and what is in force differ: Linux doubles a buffer's size, and caps it. An option that this system does
/// not tell is left out.
#[must_use]
pub fn describe(fd: impl AsFd) -> Vec<(&'static str, String)> {
    let socket = SockRef::from(&fd);
    let mut told = Vec::new();
    let mut tell = |name, value: io::Result<String>| told.extend(value.ok().map(|value| (name, value)));
    tell("SO_RCVBUF", socket.recv_buffer_size().map(bytes));
    tell("SO_SNDBUF", socket.send_buffer_size().map(bytes));
    tell("SO_KEEPALIVE", socket.keepalive().map(switch));
    tell("SO_LINGER", socket.linger().map(time));
    tell("TCP_NODELAY", socket.tcp_nodelay().map(switch));
    tell("TCP_MAXSEG", socket.tcp_mss().map(bytes));
    #[cfg(target_os = "linux")]
    tell("TCP_USER_TIMEOUT", socket.tcp_user_timeout().map(time));
    told
}

fn bytes(n: impl core::fmt::Display) -> String {
    format!("{n} bytes")
}

fn switch(on: bool) -> String {
    String::from(if on { "on" } else { "off" })
}

fn time(t: Option<Duration>) -> String {
    t.map_or_else(|| String::from("off"), |t| format!("{t:?}"))
}
