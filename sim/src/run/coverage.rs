//! What runs have met: which signals reached programs in which stage, and which rows of the kernel table were obeyed.
//!
//! # Theory of operation
//!
//! A random test that never reaches the rare cases looks just as green as one that does. So each run counts two things:
//!
//! * for programs: in which [`Stage`] its peer was, as the program itself had said, when a call gave it a [`Met`];
//! * for kernels: how often each [row](crate::kernel::table::ROWS) of the table was obeyed.
//!
//! Counts of many runs are [added up](Coverage::add), and shown as a matrix. A cell that cannot be has its reason
//! ([`impossible`]). The number of cells that can be, and are not met, has a ceiling that is committed and may only
//! shrink.

use std::fmt::{self, Write as _};

use resound_core::signal::Errno;

use crate::kernel::table::{self, IcmpClass};
use crate::scenario::{Said, Transport};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $word:literal $explain:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $explain] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its word in the matrix.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

words! {
    /// Where a program stood with its peer, as it had said itself.
    Stage {
        Fresh "fresh" "It has said nothing yet.";
        Dialing "dialing" "It tries to connect, or to get a first answer.";
        Up "up" "The peer answers.";
        Suspect "suspect" "The peer has left a probe unanswered.";
        Waiting "waiting" "It waits before it tries again.";
        Serving "serving" "It serves whoever comes.";
    }
}

words! {
    /// What a call gave to a program.
    Met {
        Connected "connected" "A connect succeeded.";
        Data "data" "Bytes.";
        End "end" "The end of the peer's side: a read said 0.";
        Blocked "blocked" "EAGAIN from a write.";
        Refused "refused" "ECONNREFUSED.";
        Reset "reset" "ECONNRESET.";
        Pipe "pipe" "EPIPE.";
        TimedOut "timed-out" "ETIMEDOUT.";
        Unreachable "unreachable" "EHOSTUNREACH, ENETUNREACH, EHOSTDOWN or ENONET.";
        Prohibited "prohibited" "EACCES or EPERM.";
        Protocol "protocol" "EPROTO, ENOPROTOOPT or EOPNOTSUPP.";
        NoPort "no-port" "EADDRNOTAVAIL.";
        OtherErrno "other-errno" "Another error number.";
        SoftIcmp "soft-icmp" "A soft ICMP error in the error queue.";
        HardIcmp "hard-icmp" "A hard ICMP error in the error queue.";
        TooBig "too-big" "Fragmentation needed, or packet too big, in the error queue.";
        Overflow "overflow" "Datagrams were dropped for want of room.";
    }
}

impl Met {
    pub(crate) const fn errno(errno: Errno) -> Option<Self> {
        Some(match errno {
            Errno::Again | Errno::InProgress => return None,
            Errno::ConnRefused => Self::Refused,
            Errno::ConnReset => Self::Reset,
            Errno::Pipe => Self::Pipe,
            Errno::TimedOut => Self::TimedOut,
            Errno::HostUnreach | Errno::NetUnreach | Errno::HostDown | Errno::NoNet => Self::Unreachable,
            Errno::Acces | Errno::Perm => Self::Prohibited,
            Errno::Proto | Errno::NoProtoOpt | Errno::OpNotSupp => Self::Protocol,
            Errno::AddrNotAvail => Self::NoPort,
            _ => Self::OtherErrno,
        })
    }

    pub(crate) const fn icmp(class: IcmpClass) -> Option<Self> {
        Some(match class {
            IcmpClass::Soft => Self::SoftIcmp,
            IcmpClass::Hard => Self::HardIcmp,
            IcmpClass::TooBig => Self::TooBig,
            IcmpClass::Ignored => return None,
        })
    }
}

