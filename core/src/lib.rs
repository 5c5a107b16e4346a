//! When a peer is gone, why, and when to try again.
//!
//! Every network program must know, soon and for certain, that its peer is gone, why, and when to try again. This crate
//! decides it: purely, in virtual time if need be, the same way under every runtime. It contains no clock, no
//! randomness of its own, no sockets, no threads and no logging.
//!
//! # The blocks, smallest first
//!
//! | module | decides |
//! |---|---|
//! | [`Instant`] | (time, as the driver tells it) |
//! | [`signal`] | what an errno or an ICMP message means: reason, origin, soft or hard, again or never |
//! | [`backoff`] | when to try again |
//! | [`liveness`] | when to probe, when to suspect, when to convict, and of what |
//! | [`race`] | which of several addresses to try next, and when |
//! | [`budget`] | how many links of one process may try at once |
//! | [`link`] | one peer: all of the above, for any protocol |
//! | [`stream`] | echo over byte streams: [a client](stream::client), [a server's side](stream::server), [who is let in](stream::admission); and the contract with whoever drives them |
//! | [`datagram`] | echo with many peers on one socket; and the contract with whoever drives it |
//!
//! Each block works alone; those above `link` use no heap.
//!
//! # The contract
//!
//! A machine is told facts ([`stream::Fact`]) and asked for steps ([`stream::Step`]). It never fails, never blocks and
//! never reads a clock; a driver does what it says and tells what happened. [`stream`] has the rules, and
//! [`stream::turn`] a driver's whole turn, to be used over any [`stream::Port`].
//!
//! * **Misuse and misfortune are different types.** What a call returns as `Err` is the caller's mistake or a full
//!   queue, and gives the command back; what the network did arrives as an event.
//! * **Deadlines are complete.** Whatever a timer would act on is in [`stream::Machine::next_deadline`]; after a due
//!   tick the deadline lies later, or there is something to do: never a busy loop, never an idle wedge.
//! * **Deterministic.** The same seed and the same inputs give the same outputs, on every platform.
//! * **Bounded.** Every queue has a limit that is part of the configuration.
//! * **No allocation** in the steady state of an echo, and no copy of a payload.
//! * **Panic-free.** A configuration that cannot work is refused by name ([`BadConfig`]) when the machine is built; one
//!   that is accepted works for every input.
//!
//! # An echo without a network
//!
//! ```
//! use resound_core::Instant;
//! use resound_core::stream::client::{Client, Command, Config, Event};
//! use resound_core::stream::{Chunk, Established, Fact, Machine, Step};
//!
//! let now = Instant::EPOCH;
//! let mut client = Client::new(Config::default(), 42, ["192.0.2.1:7"])?;
//! client.handle(now, Fact::Tick);
//! loop {
//!     match client.poll() {
//!         Step::Dial { conn, .. } => {
//!             client.handle(now, Fact::Dialed { conn, result: Ok(Established::default()) });
//!             client.command(now, Command::Send("hello".into()))?;
//!         }
//!         Step::Write { conn } => {
//!             // A perfect network: what is written comes straight back.
//!             let mut unsent: [&[u8]; 1] = [b""];
//!             client.unsent(conn, &mut unsent);
//!             let mut chunk = Chunk::with_capacity(64);
//!             let n = unsent[0].len();
//!             chunk.spare()[..n].copy_from_slice(unsent[0]);
//!             chunk.filled(n);
//!             client.handle(now, Fact::Wrote { conn, n });
//!             client.handle(now, Fact::Received { conn, chunk: &mut chunk });
//!         }
//!         Step::Event(Event::Echoed { payload, .. }) => {
//!             assert_eq!(payload, "hello");
//!             client.command(now, Command::Close)?;
//!         }
//!         Step::Event(Event::Closed) => break,
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]

extern crate alloc;

pub mod backoff;
pub mod budget;
mod config;
pub mod datagram;
pub mod link;
pub mod liveness;
pub mod race;
mod rng;
pub mod signal;
mod sources;
pub mod stream;
mod table;
mod time;

pub use config::BadConfig;
pub use rng::Rng;
pub use stream::{Chunk, ConnId};
pub use time::Instant;
