//! Every row of the kernel table as a scenario that makes it happen.
//!
//! # Theory of operation
//!
//! A row says: in this state, this signal has that effect, and calls then give this. A [`Case`] brings a socket into the
//! state by single calls, cuts and settings, lets the signal come, and makes the row's calls, one after the other. What each
//! call is to say follows from the row alone. So the same case asks the simulated kernel and a real one:
//!
//! ```text
//!   Row ──► Case ─► scenario ─┬─► simulator ───► Run ─┐
//!             │               └─► real kernel ─► Run ─┴─► Case::compare ─► agrees │ differs, at which call │ not staged
//!             └──► expected ──────────────────────────────────┘
//! ```
//!
//! Where no program is there that could make a call, its peer is: what it hears of a connection that goes on is not what
//! it hears of one that is gone. Those words are [`Part::Seen`]. What no call shows, a challenge and a shorter segment, shows
//! in the packets, if the run has them.
//!
//! The times leave room for a machine that is busy: what is to come before something else does so by 50 ms or more, but for
//! the calls of the row themselves, which follow each other as fast as a program makes them.
//!
//! | file | has |
//! |---|---|
//! | `draft` | a scenario being written, and what each call is to say |
//! | `tcp` | how each state of TCP comes about, and each signal |
//! | `udp` | the same of UDP |

use std::fmt;
use std::time::Duration;

use resound_core::signal::icmp::TABLE;
use resound_core::signal::{Errno, IcmpError, Version};

use crate::kernel::Profile;
use crate::kernel::table::{
    Code, Effect, Gave, Gives, IcmpClass, ORDERS, ROWS, Row, RowId, Signal, State, row,
};
use crate::packet::{Body, Segment};
use crate::run::{Happened, Run};
use crate::scenario::{NodeId, Scenario};

mod draft;
mod tcp;
mod udp;

use draft::{CLIENT, Draft, SERVER};

/// How much of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Each row over each IP version, with one ICMP message of its class.
    Rows,
    /// Besides, each type and code that the core knows, in the states in which sockets mostly are; and with and without
    /// `IP_RECVERR` where that makes no difference.
    Codes,
}

/// One way to make a row happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Which row.
    pub row: RowId,
    /// Over which IP version.
    pub version: Version,
    /// Whether the socket has `IP_RECVERR`.
    pub recverr: bool,
    /// Type and code, if an ICMP message is the signal.
    pub icmp: Option<(u8, u8)>,
    /// The place in [`ORDERS`], if its calls are made instead of the row's own.
    pub order: Option<usize>,
    /// The scenario.
    pub scenario: Scenario,
    /// What is to be said, in the order of time: one of each call.
    pub expected: Vec<Expected>,
}

/// What a call is to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expected {
    /// Of whom.
    pub node: NodeId,
    /// The words; while the case is staged, their beginning.
    pub words: String,
    /// What the call is for.
    pub part: Part,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// It leads to the row's state. If it says something else, the row was not exercised.
    Staging,
    /// It is this one, counted from 1, of the row's own.
    Then(usize),
    /// It shows from outside what became of a socket that no program has.
    Seen,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The kernel does what the row says.
    Agrees,
    /// It does something else: which call, what the table says, what the kernel gave.
    Differs(String),
    /// The row's state did not come about: why.
    NotStaged(String),
}

/// A row that no scenario can make happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unstaged {
    /// Which row.
    pub row: RowId,
    /// Over which IP version.
    pub version: Version,
    /// Why not.
    pub why: &'static str,
}

/// Every case of every row of Linux, or why there is none.
#[must_use]
pub fn cases(extent: Extent) -> Vec<Result<Case, Unstaged>> {
    let all = ROWS.iter().flat_map(|rows| rows.iter()).enumerate();
    let linux = all.filter(|(_, row)| row.profile == Profile::Linux);
    linux.flat_map(|(at, row)| of_row(RowId(at as u16), row, extent)).collect()
}

fn of_row(id: RowId, row: &'static Row, extent: Extent) -> Vec<Result<Case, Unstaged>> {
    let mut cases = Vec::new();
    let versions = [Version::V4, Version::V6].into_iter();
    for version in versions.filter(|version| row.version.is_none_or(|only| only == *version)) {
        let messages = messages(row, version, extent);
        if messages.is_empty() {
            cases.push(Err(Unstaged {
                row: id,
                version,
                why: "no message over this IP version is of its class",
            }));
        }
        let recverr: &[bool] = match (row.recverr, extent) {
            (Some(true), _) => &[true],
            (Some(false), _) | (None, Extent::Rows) => &[false],
            (None, Extent::Codes) => &[false, true],
        };
        for (icmp, recverr) in
            messages.iter().flat_map(|icmp| recverr.iter().map(move |recverr| (*icmp, *recverr)))
        {
            cases.push(Ok(Ask { id, row, version, recverr, icmp, order: None }.stage()));
        }
        let orders = ORDERS.iter().enumerate().filter(|(_, order)| order.row == row.name);
        for (at, _) in orders {
            let ask = Ask { id, row, version, recverr: recverr[0], icmp: messages[0], order: Some(at) };
            cases.push(Ok(ask.stage()));
        }
    }
    cases
}