impl Stage {
    /// Where a program stands after it has said this.
    pub(crate) const fn after(self, said: &Said) -> Self {
        match said {
            Said::Dialing => Self::Dialing,
            Said::Up | Said::Echo(_) => Self::Up,
            Said::Suspect(_) => Self::Suspect,
            Said::Down(..) | Said::DialFailed(..) | Said::Retry { .. } => Self::Waiting,
            Said::Accepted | Said::Ended(_) => Self::Serving,
            _ => self,
        }
    }
}

/// What one run of a program has met: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetSet(u32);

impl MetSet {
    #[inline]
    pub(crate) const fn insert(&mut self, met: Met) {
        self.0 |= 1 << met as u32;
    }

    pub(crate) const fn contains(self, met: Met) -> bool {
        self.0 & (1 << met as u32) != 0
    }
}

const STAGES: usize = Stage::ALL.len();
const METS: usize = Met::ALL.len();

/// What runs have met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    met: [[[u64; METS]; STAGES]; 2],
    rows: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { met: [[[0; METS]; STAGES]; 2], rows: vec![0; table::count()] }
    }
}

impl Coverage {
    #[inline]
    pub(crate) fn count(&mut self, transport: Transport, stage: Stage, set: MetSet) {
        let cells = &mut self.met[transport as usize][stage as usize];
        let mut rest = set.0;
        while rest != 0 {
            cells[rest.trailing_zeros() as usize] += 1;
            rest &= rest - 1;
        }
    }

    pub(crate) fn row(&mut self, row: table::RowId) {
        self.rows[usize::from(row.0)] += 1;
    }

    /// Adds what another run has met.
    pub fn add(&mut self, other: &Self) {
        let cells = |coverage: &'_ Self| coverage.met.as_flattened().as_flattened().to_vec();
        let sums = self.met.as_flattened_mut().as_flattened_mut().iter_mut();
        sums.zip(cells(other)).for_each(|(sum, more)| *sum += more);
        self.rows.iter_mut().zip(&other.rows).for_each(|(sum, more)| *sum += more);
    }

    /// How often programs met this in this stage.
    #[must_use]
    pub fn met(&self, transport: Transport, stage: Stage, met: Met) -> u64 {
        self.met[transport as usize][stage as usize][met as usize]
    }

    /// How often each row of the kernel table was obeyed, in its order.
    #[must_use]
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// The cells that can be and were not met, by name: `tcp suspect refused`, `row udp/connected/…`.
    #[must_use]
    pub fn holes(&self) -> Vec<String> {
        let mut holes = Vec::new();
        for (transport, stage, met) in cells() {
            if self.met(transport, stage, met) == 0 && impossible(transport, stage, met).is_none() {
                holes.push(format!("{} {} {}", name(transport), stage.as_str(), met.as_str()));
            }
        }
        let rows = table::ROWS.iter().flat_map(|rows| rows.iter()).zip(&self.rows);
        let unmet =
            rows.filter(|(row, obeyed)| **obeyed == 0 && row.profile == crate::kernel::Profile::Linux);
        holes.extend(unmet.map(|(row, _)| format!("row {}", row.name)));
        holes
    }
}

impl Coverage {
    /// The cells that were met although [`impossible`] says that they cannot be, by name: its reason is wrong, or the
    /// simulator is, or the program is no client or server of the core.
    #[must_use]
    pub fn impossible_and_met(&self) -> Vec<String> {
        let met = cells().filter_map(|(transport, stage, met)| {
            let why = impossible(transport, stage, met).filter(|_| self.met(transport, stage, met) > 0)?;
            Some(format!("{} {} {}: {why}", name(transport), stage.as_str(), met.as_str()))
        });
        met.collect()
    }
}

fn cells() -> impl Iterator<Item = (Transport, Stage, Met)> {
    let both = [Transport::Tcp, Transport::Udp].into_iter();
    both.flat_map(|transport| {
        let stages = Stage::ALL.iter();
        stages.flat_map(move |&stage| Met::ALL.iter().map(move |&met| (transport, stage, met)))
    })
}

const fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

