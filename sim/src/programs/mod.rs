//! Programs: what drives machines and scripts on a simulated host.
//!
//! [`Dialing`] runs any machine over byte streams that dials, [`Listening`] a machine for each connection that it accepts,
//! [`Datagrams`] any machine over datagrams. They bind the very [`turn`](resound_core::stream::turn) that other adapters
//! use to simulated sockets. The [`shell`] makes the single calls of a script. [`Echo`] is the usual cast,
//! and [`words`] is what it says.

mod datagrams;
mod dialing;
mod echo;
mod listening;
pub mod shell;
mod sockets;
pub mod words;

pub use datagrams::{Bind, Datagrams};
pub use dialing::Dialing;
pub use echo::Echo;
pub use listening::Listening;
pub use sockets::Dialable;

/// The shell of a simulated host.
pub(crate) type Shell = shell::Shell<crate::kernel::Fd>;
