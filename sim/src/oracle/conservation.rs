//! No message is forgotten, doubled, or made up.
//!
//! A message may still be under way when a run ends, and only in these cases:
//!
//! | client | a message that has not ended is still under way |
//! |---|---|
//! | any | if a fault killed the client's program (it cannot say any more what became of it) |
//! | UDP | within twice the time that an answer may take, after it was accepted |
//! | TCP, not up | until there is a connection: it waits for that. Not once the client has given up or is closed |
//! | TCP, up | within (M + 1)·I and a second after the last of: it was accepted, the connection stood, a fault acted |
//!
//! In (M + 1)·I the peer answers, or is convicted (L1, with the longest P′). There is no such time if I = 0, if a link
//! loses packets, or if it has a rate: bytes may then go on coming for as long as you like.
//! To each time is added how late the client's own host was made (Λ). Two TCP clients on one host cannot be told apart:
//! theirs may be under way for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use resound_core::{Instant, datagram, liveness};

use super::gist::{Gist, connects, gist, lateness, was_killed};
use super::{Broken, Oracle, tell};
use crate::faults::since_start;
use crate::run::Run;
use crate::scenario::{Link, NodeId, Scenario, Transport};

/// Every message that this client accepted ends exactly once, echoed or lost (E1); those that are still under way when the
/// run ends may be. Over TCP the echoes of one connection come in order (E2).
///
/// That is what the core's clients promise. A client that promises more, or less, says so: [`Conservation::complete`],
/// [`Conservation::of_what_ended`].
#[must_use]
pub const fn conservation(client: NodeId) -> Conservation {
    Conservation { client, pending: Pending::WhileUnderWay }
}

/// See [`conservation`].
#[derive(Clone, Copy, Debug)]
pub struct Conservation {
    client: NodeId,
    pending: Pending,
}

/// Whether a message may not have ended when the run ends.
#[derive(Clone, Copy, Debug)]
enum Pending {
    Never,
    WhileUnderWay,
    ForEver,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    sent: u32,
    /// When it was accepted, the last time.
    at: Instant,
    ended: u32,
}

/// How it stands between a client and its peer.
#[derive(Clone, Copy, Debug)]
enum Stand {
    NotUp,
    /// Since then.
    Up(Instant),
    Over,
}

const CONSERVATION: &str = "conservation";

impl Conservation {
    /// No message may be under way when the run ends, unless the client's program was killed: for scenarios that leave
    /// every client the time it needs.
    #[must_use]
    pub const fn complete(self) -> Self {
        Self { pending: Pending::Never, ..self }
    }

    /// What ends, ends once; nothing is said of what does not: for clients that promise no end.
    #[must_use]
    pub const fn of_what_ended(self) -> Self {
        Self { pending: Pending::ForEver, ..self }
    }

    fn in_order(&self, scenario: &Scenario) -> bool {
        connects(scenario, self.client).all(|(transport, ..)| transport == Transport::Tcp)
    }

    /// By when this message had to end, after the start; `None`: it had not to.
    fn due(&self, scenario: &Scenario, run: &Run, (message, stand): (&Message, Stand)) -> Option<Duration> {
        let late = lateness(scenario, self.client);
        let mut connects = connects(scenario, self.client);
        let client = connects.next();
        if let Some((Transport::Udp, ..)) = client {
            let timeout = datagram::client::Config::default().timeout;
            return Some(since_start(message.at) + 2 * timeout + late);
        }
        let since = match stand {
            Stand::NotUp => return None,
            Stand::Up(since) => since,
            Stand::Over => return Some(Duration::ZERO),
        };
        let knobs = client.map(|(_, _, knobs)| knobs).unwrap_or_default();
        let usual = liveness::Config::default();
        let (idle, misses) = (knobs.idle.unwrap_or(usual.idle), knobs.misses.unwrap_or(usual.misses));
        let slow = |link: &Link| link.loss > 0 || link.corrupt > 0 || link.rate.is_some();
        if idle.is_zero() || connects.next().is_some() || scenario.links.iter().any(slow) {
            return None;
        }
        let last = message.at.max(since).max(run.disturbed.unwrap_or(Instant::EPOCH));
        let verdict = idle * (u32::from(misses) + 1) + Duration::from_secs(1);
        Some(since_start(last) + verdict + late)
    }
}

impl Oracle for Conservation {
    fn check(&self, scenario: &Scenario, run: &Run) -> Result<(), Broken> {
        let in_order = self.in_order(scenario);
        let mut messages: BTreeMap<u64, Message> = BTreeMap::new();
        // Which peer has ended which message; of those that have a name.
        let mut each: BTreeMap<(&str, u64), u32> = BTreeMap::new();
        let mut latest = None;
        let mut stand = Stand::NotUp;
        for remark in run.said_by(self.client) {
            let broken =
                |what: &str| Broken::new(CONSERVATION, format!("{}: {what}", tell(scenario, remark)));
            let (name, gist) = gist(scenario, &remark.said);
            match gist {
                Gist::Sent(seq) => {
                    let new = Message { sent: 0, at: remark.at, ended: 0 };
                    let message = messages.entry(seq).or_insert(new);
                    message.sent += 1;
                    message.at = remark.at;
                }
                Gist::Echo(seq) | Gist::Lost(seq) => {
                    let message = messages.get_mut(&seq).ok_or_else(|| broken("it was never sent"))?;
                    message.ended += 1;
                    let twice = name.is_some_and(|name| {
                        let ended = each.entry((name, seq)).or_default();
                        *ended += 1;
                        *ended > 1 && message.sent == 1
                    });
                    if twice || message.ended > message.sent {
                        return Err(broken("it had ended before"));
                    }
                    if in_order && matches!(gist, Gist::Echo(_)) && latest.replace(seq) > Some(seq) {
                        return Err(broken("a later one was echoed before it"));
                    }
                }
                Gist::Up => (latest, stand) = (None, Stand::Up(remark.at)),
                Gist::Down => (latest, stand) = (None, Stand::NotUp),
                Gist::GaveUp | Gist::Closed => (latest, stand) = (None, Stand::Over),
                Gist::Dialing => {
                    // A second client begins where the first one's end was.
                    if matches!(stand, Stand::Over) {
                        stand = Stand::NotUp;
                    }
                }
                Gist::Else => {}
            }
        }
        let mut pending = messages.iter().filter(|(_, message)| message.ended < message.sent);
        let forgotten = match self.pending {
            Pending::ForEver => None,
            _ if was_killed(scenario, run, self.client) => None,
            Pending::Never => pending.next(),
            Pending::WhileUnderWay => pending.find(|(_, message)| {
                self.due(scenario, run, (message, stand)).is_some_and(|due| due <= scenario.until)
            }),
        };
        forgotten.map_or(Ok(()), |(seq, message)| {
            let (name, at) = (scenario.name(self.client), since_start(message.at));
            let what =
                format!("{name}'s message {seq}, sent at {at:?}, has neither come back nor was it lost");
            Err(Broken::new(CONSERVATION, what))
        })
    }
}
