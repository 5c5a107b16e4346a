//! A kernel that is unkind within its rights, between a program and libc.
//!
//! # Theory of operation
//!
//! A kernel may interrupt any wait, report a readiness that has gone when the call comes, take one byte of many, and give
//! one datagram of many. It hardly ever does on an idle loopback device, so that a program which gets it wrong works in
//! every test. This library does it often. It defines the C library's socket calls anew; each asks the dice, bends what
//! comes of the call, and makes the real one.
//!
//! ```text
//!   adapter ─► socket2, nix, mio ─► recv, sendmmsg, epoll_wait … ─► here ─► libc ─► kernel
//!                                                                     │
//!                                              dice (seeded) ─────────┴───► tally: what was bent, of how many
//!
//!   a thread that sends signals without SA_RESTART ───► real EINTR, in calls that never pass libc too
//! ```
//!
//! Linked into a program (`use resound_adversity as _;`), or put before one by `LD_PRELOAD`, it is the same. Without a
//! [`PLAN`] in the environment it changes nothing.
//!
//! ```text
//! RESOUND_ADVERSITY=seed=7,eintr=10,again=10,short=30,ghost=10 RESOUND_ADVERSITY_REPORT=/tmp/tally \
//!   LD_PRELOAD=target/debug/libresound_adversity.so resound ping 192.0.2.7:7
//! ```
//!
//! # What is bent, and by what right
//!
//! | word | what | when a kernel does it |
//! |---|---|---|
//! | `eintr` | EINTR instead of the call, or of the wait | any signal (signal(7)). A `connect` has mostly begun all the same (POSIX); not if a supervisor was asked first (seccomp_unotify(2)) |
//! | `again` | EAGAIN from a call that would have moved something | what was reported is gone: a bad checksum, memory pressure (select(2), BUGS; `sk_stream_wait_memory`) |
//! | `short` | a stream gives or takes some of the bytes | small segments; a send buffer that is nearly full |
//! | `few` | `recvmmsg`, `sendmmsg` do some of the messages | the next one met an error, or came a moment later |
//! | `ghost` | a report of readiness that is not there, from `poll` and `epoll_wait` | as `again` |
//! | `aborted` | ECONNABORTED and its like from `accept4`, of a connection that nobody knows of | one that ended while it waited (accept(2), error handling) |
//! | `later` | a dial that is not over although the socket was reported, twice at most | as `ghost` |
//! | `pause` | once there is an edge, 100 µs pass before the bent call returns | the scheduler, at any time |
//!
//! Nothing is ever taken away: what a bent call held back is there for the next one.
//!
//! # Edges
//!
//! Whoever watches edge-triggered may sleep after EAGAIN or a short call until the next edge, and the manual promises one
//! (epoll(7), questions 9 and 10). A kernel that held something back without an edge would break that promise, and prove
//! nothing about the program. So the thing held back *arrives just now*: after the bend the registration is armed anew
//! (`EPOLL_CTL_MOD`), and the kernel reports it, to another thread maybe before the bent call has returned. Only calls
//! that say "some" where the manual promises nothing, as `sendmmsg` does, bring no edge.
//!
//! Hang-ups and, on TCP, errors are never invented: a kernel takes neither of them back.
//!
//! # What it cannot reach
//!
//! Calls that do not go through libc: `rustix`, and so `polling` and the reactor of smol, make theirs themselves. Their
//! waits are interrupted by the real signals, and what was reported and is gone is for them an `again` of the call.
//!
//! Of those that do, only the ones in [`Call`] are bent. `sendto`, `recvfrom`, `recvmsg`, `read`, `write`, `writev` and
//! `ppoll` are not, on whatever socket: a program under `LD_PRELOAD` that uses them meets the kernel as it is.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod calls;
mod edges;
mod plan;
mod real;
mod signals;
mod socket;
mod tally;

use std::sync::OnceLock;

pub use plan::{BadPlan, Kind, Plan};
pub use tally::{Call, Tally, tally};

/// The variable of the environment that holds the [`Plan`].
pub const PLAN: &str = "RESOUND_ADVERSITY";

/// The variable that names the file into which the [`Tally`] is written when the program exits.
pub const REPORT: &str = "RESOUND_ADVERSITY_REPORT";

/// The plan of this process. It is read when the first call is made.
fn plan() -> Option<&'static Plan> {
    static THE: OnceLock<Option<Plan>> = OnceLock::new();
    THE.get_or_init(|| {
        let text = std::env::var(PLAN).ok()?;
        let plan = text.parse().unwrap_or_else(|error| {
            eprintln!("{PLAN}={text}: {error}");
            std::process::exit(2)
        });
        tally::write_at_exit();
        signals::start(&plan);
        Some(plan)
    })
    .as_ref()
}
