//! The table in words, for reports: what reaches a socket in which state, what the kernel does, what calls then give.

use std::fmt;

use resound_core::signal::Errno;

use super::{Code, Effect, Gave, Gives, IcmpClass, Probe, Row, Signal, State};
use crate::scenario::{Pick, RouteKind};

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SynSent => "TCP, connecting",
            Self::SynReceived => "TCP, a listener's half-made request",
            Self::Queued => "TCP, waits to be accepted",
            Self::Idle => "TCP, established, nothing in flight",
            Self::Sending => "TCP, established, data in flight",
            Self::ZeroWindow => "TCP, established, the peer's window is closed",
            Self::Unread => "TCP, established, with data unread",
            Self::CloseWait => "TCP, ended by the peer",
            Self::HalfClosed => "TCP, ended by this side",
            Self::Orphan => "TCP, closed by its program, data in flight",
            Self::BothClosed => "TCP, ended by both, this side's FIN in flight",
            Self::TimeWait => "TCP, TIME_WAIT",
            Self::Nobody => "no socket",
            Self::Connected => "UDP, connected",
            Self::Unconnected => "UDP, not connected",
        })
    }
}

impl fmt::Display for IcmpClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Soft => "soft ICMP error",
            Self::Hard => "hard ICMP error",
            Self::TooBig => "ICMP: too big",
            Self::Ignored => "ICMP message without an errno",
        })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp(class, pick) => write!(f, "{class}, {}", quote(*pick)),
            Self::Drops(pick) => write!(f, "ICMP error of the kind that ends a request, {}", quote(*pick)),
            Self::Rst(pick) => write!(f, "RST, {}", number(*pick)),
            Self::Refusal => f.write_str("RST that acknowledges the SYN"),
            Self::Syn => f.write_str("SYN in the window"),
            Self::Fin => f.write_str("FIN"),
            Self::LateData => f.write_str("data after both ends"),
            Self::RetriesExhausted => f.write_str("no answer to any retransmission"),
            Self::RetriesExhaustedAfterIcmp => {
                f.write_str("no answer to any retransmission, after an ICMP error")
            }
            Self::UserTimeout => f.write_str("TCP_USER_TIMEOUT is over"),
            Self::KeepaliveExhausted => f.write_str("no answer to any keepalive probe"),
            Self::Route(kind) => write!(f, "{} there", route(*kind)),
            Self::RouteLost(kind) => write!(f, "{} there any more", route(*kind)),
            Self::NeighbourFailed => f.write_str("the neighbour does not answer"),
            Self::Overflow => f.write_str("a datagram for which there is no room"),
        }
    }
}

impl Row {
    /// What reaches the socket, in words: what a reset acknowledges is another thing to an attempt than to a connection.
    #[must_use]
    pub fn signal_in_words(&self) -> String {
        let mut words = match (self.state, self.signal) {
            (State::SynSent, Signal::Rst(Pick::Exact)) => "RST that acknowledges nothing".to_owned(),
            (State::SynSent, Signal::Rst(_)) => "RST that acknowledges something else".to_owned(),
            (_, signal) => signal.to_string(),
        };
        if self.recverr == Some(true) {
            words.push_str(", with IP_RECVERR");
        }
        words
    }
}

const fn quote(pick: Pick) -> &'static str {
    match pick {
        Pick::Exact => "quotes what is in flight",
        Pick::Inside => "quotes the oldest in flight",
        Pick::Outside => "quotes what is not in flight",
    }
}

const fn number(pick: Pick) -> &'static str {
    match pick {
        Pick::Exact => "exact",
        Pick::Inside => "in the window",
        Pick::Outside => "outside of the window",
    }
}

const fn route(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::Unreachable => "only an unreachable route",
        RouteKind::Prohibit => "only a prohibited route",
        RouteKind::Blackhole => "only a blackhole",
        RouteKind::Missing => "no route",
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends(code) => write!(f, "ends with {code}"),
            Self::Latches(code) => write!(f, "the next call takes {code}"),
            Self::Queues(code) => write!(f, "the next call takes {code}, and the error queue has it"),
            Self::EndsAndQueues(code) => write!(f, "ends with {code}, and the error queue has it"),
            Self::Remembers(code) => write!(f, "remembers {code}"),
            Self::Fails(code) => write!(f, "the call fails with {code}"),
            Self::Challenges => f.write_str("answers with an acknowledgement"),
            Self::HalfCloses => f.write_str("the peer's side has ended"),
            Self::Vanishes => f.write_str("is gone, and nobody is told"),
            Self::Shrinks => f.write_str("sends shorter segments"),
            Self::Drops => f.write_str("drops it, and counts"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(errno) => errno.fmt(f),
            Self::OfIcmp => f.write_str("the message's errno"),
            Self::RememberedOr(errno) => write!(f, "what it remembers, or {errno}"),
        }
    }
}

impl fmt::Display for Gives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = self.call;
        match self.result {
            Gave::Bytes(n) => write!(f, "{call} {n}"),
            Gave::Eof => write!(f, "{call} 0"),
            Gave::Again => write!(f, "{call} {}", Errno::Again),
            Gave::Error(code) => write!(f, "{call} {code}"),
            Gave::Entry => write!(f, "{call} an entry"),
            Gave::Events(events) => write!(f, "{call} {events}"),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Probe {
    /// The call in the scenarios' language.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recv => "recv",
            Self::Send => "send",
            Self::SoError => "so_error",
            Self::Poll => "poll",
            Self::ErrorQueue => "errqueue",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::ROWS;

    /// Rows that are told apart are told in other words.
    #[test]
    fn no_two_rows_have_the_same_words() {
        let mut seen = BTreeSet::new();
        for row in ROWS.iter().flat_map(|rows| rows.iter()) {
            let words = format!("{}: {}", row.state, row.signal);
            let case = (words, format!("{:?} {:?} {:?}", row.profile, row.version, row.recverr));
            assert!(!seen.contains(&case), "{}: {case:?}", row.name);
            seen.insert(case);
        }
    }

    #[test]
    fn a_row_is_told_in_words() {
        let row = ROWS.iter().flat_map(|rows| rows.iter()).find(|row| row.name == "idle/rst-exact");
        let row = row.expect("it is in the table");
        assert_eq!(
            format!("{}; {}; {}", row.state, row.signal, row.effect),
            "TCP, established, nothing in flight; RST, exact; ends with ECONNRESET"
        );
        let then: Vec<String> = row.then.iter().take(3).map(ToString::to_string).collect();
        assert_eq!(then, ["poll IN|OUT|ERR|HUP|RDHUP", "recv ECONNRESET", "poll IN|OUT|HUP|RDHUP"]);
    }
}
