//! A message that somebody waits for, from its acceptance to its end.
//!
//! A client's events tell how each message ended. Those whose end somebody awaits have a place at the client's desk,
//! where the event is handed over instead. A future that is dropped takes nothing back: before its message was accepted
//! nothing was sent; afterwards the message runs to its end, and its result is discarded.

use alloc::sync::Arc;
use core::fmt;
use core::hash::Hash;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use resound_core::signal::Cause;
use resound_core::stream::client;

/// A message that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// What was sent, and came back byte for byte: the very buffer that was moved in.
    pub payload: Bytes,
    /// Over TCP, from the write of its last byte to the arrival of its last byte; over UDP, from when it was handed to the
    /// socket to when it was read from it.
    pub round_trip: Duration,
}

/// Why a message did not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EchoError<Refused = client::Refused> {
    /// It was not accepted, and nothing was sent.
    Refused(Refused),
    /// It was accepted, and lost. The peer may have seen it.
    Lost {
        /// The payload that was moved in.
        payload: Bytes,
        /// Why.
        cause: Cause,
    },
}

impl<Refused: fmt::Display> fmt::Display for EchoError<Refused> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Lost { cause, .. } => write!(f, "lost: {cause}"),
        }
    }
}

impl<Refused: fmt::Debug + fmt::Display> core::error::Error for EchoError<Refused> {}

/// How a message ended.
pub(crate) enum End {
    Echoed(Echo),
    Lost { payload: Bytes, cause: Cause },
}

/// Why a payload was not sent.
pub(crate) enum Unsent<Refused> {
    /// There is no place now.
    Full(Bytes),
    /// There never will be one for this.
    Refused(Refused),
}

/// Where the ends of messages wait for those who asked.
pub(crate) struct Desk<Seq> {
    places: Mutex<HashMap<Seq, Place>>,
}

enum Place {
    Waiting(Waker),
    Ready(End),
    /// Whoever asked has gone.
    Left,
}

impl<Seq: Copy + Eq + Hash> Desk<Seq> {
    /// Nothing panics while it is held.
    fn places(&self) -> MutexGuard<'_, HashMap<Seq, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has asked for the end of this message.
    pub(crate) fn awaits(&self, seq: Seq) -> bool {
        self.places().contains_key(&seq)
    }

    /// Gives the end of a message to whoever waits for it.
    pub(crate) fn settle(&self, seq: Seq, end: End) {
        let mut places = self.places();
        let Some(place) = places.get_mut(&seq) else { return };
        match core::mem::replace(place, Place::Ready(end)) {
            Place::Waiting(waker) => {
                drop(places);
                waker.wake();
            }
            Place::Left | Place::Ready(_) => {
                places.remove(&seq);
            }
        }
    }

    fn poll(&self, seq: Seq, cx: &mut Context<'_>) -> Poll<End> {
        let mut places = self.places();
        match places.remove(&seq) {
            Some(Place::Ready(end)) => Poll::Ready(end),
            Some(Place::Waiting(old)) => {
                places.insert(seq, Place::Waiting(cx.waker().clone()));
                // Dropping a waker may run other people's code, which may come here.
                drop(places);
                drop(old);
                Poll::Pending
            }
            Some(Place::Left) | None => Poll::Pending,
        }
    }

    fn leave(&self, seq: Seq) {
        let mut places = self.places();
        if let Some(Place::Waiting(_)) = places.get(&seq) {
            places.insert(seq, Place::Left);
        } else {
            places.remove(&seq);
        }
    }
}

impl<Seq> Default for Desk<Seq> {
    fn default() -> Self {
        Self { places: Mutex::default() }
    }
}

/// One message on its way, for a future to hold.
pub(crate) struct Errand<Seq: Copy + Eq + Hash> {
    desk: Arc<Desk<Seq>>,
    stage: Stage<Seq>,
}

enum Stage<Seq> {
    Unsent(Bytes),
    Sent(Seq),
    Over,
}

impl<Seq: Copy + Eq + Hash> Errand<Seq> {
    pub(crate) fn new(desk: &Arc<Desk<Seq>>, payload: Bytes) -> Self {
        Self { desk: desk.clone(), stage: Stage::Unsent(payload) }
    }

    /// Sends if that is still to be done, and waits for the end. Polled again after it was ready, it is pending for ever.
    ///
    /// `send` sends, and calls its last argument with the number that the message got: under the machine's lock, before
    /// anybody can drive it on and wake anybody.
    pub(crate) fn poll<Refused>(
        &mut self,
        cx: &mut Context<'_>,
        send: impl FnOnce(Bytes, &mut Context<'_>, &dyn Fn(Seq)) -> Result<Seq, Unsent<Refused>>,
    ) -> Poll<Result<Echo, EchoError<Refused>>> {
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Unsent(payload) => {
                let (desk, waker) = (&self.desk, cx.waker().clone());
                // Here the desk is locked while the machine is; nowhere the other way round.
                let take_place = |seq| drop(desk.places().insert(seq, Place::Waiting(waker.clone())));
                let sent = send(payload, cx, &take_place);
                self.stage = match sent {
                    Ok(seq) => Stage::Sent(seq),
                    Err(Unsent::Full(payload)) => Stage::Unsent(payload),
                    Err(Unsent::Refused(refused)) => return Poll::Ready(Err(EchoError::Refused(refused))),
                };
                Poll::Pending
            }
            Stage::Sent(seq) => match self.desk.poll(seq, cx) {
                Poll::Ready(End::Echoed(echo)) => Poll::Ready(Ok(echo)),
                Poll::Ready(End::Lost { payload, cause }) => {
                    Poll::Ready(Err(EchoError::Lost { payload, cause }))
                }
                Poll::Pending => {
                    self.stage = Stage::Sent(seq);
                    Poll::Pending
                }
            },
            Stage::Over => Poll::Pending,
        }
    }
}

impl<Seq: Copy + Eq + Hash> Drop for Errand<Seq> {
    fn drop(&mut self) {
        if let Stage::Sent(seq) = self.stage {
            self.desk.leave(seq);
        }
    }
}

impl<Seq> fmt::Debug for Desk<Seq> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl<Seq: Copy + Eq + Hash> fmt::Debug for Errand<Seq> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Unsent(_) => "unsent",
            Stage::Sent(_) => "sent",
            Stage::Over => "over",
        })
    }
}
