//! What a scenario is about: which transport, and what goes wrong. Read off the scenario, so it cannot be out of date.

use std::fmt;

use resound_sim::Scenario;
use resound_sim::scenario::{Call, Command, Forgery, HostFault, Link, Open, Transport, What};

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
    /// Nothing gets through any more, and nobody says so.
    Silence,
    /// Packets are lost, late, doubled or changed.
    Packets,
    /// The host itself is short of something, or its programs are disturbed.
    Shortage,
}

impl Subject {
    /// Of the fault that says most: that a segment is made up to reach a connection attempt is the point, and not that
    /// the server's own answer was kept away for it. A scenario that has connections of both kinds is one of TCP.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let tcp = scenario.script.iter().any(|line| transport(&line.command) == Some(Transport::Tcp));
        let udp = scenario.script.iter().any(|line| transport(&line.command) == Some(Transport::Udp));
        let transport = if udp && !tcp { Transport::Udp } else { Transport::Tcp };
        let situations = scenario.faults.iter().map(|fault| situation(&fault.what));
        let of_faults = situations.min_by_key(|of| telling(*of));
        let careless = scenario.links.iter().any(is_careless);
        let of_links = if careless { Situation::Packets } else { Situation::Programs };
        let situation = of_faults.unwrap_or(of_links);
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

/// Whether a link does to some packets what faults do.
const fn is_careless(link: &Link) -> bool {
    link.loss > 0 || link.duplicate > 0 || link.corrupt > 0 || !link.jitter.is_zero() || link.rate.is_some()
}

/// Which of a scenario's situations is its subject: the least. What comes later is often there to make room for it.
const fn telling(situation: Situation) -> u8 {
    match situation {
        Situation::Forged => 0,
        Situation::Errors => 1,
        Situation::Hosts => 2,
        Situation::Shortage => 3,
        Situation::Packets => 4,
        Situation::Silence => 5,
        Situation::Programs => 6,
    }
}

const fn situation(what: &What) -> Situation {
    match what {
        What::Cut(..) | What::Unplug(..) => Situation::Silence,
        What::Tamper(..) | What::Mtu(..) => Situation::Packets,
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
            Situation::Silence => "nothing gets through, and nobody says so",
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
        assert!(of("0 b serve 7\n!0 a->b cut").starts_with("TCP: nothing gets through"));
        // The cut only keeps the server's answer away.
        assert!(of("0 b serve 7\n!0 a->b cut\n!1 b rst to a").starts_with("TCP: segments that nobody sent"));
    }
}
