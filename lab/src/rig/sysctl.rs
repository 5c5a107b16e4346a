//! The simulator's names for a kernel's settings, and where Linux has them.

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

/// Why a scenario with this setting cannot be played for real; `None` if it can.
#[must_use]
pub const fn cannot_set(sysctl: Sysctl) -> Option<&'static str> {
    match is(sysctl) {
        Is::In(..) | Is::Half => None,
        Is::Fixed(why) => Some(why),
    }
}

/// The files that make these settings, and what is to be written there.
pub(super) fn files(settings: &[(Sysctl, u64)]) -> Result<Vec<(&'static str, String)>, RigError> {
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
    fs::write(format!("/proc/sys/net/{path}"), value).map_err(failed)
}
