//! What the owner tells a link, and what the link wants done and known.

use core::time::Duration;

use crate::liveness::{KernelView, Writing};
use crate::signal::Cause;
use crate::stream::{Close, ConnId, Established};

/// What the owner tells a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Begin, with this many addresses, best first ([`MAX_TARGETS`](crate::race::MAX_TARGETS) at most; the rest are ignored).
    Open {
        /// How many.
        targets: u8,
    },
    /// From the next round on there is another list, of this many addresses.
    Targets {
        /// How many.
        targets: u8,
    },
    /// A dial ended.
    Dialed {
        /// Which.
        conn: ConnId,
        /// How.
        result: Result<Established, Cause>,
    },
    /// Something was sent, or queued to be, that must be answered.
    Sent {
        /// On which connection.
        conn: ConnId,
    },
    /// Bytes came in, any bytes: life.
    Heard {
        /// On which connection.
        conn: ConnId,
    },
    /// An answer came in: proof. Tell [`Told::Heard`] first.
    Answered {
        /// On which connection.
        conn: ConnId,
        /// How long it took; `None` if what it answers was sent more than once.
        round_trip: Option<Duration>,
    },
    /// Something that was sent will not be answered any more: on a network that loses, nobody waits for ever.
    Waived {
        /// On which connection.
        conn: ConnId,
    },
    /// A sign of trouble that proves nothing: it hastens a probe.
    Hint {
        /// On which connection or attempt.
        conn: ConnId,
        /// What it says, to be given as the reason if the peer stays silent.
        cause: Option<Cause>,
    },
    /// This side has lost what came in, or kept back what was to go out: that the last probe stayed unanswered counts for
    /// nothing, and an attempt gets more time.
    Voided {
        /// On which connection or attempt.
        conn: ConnId,
    },
    /// The connection is over.
    Ended {
        /// Which.
        conn: ConnId,
        /// Why.
        cause: Cause,
    },
    /// The peer said goodbye in its protocol, and when to come again if it cares.
    Goodbye {
        /// On which connection.
        conn: ConnId,
        /// Come again after this.
        retry_after: Option<Duration>,
    },
    /// The answer to [`Action::Examine`].
    Examined {
        /// Which connection.
        conn: ConnId,
        /// What the kernel knows.
        kernel: Option<KernelView>,
        /// Whether bytes wait that the kernel does not take.
        writing: Writing,
    },
    /// The host was suspended, or its addresses changed.
    Resumed,
    /// The program does not want to wait for the next round.
    Hurry,
    /// The program wants to leave in good order: no other connection after this one.
    Drain,
    /// End everything now.
    Close {
        /// How to close the connection that stands.
        how: Close,
    },
    /// Time passed.
    Tick,
}

/// What a link wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin to connect to the address with this index.
    Dial {
        /// The attempt.
        conn: ConnId,
        /// The address.
        target: u8,
    },
    /// Close the connection or give up the attempt.
    Close {
        /// Which.
        conn: ConnId,
        /// How.
        how: Close,
    },
    /// See to it that an answer is due on this connection.
    Probe {
        /// Which.
        conn: ConnId,
    },
    /// Read once, look into the kernel, answer [`Told::Examined`].
    Examine {
        /// Which.
        conn: ConnId,
    },
    /// Something the program wants to know.
    Event(Event),
}

/// What happened to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt begins. Ids count the attempts of a link from 1.
    Dialing {
        /// Its id.
        conn: ConnId,
        /// Index of the address.
        target: u8,
    },
    /// An attempt failed.
    DialFailed {
        /// Its id.
        conn: ConnId,
        /// Index of the address.
        target: u8,
        /// Why.
        cause: Cause,
    },
    /// A connection stands.
    Up {
        /// Its id.
        conn: ConnId,
        /// Index of its address.
        target: u8,
        /// What the driver knows of it.
        established: Established,
    },
    /// The peer left a probe unanswered, this many in a row.
    Suspect {
        /// How many.
        unanswered: u8,
    },
    /// The connection is over.
    Down {
        /// Its id.
        conn: ConnId,
        /// Why.
        cause: Cause,
        /// For how long nothing had come in.
        silent: Duration,
    },
    /// The next round begins after a wait.
    Retry {
        /// The level of the backoff.
        level: u32,
        /// How long the wait is, from now.
        delay: Duration,
    },
    /// The driver's timer call came late: this side was slow, and nobody is blamed for it.
    Stalled {
        /// By how much.
        late: Duration,
    },
    /// There will be no further attempt.
    GaveUp {
        /// Why the last one failed.
        cause: Cause,
    },
    /// The program closed it.
    Closed,
}
