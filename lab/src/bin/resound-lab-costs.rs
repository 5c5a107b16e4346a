//! What a runtime costs, measured here and shown; and the workers that are measured.
//!
//! `resound-lab-costs [--thorough] [--seed N]`. With any other first argument it is a worker.

use std::env;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode};

use resound_lab::costs::{self, Config, worker};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.first().is_some_and(|first| !first.starts_with("--")) {
        return worker::main(args);
    }
    match measured(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "resound-lab-costs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measured(args: &[String]) -> io::Result<()> {
    let (mut make, mut seed): (fn(u64) -> Config, u64) = (Config::quick, 1);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--thorough" => make = Config::thorough,
            "--seed" => {
                let number = args.next().and_then(|number| number.parse().ok());
                seed = number.ok_or_else(|| io::Error::other("--seed wants a number"))?;
            }
            _ => return Err(io::Error::other(format!("{arg}: unknown; there are --thorough and --seed N"))),
        }
    }
    let this = env::current_exe()?;
    let mut progress = |what: &str| drop(writeln!(io::stderr(), "{what}"));
    let costs = costs::measure(&make(seed), &|| Command::new(&this), &mut progress)?;
    write!(io::stdout(), "{costs}")
}
