//! What is said is true: every reason has its evidence on the wire, and nothing is said of a network where all is well.

use std::collections::BTreeSet;
use std::time::Duration;

use resound_core::signal::{Origin, Reason};
use resound_planted_sim as resound_sim;

use resound_sim::faults::since_start;
use resound_sim::oracle::Broken;
use resound_sim::scenario::{Command, HostFault, NodeId, Said, Tamper, What};
use resound_sim::scenario::{address, node_at};
use resound_sim::{Run, Scenario};

use super::story::{MS, SECOND, Story};
use super::wire::Wire;
use super::{Verdict, broken};

/// Where nothing goes wrong, nothing is lost, and nobody is suspected.
pub(super) fn quiet_network(story: &Story<'_>) -> Verdict {
    const RULE: &str = "nothing wrong, nothing lost";
    let aborts = story.scenario.script.iter().any(|line| line.command == Command::Abort);
    // The server ends what is idle for five minutes.
    let idles = story.idle.is_zero() && story.scenario.until > 299 * SECOND;
    let slow_calls = |what: &What| {
        let What::Host(_, what) = what else { return false };
        matches!(what, HostFault::ShortReads(_) | HostFault::ShortWrites(_) | HostFault::SpuriousWake)
    };
    let small = |what: &What| slow_calls(what) || (!story.udp && is_small_buffer(what));
    if !story.only(small) || !story.is_served() || aborts || idles {
        return Ok(());
    }
    let mut waiting: Vec<(u64, Duration)> = Vec::new();
    let patience = 5 * SECOND;
    for (at, said) in &story.lines {
        match said {
            Said::Sent(seq) => waiting.push((*seq, *at)),
            Said::Echo(seq) => waiting.retain(|(waits, _)| waits != seq),
            // What is longer than a packet does not leave.
            Said::Lost(seq, Reason::TooBig) => waiting.retain(|(waits, _)| waits != seq),
            Said::Lost(..) | Said::Down(..) | Said::DialFailed(..) | Said::Suspect(_) | Said::Stalled(_) => {
                return broken(RULE, format!("{said} at {at:?}"));
            }
            Said::Other(text) if text.starts_with("duplicated") || text.starts_with("late") => {
                return broken(RULE, format!("{said} at {at:?}"));
            }
            _ => {}
        }
    }
    match waiting.iter().find(|(_, sent)| story.is_over(*sent + patience)) {
        Some((seq, sent)) => broken(RULE, format!("{seq}, sent at {sent:?}, never came back")),
        None => Ok(()),
    }
}

const fn is_small_buffer(what: &What) -> bool {
    matches!(what, What::Host(_, HostFault::SendBuffer(_) | HostFault::ReceiveBuffer(_)))
}

/// Each reason has its evidence.
pub(super) fn reasons(story: &Story<'_>) -> Verdict {
    let wire = std::cell::OnceCell::new();
    let wire = || wire.get_or_init(|| story.wire());
    // What a host makes up for itself passes on no wire; and a kernel that has forgotten a connection says what it likes.
    let itself = story.scenario.faults.iter().any(|fault| match &fault.what {
        What::Forge { from, to, .. } => from == to,
        What::Host(host, HostFault::Forget) => *host == story.client,
        _ => false,
    });
    if itself {
        return Ok(());
    }
    let mut dialing = Duration::ZERO;
    for (index, &(at, said)) in story.lines.iter().enumerate() {
        if story.closing.is_some_and(|closing| closing <= at) {
            break;
        }
        let no = |why: &str| no_evidence(said, format!("{said} at {at:?}: {why}"));
        let (reason, origin) = match said {
            Said::Dialing => {
                dialing = at;
                continue;
            }
            Said::Up if story.udp => {
                let first = story.lines.iter().filter(|(_, said)| matches!(said, Said::Dialing)).count() < 2;
                if !first && !wire().is_answered(dialing, at) {
                    return no("nothing that was asked in this attempt had been answered");
                }
                continue;
            }
            Said::Down(reason, origin) | Said::DialFailed(reason, origin) => (*reason, *origin),
            Said::Lost(_, reason) => {
                lost(story, *reason).or_else(no)?;
                continue;
            }
            Said::Other(text) => match trouble(text) {
                Some(said) => said,
                None => continue,
            },
            _ => continue,
        };
        let lie = match reason {
            Reason::BrokenPipe => Some("a reader knows better"),
            Reason::Reset if !wire().resets().any(|reset| reset <= at) => Some("nobody reset it"),
            Reason::Closed | Reason::ClosedEarly if !wire().fins().any(|fin| fin <= at) => {
                Some("nobody closed it")
            }
            Reason::Closed if owed(story, index) => Some("echoes were due"),
            Reason::PathDead if story.only(stands_still) => Some("the path is well"),
            Reason::Mismatch => mismatch(story).err(),
            Reason::PortUnreach if story.udp && ends(said) && !wire().proves_port_closed(at) => {
                Some("nothing proves it")
            }
            _ => None,
        };
        lie.map_or(Ok(()), no)?;
        said_by_icmp(story, reason, origin, at, &wire).or_else(no)?;
    }
    Ok(())
}