/// Why a cell of the matrix cannot be; `None` if it can.
#[must_use]
pub const fn impossible(transport: Transport, stage: Stage, met: Met) -> Option<&'static str> {
    match transport {
        Transport::Tcp => impossible_tcp(stage, met),
        Transport::Udp => impossible_udp(stage, met),
    }
}

const fn impossible_tcp(stage: Stage, met: Met) -> Option<&'static str> {
    use Met as M;
    use Stage as S;
    Some(match (stage, met) {
        (_, M::SoftIcmp | M::HardIcmp | M::TooBig) => "machines use TCP without IP_RECVERR",
        (_, M::Overflow) => "TCP drops nothing that it has acknowledged",
        (S::Fresh, _) => "a client says that it dials before it makes a call",
        (S::Waiting, _) => "no socket is open while a client waits",
        (S::Dialing, M::Data | M::End | M::Blocked | M::Pipe) => "not before it is connected",
        (S::Up | S::Suspect | S::Serving, M::Connected | M::NoPort) => "it is connected",
        (S::Suspect, M::TimedOut | M::Unreachable | M::Prohibited | M::Protocol | M::Refused) => {
            "a machine that suspects convicts before its kernel gives up (TCP_USER_TIMEOUT comes later)"
        }
        (S::Serving, M::Refused | M::Protocol | M::Prohibited) => {
            "a server's limits come before its kernel gives up"
        }
        _ => return None,
    })
}

const fn impossible_udp(stage: Stage, met: Met) -> Option<&'static str> {
    use Met as M;
    use Stage as S;
    Some(match (stage, met) {
        (S::Serving, _) => "a UDP server says nothing of single peers: it stays fresh",
        (_, M::Connected | M::End | M::Pipe | M::Blocked) => "UDP has no such thing",
        (_, M::Reset | M::TimedOut) => "Linux never says this of UDP",
        (_, M::NoPort) => "a port is taken before anything is said",
        (_, M::Refused | M::Protocol) => "the error queue is emptied before the call",
        (S::Waiting, M::Overflow) => {
            "nothing is sent while a client waits, and so little comes back that it fits"
        }
        _ => return None,
    })
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for transport in [Transport::Tcp, Transport::Udp] {
            writeln!(f, "## What programs met: {}\n", name(transport))?;
            let mut head = String::from("| |");
            let mut line = String::from("|---|");
            for stage in Stage::ALL {
                write!(head, " {} |", stage.as_str())?;
                line.push_str("---|");
            }
            writeln!(f, "{head}\n{line}")?;
            for &met in Met::ALL {
                write!(f, "| {} |", met.as_str())?;
                for &stage in Stage::ALL {
                    let met_here = self.met(transport, stage, met) > 0;
                    let cell = match (met_here, impossible(transport, stage, met)) {
                        (true, None) => "met",
                        (true, Some(_)) => "met (!)",
                        (false, None) => "**hole**",
                        (false, Some(_)) => "–",
                    };
                    write!(f, " {cell} |")?;
                }
                writeln!(f)?;
            }
            writeln!(f)?;
        }
        writeln!(f, "## Why a cell cannot be (–)\n")?;
        let mut told: Vec<&str> = Vec::new();
        for (transport, stage, met) in cells() {
            if let Some(why) = impossible(transport, stage, met).filter(|why| !told.contains(why)) {
                told.push(why);
                writeln!(f, "* {why}: {} {} {}, and others.", name(transport), stage.as_str(), met.as_str())?;
            }
        }
        writeln!(f, "\n## Rows of the kernel table (Linux)\n\n| row | obeyed |\n|---|---|")?;
        let rows = table::ROWS.iter().flat_map(|rows| rows.iter()).zip(&self.rows);
        for (row, obeyed) in rows.filter(|(row, _)| row.profile == crate::kernel::Profile::Linux) {
            writeln!(f, "| {} | {} |", row.name, if *obeyed > 0 { "yes" } else { "**no**" })?;
        }
        Ok(())
    }
}
