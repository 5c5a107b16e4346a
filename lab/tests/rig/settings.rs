//! Settings of a host's kernel.

use std::fs;

use resound_lab::rig::{Host, RigError, cannot_set};
use resound_sim::kernel::Sysctl;

use crate::between::{A, rig};
use crate::{VERSIONS, dial, echo, echoes};

fn read(host: &Host, path: &str) -> String {
    let path = format!("/proc/sys/net/{path}");
    host.run(move || {
        fs::read_to_string(&path).map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
    })
    .expect("a setting")
}

#[test]
fn settings_are_a_hosts_own_and_survive_a_reboot() -> Result<(), RigError> {
    let Some(mut rig) = rig("host a tcp_retries2=5 ip_local_port_low=50000\nhost b\nlink a <-> b 1ms\n")
    else {
        return Ok(());
    };
    for _ in 0..2 {
        let (hosts, _) = rig.parts();
        assert_eq!(read(&hosts[0], "ipv4/tcp_retries2"), "5");
        assert_eq!(read(&hosts[0], "ipv4/ip_local_port_range"), "50000 60999");
        assert_eq!(read(&hosts[1], "ipv4/tcp_retries2"), "15");
        hosts[0].sysctl(Sysctl::Retries2, 7)?;
        hosts[0].sysctl(Sysctl::PortHigh, 50_001)?;
        assert_eq!(read(&hosts[0], "ipv4/tcp_retries2"), "7");
        assert_eq!(read(&hosts[0], "ipv4/ip_local_port_range"), "50000 50001");
        rig.reboot(A)?;
    }
    Ok(())
}

/// Each is either set, and the kernel has it, or known as one that cannot be; an older kernel lacks some.
#[test]
fn every_setting_is_set_or_known_not_to_be() {
    let Some(mut rig) = rig("host a\nhost b\nlink a <-> b 1ms\n") else { return };
    let host = rig.host(A).expect("a host");
    for &sysctl in Sysctl::ALL {
        let (value, expected): (_, &[_]) = match sysctl {
            Sysctl::SynRetries => (3, &[("ipv4/tcp_syn_retries", "3")]),
            Sysctl::SynLinearTimeouts => (2, &[("ipv4/tcp_syn_linear_timeouts", "2")]),
            Sysctl::SynAckRetries => (4, &[("ipv4/tcp_synack_retries", "4")]),
            Sysctl::Retries2 => (6, &[("ipv4/tcp_retries2", "6")]),
            Sysctl::RtoMinMs => (100, &[("ipv4/tcp_rto_min_us", "100000")]),
            Sysctl::RtoMaxMs => (2_000, &[("ipv4/tcp_rto_max_ms", "2000")]),
            Sysctl::OrphanRetries => (1, &[("ipv4/tcp_orphan_retries", "1")]),
            Sysctl::FinTimeout => (5, &[("ipv4/tcp_fin_timeout", "5")]),
            Sysctl::SoMaxConn => (17, &[("core/somaxconn", "17")]),
            Sysctl::PortLow => (40_000, &[("ipv4/ip_local_port_range", "40000 60999")]),
            Sysctl::PortHigh => (40_100, &[("ipv4/ip_local_port_range", "40000 40100")]),
            Sysctl::IcmpRateLimit => (100, &[("ipv4/icmp_ratelimit", "100"), ("ipv6/icmp/ratelimit", "100")]),
            Sysctl::InvalidRateLimit => (100, &[("ipv4/tcp_invalid_ratelimit", "100")]),
            Sysctl::TimeWait | Sysctl::ReceiveBuffer | Sysctl::SendBuffer => (5_000, &[]),
        };
        match (host.sysctl(sysctl, value), cannot_set(sysctl)) {
            (Ok(()), None) => assert!(!expected.is_empty()),
            (Err(RigError::Fixed { .. }), Some(_)) => assert!(expected.is_empty()),
            (Err(RigError::Setting { .. }), Some(why)) => {
                assert!(why.starts_with("this kernel has no "), "{why}");
                continue;
            }
            (outcome, cannot) => panic!("{}: {outcome:?}, {cannot:?}", sysctl.name()),
        }
        for (path, value) in expected {
            assert_eq!(read(host, path), *value, "{path}");
        }
    }
}

#[test]
fn a_host_without_links_speaks_to_itself() {
    let Some(mut rig) = rig("host a\nhost b\n") else { return };
    let host = rig.host(A).expect("a host");
    for version in VERSIONS {
        let mut stream = dial(host, echo(host, version));
        assert!(echoes(&mut stream));
    }
}
