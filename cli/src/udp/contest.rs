//! Which of the addresses of a name answers.
//!
//! Over TCP the core races connections; over datagrams each address is a peer of its own, so that the race is between
//! peers (RFC 8305): asked one after the other, a little apart, or at once when the one before has failed. The first that
//! answers is the target from then on, and the others are forgotten. Until then nobody can say which of them a message
//! should go to.

use core::net::SocketAddr;
use core::time::Duration;

use resound_core::Instant;
use resound_core::datagram::client::{NotAdded, PeerId};
use resound_core::race::interleave;
use resound_core::signal::{Cause, Version};
use resound_sockets::udp::missing_family;

/// How long each address is waited for before the next is asked as well (RFC 8305 §5).
pub(crate) const APART: Duration = Duration::from_millis(250);
/// No more addresses of a name are tried.
const MOST: usize = 8;

/// The addresses of one target.
#[derive(Debug)]
pub(crate) struct Contest {
    candidates: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    addr: SocketAddr,
    phase: Phase,
    /// When the attempt under way began.
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not asked yet.
    Waiting,
    Dialing(PeerId),
    Up(PeerId),
    /// Between two attempts.
    Down(PeerId),
    /// Given up, lost the race, or never took part.
    Out,
}

impl Phase {
    const fn peer(self) -> Option<PeerId> {
        match self {
            Self::Dialing(peer) | Self::Up(peer) | Self::Down(peer) => Some(peer),
            Self::Waiting | Self::Out => None,
        }
    }
}

/// How things stand for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Several are asked, or are to be.
    Undecided,
    /// There is only one, and it is asked.
    Asked(PeerId),
    Up(PeerId),
    /// Nobody is asked before some wait is over.
    Down,
    /// Nobody will be asked any more.
    Over,
}

impl Contest {
    /// Between these, best first; IPv6 before IPv4, in turn.
    pub(crate) fn new(mut addresses: Vec<SocketAddr>) -> Self {
        addresses.sort_by_key(SocketAddr::is_ipv4);
        interleave(&mut addresses);
        let candidate = |addr| Candidate { addr, phase: Phase::Waiting, since: Instant::EPOCH };
        Self { candidates: addresses.into_iter().take(MOST).map(candidate).collect() }
    }

    /// Asks the next one, if there is one: how, says `add`.
    pub(crate) fn ask_next(
        &mut self,
        now: Instant,
        add: impl FnOnce(SocketAddr) -> Result<PeerId, NotAdded>,
    ) -> Option<Result<PeerId, (SocketAddr, NotAdded)>> {
        let next = self.candidates.iter_mut().find(|candidate| candidate.phase == Phase::Waiting)?;
        next.since = now;
        Some(match add(next.addr) {
            Ok(peer) => {
                next.phase = Phase::Dialing(peer);
                Ok(peer)
            }
            Err(why) => {
                next.phase = Phase::Out;
                Err((next.addr, why))
            }
        })
    }

