//! Measures the servers of every adapter beside the loops that a user of that runtime would write by hand, and prints a
//! table of ratios: `cargo run --release -p resound-bench`.
//!
//! What a clock can say is in [`timed`], what can be counted in [`counted`], both over UDP in [`udp`], and simulators beside
//! each other are in [`simulated`]. The same program, started with `serve` and a name, is each of the servers, and with
//! `load` each of the clients over UDP; started with `count`, it is the core at work for callgrind to watch, with
//! `simulate` one of the simulators, and with `fleet` the core with many peers.

use core::hint::black_box;
use core::time::Duration;
use std::io;
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use resound_bench::core::{Serving, Session, Waiting, parse_icmp};

mod child;
mod counted;
mod heap;
mod load;
mod report;
mod servers;
mod simulated;
mod timed;
mod udp;

const USAGE: &str = "\
usage: resound-bench [--quick] [--rounds N] [--only PART] [--runtime NAME]
  --quick      a few short rounds: to see that it works, not what it says
  --rounds N   how often each comparison is repeated (default 9)
  --only PART  `timed` or `counted` (both over TCP), or `udp`
  --runtime NAME  only one: `std`, `tokio` or `smol`
RESULTS.md is written when everything was run.
       resound-bench sim [--quick] [--rounds N]
  simulators only; writes their section of RESULTS.md
       resound-bench herd
  10 000 clients that are cut off at once; writes HERD.md";

/// Something that the core does, for callgrind to count.
struct Work {
    name: &'static str,
    /// How many of it one call makes.
    each: f64,
    /// Calls it so many times.
    run: fn(u32),
}

const CORE: &[Work] = &[
    Work {
        name: "client echo",
        each: 1.0,
        run: |times| {
            let mut session = Session::<1>::new();
            repeat(times, || session.echo());
        },
    },
    Work {
        name: "client echo, 64 in flight",
        each: 64.0,
        run: |times| {
            let mut session = Session::<64>::new();
            repeat(times, || session.echo());
        },
    },
    Work {
        name: "client deadline query",
        each: 1.0,
        run: |times| {
            let session = Session::<1>::new();
            repeat(times, || session.next_deadline());
        },
    },
    Work {
        name: "server echo",
        each: 1.0,
        run: |times| {
            let mut serving = Serving::new();
            repeat(times, || serving.echo());
        },
    },
    Work {
        name: "backoff draw",
        each: 1.0,
        run: |times| {
            let mut waiting = Waiting::new();
            repeat(times, || waiting.draw());
        },
    },
    Work { name: "ICMP parse", each: 1.0, run: |times| repeat(times, parse_icmp) },
];

fn repeat<T>(times: u32, mut work: impl FnMut() -> T) {
    for _ in 0..times {
        black_box(work());
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match *args {
        ["serve", server] => servers::run(server),
        ["load", client, ref task @ ..] => udp::load::run(client, task),
        ["count", what, times] => count(what, times),
        ["simulate", side, what, amount] => simulated::work(side, what, amount),
        ["fleet", peers, millis] => udp::be_fleet(peers, millis),
        ["herd"] => herd(),
        ["sim", ref options @ ..] => match Options::parse(options) {
            Ok(options) => simulators(options),
            Err(wrong) => return refuse(&wrong),
        },
        _ => match Options::parse(&args) {
            Ok(options) => measure(options),
            Err(wrong) => return refuse(&wrong),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("resound-bench: {e}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(wrong: &str) -> ExitCode {
    eprintln!("{wrong}\n{USAGE}");
    ExitCode::from(2)
}

fn count(what: &str, times: &str) -> io::Result<()> {
    let work = CORE.iter().find(|work| work.name == what);
    let (Some(work), Ok(times)) = (work, times.parse()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "count what, how many times?"));
    };
    (work.run)(times);
    Ok(())
}

fn herd() -> io::Result<()> {
    let report = resound_bench::herd::markdown();
    print!("{report}");
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/HERD.md"), report)
}

const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

/// Their section of the results is written anew; the others stay.
fn simulators(options: Options) -> io::Result<()> {
    let section = report::simulators(&simulated::measure(options.scale)?);
    print!("{section}");
    let results = std::fs::read_to_string(RESULTS)?;
    let others = results.split(report::SIMULATORS).next().unwrap_or_default();
    std::fs::write(RESULTS, format!("{others}{section}"))
}

#[derive(Clone, Copy, Debug)]
struct Options {
    scale: timed::Scale,
    /// Messages for each count.
    messages: usize,
    part: Part,
    /// What the names of runtimes and servers must hold.
    runtime: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    All,
    Timed,
    Counted,
    Udp,
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self, String> {
        let scale = timed::Scale { rounds: 9, run: Duration::from_millis(400), bulk: 1 << 30 };
        let mut options = Self { scale, messages: 2_000, part: Part::All, runtime: None };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            match arg {
                "--quick" => {
                    options.scale =
                        timed::Scale { rounds: 3, run: Duration::from_millis(100), bulk: 64 << 20 };
                    options.messages = 500;
                }
                "--rounds" => {
                    let rounds = args.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
                    options.scale.rounds = rounds.ok_or("--rounds takes a number, at least 1")?;
                }
                "--only" => {
                    options.part = match args.next() {
                        Some(&"timed") => Part::Timed,
                        Some(&"counted") => Part::Counted,
                        Some(&"udp") => Part::Udp,
                        _ => return Err("--only takes `timed`, `counted` or `udp`".to_string()),
                    };
                }
                "--runtime" => {
                    let known =
                        |name: &&str| ["std", "tokio", "smol"].into_iter().find(|known| known == name);
                    let name = args.next().and_then(known);
                    options.runtime = Some(name.ok_or("--runtime takes `std`, `tokio` or `smol`")?);
                }
                _ => return Err(format!("what is {arg}?")),
            }
        }
        Ok(options)
    }
}

fn measure(options: Options) -> io::Result<()> {
    // A thousand connections need more descriptors than a process has by default; children inherit it.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;

    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let wanted = |name: &str| options.runtime.is_none_or(|runtime| name.contains(runtime));
    let mut compared = Vec::new();
    if matches!(options.part, Part::All | Part::Timed) {
        for workload in timed::WORKLOADS {
            for &runtime in servers::RUNTIMES.iter().filter(|runtime| wanted(runtime.name)) {
                eprintln!("{}: {}", runtime.name, workload.figures[0].name);
                compared.extend(timed::compare(runtime, *workload, options.scale)?);
            }
        }
    }
    let (mut counted, mut core) = (Vec::new(), Vec::new());
    if matches!(options.part, Part::All | Part::Counted) {
        for server in servers::names().filter(|server| wanted(server)) {
            eprintln!("{server}: counts");
            counted.push(counted::count(server, options.messages)?);
        }
        core = counted::core().inspect_err(|e| eprintln!("no counts of the core: {e}")).unwrap_or_default();
    }
    let mut report = report::markdown(&load, options.scale, &compared, &counted, &core);
    if matches!(options.part, Part::All | Part::Udp) {
        report += &report::udp(&udp::measure(options.scale, options.messages, wanted)?);
    }
    let everything = options.part == Part::All && options.runtime.is_none();
    if everything {
        report += &report::simulators(&simulated::measure(options.scale)?);
    }
    print!("{report}");
    if everything {
        std::fs::write(RESULTS, report)?;
    }
    Ok(())
}
