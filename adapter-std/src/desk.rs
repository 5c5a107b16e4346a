//! Messages whose end concerns somebody else than the thread that drives the client.
//!
//! ```text
//!   driving thread:   next_event ─► Echoed 7 ── nobody's ──► returned
//!                                   Echoed 8 ── awaited ───► the thread that waits in ClientHandle::echo
//!                                   Echoed 9 ── given up ──► dropped
//! ```
//!
//! Every message runs to its end, even if the one who sent it no longer waits.

use core::fmt;
use core::hash::Hash;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use resound_core::signal::Cause;
use resound_core::{datagram, stream};

use crate::driver::Quiet;

/// How many events a client's `echo` keeps for its `next_event`; the oldest are dropped first.
pub const EVENTS_KEPT: usize = 1_024;

/// A message that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The payload that was moved in.
    pub payload: Bytes,
    /// Over TCP, from the write of its last byte to the arrival of its last byte; over UDP, from when it was handed to the
    /// socket to when it was read from it.
    pub round_trip: Duration,
}

/// Why a message did not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EchoError<Refused = stream::client::Refused> {
    /// It was not accepted.
    Refused(Refused),
    /// It was accepted, and lost.
    Lost {
        /// The payload that was moved in.
        payload: Bytes,
        /// Why.
        cause: Cause,
    },
    /// It has not come back in time. It keeps its place until it ends; its end will not be told.
    TimedOut,
}

/// How a message ended.
pub(crate) enum End {
    Echoed(Echo),
    Lost { payload: Bytes, cause: Cause },
}

/// Events some of which are the ends of messages.
pub(crate) trait Telling: Sized {
    type Seq: Copy + Eq + Hash;

    /// The message that ends with this event.
    fn ended(&self) -> Option<Self::Seq>;

    /// How it ends.
    fn end(self) -> Option<End>;
}

/// Whom the ends of messages concern; shared by a client and its handles.
pub(crate) struct Desk<Seq>(Mutex<HashMap<Seq, Concerns>>);

enum Concerns {
    Waiter(SyncSender<End>),
    Nobody,
}

/// What a client has told and nobody has seen.
pub(crate) struct Inbox<E: Telling> {
    desk: Arc<Desk<E::Seq>>,
    /// What happened during `echo` and was not about its message.
    kept: VecDeque<E>,
}

impl<Seq: Copy + Eq + Hash> Desk<Seq> {
    /// Sends a message, and waits until the driving thread has seen its end.
    ///
    /// `send` calls its argument with the message's number under the machine's lock: before anybody can see its end.
    pub(crate) fn echo<Refused>(
        &self,
        timeout: Duration,
        send: impl FnOnce(&mut dyn FnMut(Seq)) -> Result<Seq, Refused>,
    ) -> Result<Echo, EchoError<Refused>> {
        let (waiter, end) = sync_channel(1);
        let mut waiter = Some(waiter);
        let mut note =
            |seq| drop(waiter.take().map(|waiter| self.concerns().insert(seq, Concerns::Waiter(waiter))));
        send(&mut note).map_err(EchoError::Refused)?;
        // A message whose waiter is gone is still awaited: its end finds nobody there, and is dropped.
        match end.recv_timeout(timeout) {
            Ok(end) => end.result(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(EchoError::TimedOut),
        }
    }

    /// Nothing panics while it is held.
    fn concerns(&self) -> MutexGuard<'_, HashMap<Seq, Concerns>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an event to whom it concerns; back, if that is the driver.
    fn pass_on<E: Telling<Seq = Seq>>(&self, event: E) -> Option<E> {
        let remove = |seq| {
            let mut concerns = self.concerns();
            // To look for nothing in nothing costs a hash.
            if concerns.is_empty() { None } else { concerns.remove(&seq) }
        };
        match event.ended().and_then(remove) {
            None => return Some(event),
            Some(Concerns::Nobody) => {}
            Some(Concerns::Waiter(waiter)) => {
                if let Some(end) = event.end() {
                    // It has room for one; where it fails, nobody waits any more.
                    let _ = waiter.try_send(end);
                }
            }
        }
        None
    }
}

impl<E: Telling> Inbox<E> {
    pub(crate) fn new(desk: Arc<Desk<E::Seq>>) -> Self {
        Self { desk, kept: VecDeque::new() }
    }

    /// The oldest event that was kept.
    pub(crate) fn kept(&mut self) -> Option<E> {
        self.kept.pop_front()
    }

    /// The next event of the machine that is not awaited elsewhere. `drive` drives it to its next event.
    pub(crate) fn next(&self, mut drive: impl FnMut() -> Result<E, Quiet>) -> Result<E, Quiet> {
        loop {
            if let Some(event) = self.desk.pass_on(drive()?) {
                return Ok(event);
            }
        }
    }

    /// Drives the machine until the driving thread's own message has ended.
    pub(crate) fn wait_for<Refused>(
        &mut self,
        mine: E::Seq,
        mut drive: impl FnMut() -> Result<E, Quiet>,
    ) -> Result<Echo, EchoError<Refused>> {
        loop {
            match self.next(&mut drive) {
                Ok(event) if event.ended() == Some(mine) => {
                    if let Some(end) = event.end() {
                        return end.result();
                    }
                }
                Ok(event) => {
                    if self.kept.len() == EVENTS_KEPT {
                        self.kept.pop_front();
                    }
                    self.kept.push_back(event);
                }
                // A machine does not finish before its messages have ended, so this is about time in both cases.
                Err(Quiet::TimedOut | Quiet::Finished) => {
                    self.desk.concerns().insert(mine, Concerns::Nobody);
                    return Err(EchoError::TimedOut);
                }
            }
        }
    }
}

impl End {
    fn result<Refused>(self) -> Result<Echo, EchoError<Refused>> {
        match self {
            Self::Echoed(echo) => Ok(echo),
            Self::Lost { payload, cause } => Err(EchoError::Lost { payload, cause }),
        }
    }
}

/// Both clients' events tell the end of a message alike.
macro_rules! telling {
    ($($client:ident)::+) => {
        impl Telling for $($client)::+::Event {
            type Seq = $($client)::+::Seq;

            fn ended(&self) -> Option<Self::Seq> {
                match self {
                    Self::Echoed { seq, .. } | Self::Lost { seq, .. } => Some(*seq),
                    _ => None,
                }
            }

            fn end(self) -> Option<End> {
                match self {
                    Self::Echoed { payload, round_trip, .. } => Some(End::Echoed(Echo { payload, round_trip })),
                    Self::Lost { payload, cause, .. } => Some(End::Lost { payload, cause }),
                    _ => None,
                }
            }
        }
    };
}

telling!(stream::client);
telling!(datagram::client);

impl<Seq> Default for Desk<Seq> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Seq> fmt::Debug for Desk<Seq> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl<Refused: fmt::Display> fmt::Display for EchoError<Refused> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Lost { cause, .. } => write!(f, "the message was lost: {cause}"),
            Self::TimedOut => f.write_str("the message has not come back in time"),
        }
    }
}

impl<Refused: core::error::Error + 'static> core::error::Error for EchoError<Refused> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::Lost { .. } | Self::TimedOut => None,
        }
    }
}
