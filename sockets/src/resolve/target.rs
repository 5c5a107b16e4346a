//! A target as people write it: `host:port`, `[v6]:port`, an address, or a host.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A host and perhaps a port, read but not looked up.
///
/// | written | host | port |
/// |---|---|---|
/// | `example.org:7` | name | 7 |
/// | `example.org` | name | none |
/// | `192.0.2.1:7` | IPv4 address | 7 |
/// | `[2001:db8::1]:7` | IPv6 address | 7 |
/// | `2001:db8::1` | IPv6 address (all of it: there is no port without brackets) | none |
/// | `[fe80::1%eth0]:7` | IPv6 address on an interface | 7 |
///
/// ```
/// use resound_sockets::resolve::{Host, Target};
///
/// let target: Target = "[::1]:7007".parse().unwrap();
/// assert_eq!(target.port(), Some(7007));
/// assert_eq!(target.to_string(), "[::1]:7007");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    host: Host,
    port: Option<u16>,
}

/// The host of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, for the resolver.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6 {
        /// The address.
        ip: Ipv6Addr,
        /// The interface, by name or number, where the address alone does not say it.
        zone: Option<String>,
    },
}

/// What is wrong with a target, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetError {
    /// There is no host.
    NoHost,
    /// It is a URL.
    Url,
    /// A bracket is open, or something other than a port follows it.
    Brackets,
    /// In the brackets there is no IPv6 address.
    NotV6,
    /// There are several colons, and it is no IPv6 address.
    Colons,
    /// A link-local address without its interface.
    NoZone,
    /// What stands before a zone, or the zone itself, is not one.
    Zone,
    /// The port is not one that can be dialed.
    Port,
    /// It looks like an IPv4 address and is none.
    NotV4,
    /// A name cannot have these characters.
    Characters,
    /// The name, or a part of it between dots, is empty or too long.
    Length,
}

impl Target {
    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port, 1 to 65535, if one was written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.contains("://") {
            return Err(TargetError::Url);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']').ok_or(TargetError::Brackets)?;
            let host = v6(inside).ok_or(TargetError::NotV6)??;
            let port = match after.strip_prefix(':') {
                Some(digits) => Some(port(digits)?),
                None if after.is_empty() => None,
                None => return Err(TargetError::Brackets),
            };
            return Ok(Self { host, port });
        }
        if let Some(host) = v6(text) {
            return Ok(Self { host: host?, port: None });
        }
        match text.split_once(':') {
            None => Ok(Self { host: name_or_v4(text)?, port: None }),
            Some((_, rest)) if rest.contains(':') => Err(TargetError::Colons),
            Some((host, digits)) => Ok(Self { host: name_or_v4(host)?, port: Some(port(digits)?) }),
        }
    }
}

/// `None` if it is no IPv6 address at all.
fn v6(text: &str) -> Option<Result<Host, TargetError>> {
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone)),
        None => (text, None),
    };
    let ip: Ipv6Addr = ip.parse().ok()?;
    Some(match zone {
        Some(zone) if !is_zone(zone) => Err(TargetError::Zone),
        None if ip.is_unicast_link_local() => Err(TargetError::NoZone),
        zone => Ok(Host::V6 { ip, zone: zone.map(String::from) }),
    })
}

fn is_zone(zone: &str) -> bool {
    !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_graphic() && !b"%[]/:".contains(&b))
}

fn port(digits: &str) -> Result<u16, TargetError> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(port) if plain && port != 0 => Ok(port),
        _ => Err(TargetError::Port),
    }
}

