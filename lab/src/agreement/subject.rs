//! What a scenario is about: which transport, and what goes wrong. Read off the scenario, so it cannot be out of date.

use std::fmt;

use resound_sim::Scenario;
use resound_sim::scenario::{Call, Command, Forgery, HostFault, Open, Transport, What};

/// What a scenario is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Over what.
    pub transport: Transport,
    /// What goes wrong.
    pub situation: Situation,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Situation {
    /// Nothing on the way: what programs do, and what kernels answer.
    Programs,
    /// Processes and hosts end, stop, or begin anew.
    Hosts,
    /// Somebody says so: ICMP errors, and routes that lead nowhere.
    Errors,
    /// Segments that nobody sent.
    Forged,
    /// Packets are lost, late, doubled or changed.
    Packets,
    /// The host itself is short of something, or its programs are disturbed.
    Shortage,
}

impl Subject {
    /// Of the first fault; a scenario that has connections of both kinds is one of TCP.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let tcp = scenario.script.iter().any(|line| transport(&line.command) == Some(Transport::Tcp));
        let udp = scenario.script.iter().any(|line| transport(&line.command) == Some(Transport::Udp));
        let transport = if udp && !tcp { Transport::Udp } else { Transport::Tcp };
        let situation = scenario.faults.first().map_or(Situation::Programs, |fault| situation(&fault.what));
        Self { transport, situation }
    }
}

const fn transport(command: &Command) -> Option<Transport> {
    match command {
        Command::Serve(transport, _) | Command::Connect(transport, ..) => Some(*transport),
        Command::Call(Call::Open(_, Open::Udp(_), _)) => Some(Transport::Udp),
        Command::Call(Call::Open(_, Open::Listen(..) | Open::Connect { .. }, _)) => Some(Transport::Tcp),
        _ => None,
    }
}

const fn situation(what: &What) -> Situation {
    match what {
        What::Tamper(..) | What::Cut(..) | What::Unplug(..) | What::Mtu(..) => Situation::Packets,
        What::Forge { packet: Forgery::Icmp { .. }, .. } | What::Route { .. } | What::LinkDown(..) => {
            Situation::Errors
        }
        What::Forge { .. } => Situation::Forged,
        What::Host(_, HostFault::Kill | HostFault::Pause(_) | HostFault::PowerLoss)
        | What::Host(_, HostFault::Reboot(_) | HostFault::Forget) => Situation::Hosts,
        What::Host(..) => Situation::Shortage,
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        };
        let situation = match self.situation {
            Situation::Programs => "what programs do and kernels answer",
            Situation::Hosts => "processes and hosts end, stop, begin anew",
            Situation::Errors => "ICMP errors and routes that lead nowhere",
            Situation::Forged => "segments that nobody sent",
            Situation::Packets => "packets lost, late, doubled or changed",
            Situation::Shortage => "programs short of something, or disturbed",
        };
        write!(f, "{transport}: {situation}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_read_off_the_scenario() {
        let hosts = "host a ; host b ; link a <-> b 1ms\n";
        let of = |text: &str| Subject::of(&format!("{hosts}{text}").parse().expect("a scenario")).to_string();
        assert!(of("0 a call u = udp 7").starts_with("UDP: what programs do"));
        assert!(of("0 b serve udp 7 ; 0 a connect b:7 ; !1 b kill").starts_with("TCP: processes"));
        assert!(of("0 b serve udp 7\n!1 b icmp 3/1 to a").starts_with("UDP: ICMP"));
        assert!(of("0 b serve 7\n!1 b rst to a").starts_with("TCP: segments that nobody sent"));
        assert!(of("0 b serve 7\n!a->b#1 drop").starts_with("TCP: packets lost"));
        assert!(of("0 b serve 7\n!0 a no-ports").starts_with("TCP: programs short"));
    }
}
