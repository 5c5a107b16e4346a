//! What can be played with real hosts, and what cannot.

use resound_sim::Scenario;
use resound_sim::kernel::Profile;
use resound_sim::scenario::{HostFault, Trigger, What};

use crate::rig::{cannot_set, lacks};

/// Why a scenario cannot be played with real hosts; `None` if it can.
#[must_use]
pub fn unplayable(scenario: &Scenario) -> Option<String> {
    if let Some(why) = &scenario.simulated_only {
        return Some(why.clone());
    }
    if scenario.profile != Profile::Linux {
        return Some(String::from("its hosts are no Linux"));
    }
    if let Some(hindrance) = lacks(scenario.version) {
        return Some(hindrance.to_string());
    }
    let settings = scenario.nodes.iter().flat_map(|node| &node.sysctl);
    let cannot = settings.filter_map(|(sysctl, _)| Some((sysctl, cannot_set(*sysctl)?))).next();
    if let Some((sysctl, why)) = cannot {
        return Some(format!("{}: {why}", sysctl.name()));
    }
    scenario.faults.iter().find_map(|fault| {
        let state = matches!(fault.when, Trigger::State(..));
        let state = state || fault.what.until().is_some_and(|until| matches!(until, Trigger::State(..)));
        match &fault.what {
            _ if state => Some(String::from("nobody can see when a real socket enters a state")),
            What::Host(_, what) => impossible(what).map(str::to_owned),
            _ => None,
        }
    })
}

const fn impossible(what: &HostFault) -> Option<&'static str> {
    match what {
        HostFault::Skew(_) => Some("a real clock does not jump for one process"),
        HostFault::ShortReads(_) | HostFault::ShortWrites(_) => {
            Some("real calls are cut short by what is there")
        }
        HostFault::SpuriousWake => Some("a real kernel wakes nobody for nothing on command"),
        HostFault::ReceiveBuffer(_) | HostFault::SendBuffer(_) => {
            Some("a real kernel's buffers are set by each socket's program")
        }
        HostFault::AcceptQueue(_) => Some("a real listener's queue is set by its program"),
        HostFault::Kill
        | HostFault::Pause(_)
        | HostFault::PowerLoss
        | HostFault::Reboot(_)
        | HostFault::Forget
        | HostFault::NoPorts(_)
        | HostFault::NoDescriptors(_) => None,
    }
}
