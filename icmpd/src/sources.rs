//! The raw sockets, one for each IP version: what can be heard, and what to say where something cannot.

use core::fmt;
use std::io;

use resound_core::signal::Version;
use resound_sockets::icmp::IcmpSocket;

/// The raw sockets. At least one.
#[derive(Debug)]
pub struct Sources {
    open: Vec<IcmpSocket>,
    missing: Option<(Version, io::Error)>,
}

/// Nothing can be heard.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotHear {
    /// Raw sockets need the capability CAP_NET_RAW.
    NotPermitted,
    /// The system refused otherwise.
    System(Version, io::Error),
}

impl Sources {
    /// Opens both. A machine that lacks one IP version has the other.
    ///
    /// # Errors
    ///
    /// If the capability is missing, or neither can be opened.
    pub fn open() -> Result<Self, CannotHear> {
        Self::of([Version::V4, Version::V6].map(|version| (version, IcmpSocket::open(version))))
    }

    fn of(opened: [(Version, io::Result<IcmpSocket>); 2]) -> Result<Self, CannotHear> {
        let (mut open, mut missing) = (Vec::new(), None);
        for (version, opened) in opened {
            match opened {
                Ok(socket) => open.push(socket),
                // Forbidden is not the same as missing: whoever runs it wants to know, and can help it.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(CannotHear::NotPermitted);
                }
                Err(error) => missing = Some((version, error)),
            }
        }
        match missing {
            Some((version, error)) if open.is_empty() => Err(CannotHear::System(version, error)),
            missing => Ok(Self { open, missing }),
        }
    }

    /// The sockets.
    #[must_use]
    pub fn sockets(&self) -> &[IcmpSocket] {
        &self.open
    }

    /// The IP version that cannot be heard, and why.
    #[must_use]
    pub fn missing(&self) -> Option<(Version, &io::Error)> {
        self.missing.as_ref().map(|(version, error)| (*version, error))
    }
}

impl fmt::Display for CannotHear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted => f.write_str(
                "to hear ICMP needs the capability cap_net_raw: \
                 run it as root, or grant it with `setcap cap_net_raw+ep` on the program; it is dropped after the start",
            ),
            Self::System(version, error) => write!(f, "cannot open a raw socket ({}): {error}", name(*version)),
        }
    }
}

impl core::error::Error for CannotHear {}

/// As people say it.
pub(crate) const fn name(version: Version) -> &'static str {
    match version {
        Version::V4 => "IPv4",
        Version::V6 => "IPv6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(raw: i32) -> io::Result<IcmpSocket> {
        Err(io::Error::from_raw_os_error(raw))
    }

    const EPERM: i32 = 1;
    const EAFNOSUPPORT: i32 = 97;

    #[test]
    fn without_the_capability_it_says_what_is_needed() {
        for opened in [[failed(EPERM), failed(EPERM)], [failed(EAFNOSUPPORT), failed(EPERM)]] {
            let [v4, v6] = opened;
            let error = Sources::of([(Version::V4, v4), (Version::V6, v6)]).unwrap_err();
            assert!(matches!(error, CannotHear::NotPermitted));
            let said = error.to_string();
            assert!(
                said.contains("cap_net_raw") && said.contains("setcap") && !said.contains('\n'),
                "{said}"
            );
        }
    }

    #[test]
    fn without_any_ip_version_there_is_nothing_to_do() {
        let opened = [(Version::V4, failed(EAFNOSUPPORT)), (Version::V6, failed(EAFNOSUPPORT))];
        assert!(matches!(Sources::of(opened), Err(CannotHear::System(Version::V6, _))));
    }

    #[test]
    fn one_ip_version_is_enough() {
        let Ok(socket) = IcmpSocket::open(Version::V4) else {
            eprintln!("SKIPPED: raw sockets need CAP_NET_RAW");
            return;
        };
        let sources = Sources::of([(Version::V4, Ok(socket)), (Version::V6, failed(EAFNOSUPPORT))]).unwrap();
        assert_eq!(sources.sockets().len(), 1);
        let (version, error) = sources.missing().unwrap();
        assert_eq!((version, error.raw_os_error()), (Version::V6, Some(EAFNOSUPPORT)));
    }
}
