//! From a file to a scenario, or to what is wrong with it.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::{fs, str};

use resound_sim::Scenario;

use crate::exit::Exit;
use crate::output::note;

/// Why there is nothing to play.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) exit: Exit,
    /// Of a file that is no scenario: `FILE:LINE:COLUMN: what is wrong`.
    pub(super) message: String,
    /// The line in which it is wrong, and a sign below the place.
    quote: Option<String>,
}

impl Problem {
    /// It panicked.
    pub(super) fn bug(name: &str) -> Self {
        let message = format!("{name} could not be played to its end: that is a mistake in resound");
        Self { exit: Exit::Local, message, quote: None }
    }

    /// On standard error. What is wrong with a file stands there as compilers say it, so that editors find the place.
    pub(super) fn complain(&self) {
        match &self.quote {
            Some(quote) => drop(writeln!(anstream::stderr().lock(), "{}\n{quote}", self.message)),
            None => note(&self.message),
        }
    }
}

/// The scenario in this file; `-` is standard input. `name` is how the file is called where something is wrong with it.
pub(super) fn scenario(file: &Path, name: &str) -> Result<Scenario, Problem> {
    let bytes = read(file).map_err(|error| {
        let message = format!("cannot read {name}: {error}");
        Problem { exit: Exit::Local, message, quote: None }
    })?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&letter| letter != '\n').count() + 1;
        wrong(name, "", line, column, "this is not UTF-8")
    })?;
    let scenario: Scenario = text.parse().map_err(|error: resound_sim::scenario::Malformed| {
        wrong(name, text, error.line as usize, error.column as usize, &error.message)
    })?;
    if scenario.nodes.is_empty() {
        return Err(wrong(
            name,
            text,
            1,
            1,
            "nothing is declared here: a scenario begins with hosts, `host a`",
        ));
    }
    Ok(scenario)
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn wrong(name: &str, text: &str, line: usize, column: usize, what: &str) -> Problem {
    let message = format!("{name}:{line}:{column}: {}", printable(what));
    let quoted = text.lines().nth(line - 1).unwrap_or_default();
    // A tab is as wide below as above, whatever its width.
    let below = quoted.chars().take(column - 1).map(|letter| if letter == '\t' { '\t' } else { ' ' });
    let quote = format!("    {}\n    {}^", printable(quoted), below.collect::<String>());
    Problem { exit: Exit::Usage, message, quote: Some(quote) }
}

/// Without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() && letter != '\t' { '\u{fffd}' } else { letter })
        .collect()
}
