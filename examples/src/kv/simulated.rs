//! Client and server in the simulated network, and what must hold there.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use resound_core::stream::Machine as _;
use resound_core::{Instant, link};
use resound_sim::kernel::TcpOptions;
use resound_sim::oracle::{Broken, Oracle};
use resound_sim::programs::{Dialing, Listening};
use resound_sim::scenario::{Command, NodeId, Said, Transport};
use resound_sim::world::{Cast, Program, Stage};
use resound_sim::{Run, Scenario};

use super::client::{self, Client};
use super::server::{self, Connection};
use super::store::{Numbers, Repeats, Store};

/// Who plays: what the scenario's `serve`, `connect`, `do` and `close` mean.
#[derive(Debug)]
pub struct Kv {
    /// All that survives when the server's host loses its power.
    store: Arc<Mutex<Store>>,
}

impl Kv {
    /// With an empty store.
    #[must_use]
    pub fn new(repeats: Repeats) -> Self {
        Self { store: Arc::new(Mutex::new(Store::new(repeats))) }
    }
}

impl Cast for Kv {
    fn start(&mut self, stage: &Stage<'_>, command: &Command) -> Option<Box<dyn Program>> {
        match command {
            Command::Serve(Transport::Tcp, port) => {
                let store = Arc::clone(&self.store);
                let make = move |_, now| Connection::new(Arc::clone(&store), now);
                Some(Box::new(Listening::new(*port, 128, TcpOptions::default(), make, describe_server)))
            }
            Command::Connect(Transport::Tcp, peer, _) => {
                let made = Client::new(link::Config::default(), stage.seed, stage.addr(*peer)).ok()?;
                Some(Box::new(Dialing::new(made, TcpOptions::default(), describe_client, command_client)))
            }
            _ => None,
        }
    }
}

/// What the client's events are called in a timeline, and in expectations.
fn describe_client(event: client::Event) -> Option<Said> {
    Some(match event {
        client::Event::Dialing => Said::Dialing,
        client::Event::Up => Said::Up,
        client::Event::Answer { request, answer } => Said::other(format_args!("{request} = {answer}")),
        client::Event::Down(cause) => Said::down(&cause),
        client::Event::Ended { .. } => Said::Closed,
    })
}

fn describe_server(event: server::Event) -> Option<Said> {
    Some(match event {
        server::Event::Answered { request, answer } => Said::other(format_args!("{request}: {answer}")),
        server::Event::Ended(cause) => Said::Ended(cause.reason),
    })
}

/// `do add apples 1` asks for that.
fn command_client(
    client: &mut Client<SocketAddr>,
    now: Instant,
    command: &Command,
) -> Option<Result<Option<Said>, String>> {
    let command = match command {
        Command::Do(words) => client::Command::Ask(words.join(" ")),
        Command::Close => client::Command::Close,
        _ => return None,
    };
    let said = match &command {
        client::Command::Ask(request) => Some(Said::other(format_args!("asks {request}"))),
        client::Command::Close => None,
    };
    Some(client.command(now, command).map(|()| said).map_err(|_| "it was refused".to_owned()))
}

/// Each answer is right: it is the one of numbers to which each request was done once, in the order of asking.
///
/// It holds for scenarios with one client. It does not see how often the server did what.
pub fn exactly_once(client: NodeId) -> impl Oracle {
    move |_: &Scenario, run: &Run| {
        let mut numbers = Numbers::default();
        let mut due = VecDeque::new();
        for remark in run.said_by(client) {
            let said = remark.said.to_string();
            if let Some(request) = said.strip_prefix("asks ") {
                due.push_back(format!("{request} = {}", numbers.execute(request)));
            } else if said.contains(" = ") {
                let right = due.pop_front().unwrap_or_default();
                if said != right {
                    return Err(Broken::new("exactly-once", format!("{said:?}, and should be {right:?}")));
                }
            }
        }
        Ok(())
    }
}
