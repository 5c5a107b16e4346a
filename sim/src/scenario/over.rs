//! The same scenario over the other IP version.

use resound_core::signal::Version;

use super::{BadScenario, Forgery, Place, Scenario, What};

/// Type and code.
type Icmp = (u8, u8);

/// ICMP errors, and the ICMPv6 errors that tell the same: RFC 792 and 1812, RFC 4443. Several of the first stand for one of
/// the second; the first of them is what that stands for.
const COUNTERPARTS: &[(Icmp, Icmp)] = &[
    ((3, 0), (1, 0)),
    ((3, 1), (1, 3)),
    ((3, 2), (4, 1)),
    ((3, 3), (1, 4)),
    ((3, 4), (2, 0)),
    ((3, 13), (1, 1)),
    ((3, 9), (1, 1)),
    ((3, 10), (1, 1)),
    ((11, 0), (3, 0)),
    ((11, 1), (3, 1)),
    ((12, 0), (4, 0)),
];

impl Scenario {
    /// The same over this IP version: with the forged ICMP errors that tell the same there. What is expected is not changed:
    /// errnos may differ.
    ///
    /// # Errors
    ///
    /// A fault for which the other version has no counterpart, or a part that makes no sense there, as a small MTU.
    ///
    /// ```
    /// use resound_core::signal::Version;
    /// use resound_sim::Scenario;
    ///
    /// let scenario: Scenario = "host a ; router r ; link a <-> r 1ms ; !1 r icmp 3/3 to a".parse()?;
    /// let over = scenario.over(Version::V6)?;
    /// assert_eq!(over.describe_fault(resound_sim::packet::FaultId(0)), "r icmp 1/4 to a quote=exact");
    /// assert_eq!(over.over(Version::V4)?, scenario);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn over(&self, version: Version) -> Result<Self, BadScenario> {
        let mut over = Self { version, ..self.clone() };
        if version == self.version {
            return Ok(over);
        }
        for (at, fault) in over.faults.iter_mut().enumerate() {
            let What::Forge { packet: Forgery::Icmp { kind, code, .. }, .. } = &mut fault.what else {
                continue;
            };
            let found = COUNTERPARTS.iter().find_map(|&(v4, v6)| match version {
                Version::V6 if v4 == (*kind, *code) => Some(v6),
                Version::V4 if v6 == (*kind, *code) => Some(v4),
                Version::V4 | Version::V6 => None,
            });
            (*kind, *code) = found.ok_or_else(|| BadScenario {
                place: Place::Fault(at),
                message: format!("ICMP {kind}/{code} has no counterpart over the other IP version"),
            })?;
        }
        over.check()?;
        Ok(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_counterpart_says_which() {
        let read = |text: &str| text.parse::<Scenario>().unwrap_or_else(|error| panic!("{error}"));
        let quench = read("host a ; router r ; link a <-> r 1ms ; !1 r icmp 4/0 to a");
        let refused = quench.over(Version::V6).expect_err("IPv6 has no source quench");
        assert_eq!(refused.to_string(), "faults[0]: ICMP 4/0 has no counterpart over the other IP version");
        let narrow = read("host a ; router r ; link a <-> r 1ms mtu=600");
        assert_eq!(narrow.over(Version::V6).expect_err("too small").place, Place::Link(0));
        assert_eq!(quench.over(Version::V4), Ok(quench.clone()));
    }

    /// The first of several that stand for one is what that stands for.
    #[test]
    fn there_and_back_again_it_tells_the_same() {
        let filtered: Scenario =
            "host a ; router r ; link a <-> r 1ms ; !1 r icmp 3/10 to a".parse().expect("a scenario");
        let back =
            filtered.over(Version::V6).and_then(|over| over.over(Version::V4)).expect("there are both");
        assert_eq!(back.show(&back.faults[0].what).to_string(), "r icmp 3/13 to a quote=exact");
    }
}
