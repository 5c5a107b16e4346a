//! Telling a record to a fresh machine.

use super::{Entry, Input, OwnedFact};
use crate::signal::Op;
use crate::stream::{ConnId, Machine, Step};
use crate::time::Instant;

/// Tells a record to a fresh machine of the same configuration and seed, and hands over each of its steps, with the
/// time that was told last. They are the steps of the recorded run, if that was driven by [`turn`](crate::stream::turn).
///
/// The machine is polled where `turn` polls it: not between a command and the tick after it, and not between a step
/// and its answer. Only rests that `turn` did not sleep on are missing: a [`Step::Wait`] that was followed by readiness
/// in the same turn may not show. A record that was cut off is replayed as far as it goes.
///
/// If the machine is another one (other code, configuration or seed), it gets answers to steps that it did not give;
/// it comes to no harm, and the replay still ends. Compare the steps.
pub fn replay<M: Machine>(
    machine: &mut M,
    record: impl IntoIterator<Item = Entry<M::Command>>,
    mut step: impl FnMut(Instant, Step<M::Target, M::Event>),
) {
    let mut record = record.into_iter().peekable();
    let mut now = Instant::EPOCH;
    let mut until = Until::Polled;
    loop {
        if matches!(until, Until::Dialed(_)) && !record.peek().is_some_and(|next| until.is_met(&next.input)) {
            until = Until::Now; // The outcome was not known at once.
        }
        while until != Until::Now {
            let Some(Entry { at, input }) = record.next() else { return };
            now = at;
            if until.is_met(&input) {
                until = Until::Now;
            }
            match input {
                Input::Fact(fact) => fact.tell(machine, at),
                Input::Command(command) => drop(machine.command(at, command)),
            }
        }
        drop(machine.reclaim());
        let next = machine.poll();
        until = match next {
            Step::Dial { conn, .. } => Until::Dialed(conn),
            Step::Examine { conn } => Until::Examined(conn),
            Step::Write { conn } => Until::Written(conn),
            Step::Wait(_) => Until::Polled,
            Step::Shutdown { .. } | Step::Close { .. } | Step::Event(_) => Until::Now,
        };
        step(now, next);
    }
}

/// How far to read on in the record before the machine is polled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// Not at all.
    Now,
    /// This dial has ended.
    Dialed(ConnId),
    /// This examination was answered.
    Examined(ConnId),
    /// This write was answered.
    Written(ConnId),
    /// Something was told after which `turn` polls. Commands, and facts that no call of a port gives, are told between
    /// two turns, and the next one begins with a tick.
    Polled,
}

impl Until {
    fn is_met<C>(self, input: &Input<C>) -> bool {
        let Input::Fact(fact) = input else { return false };
        match (self, fact) {
            (Self::Now, _) => true,
            (Self::Dialed(asked), OwnedFact::Dialed { conn, .. })
            | (Self::Examined(asked), OwnedFact::Examined { conn, .. })
            | (
                Self::Written(asked),
                OwnedFact::Wrote { conn, .. }
                | OwnedFact::Blocked { conn }
                | OwnedFact::Failed { conn, op: Op::Write, .. },
            ) => asked == *conn,
            (Self::Polled, fact) => !matches!(fact, OwnedFact::Resumed | OwnedFact::Hint { .. }),
            _ => false,
        }
    }
}
