//! The page.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use resound_conformance::Outcome;
use resound_lab::report::{Asked, Host, Page};

use super::{Lab, TOGETHER};

/// Writes it all as a page.
pub(in super::super) fn write(
    path: &Path,
    lab: &Lab,
    loopback: &[Outcome],
    unfinished: Option<&str>,
) -> io::Result<()> {
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let command: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let (start, command) = (lab.start.clone(), command.join(" "));
    let host = Host::here(Asked { start, date, command, together: TOGETHER });
    let page = Page {
        host: &host,
        outcomes: &lab.outcomes,
        no_lab: lab.hindrance.as_deref(),
        unfinished,
        table: lab.table.as_ref(),
        costs: lab.costs.as_ref(),
        loopback,
    };
    fs::write(path, page.to_string())
}
