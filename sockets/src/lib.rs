//! The operating system's facts that all of Resound's adapters share.
//!
//! # Theory of operation
//!
//! The core decides, and never makes a call. An adapter (std, smol, tokio, yours) sleeps and wakes as its runtime
//! does. What is left is the same for all of them, and is here: which calls to make, with which flags, and what
//! their answers mean.
//!
//! ```text
//!   resound-core     Step::Dial    Step::Write    Step::Examine    Step::Close      what to do
//!        │               │              │               │               │
//!       port             │     one line for each, on the runtime's own socket type
//!        │               ▼              ▼               ▼               ▼
//!   this crate       tcp::dial     tcp::write    tcp::read,          tcp::close     how to do it
//!                    finish_dial                 tcp::kernel_view
//!        │
//!     kernel         connect       sendmsg       recv, TCP_INFO      SO_LINGER, close
//! ```
//!
//! Nothing here waits. Every call works on a non-blocking socket, is made once (again only after EINTR), and says
//! `None` where the kernel says "not now". Nothing here knows a runtime: the functions take anything that is
//! [`AsFd`](std::os::fd::AsFd), so an adapter keeps its own socket types. There are two exceptions: [`poll`] is how a
//! thread without a runtime waits, and [`resolve`] asks the system's resolver, which blocks. Call them from a thread that
//! may wait.
//!
//! | module | knows |
//! |---|---|
//! | [`clock`] | which clock goes on while the machine is suspended |
//! | [`entropy`] | where seeds and keys come from |
//! | [`errno`] | the system's error numbers and the core's names for them |
//! | `icmp` | how to hear the ICMP errors of this host on raw sockets (Linux) |
//! | [`tcp`] | how to connect, read, write, close, listen and accept; what the kernel knows about a connection |
//! | [`poll`] | how a thread sleeps until a socket or another thread wakes it |
//! | [`pool`] | how to lend buffers without an allocation for each read |
//! | [`port`] | the sockets of one machine, over whatever a runtime's socket is: the calls of a turn, and which to spare |
//! | [`resolve`] | how people write a target, and which addresses it has |
//! | [`udp`] | how to bind, how to send and receive many datagrams at once, whose fault an error is |
//!
//! # What it takes care of
//!
//! * **`SO_ERROR` is read in one place**, [`tcp::finish_dial`], and only while the socket is not connected. Read on a
//!   connection that stands it takes away what the next `recv` would have said: a reset then looks like a clean end.
//! * **No write raises SIGPIPE**, even where the process has that signal at its default, as programs in C have.
//! * **No close blocks.** A socket with `SO_LINGER` set to some seconds blocks in `close` even if it is non-blocking.
//! * **A dial that reached itself is a failure.** A loop that dials a dead local server gets there sooner or later.
//! * **An error about one UDP peer takes no datagram from another.** The kernel fails the next send with it, whomever
//!   that is for.
//! * **A UDP answer comes from the address that was asked**, on a host with several too.
//! * **An error keeps its number.** `io::ErrorKind` folds many into one, and gives some no name at all.
//!
//! # Systems
//!
//! Tested on Linux. On other Unixes it is written to compile, and is not verified: there, [`tcp::kernel_view`] knows
//! nothing, `TCP_USER_TIMEOUT` is not set, [`clock::Clock`] may stand still in suspend, and [`udp`] has neither an error
//! queue nor batches.

#![deny(unsafe_code)]

pub mod clock;
pub mod entropy;
pub mod errno;
#[cfg(target_os = "linux")]
pub mod icmp;
pub mod poll;
pub mod pool;
pub mod port;
pub mod resolve;
mod start;
pub mod tcp;
pub mod udp;

pub use start::StartError;
