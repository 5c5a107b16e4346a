//! Agents, without a network between them: each test has a network namespace of its own, whose loopback device has the
//! addresses of a scenario's hosts. For that it has to be root; otherwise it says so and does nothing.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use resound_core::signal::Version;
use resound_lab::agent::{Agent, Brief, Launcher, Life, Told};
use resound_lab::suite::Player;
use resound_sim::Scenario;
use resound_sim::scenario::NodeId;

/// No test takes that long, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Puts this thread, and what it starts, into a namespace with these hosts' addresses. False, with the reason printed,
/// where that is not allowed.
fn alone(hosts: u8) -> bool {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
        println!("skipped: no network namespace can be made here ({errno}); run it as root");
        return false;
    }
    let ip = |arguments: &str| {
        let done = Command::new("ip").args(arguments.split(' ')).status();
        assert!(done.as_ref().is_ok_and(std::process::ExitStatus::success), "ip {arguments}: {done:?}");
    };
    ip("link set lo up");
    for host in 1..=hosts {
        ip(&format!("addr add 10.0.0.{host}/32 dev lo"));
        ip(&format!("addr add fd00::{host}/128 dev lo nodad"));
    }
    true
}

fn everywhere(mut test: impl FnMut(Player, Version)) {
    for player in Player::ALL {
        for version in [Version::V4, Version::V6] {
            test(player, version);
        }
    }
}

fn scenario(text: &str, version: Version) -> Arc<Scenario> {
    let mut scenario: Scenario = text.parse().unwrap_or_else(|bad| panic!("{bad}"));
    scenario.version = version;
    Arc::new(scenario)
}

/// An agent, and what it has said and nobody has looked at.
struct Host {
    agent: Agent,
    told: Vec<Told>,
}

impl Host {
    fn start(player: Player, scenario: &Arc<Scenario>, host: u8) -> Self {
        let launcher = Launcher::new(env!("CARGO_BIN_EXE_resound-lab-agent"), &[]);
        let brief = Brief { player, host: NodeId(host), scenario: scenario.clone() };
        let mut agent = Agent::start(&launcher, &brief, |mut command| command.spawn()).unwrap();
        agent.wait_until_ready(PATIENCE).unwrap();
        Self { agent, told: Vec::new() }
    }

    /// Reads a line of the script to it, and waits until that is carried out.
    fn ask(&mut self, line: u32) -> &mut Self {
        self.agent.ask(line, 1).unwrap();
        self.hear_until("it is done", |host| host.agent.open() == 0)
    }

    /// Waits until this is said: that is next.
    fn says(&mut self, words: &str) -> &mut Self {
        self.hear_until(words, |host| !host.told.is_empty());
        let told = self.told.remove(0);
        assert_eq!(told.said.to_string(), words, "then: {:?}", self.told);
        self
    }

    fn hear_until(&mut self, what: &str, is: impl Fn(&Self) -> bool) -> &mut Self {
        let by = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(Instant::now() < by, "waited for {what:?} in vain");
            let mut fds = [PollFd::new(self.agent.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(100u8)).unwrap();
            let life = self.agent.hear(&mut self.told).unwrap();
            assert!(life == Life::GoesOn || is(self), "it ended while {what:?} was waited for");
        }
        self
    }
}

#[test]
fn a_client_and_a_server_say_what_happens() {
    if !alone(2) {
        return;
    }
    everywhere(|player, version| {
        let text = "
            host client
            host server
            0 server serve 7
            0 client connect server:7
            1 client send \"hello\"
            2 client close
            3 client send \"is anybody there?\"
        ";
        let scenario = scenario(text, version);
        let (mut client, mut server) = (Host::start(player, &scenario, 0), Host::start(player, &scenario, 1));
        server.ask(0);
        client.ask(1).says("dialing").says("up");
        server.says("accepted");
        client.ask(2).says("sent 0").says("echo 0");
        client.ask(3).says("closed");
        server.says("ended closed");
        client.ask(4).says("refused (no program here takes this)");
    });
}
