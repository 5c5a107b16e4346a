//! Peers with faults: real sockets on loopback, each ended when it is dropped.
//!
//! * [`Peer`]: a server that echoes, until it is told to be silent, to die, to reset, or to come back.
//! * [`Refusing`]: a port on which nobody listens, and that nobody else gets meanwhile.
//! * [`Silent`]: a listener whose queue is full, so that a connect meets silence.
//! * [`UdpPeer`]: a UDP server that echoes, until it is told to do otherwise.
//! * [`ClosedPort`]: a UDP port that nobody serves.
//!
//! None of them knows anything of the core or of a runtime.

mod datagrams;
mod ports;
mod server;

pub(crate) use datagrams::{ClosedPort, Manner, UdpPeer};
pub(crate) use ports::{Refusing, Silent};
pub(crate) use server::{Conduct, Peer};