/// The ICMP messages with which a row is made to happen; one that is `None` if it needs none.
fn messages(row: &Row, version: Version, extent: Extent) -> Vec<Option<(u8, u8)>> {
    let request = row.state == State::SynReceived;
    let of = |class: IcmpClass| {
        let known = TABLE.iter().filter(move |known| known.version == version);
        let known = known.flat_map(|known| {
            let (first, last) = (*known.codes.start(), *known.codes.end());
            [Some(first), Some(last).filter(|last| *last != first)]
                .into_iter()
                .flatten()
                .map(|code| (known.kind, code))
        });
        // Information, not an error: the nearest that ICMPv6 has to what is ignored.
        let more = (version == Version::V6).then_some((200, 0));
        let all = known.chain(more).map(move |(kind, code)| error(version, kind, code));
        all.filter(move |error| IcmpClass::of(error) == class)
    };
    let fits: Vec<IcmpError> = match row.signal {
        Signal::Icmp(class, _) => of(class).filter(|error| !request || !drops_request(error)).collect(),
        Signal::Drops(_) => of(IcmpClass::Soft).chain(of(IcmpClass::Hard)).filter(drops_request).collect(),
        Signal::RetriesExhaustedAfterIcmp => of(IcmpClass::Hard).filter(is_port_unreachable).collect(),
        _ => return vec![None],
    };
    let main = matches!(
        row.state,
        State::SynSent
            | State::SynReceived
            | State::Idle
            | State::Sending
            | State::Connected
            | State::Unconnected
    );
    let all = main && extent == Extent::Codes;
    // Of the hard ones it is the one that everybody knows, if one is to stand for all.
    let one = fits.iter().find(|error| is_port_unreachable(error)).or(fits.first()).copied();
    let chosen = if all { fits } else { one.into_iter().collect() };
    chosen.into_iter().map(|error| Some((error.kind, error.code))).collect()
}

const fn error(version: Version, kind: u8, code: u8) -> IcmpError {
    IcmpError { version, kind, code, offender: None, destination: None, mtu: None }
}

const fn is_port_unreachable(error: &IcmpError) -> bool {
    matches!((error.version, error.kind, error.code), (Version::V4, 3, 3) | (Version::V6, 1, 4))
}

/// Of an error with a number, whether it ends a request: `tcp_v4_err`, `tcp_v6_err`.
fn drops_request(error: &IcmpError) -> bool {
    match error.version {
        Version::V4 => matches!((error.kind, error.code), (3, 0 | 1) | (11 | 12, _)),
        Version::V6 => IcmpClass::of(error) == IcmpClass::Hard,
    }
}

/// The case that is wanted.
#[derive(Clone, Copy)]
struct Ask {
    id: RowId,
    row: &'static Row,
    version: Version,
    recverr: bool,
    icmp: Option<(u8, u8)>,
    order: Option<usize>,
}

impl Ask {
    fn stage(&self) -> Case {
        let mut draft = Draft::new(self.version);
        match self.row.state {
            State::Connected | State::Unconnected => udp::stage(self, &mut draft),
            _ => tcp::stage(self, &mut draft),
        }
        let (scenario, expected) = draft.finish();
        let &Self { id: row, version, recverr, icmp, order, .. } = self;
        Case { row, version, recverr, icmp, order, scenario, expected }
    }

    fn then(&self) -> &'static [Gives] {
        self.order.map_or(self.row.then, |at| ORDERS[at].then)
    }

    /// The number that Linux makes of the message.
    fn errno(&self) -> Option<Errno> {
        self.icmp.and_then(|(kind, code)| error(self.version, kind, code).meaning().errno)
    }

    /// The words of a socket's call that gives this.
    fn words(&self, socket: &str, call: &str, gives: &Gives) -> String {
        let errno = |code| match code {
            Code::Is(errno) => errno,
            // The table's tests say that a row has a number where it tells of one.
            Code::OfIcmp | Code::RememberedOr(_) => self.errno().unwrap_or(Errno::HostUnreach),
        };
        match gives.result {
            Gave::Bytes(n) => format!("{socket} {call} {n}"),
            Gave::Eof => format!("{socket} {call} 0"),
            Gave::Again => format!("{socket} {call} {}", Errno::Again),
            Gave::Error(code) => format!("{socket} {call} {}", errno(code)),
            Gave::Entry => format!("{socket} {call} {}", errno(Code::OfIcmp)),
            Gave::Events(events) => format!("{socket} {call} {events}"),
        }
    }
}

