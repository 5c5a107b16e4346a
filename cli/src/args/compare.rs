//! `resound compare`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use resound_conformance::Scenario;

use super::RuntimeName;
use super::output::{Output, TableFormat};
use crate::exit;

/// Run the same faults on each runtime and show what each one saw, when, and where they differ.
///
/// Needs no arguments and no other machine: it brings its own peers and its own faults, and ends within a minute.
/// Beside udp-three-servers-v4 and -v6 it shows what plain sockets are told of the same (not in csv).
/// Exit code 3 if a promise is broken or the runtimes differ.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Compare {
    /// Only these scenarios (see --list)
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = scenarios(), hide_possible_values = true)]
    pub(crate) scenario: Vec<String>,
    /// Only these runtimes
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_enum)]
    pub(crate) runtime: Vec<RuntimeName>,
    /// List the scenarios and what each one promises
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) output: Output<TableFormat>,
}

fn scenarios() -> PossibleValuesParser {
    Scenario::ALL.iter().map(Scenario::name).collect::<Vec<_>>().into()
}
