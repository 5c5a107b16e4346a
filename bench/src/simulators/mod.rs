//! Simulated networks at work: the same echoes and the same idle sessions in each.
//!
//! Two hosts and a link of [`DELAY`]. A client keeps some messages of [`PAYLOAD`] bytes in flight and sends a new one for
//! each that comes back; or it is idle and only its heartbeat passes. In ours both ends are whole machines of the core, on
//! simulated kernels. In the others they are what their users write: a loop around the sockets of the runtime that the
//! simulator stands for.

use core::time::Duration;

pub mod on_bach;
pub mod on_turmoil;
pub mod ours;

/// From one host to the other.
pub const DELAY: Duration = Duration::from_millis(1);

/// Bytes of each message.
pub const PAYLOAD: usize = 64;

const MESSAGE: [u8; PAYLOAD] = [7; PAYLOAD];

/// Between two heartbeats by hand: the mean of what our client waits for, which is 75 to 100 % of 15 s.
const HEARTBEAT: Duration = Duration::from_millis(13_125);

/// The port that echoes.
const PORT: u16 = 7;

/// Over what is echoed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A byte stream.
    Tcp,
    /// Datagrams.
    Udp,
}