impl Case {
    /// Whether a run of its scenario is what the row says. The first call that is not decides.
    #[must_use]
    pub fn compare(&self, run: &Run) -> Outcome {
        let mut heard = [CLIENT, SERVER].map(|node| (node, run.said_by(node)));
        for expected in &self.expected {
            let said =
                heard.iter_mut().find(|(node, _)| *node == expected.node).and_then(|(_, said)| said.next());
            let said = said.map(|remark| remark.said.to_string());
            let agrees = said.as_deref().is_some_and(|said| match expected.part {
                Part::Staging => begins(said, &expected.words),
                Part::Then(_) | Part::Seen => said == expected.words,
            });
            if !agrees {
                return self.differs(expected, said.as_deref());
            }
        }
        self.answered(run)
    }

    /// Whether the packets are those of the row, where no call shows what it does. Nobody knows if they were not recorded.
    fn answered(&self, run: &Run) -> Outcome {
        let row = row(self.row);
        let host = match row.state {
            State::SynReceived | State::Queued | State::TimeWait => SERVER,
            _ => CLIENT,
        };
        let sent = run.moments.iter().filter_map(|moment| match &moment.what {
            Happened::Sent { way, packet, .. } => Some((moment.at, way.from, packet)),
            _ => None,
        });
        let mut after = sent.skip_while(|(.., packet)| packet.fault.is_none());
        let Some((signal, ..)) = after.next() else {
            let shown_by_packets = matches!(
                (row.effect, row.state),
                (Effect::Challenges, _) | (Effect::Shrinks, State::Sending)
            );
            return match shown_by_packets && !run.moments.is_empty() {
                true => Outcome::NotStaged("the signal was not sent".to_owned()),
                false => Outcome::Agrees,
            };
        };
        let mut segments = after.filter_map(|(at, from, packet)| match &packet.body {
            Body::Tcp(segment) if from == host && packet.fault.is_none() => Some((at - signal, segment)),
            _ => None,
        });
        let (seen, what) = match (row.effect, row.state) {
            (Effect::Challenges, _) => {
                let bare =
                    |segment: &Segment| segment.ack.is_some() && segment.length() == 0 && !segment.flags.rst;
                let challenge = segments.find(|(later, segment)| *later < ANSWERS && bare(segment));
                (challenge.is_some(), "it is answered with an acknowledgement")
            }
            (Effect::Shrinks, State::Sending) => {
                let shorter = |segment: &Segment| (100..LONG).contains(&segment.payload.len());
                (segments.any(|(_, segment)| shorter(segment)), "shorter segments are sent")
            }
            _ => return Outcome::Agrees,
        };
        if seen {
            return Outcome::Agrees;
        }
        Outcome::Differs(format!("{self}: the table says that {what}, this kernel sent none"))
    }

    fn differs(&self, expected: &Expected, said: Option<&str>) -> Outcome {
        let (socket, rest) = expected.words.split_once(' ').unwrap_or(("", &expected.words));
        let (call, says) = rest.split_once(' ').unwrap_or((rest, "something"));
        // No call blocks: whoever says nothing was not asked, or not heard in time.
        let Some(said) = said else {
            return Outcome::NotStaged(format!("{socket} {call} was not heard before the end"));
        };
        let gave = said.strip_prefix(&format!("{socket} {call} ")).unwrap_or(said);
        match expected.part {
            Part::Staging => {
                Outcome::NotStaged(format!("{socket} {call} was to give {says} and gave {gave}"))
            }
            Part::Then(step) => Outcome::Differs(format!(
                "{self}: call {step}, {call}: the table says {says}, this kernel gave {gave}"
            )),
            Part::Seen => {
                let who = self.scenario.name(expected.node);
                Outcome::Differs(format!(
                    "{self}: by the table {who}'s {socket} {call} gives {says}, with this kernel it gave {gave}"
                ))
            }
        }
    }
}

/// From a signal to the answer of whom it reaches: the link there, and what a busy machine needs.
const ANSWERS: Duration = Duration::from_millis(100);

/// More bytes than fit into a segment when the path has become narrower.
const LONG: usize = 1_400;

/// Whether what is said begins with these words.
fn begins(said: &str, words: &str) -> bool {
    said.strip_prefix(words).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

impl fmt::Display for Case {
    /// The row's name with its protocol, the IP version, the message, and what else is particular.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = row(self.row);
        let udp = matches!(row.state, State::Connected | State::Unconnected);
        let (protocol, version) =
            (if udp { "" } else { "tcp/" }, if self.version == Version::V4 { 4 } else { 6 });
        write!(f, "{protocol}{} IPv{version}", row.name)?;
        if let Some((kind, code)) = self.icmp {
            write!(f, " {kind}/{code}")?;
        }
        if self.recverr && row.recverr.is_none() {
            f.write_str(" with RECVERR")?;
        }
        if let Some(first) = self.order.and_then(|at| ORDERS[at].then.first()) {
            write!(f, " {} first", first.call)?;
        }
        Ok(())
    }
}
