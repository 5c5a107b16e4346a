//! How people write a target, and which addresses it has.
//!
//! Reading what was written ([`Target`]) is pure and tells precisely what is wrong. Looking it up ([`Target::look_up`],
//! or [`resolve`] for both) asks the system's resolver, which blocks: for as long as the resolver's own time-outs say.

use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::net::ToSocketAddrs as _;

use resound_core::race::interleave;

mod target;

pub use target::{Host, Target, TargetError};

/// No more addresses than this are given for one name: each may cost a dial.
pub const MAX_ADDRESSES: usize = 32;

/// The addresses of a target, in the resolver's order of preference, each once, at most [`MAX_ADDRESSES`]; never none.
/// `default_port` is for a target that names no port. Blocks.
///
/// ```
/// use resound_sockets::resolve::resolve;
///
/// assert_eq!(resolve("[::1]:7", 7007).unwrap(), ["[::1]:7".parse().unwrap()]);
/// assert_eq!(resolve("192.0.2.1", 7007).unwrap(), ["192.0.2.1:7007".parse().unwrap()]);
/// let error = resolve("::1:", 7007).unwrap_err();
/// assert!(error.to_string().contains("write [::1]:7007"));
/// ```
///
/// # Errors
///
/// If the target cannot be read, or nothing is found.
pub fn resolve(target: &str, default_port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    let parsed: Target =
        target.parse().map_err(|error| ResolveError::Target { target: String::from(target), error })?;
    parsed.look_up(default_port)
}

/// Why a target has no addresses.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResolveError {
    /// It cannot be read.
    Target {
        /// What was written.
        target: String,
        /// What is wrong with it.
        error: TargetError,
    },
    /// The resolver failed.
    LookUp {
        /// What was looked up.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// The resolver knows the name, and no address for it.
    NoAddress {
        /// What was looked up.
        host: String,
    },
}

/// How many of a resolver's answers are looked at.
const MAX_ANSWERS: usize = 1_024;

impl Target {
    /// The addresses, as [`resolve`] gives them. Blocks, unless the host is an address.
    ///
    /// # Errors
    ///
    /// If nothing is found.
    pub fn look_up(&self, default_port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let port = self.port().unwrap_or(default_port);
        let host = match self.host() {
            Host::V4(ip) => return Ok(vec![(*ip, port).into()]),
            Host::V6 { ip, zone: None } => return Ok(vec![(*ip, port).into()]),
            host => host.to_string(),
        };
        match (&*host, port).to_socket_addrs() {
            Err(error) => Err(ResolveError::LookUp { host, error }),
            Ok(found) => {
                let addresses = distinct(found);
                if addresses.is_empty() { Err(ResolveError::NoAddress { host }) } else { Ok(addresses) }
            }
        }
    }
}

/// Each address once, families interleaved before the list is cut, so that one family cannot crowd out the other.
fn distinct(found: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut kept = Vec::new();
    for address in found.into_iter().take(MAX_ANSWERS) {
        if !kept.contains(&address) {
            kept.push(address);
        }
    }
    interleave(&mut kept);
    kept.truncate(MAX_ADDRESSES);
    kept
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { target, error } => write!(f, "target `{target}`: {error}"),
            Self::LookUp { host, error } => {
                write!(
                    f,
                    "cannot look up `{host}`: {error}; check the name and the resolver, or give an address"
                )
            }
            Self::NoAddress { host } => {
                write!(f, "`{host}` has no address; check the name, or give an address")
            }
        }
    }
}

impl core::error::Error for ResolveError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Target { error, .. } => Some(error),
            Self::LookUp { error, .. } => Some(error),
            Self::NoAddress { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_comes_once_in_order_and_not_without_end() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(distinct([at(2), at(1), at(2)]), [at(2), at(1)]);
        assert_eq!(distinct((1..1000).map(at)), (1..=32).map(at).collect::<Vec<_>>());
        let four: SocketAddr = "192.0.2.1:7".parse().unwrap();
        let six = |n: u16| SocketAddr::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, n].into(), 7);
        let mixed = distinct((1..40).map(six).chain([four]));
        assert_eq!((mixed.len(), mixed[1]), (32, four), "no family crowds out the other");
    }

    #[test]
    fn localhost_is_this_host() {
        let found = resolve("localhost", 7007).unwrap();
        assert!(!found.is_empty());
        assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 7007), "{found:?}");
    }

    #[test]
    fn what_is_not_found_says_what_to_do() {
        let error = resolve("[fe80::1%no-such-link]:7", 7007).unwrap_err();
        assert!(matches!(error, ResolveError::LookUp { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("`fe80::1%no-such-link`") && text.contains("give an address"), "{text}");
    }

    #[test]
    fn a_zone_becomes_a_scope() {
        let found = resolve("[fe80::1%1]:7", 7007).unwrap();
        let SocketAddr::V6(address) = found[0] else { panic!("{found:?}") };
        assert_eq!((address.scope_id(), address.port()), (1, 7));
    }
}
