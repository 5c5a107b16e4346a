//! A daemon that tells programs which of their UDP datagrams failed, and why.
//!
//! # Theory of operation
//!
//! A UDP socket that is not connected sends to many peers, and one of them is gone. The ICMP error that comes back says so,
//! and the classic API has no way to pass it on: the textbook's answer was a daemon with a raw socket (Stevens, *UNIX
//! Network Programming*, §28.7). Linux has a better one today, the error queue (`IP_RECVERR`), and Resound's adapters use
//! it. This daemon is for programs that cannot.
//!
//! ```text
//!   ICMP, ICMPv6 ──► sources ──► daemon ──► machine ──► one queue for each client ──► Unix socket
//!                                  ▲           ▲
//!      client's UDP socket ──► passed       table: what the kernel says of UDP sockets
//! ```
//!
//! | module | knows |
//! |---|---|
//! | [`machine`] | who is told what; all limits. Pure |
//! | [`table`] | which UDP sockets there are, and whose |
//! | [`protocol`] | the words between daemon and clients, for any language |
//! | [`sources`] | the raw sockets |
//! | [`privilege`] | how to give up everything after these are open |
//! | [`listener`] | the Unix socket: its place, its mode, its end |
//! | [`daemon`] | the loop |
//! | [`client`] | the other side, for programs in Rust |
//!
//! # What it takes care of
//!
//! * **Nobody reads others' errors.** A client passes its socket, or names a port that the kernel says is its user's. Both
//!   are looked up again whenever an error comes in, because ports change hands.
//! * **It holds no privilege** after the start, and keeps none of the descriptors that it is given.
//! * **It waits for nobody.** Clients that do not read lose lines, and are told how many. Everything is bounded.
//! * **It believes nothing.** ICMP can be forged, and each line says so.
//!
//! # The order of a start
//!
//! ```no_run
//! # #[cfg(target_os = "linux")] {
//! use resound_icmpd::daemon::Daemon;
//! use resound_icmpd::listener::{Access, Listener};
//! use resound_icmpd::machine::Limits;
//! use resound_icmpd::privilege::{Identity, give_up};
//! use resound_icmpd::protocol::default_socket;
//! use resound_icmpd::sources::Sources;
//! use resound_sockets::poll::Waker;
//!
//! let sources = Sources::open()?; // with CAP_NET_RAW
//! give_up(&Identity::default())?; // before any thread is started
//! let listener = Listener::bind(&default_socket(), &Access::Owner)?;
//! let stop = Waker::new()?;
//! Daemon::start(sources, listener, Limits::default())?.run(&stop, |line| println!("{line:?}"))?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Linux only: elsewhere this crate is empty.

#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

extern crate alloc;

pub mod client;
pub mod daemon;
pub mod listener;
pub mod machine;
mod passed;
pub mod privilege;
pub mod protocol;
pub mod sources;
pub mod table;
