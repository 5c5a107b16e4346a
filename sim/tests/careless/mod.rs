//! A client with a bug, for the engines to find: it forgets, after it had to send something again, that an answer may come
//! twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use resound_core::Instant;
use resound_sim::kernel::{Fd, UdpOptions};
use resound_sim::scenario::{Command, Said, Transport};
use resound_sim::world::{Answer, Calls, Cast, Next, Program, Stage};
use resound_sim::{Echo, Scenario};

/// When it sends again.
const AGAIN: Duration = Duration::from_millis(200);

/// The careless client, with the core's servers.
pub(crate) struct Careless;

impl Cast for Careless {
    fn start(&mut self, stage: &Stage<'_>, command: &Command) -> Option<Box<dyn Program>> {
        match command {
            Command::Connect(Transport::Udp, peer, _) => Some(Box::new(Client {
                to: stage.addr(*peer),
                socket: None,
                next: 0,
                unanswered: BTreeMap::new(),
                believes_anything: false,
            })),
            _ => Echo.start(stage, command),
        }
    }
}

struct Client {
    to: SocketAddr,
    socket: Option<Fd>,
    next: u64,
    unanswered: BTreeMap<u64, Instant>,
    /// The bug.
    believes_anything: bool,
}

impl Client {
    fn send(&mut self, calls: &mut Calls<'_>, seq: u64) {
        if let Some(fd) = self.socket {
            let _ = calls.send_to(fd, Some(self.to), None, &seq.to_be_bytes());
            self.unanswered.insert(seq, calls.now() + AGAIN);
        }
    }
}

impl Program for Client {
    fn run(&mut self, calls: &mut Calls<'_>) -> Next {
        if self.socket.is_none() {
            self.socket = calls.udp(calls.any(0), &UdpOptions::default()).ok();
        }
        let Some(fd) = self.socket else { return Next::Exit };
        while calls.next_ready().is_some() {}
        let mut bytes = [0; 64];
        while let Ok(arrived) = calls.recv_from(fd, &mut bytes) {
            if arrived.length == 8 {
                let seq = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
                if self.unanswered.remove(&seq).is_some() || self.believes_anything {
                    calls.say(Said::Echo(seq));
                }
            }
        }
        let now = calls.now();
        let due: Vec<u64> =
            self.unanswered.iter().filter(|(_, at)| **at <= now).map(|(seq, _)| *seq).collect();
        for seq in due {
            self.believes_anything = true;
            self.send(calls, seq);
        }
        Next::Sleep(self.unanswered.values().min().copied())
    }

    fn ask(&mut self, calls: &mut Calls<'_>, command: &Command) -> Answer {
        if !matches!(command, Command::Send(_)) {
            return Answer::NotMine;
        }
        calls.say(Said::Sent(self.next));
        self.send(calls, self.next);
        self.next += 1;
        Answer::Taken
    }
}

/// A client that sends three messages over UDP.
#[allow(dead_code, reason = "only the search needs it")]
pub(crate) fn three_messages() -> Scenario {
    "host client ; host server
     link client <-> server 10ms
     until 8
     0.0 server serve udp 7
     0.0 client connect udp server:7 idle=2s probe=500ms misses=2
     0.1 client send \"a\" ; 0.2 client send \"b\" ; 1.0 client send \"c\""
        .parse()
        .expect("a scenario")
}