/// RFC 1123 §2.1, without its prejudice against underscores. A name whose last part is a number would be taken for an
/// address in one of the old spellings (`127.1`, `0x7f000001`), and mean another host than it says.
fn name_or_v4(text: &str) -> Result<Host, TargetError> {
    if text.is_empty() {
        return Err(TargetError::NoHost);
    }
    if let Ok(ip) = text.parse() {
        return Ok(Host::V4(ip));
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(TargetError::Characters);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > 253 || name.split('.').any(|part| part.is_empty() || part.len() > 63) {
        return Err(TargetError::Length);
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) || is_hexadecimal(last) {
        return Err(TargetError::NotV4);
    }
    Ok(Host::Name(String::from(text)))
}

fn is_hexadecimal(part: &str) -> bool {
    let digits = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"));
    digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(ip) => ip.fmt(f),
            Self::V6 { ip, zone: None } => ip.fmt(f),
            Self::V6 { ip, zone: Some(zone) } => write!(f, "{ip}%{zone}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (host, None) => host.fmt(f),
            (Host::V6 { .. }, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (host, Some(port)) => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHost => "there is no host; write host:port, [v6]:port or a host",
            Self::Url => "this is a URL; write only its host and port, as host:port",
            Self::Brackets => "brackets hold an IPv6 address, and only a port may follow: [::1]:7007",
            Self::NotV6 => "what stands in the brackets is not an IPv6 address",
            Self::Colons => "this is no IPv6 address and has several colons; write [::1]:7007 or host:port",
            Self::NoZone => "a link-local address needs its interface: fe80::1%eth0",
            Self::Zone => "after % comes an interface's name or number: fe80::1%eth0",
            Self::Port => "a port is a number from 1 to 65535",
            Self::NotV4 => {
                "this is not an IPv4 address (four numbers from 0 to 255), and no name ends in a number"
            }
            Self::Characters => {
                "a host's name has only letters, digits, dots, hyphens and underscores; \
                 write an international one in its xn-- form"
            }
            Self::Length => "a host's name has parts of 1 to 63 characters between its dots, and 253 in all",
        })
    }
}

impl core::error::Error for TargetError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_and_written_again_the_same() {
        for text in [
            "localhost",
            "localhost:7",
            "example.org.:65535",
            "under_score.example",
            "7.example:1",
            "192.0.2.1",
            "192.0.2.1:7007",
            "2001:db8::1",
            "::1:7007",
            "[2001:db8::1]:7007",
            "[::ffff:192.0.2.1]:7",
            "fe80::1%eth0",
            "[fe80::1%3]:7",
        ] {
            assert_eq!(text.parse::<Target>().map(|t| t.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("[::1]".parse::<Target>(), "::1".parse());
    }

    #[test]
    fn host_and_port_are_told_apart() {
        let target: Target = "::1:7007".parse().unwrap();
        assert_eq!((target.port(), matches!(target.host(), Host::V6 { .. })), (None, true));
        let target: Target = "[fe80::1%eth0]:7".parse().unwrap();
        let zone = Some(String::from("eth0"));
        assert_eq!(target.host(), &Host::V6 { ip: "fe80::1".parse().unwrap(), zone });
        assert_eq!(target.port(), Some(7));
    }

    #[test]
    fn what_is_wrong_is_named() {
        use TargetError as E;
        for (text, error) in [
            ("", E::NoHost),
            (":7", E::NoHost),
            ("tcp://localhost:7", E::Url),
            ("[::1", E::Brackets),
            ("[::1]7", E::Brackets),
            ("[]:7", E::NotV6),
            ("[localhost]:7", E::NotV6),
            ("[192.0.2.1]:7", E::NotV6),
            ("a:b:c", E::Colons),
            ("::1:", E::Colons),
            ("fe80::1", E::NoZone),
            ("[fe80::1]:7", E::NoZone),
            ("fe80::1%", E::Zone),
            ("localhost:", E::Port),
            ("localhost:0", E::Port),
            ("localhost:65536", E::Port),
            ("localhost:+7", E::Port),
            ("[::1]:x", E::Port),
            ("256.0.0.1", E::NotV4),
            ("127.1", E::NotV4),
            ("0x7f000001", E::NotV4),
            ("2130706433:7", E::NotV4),
            ("local host", E::Characters),
            ("bücher.example", E::Characters),
            ("a..b", E::Length),
            (".", E::Length),
        ] {
            assert_eq!(text.parse::<Target>(), Err(error), "{text:?}");
        }
        assert_eq!(format!("{}.example", "x".repeat(64)).parse::<Target>(), Err(E::Length));
    }
}
