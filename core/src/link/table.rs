//! The states of a link and what leads from one to the next, as a table that can be checked by eye.

use crate::table::transitions;

transitions! {
    /// Where a link stands.
    pub enum State {
        /// Not opened yet.
        Idle,
        /// A round of attempts is under way.
        Dialing,
        /// A connection stands, and its peer gives signs of life.
        Up,
        /// A connection stands, and its peer has left a probe unanswered.
        Suspect,
        /// A connection stands and is being closed: there will be no other one.
        Draining,
        /// No connection stands; the next round comes later.
        Waiting,
        /// Nothing will ever come again.
        Closed,
    }

    /// What moves a link.
    pub enum Input {
        /// The program opened it.
        Open,
        /// An attempt succeeded.
        Established,
        /// Every attempt of a round failed, or its time is over.
        RoundLost,
        /// A probe stayed unanswered.
        Missed,
        /// A byte came in.
        Heard,
        /// The connection is over: by FIN, by an error, or by conviction.
        Lost,
        /// The connection is over, and another dial is already under way.
        LostRedialing,
        /// The wait is over.
        Retry,
        /// The program wants to leave in good order.
        Drain,
        /// There is no use in trying on.
        GiveUp,
        /// The program closed or aborted it.
        Close,
    }

    Idle: Open => Dialing, Drain => Closed, Close => Closed;
    Dialing: Established => Up, RoundLost => Waiting, Drain => Closed, GiveUp => Closed, Close => Closed;
    Up: Missed => Suspect, Lost => Waiting, Drain => Draining, GiveUp => Closed, Close => Closed;
    Suspect: Missed => Suspect, Heard => Up, Established => Up, Lost => Waiting, LostRedialing => Dialing,
        Drain => Draining, GiveUp => Closed, Close => Closed;
    Draining: Missed => Draining, Heard => Draining, Lost => Closed, GiveUp => Closed, Close => Closed;
    Waiting: Retry => Dialing, Drain => Closed, GiveUp => Closed, Close => Closed;
    Closed:;
}