/// The rule has the name of the word that was said.
fn no_evidence(said: &Said, what: String) -> Verdict {
    let rule = match said {
        Said::Down(reason, _) | Said::DialFailed(reason, _) | Said::Lost(_, reason) => {
            format!("evidence for {reason}")
        }
        said => {
            let said = said.to_string();
            let words: Vec<_> = said.split(' ').take(2).collect();
            format!("evidence for {}", words.join(" "))
        }
    };
    Err(Broken::new(rule, what))
}

const fn ends(said: &Said) -> bool {
    matches!(said, Said::Down(..) | Said::DialFailed(..))
}

/// What the UDP client says of trouble.
fn trouble(text: &str) -> Option<(Reason, Origin)> {
    let mut words = text.strip_prefix("trouble ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

const fn stands_still(what: &What) -> bool {
    matches!(what, What::Host(_, HostFault::Pause(_)))
}

/// Whether a message was on its way when the connection ended.
fn owed(story: &Story<'_>, end: usize) -> bool {
    let (at, _) = story.lines[end];
    let up = story.lines[..end].iter().rposition(|(_, said)| **said == Said::Up).unwrap_or(0);
    story.lines[up..end].iter().any(|(sent, said)| {
        let Said::Sent(seq) = said else { return false };
        let ends = |said: &Said| matches!(said, Said::Echo(n) | Said::Lost(n, _) if n == seq);
        *sent + MS < at && !story.lines[up..end].iter().any(|(_, said)| ends(said))
    })
}

/// Only what was changed on the way comes back as something else. A header that was changed is nobody's answer.
fn mismatch(story: &Story<'_>) -> Result<(), &'static str> {
    let header = if story.udp { 32 * 8 } else { 0 };
    let changes = |what: &What| match what {
        What::Tamper(_, Tamper::Alter(bit)) => *bit >= header,
        What::Tamper(_, Tamper::Truncate(_)) => true,
        _ => false,
    };
    let changed = story.scenario.faults.iter().any(|fault| changes(&fault.what));
    if changed { Ok(()) } else { Err("nothing of it was changed on the way") }
}

/// A message that is lost is lost somewhere.
fn lost(story: &Story<'_>, reason: Reason) -> Result<(), &'static str> {
    let own = |what: &What| match what {
        What::Host(host, HostFault::ReceiveBuffer(_) | HostFault::Pause(_)) => *host == story.client,
        _ => false,
    };
    match reason {
        Reason::Mismatch => mismatch(story),
        Reason::NoEcho if story.udp && story.is_served() && story.only(own) => {
            Err("its echo was dropped here")
        }
        _ => Ok(()),
    }
}

/// What only ICMP says was said by ICMP, by whom it is said to be. TCP hears of it without the sender.
fn said_by_icmp<'w>(
    story: &Story<'_>,
    reason: Reason,
    origin: Origin,
    at: Duration,
    wire: &impl Fn() -> &'w Wire,
) -> Result<(), &'static str> {
    use Reason as R;
    let words = matches!(
        reason,
        R::PortUnreach | R::ProtoUnreach | R::HostUnreach | R::NetUnreach | R::TimeExceeded | R::ParamProblem
    );
    if !words && !matches!(origin, Origin::Router) {
        return Ok(());
    }
    let peer = story.peer_addr().ip();
    let mut by = wire().errors().filter(|(came, ..)| *came <= at).map(|(_, from, _)| from);
    let said = match origin {
        Origin::Peer => by.any(|from| from == peer),
        // A neighbour that is not there any more: the kernel of this host says so, as if it were a router.
        Origin::Router => by.any(|from| from != peer) || story.may_lose_neighbours(),
        // This host may have said so of itself.
        _ => !story.udp || by.next().is_some() || matches!(origin, Origin::Local),
    };
    if said { Ok(()) } else { Err("nobody said so") }
}

/// A client of several peers blames the one whose port it is.
pub(super) fn whose(scenario: &Scenario, run: &Run) -> Verdict {
    let connects = scenario.script.iter().filter(|line| matches!(line.command, Command::Connect(..)));
    let hosts: Vec<NodeId> = connects.map(|line| line.host).collect();
    if hosts.len() < 2 {
        return Ok(());
    }
    for remark in &run.said {
        let Said::Other(text) = &remark.said else { continue };
        let mut words = text.split(' ');
        let (Some(name), Some("down" | "dial-failed" | "trouble"), Some("port-unreach")) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Some(node) = scenario.node(name) else { continue };
        let (wire, at) = (Wire::of(scenario, remark.node), since_start(remark.at));
        let about = |dead: std::net::IpAddr| dead != wire.client() && dead == address(node, scenario.version);
        if !wire.errors().any(|(came, _, icmp)| came <= at && about(icmp.quote.destination)) {
            let about: BTreeSet<_> =
                wire.errors().filter_map(|(.., icmp)| node_at(icmp.quote.destination)).collect();
            let about: Vec<_> = about.into_iter().map(|node| scenario.name(node)).collect();
            return broken(
                "evidence for port-unreach",
                format!("{text:?} at {at:?}: what came in is about {}", about.join(", ")),
            );
        }
    }
    Ok(())
}
