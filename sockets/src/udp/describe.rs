//! A socket's options, as the kernel took them.

use std::io;
use std::os::fd::AsFd;

use socket2::SockRef;

use super::sys;

/// The options that matter here, by the names that `setsockopt` knows, and their values for people to read. What was
/// asked for and what is in force differ: Linux doubles a buffer's size, and caps it. An option that this system does
/// not tell is left out.
#[must_use]
pub fn describe(fd: impl AsFd) -> Vec<(&'static str, String)> {
    let socket = SockRef::from(&fd);
    let v6 = socket.local_addr().is_ok_and(|local| local.is_ipv6());
    let mut told = Vec::new();
    let mut tell = |name, value: io::Result<String>| told.extend(value.ok().map(|value| (name, value)));
    tell("SO_RCVBUF", socket.recv_buffer_size().map(bytes));
    tell("SO_SNDBUF", socket.send_buffer_size().map(bytes));
    tell("SO_REUSEADDR", socket.reuse_address().map(switch));
    tell("SO_REUSEPORT", socket.reuse_port().map(switch));
    tell("SO_BROADCAST", socket.broadcast().map(switch));
    tell("IP_TTL", socket.ttl_v4().map(plain));
    tell("IP_MULTICAST_TTL", socket.multicast_ttl_v4().map(plain));
    tell("IP_MULTICAST_LOOP", socket.multicast_loop_v4().map(switch));
    if v6 {
        tell("IPV6_V6ONLY", socket.only_v6().map(switch));
        tell("IPV6_UNICAST_HOPS", socket.unicast_hops_v6().map(plain));
        tell("IPV6_MULTICAST_HOPS", socket.multicast_hops_v6().map(plain));
        tell("IPV6_MULTICAST_LOOP", socket.multicast_loop_v6().map(switch));
    }
    sys::describe(fd.as_fd(), |name, value| told.push((name, value)));
    told
}

fn bytes(n: usize) -> String {
    format!("{n} bytes")
}

fn plain(n: u32) -> String {
    n.to_string()
}

fn switch(on: bool) -> String {
    String::from(if on { "on" } else { "off" })
}
