//! `resound compare`.

use std::path::PathBuf;

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Args, Command, Error, ValueEnum};
use resound_conformance::Scenario;
use resound_sim::library;

use super::RuntimeName;
use super::output::{Output, TableFormat};
use crate::exit;

/// Run the same faults on each runtime and show what each one saw, when, and where they differ.
///
/// Needs no arguments and no other machine: it brings its own peers and its own faults. First, for a few seconds, what each
/// runtime promises is tried on loopback. Then, on Linux and where network namespaces may be made (as root or in a user
/// namespace), the lab: every scenario that the simulator knows is played with real hosts through each runtime, over IPv4 and
/// IPv6, and held against the simulator's prediction; the kernel is held against the table of what it is said to do; and what
/// each runtime costs is measured. All of it takes less than five minutes.
///
/// Exit code 3 if a promise is broken, runtimes differ, or something came otherwise than predicted; or if it is worse than
/// --baseline.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Compare {
    /// Only these scenarios, of the runtimes' promises and of the lab's (see --list)
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = Scenarios::known(), hide_possible_values = true)]
    pub(crate) scenario: Vec<String>,
    /// Only these runtimes
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_enum)]
    pub(crate) runtime: Vec<RuntimeName>,
    /// Only these parts [default: all; with --scenario: promises and scenarios]
    #[arg(long, value_name = "PART", num_args = 1.., value_delimiter = ',', value_enum)]
    pub(crate) part: Vec<Part>,
    /// Whether to use the lab, which is all but the promises
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) lab: UseLab,
    /// List the scenarios and what each one promises, or is about
    #[arg(long)]
    pub(crate) list: bool,
    /// Write a page to this file: all of it, with drawings of what was predicted and what came
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Compare with an earlier run, a document of --output json, and exit with 3 if something is worse
    ///
    /// Worse is: a promise that was kept and is not, a run or a row of the kernel table that agreed and does not, and a time, or
    /// a cost that was measured apart, that has grown by more than --threshold, and by more than the noise.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// By how much a time or a cost may grow, in percent
    #[arg(long, value_name = "PERCENT", requires = "baseline", default_value = "20", value_parser = percent, allow_negative_numbers = true)]
    pub(crate) threshold: u32,
    #[command(flatten)]
    pub(crate) output: Output<TableFormat>,
}

/// A part of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What each runtime promises, on loopback
    Promises,
    /// The simulator's scenarios with real hosts
    Scenarios,
    /// The table of what kernels do
    Table,
    /// What each runtime costs, measured apart on loopback
    Costs,
}

/// When the lab is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum UseLab {
    /// Where it may be; why not is said
    #[default]
    Auto,
    /// Or exit with 17
    Always,
    Never,
}

impl Part {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Promises => "promises",
            Self::Scenarios => "scenarios",
            Self::Table => "table",
            Self::Costs => "costs",
        }
    }
}

impl Compare {
    /// Whether this part is asked for.
    pub(crate) fn wants(&self, part: Part) -> bool {
        let of_lab = part != Part::Promises;
        if of_lab && self.lab == UseLab::Never {
            return false;
        }
        let of_names = |known: fn(&str) -> bool| self.scenario.iter().any(|name| known(name));
        let named = match part {
            _ if self.scenario.is_empty() => true,
            Part::Promises => of_names(|name| Scenario::ALL.iter().any(|scenario| scenario.name() == name)),
            Part::Scenarios => of_names(|name| library::find(name).is_some()),
            Part::Table | Part::Costs => !self.part.is_empty(),
        };
        named && (self.part.is_empty() || self.part.contains(&part))
    }

    /// Why there is nothing to do for these options, if there is not; or why one of them cannot be obeyed.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let of_lab = self.part.iter().find(|part| **part != Part::Promises);
        if let Some(part) = of_lab.filter(|_| self.lab == UseLab::Never) {
            let part = part.as_str();
            return Some(format!("--part {part} is of the lab, and --lab never leaves the lab out"));
        }
        let unnamed = |part: &Part| matches!(part, Part::Table | Part::Costs);
        if !self.scenario.is_empty() && !self.part.is_empty() && self.part.iter().all(unnamed) {
            let parts: Vec<&str> = self.part.iter().map(|part| part.as_str()).collect();
            let parts = parts.join(" and ");
            return Some(format!(
                "--scenario chooses nothing of {parts}: leave it out, or name another --part"
            ));
        }
        let is = |names: &[&str]| if names.len() == 1 { "is" } else { "are" };
        let names: Vec<&str> = self.scenario.iter().map(String::as_str).collect();
        let left_out: Vec<&str> = names.iter().copied().filter(|name| !self.has(name)).collect();
        if !left_out.is_empty() {
            let (names, is) = (left_out.join(", "), is(&left_out));
            return Some(format!("{names} {is} not of the parts that were asked for (see --list)"));
        }
        // With others, what the lab alone can play is left out as it was asked to be.
        let nothing = self.lab == UseLab::Never && !self.wants(Part::Promises);
        nothing.then(|| {
            let (names, is) = (names.join(", "), is(&names));
            format!("{names} {is} played in the lab only, and --lab never leaves the lab out")
        })
    }

    /// Whether a scenario is of one of the parts that are asked for, with a lab or without.
    fn has(&self, name: &str) -> bool {
        let chosen = |part| self.part.is_empty() || self.part.contains(&part);
        let promised = || Scenario::ALL.iter().any(|scenario| scenario.name() == name);
        (chosen(Part::Promises) && promised()) || (chosen(Part::Scenarios) && library::find(name).is_some())
    }

    /// Whether anything of the lab is.
    pub(crate) fn wants_lab(&self) -> bool {
        [Part::Scenarios, Part::Table, Part::Costs].into_iter().any(|part| self.wants(part))
    }
}

/// Names of scenarios. Where there is no such name the nearest one is told, and not all of them.
#[derive(Clone, Debug)]
struct Scenarios(PossibleValuesParser);

impl Scenarios {
    fn known() -> Self {
        let promises = Scenario::ALL.iter().map(Scenario::name);
        Self(promises.chain(library::ALL.iter().map(|entry| entry.name)).collect::<Vec<_>>().into())
    }
}

impl TypedValueParser for Scenarios {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        self.0.parse_ref(command, arg, value).map_err(|mut error| {
            error.remove(ContextKind::ValidValue);
            let list = "`resound compare --list` names them all".to_owned().into();
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![list]));
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.0.possible_values()
    }
}

fn percent(written: &str) -> Result<u32, String> {
    let number = written.strip_suffix('%').unwrap_or(written);
    number.parse().map_err(|_| "a whole number of percent is wanted: 20 or 20%".to_owned())
}
