//! The process: its brief, its orders, and which program each is for.

use std::io::{self, BufRead as _, Read as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getppid;
use resound_sim::Scenario;
use resound_sim::programs::shell::Shell;
use resound_sim::scenario::{Command, NodeId, Said};
use resound_sim::world::Answer;
use socket2::Socket;

use super::Brief;
use super::mouth::{self, Mouth};
use super::programs::{Program, Starter};
use super::shell::Linux;
use crate::play::become_one;
use crate::suite::Player;

/// An agent: reads orders from stdin, says on stdout what its programs say, and ends when stdin does. Or, if its arguments
/// say so, what starts in the place of a [guest](crate::play::Guest).
#[must_use]
pub fn main() -> ExitCode {
    if let Some(exit) = become_one(std::env::args_os()) {
        return exit;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    die_with_the_lab()?;
    // A program that panicked must not look like one that has nothing to say.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        std::process::exit(101);
    }));
    let mut orders = io::stdin().lock();
    let mut line = String::new();
    orders.read_line(&mut line)?;
    let (player, host, length) = head(line.trim_end()).ok_or_else(|| nonsense("a brief", &line))?;
    let mut text = vec![0; length];
    orders.read_exact(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let scenario: Scenario = text.parse().map_err(|bad| io::Error::other(format!("the scenario: {bad}")))?;
    if usize::from(host.0) >= scenario.nodes.len() {
        return Err(nonsense("a brief", &line));
    }
    let mut programs = Programs::new(Brief { player, host, scenario: Arc::new(scenario) });
    mouth::ready();
    loop {
        line.clear();
        if orders.read_line(&mut line)? == 0 {
            // Nothing is waited for: the kernel closes what is open.
            std::process::exit(0);
        }
        let (command, seed) = programs.order(line.trim_end()).ok_or_else(|| nonsense("an order", &line))?;
        let began = Instant::now();
        programs.ask(&command, seed);
        mouth::done(began.elapsed());
    }
}

/// SIGKILL when the thread that started this process ends, also while it is stopped. Ctrl-C is the lab's affair.
fn die_with_the_lab() -> io::Result<()> {
    // Threads inherit it.
    SigSet::from(Signal::SIGINT).thread_block()?;
    let parent = getppid();
    set_pdeathsig(Signal::SIGKILL)?;
    // It may have ended before that was said; and if it had before it was asked for, the brief ends too early.
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("the lab is gone")) }
}

fn head(line: &str) -> Option<(Player, NodeId, usize)> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let player = Player::ALL.into_iter().find(|player| player.as_str() == name)?;
    let host = NodeId(words.next()?.parse().ok()?);
    Some((player, host, words.next()?.parse().ok()?))
}

fn nonsense(what: &str, line: &str) -> io::Error {
    io::Error::other(format!("this is not {what}: {line:?}"))
}

/// The programs of a host, in the order in which they were started: as the simulator's `World::ask` asks them.
struct Programs {
    brief: Brief,
    mouth: Arc<Mouth>,
    starter: Starter,
    running: Vec<Box<dyn Program>>,
    shell: Shell<Socket>,
    linux: Linux,
}

impl Programs {
    fn new(brief: Brief) -> Self {
        let mouth = Arc::new(Mouth::default());
        let starter = Starter::new(&brief, &mouth);
        let linux = Linux { version: brief.scenario.version };
        Self { brief, mouth, starter, running: Vec::new(), shell: Shell::default(), linux }
    }

    /// `ask LINE SEED`
    fn order(&self, line: &str) -> Option<(Command, u64)> {
        let mut words = line.split(' ');
        let ("ask", index) = (words.next()?, words.next()?.parse::<usize>().ok()?) else { return None };
        let seed = words.next()?.parse().ok()?;
        let line = self.brief.scenario.script.get(index)?;
        (line.host == self.brief.host).then(|| (line.command.clone(), seed))
    }

    fn ask(&mut self, command: &Command, seed: u64) {
        if let Command::Call(call) = command {
            return match self.shell.make(&mut self.linux, call) {
                Ok(said) => self.mouth.say(&said),
                Err(nobody) => self.refuse(&nobody.to_string()),
            };
        }
        for program in &mut self.running {
            match program.ask(command) {
                Answer::NotMine => {}
                Answer::Taken => return,
                Answer::Refused(why) => return self.refuse(&why),
            }
        }
        match self.starter.start(command, seed) {
            None => self.refuse("no program here takes this"),
            Some(Ok(program)) => self.running.push(program),
            Some(Err(said)) => self.mouth.say(&said),
        }
    }

    fn refuse(&self, why: &str) {
        self.mouth.say(&Said::Refused(why.into()));
    }
}
