//! What has to hold of every run of the echo clients and servers, seen from outside: what programs say, and what passed
//! on the wires. Nobody looks into a machine.
//!
//! The rules are those of the links (B: backoff, L: liveness, P: deadlines, E: echoes), and one more: that what is said
//! is true. Each is judged only where it can be: a rule about time says nothing of a host whose clock jumps.

use resound_planted_sim as resound_sim;

use resound_sim::engine::Trial;
use resound_sim::oracle::{self, Broken};
use resound_sim::scenario::{NodeId, Said};
use resound_sim::{Run, Scenario};

mod backoff;
mod honesty;
mod liveness;
mod servers;
mod story;
mod wire;

use story::Story;

type Verdict = Result<(), Broken>;

/// Every rule.
pub(crate) fn trial() -> Trial<'static> {
    Trial::echo()
        .must(spins)
        .must(conservation)
        .must(clients(backoff::delays))
        .must(clients(backoff::retries))
        .must(clients(backoff::ends))
        .must(clients(liveness::misses))
        .must(clients(liveness::silence))
        .must(clients(liveness::in_time))
        .must(clients(liveness::drained))
        .must(clients(liveness::probes))
        .must(clients(honesty::quiet_network))
        .must(clients(honesty::reasons))
        .must(honesty::whose)
        .must(servers::ends)
        .must(servers::reflects)
        .must(oracle::expected())
}

fn broken(rule: &'static str, what: impl Into<String>) -> Verdict {
    Err(Broken::new(rule, what))
}

/// A rule about the client of a scenario that has one.
fn clients(rule: fn(&Story<'_>) -> Verdict) -> impl Fn(&Scenario, &Run) -> Verdict {
    move |scenario, run| Story::of(scenario, run).map_or(Ok(()), |story| rule(&story))
}

/// P1: after a due tick the deadline lies later, or there is something to do.
fn spins(_: &Scenario, run: &Run) -> Verdict {
    let spins = |said: &Said| matches!(said, Said::Spins);
    match run.said.iter().find(|remark| spins(&remark.said)) {
        None => Ok(()),
        Some(remark) => broken("P1 no busy loop", format!("{}", remark.said)),
    }
}

/// E1, E2.
fn conservation(scenario: &Scenario, run: &Run) -> Verdict {
    use resound_sim::oracle::Oracle as _;
    let hosts = (0..scenario.nodes.len()).map(|at| NodeId(at as u8));
    hosts.into_iter().try_for_each(|host| oracle::conservation(host).check(scenario, run))
}
