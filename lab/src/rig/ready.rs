//! Waiting for what the kernel does later, by its workers, after `ip` has been told that it is done.
//!
//! * When the other end of a pair comes up, an interface has a carrier at once, but a queue only when `linkwatch_event` has
//!   run. Meanwhile it loses silently whatever it is given.
//! * An IPv6 address is there at once, but the kernel takes packets for it only when `addrconf_dad_work` has run, also for an
//!   address without duplicate detection.

use std::net::IpAddr;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

/// How long it may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A route to an address of this host's own (`RTF_LOCAL`).
const LOCAL: u32 = 0x8000_0000;

/// Waits until these interfaces of this thread's namespace send what they are given.
pub(super) fn interfaces(interfaces: &[String]) -> io::Result<()> {
    let runs = |entry: &InterfaceAddress| entry.flags.contains(InterfaceFlags::IFF_RUNNING);
    wait(|| {
        let running: Vec<_> = getifaddrs()?.filter(runs).map(|entry| entry.interface_name).collect();
        Ok(interfaces.iter().find(|interface| !running.contains(interface)).cloned())
    })
}

/// Waits until this thread's namespace takes packets for an address of its own by each of these interfaces.
pub(super) fn address(own: IpAddr, interfaces: &[String]) -> io::Result<()> {
    let IpAddr::V6(own) = own else { return Ok(()) };
    let digits = format!("{:032x}", own.to_bits());
    wait(|| {
        // proc(5): destination, …, flags, interface.
        let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route")?;
        let is_there = |interface: &&String| {
            routes.lines().filter_map(|line| line.strip_prefix(&digits)).any(|line| {
                let mut words = line.split_whitespace().rev();
                words.next() == Some(interface)
                    && words.next().and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0) & LOCAL
                        != 0
            })
        };
        Ok(interfaces.iter().find(|interface| !is_there(interface)).cloned())
    })
}

/// Waits until nothing is missing any more.
fn wait(mut missing: impl FnMut() -> io::Result<Option<String>>) -> io::Result<()> {
    let begun = Instant::now();
    while let Some(interface) = missing()? {
        if begun.elapsed() > PATIENCE {
            let what = format!("{interface} is not ready after {} s", PATIENCE.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
