//! A simulated network with simulated kernels: what resets, ICMP errors, FINs and silence do to sockets, for testing network
//! code, in virtual time.
//!
//! # Theory of operation
//!
//! A [`Scenario`] is data: who is there, what is asked, what goes wrong, what is expected. A [`World`] plays it: programs on
//! hosts make calls on simulated kernels, packets pass links and routers, and the [fault engine](faults) sees each of them. What
//! comes of it is a [`Run`]: what was said, what each fault did, and, if wanted, everything that passed.
//!
//! ```text
//!   text, generators ──► Scenario ──► World ──► Run ──► oracles: does it hold?
//!                           ▲                    └────► timeline, JSON lines, Mermaid, pcapng, coverage
//!                           └── engines: explore, soak, shrink ◄── what fails
//! ```
//!
//! Everything random has been decided in the scenario. So it replays without a seed, two runs of it have the same
//! [digest](Run::digest), and what an engine finds is a text that a person can read.
//!
//! ```
//! use resound_sim::{Echo, Record, Scenario, World};
//!
//! let scenario: Scenario = "
//!     host client ; router router ; host server
//!     link client <-> router 10ms ; link router <-> server 1ms
//!     0    server serve udp 7
//!     0    client connect udp server:7
//!     0.1  client send \"hello\"
//!     !1   server kill
//!     2    client send \"is anybody there?\"
//!     expect client up ; echo 1 ; lost 2 port-unreach
//! ".parse()?;
//! let run = World::new(&scenario, &mut Echo).play(Record::Everything);
//! assert!(scenario.unmet(&run.said).is_empty(), "{}", run.timeline(&scenario));
//! assert_eq!(run.ledger[0].as_str(), "acted");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where things are
//!
//! | module | has |
//! |---|---|
//! | [`scenario`] | scenarios as data; [their language](scenario::text); expectations |
//! | [`world`] | hosts, routers, links, virtual time; what a [`Program`](world::Program) and a [`Cast`](world::Cast) are |
//! | [`programs`] | drivers of machines: [`Dialing`](programs::Dialing), [`Listening`](programs::Listening), [`Datagrams`](programs::Datagrams); the cast of the core's [`Echo`] clients and servers |
//! | [`kernel`] | one host's kernel; the [`table`](kernel::table) that it obeys, row by row |
//! | [`faults`] | when each fault happens, and what it does to packets |
//! | [`packet`], [`wire`] | packets as values and as bytes |
//! | [`run`] | what a run gives; [timelines](run::timeline); [coverage](run::coverage) |
//! | [`library`] | the committed scenarios |
//! | [`oracle`] | what must hold of every run |
//! | [`engine`] | [replay](mod@engine::replay), [explore](engine::explore), [soak](engine::soak), [shrink](mod@engine::shrink), [generate](engine::generate), [staged](engine::staged) |
//! | `proptest` | strategies that shrink on the scenario (feature `proptest`) |
//!
//! # Your own protocol
//!
//! Write it as a [`Machine`](resound_core::stream::Machine), or take one that you have. A [`Cast`](world::Cast) says which
//! program a line of the script starts; a [`Trial`](engine::Trial) is a cast and what must hold. The guide *Test your own
//! protocol* (`docs/testing-your-protocol.md` in the repository) does it from beginning to end.
#![forbid(unsafe_code)]
#[cfg(feature = "arbitrary")]
mod arbitrary;
mod digest;
pub mod engine;
pub mod faults;
pub mod kernel;
pub mod library;
pub mod oracle;
pub mod packet;
pub mod programs;
#[cfg(feature = "proptest")]
pub mod proptest;
pub mod run;
pub mod scenario;
pub mod wire;
pub mod world;

pub use programs::Echo;
pub use run::{Record, Run};
pub use scenario::Scenario;
pub use world::World;

/// The programs in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
