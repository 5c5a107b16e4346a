//! The simulator's names for a kernel's settings, and where Linux has them.

use std::borrow::Cow;
use std::path::Path;
use std::{fs, io};

use resound_sim::kernel::Sysctl;

use super::RigError;

/// Where a setting is.
enum Is {
    /// In these files under /proc/sys/net, times this.
    In(&'static [&'static str], u64),
    /// One half of `ip_local_port_range`.
    Half,
    /// Nowhere that a namespace could have for itself: why.
    Fixed(&'static str),
}

/// Where the kernel shows the settings of a namespace's network.
const ROOT: &str = "/proc/sys/net";

pub(super) const PORT_RANGE: &str = "ipv4/ip_local_port_range";

const fn is(sysctl: Sysctl) -> Is {
    match sysctl {
        Sysctl::SynRetries => Is::In(&["ipv4/tcp_syn_retries"], 1),
        Sysctl::SynLinearTimeouts => Is::In(&["ipv4/tcp_syn_linear_timeouts"], 1),
        Sysctl::SynAckRetries => Is::In(&["ipv4/tcp_synack_retries"], 1),
        Sysctl::Retries2 => Is::In(&["ipv4/tcp_retries2"], 1),
        Sysctl::RtoMinMs => Is::In(&["ipv4/tcp_rto_min_us"], 1_000),
        Sysctl::RtoMaxMs => Is::In(&["ipv4/tcp_rto_max_ms"], 1),
        Sysctl::OrphanRetries => Is::In(&["ipv4/tcp_orphan_retries"], 1),
        Sysctl::FinTimeout => Is::In(&["ipv4/tcp_fin_timeout"], 1),
        Sysctl::SoMaxConn => Is::In(&["core/somaxconn"], 1),
        Sysctl::IcmpRateLimit => Is::In(&["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"], 1),
        Sysctl::InvalidRateLimit => Is::In(&["ipv4/tcp_invalid_ratelimit"], 1),
        Sysctl::PortLow | Sysctl::PortHigh => Is::Half,
        Sysctl::TimeWait => Is::Fixed("how long TIME_WAIT lasts is a constant in Linux (TCP_TIMEWAIT_LEN)"),
        Sysctl::ReceiveBuffer => {
            Is::Fixed("a namespace cannot set net.core.rmem_default: it is read-only there")
        }
        Sysctl::SendBuffer => {
            Is::Fixed("a namespace cannot set net.core.wmem_default: it is read-only there")
        }
    }
}

/// Why a scenario with this setting cannot be played for real on the kernel that runs; `None` if it can.
///
/// A setting that came with a later kernel is missing: `tcp_rto_max_ms`, for one, is there since Linux 6.15.
#[must_use]
pub fn cannot_set(sysctl: Sysctl) -> Option<Cow<'static, str>> {
    hindrance(&is(sysctl), Path::new(ROOT))
}

/// The same where the settings are in `root`.
fn hindrance(is: &Is, root: &Path) -> Option<Cow<'static, str>> {
    let paths = match is {
        Is::In(paths, _) => *paths,
        Is::Half => &[PORT_RANGE],
        Is::Fixed(why) => return Some(Cow::Borrowed(why)),
    };
    let missing = paths.iter().find(|path| !root.join(path).exists())?;
    Some(Cow::Owned(format!("this kernel has no net.{}", missing.replace('/', "."))))
}

/// The files that make these settings, and what is to be written there.
pub(crate) fn files(settings: &[(Sysctl, u64)]) -> Result<Vec<(&'static str, String)>, RigError> {
    let mut files = Vec::new();
    let mut ports = None;
    for &(sysctl, value) in settings {
        match is(sysctl) {
            Is::In(paths, times) => {
                files.extend(paths.iter().map(|&path| (path, value.saturating_mul(times).to_string())));
            }
            Is::Half => {
                // The kernel takes only both at once.
                let (low, high) = ports.unwrap_or_else(default_ports);
                ports = Some(if matches!(sysctl, Sysctl::PortLow) { (value, high) } else { (low, value) });
            }
            Is::Fixed(why) => return Err(RigError::Fixed { sysctl, why }),
        }
    }
    // As the simulated kernel has it: a range that ends before it begins is one port.
    files.extend(ports.map(|(low, high)| (PORT_RANGE, format!("{low} {}", high.max(low)))));
    Ok(files)
}

const fn default_ports() -> (u64, u64) {
    (Sysctl::PortLow.default_value(), Sysctl::PortHigh.default_value())
}

/// Writes a setting of this thread's namespace.
pub(super) fn write(path: &str, value: &str) -> Result<(), RigError> {
    let failed =
        |error: io::Error| RigError::Setting { path: path.to_owned(), value: value.to_owned(), error };
    fs::write(Path::new(ROOT).join(path), value).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_kernel_does_not_have_is_told_by_name() {
        let without = Path::new("/proc/self/no-such-directory");
        let told = |sysctl| hindrance(&is(sysctl), without);
        assert_eq!(told(Sysctl::RtoMaxMs).as_deref(), Some("this kernel has no net.ipv4.tcp_rto_max_ms"));
        assert_eq!(told(Sysctl::PortLow).as_deref(), Some("this kernel has no net.ipv4.ip_local_port_range"));
        // That no kernel lets a namespace set it is the better reason.
        assert!(told(Sysctl::TimeWait).unwrap().contains("TCP_TIMEWAIT_LEN"));
    }

    /// Every kernel that this can run on has it.
    #[test]
    fn what_this_kernel_has_can_be_set() {
        assert_eq!(cannot_set(Sysctl::Retries2), None);
        assert_eq!(cannot_set(Sysctl::PortHigh), None);
    }
}