    /// Whether some were not asked yet.
    pub(crate) fn has_next(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.phase == Phase::Waiting)
    }

    pub(crate) fn standing(&self) -> Standing {
        let mut left = 0;
        let (mut asked, mut open) = (None, false);
        for phase in self.candidates.iter().map(|candidate| candidate.phase) {
            left += usize::from(phase != Phase::Out);
            match phase {
                Phase::Up(peer) => return Standing::Up(peer),
                Phase::Dialing(peer) => asked = Some(peer),
                Phase::Waiting => open = true,
                Phase::Down(_) | Phase::Out => {}
            }
        }
        match asked {
            _ if left == 0 => Standing::Over,
            Some(peer) if left == 1 => Standing::Asked(peer),
            Some(_) => Standing::Undecided,
            None if open => Standing::Undecided,
            None => Standing::Down,
        }
    }

    /// The address of a peer.
    pub(crate) fn addr(&self, peer: PeerId) -> Option<SocketAddr> {
        self.candidates.iter().find(|one| one.phase.peer() == Some(peer)).map(|one| one.addr)
    }

    /// The address that things are said about before anybody has answered.
    pub(crate) fn first(&self) -> Option<SocketAddr> {
        self.candidates.first().map(|candidate| candidate.addr)
    }

    /// Everybody who takes part.
    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.candidates.iter().filter_map(|candidate| candidate.phase.peer())
    }

    /// An attempt begins.
    pub(crate) fn dialing(&mut self, peer: PeerId, at: Instant) {
        self.turn(peer, Phase::Dialing(peer), |candidate| candidate.since = at);
    }

    /// An attempt has failed; how long it took.
    pub(crate) fn failed(&mut self, peer: PeerId, at: Instant) -> Duration {
        let mut took = Duration::ZERO;
        self.turn(peer, Phase::Down(peer), |candidate| took = at.since(candidate.since));
        took
    }

    /// It answers. The others are out; who they are.
    pub(crate) fn up(&mut self, peer: PeerId) -> Vec<PeerId> {
        let mut losers = Vec::new();
        for candidate in &mut self.candidates {
            if candidate.phase.peer() == Some(peer) {
                candidate.phase = Phase::Up(peer);
            } else {
                losers.extend(candidate.phase.peer());
                candidate.phase = Phase::Out;
            }
        }
        losers
    }

    /// It answers no more.
    pub(crate) fn down(&mut self, peer: PeerId) {
        self.turn(peer, Phase::Down(peer), |_| {});
    }

    /// It will not be asked again.
    pub(crate) fn gave_up(&mut self, peer: PeerId) {
        self.turn(peer, Phase::Out, |_| {});
    }

    fn turn(&mut self, peer: PeerId, phase: Phase, change: impl FnOnce(&mut Candidate)) {
        if let Some(candidate) = self.candidates.iter_mut().find(|one| one.phase.peer() == Some(peer)) {
            candidate.phase = phase;
            change(candidate);
        }
    }
}

/// What an attempt that failed says about this host, where it is the host that lacks something.
pub(crate) fn lack(addr: SocketAddr, cause: &Cause) -> Option<&'static str> {
    match missing_family(addr, cause.errno?)? {
        Version::V4 => Some("this host has no IPv4"),
        Version::V6 => Some("this host has no IPv6"),
    }
}

#[cfg(test)]
mod tests {
    use resound_core::datagram::client::{Client, Config};

    use super::*;

    fn contest(addresses: &[&str]) -> (Client, Contest) {
        let client = Client::new(Config::default(), 1, [2, 3]).unwrap();
        (client, Contest::new(addresses.iter().map(|addr| addr.parse().unwrap()).collect()))
    }

    const NOW: Instant = Instant::EPOCH;

    #[test]
    fn the_first_that_answers_is_the_one() {
        let (mut client, mut contest) = contest(&["192.0.2.1:7", "[2001:db8::1]:7"]);
        assert_eq!(contest.first(), Some("[2001:db8::1]:7".parse().unwrap()));
        let six = contest.ask_next(NOW, |addr| client.add(NOW, addr)).unwrap().unwrap();
        assert_eq!((contest.standing(), contest.has_next()), (Standing::Undecided, true));
        let four = contest.ask_next(NOW, |addr| client.add(NOW, addr)).unwrap().unwrap();
        assert!(contest.ask_next(NOW, |addr| client.add(NOW, addr)).is_none());
        assert_eq!(contest.failed(six, NOW + APART), APART);
        assert_eq!(contest.standing(), Standing::Undecided);
        assert_eq!(contest.up(four), [six]);
        assert_eq!(contest.standing(), Standing::Up(four));
        assert_eq!(contest.addr(six), None);
        contest.down(four);
        assert_eq!(contest.standing(), Standing::Down);
        contest.dialing(four, NOW);
        assert_eq!(contest.standing(), Standing::Asked(four));
        contest.gave_up(four);
        assert_eq!(contest.standing(), Standing::Over);
    }

    #[test]
    fn one_that_is_a_peer_already_takes_no_part() {
        let (mut client, mut contest) = contest(&["192.0.2.1:7"]);
        client.add(NOW, "192.0.2.1:7".parse().unwrap()).unwrap();
        let refused = contest.ask_next(NOW, |addr| client.add(NOW, addr)).unwrap();
        assert!(matches!(refused, Err((_, NotAdded::Duplicate(_)))));
        assert_eq!(contest.standing(), Standing::Over);
    }
}
