//! The page.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::time::SystemTime;

use resound_conformance::Outcome;
use resound_lab::report::{Host, Page};

use super::Lab;

/// Writes it all as a page.
pub(in super::super) fn write(file: &File, lab: &Lab, loopback: &[Outcome]) -> io::Result<()> {
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let command: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let host = Host::here(date, command.join(" "));
    let page = Page {
        host: &host,
        outcomes: &lab.outcomes,
        no_lab: lab.hindrance.as_deref(),
        table: lab.table.as_ref(),
        costs: lab.costs.as_ref(),
        loopback,
    };
    let mut file = BufWriter::new(file);
    write!(file, "{page}")?;
    file.flush()
}
