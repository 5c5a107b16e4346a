//! Other orders of the same calls: which of them takes the error depends on which comes first.

use resound_core::signal::Errno;

use super::super::{Code, Gives, Verified};
use super::MEASURED;
use super::calls::*;

use Code::{Is, OfIcmp};

/// What else a row gives, when its calls are made in another order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// The row's name.
    pub row: &'static str,
    /// The calls, in this order, and what they give.
    pub then: &'static [Gives],
    /// Where this was seen.
    pub verified: Verified,
}

const fn order(row: &'static str, then: &'static [Gives]) -> Order {
    Order { row, then, verified: MEASURED }
}

/// The one who asks first takes the error.
#[rustfmt::skip]
pub const ORDERS: &[Order] = &[
    order("idle/rst-exact", &[send(Is(Errno::ConnReset)), PIPE, EOF, EOF]),
    order("idle/rst-exact", &[so_error(Is(Errno::ConnReset)), EOF, PIPE]),
    order("unread/rst-exact", &[send(Is(Errno::ConnReset)), PIPE, DATA, EOF]),
    order("unread/rst-exact", &[so_error(Is(Errno::ConnReset)), DATA, EOF, PIPE]),
    order("close-wait/rst-exact", &[EOF, so_error(Is(Errno::Pipe)), OVER, EOF, PIPE]),
    order("syn-sent/refusal", &[so_error(Is(Errno::ConnRefused)), EOF, PIPE]),
    order("syn-sent/refusal", &[send(Is(Errno::ConnRefused)), PIPE, EOF]),
    order("idle/icmp-hard/recverr", &[send(OfIcmp), SENT, AGAIN]),
    order("idle/icmp-soft/recverr", &[so_error(OfIcmp), CLEAN, SENT, AGAIN]),
    order("sending/retries-exhausted", &[send(Is(Errno::TimedOut)), PIPE, EOF]),
];
