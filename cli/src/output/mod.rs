//! Everything that goes to standard output, in the format that was asked for.
//!
//! A [`Sink`] takes events and documents and writes what its format calls for. Whoever reads may go away at any time
//! (`resound ping … | head -1`): that is no failure of ours, and no reason for a word.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use serde::Serialize;

use crate::args::{Color, Format, Output};
use crate::exit::Exit;

pub(crate) mod csv;
pub(crate) mod event;
pub(crate) mod text;

use event::{Document, Line};

/// Nothing can be written any more; the sink knows why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken;

/// Whether what was asked for can still be written.
pub(crate) type Written = Result<(), Broken>;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) format: Format,
    pub(crate) verbose: bool,
    color: ColorChoice,
    text: text::Text,
    header: Header,
    failed: Option<io::Error>,
}

/// Whether the first row of a CSV stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    Due,
    Written,
}

impl Sink {
    /// `json` is what `--json` stands for.
    pub(crate) fn new<F>(output: &Output<F>, json: Format) -> Self
    where
        F: ValueEnum + Default + Into<Format> + Send + Sync + 'static,
    {
        let color = color(output.color);
        Self {
            format: output.format(json),
            verbose: output.verbose,
            color,
            text: text::Text::new(output.verbose),
            header: Header::Due,
            failed: None,
        }
    }

    /// Writes an event, if the format is one of events.
    pub(crate) fn event(&mut self, line: &Line) -> Written {
        match self.format {
            Format::Text => match self.text.line(line) {
                Some(text) => self.text(&text),
                None => Ok(()),
            },
            Format::Jsonl => self.jsonl(line),
            Format::Csv => {
                self.start_csv(csv::header)?;
                let value = serde_json::to_value(line).map_err(|error| self.fail(error.into()))?;
                self.bytes(csv::line(&value).as_bytes())
            }
            Format::Markdown | Format::Json | Format::Quiet => Ok(()),
        }
    }

    /// Writes the document, if the format is that of documents, and the first row of a table that stayed empty.
    pub(crate) fn document<T: Serialize>(&mut self, document: &Document<T>) -> Written {
        match self.format {
            Format::Json => {
                let mut text =
                    serde_json::to_vec_pretty(document).map_err(|error| self.fail(error.into()))?;
                text.push(b'\n');
                self.bytes(&text)
            }
            Format::Csv => self.start_csv(csv::header),
            Format::Text | Format::Markdown | Format::Jsonl | Format::Quiet => Ok(()),
        }
    }

    /// Writes one JSON document.
    pub(crate) fn pretty(&mut self, value: &impl Serialize) -> Written {
        let mut text = serde_json::to_vec_pretty(value).map_err(|error| self.fail(error.into()))?;
        text.push(b'\n');
        self.bytes(&text)
    }

    /// Writes one JSON object as a line.
    pub(crate) fn jsonl(&mut self, value: &impl Serialize) -> Written {
        let mut text = serde_json::to_vec(value).map_err(|error| self.fail(error.into()))?;
        text.push(b'\n');
        self.bytes(&text)
    }

    /// Writes the first row, once.
    pub(crate) fn start_csv(&mut self, header: impl FnOnce() -> String) -> Written {
        match self.header {
            Header::Written => Ok(()),
            Header::Due => {
                self.header = Header::Written;
                self.bytes(header().as_bytes())
            }
        }
    }

    /// Writes text for people; colours go where they are wanted.
    pub(crate) fn text(&mut self, text: &str) -> Written {
        let mut stdout = AutoStream::new(io::stdout(), self.color).lock();
        let result = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        result.map_err(|error| self.fail(error))
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Written {
        let mut stdout = io::stdout().lock();
        let result = stdout.write_all(bytes).and_then(|()| stdout.flush());
        result.map_err(|error| self.fail(error))
    }

    fn fail(&mut self, error: io::Error) -> Broken {
        self.failed.get_or_insert(error);
        Broken
    }

    /// The exit code of a command that ends with `exit`, in view of what became of its output: a reader that has seen
    /// enough changes nothing, a full disk does.
    pub(crate) fn verdict(&self, exit: Exit) -> Exit {
        match &self.failed {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                note(&format!("cannot write to standard output: {error}"));
                Exit::Local
            }
            _ => exit,
        }
    }
}

fn color(wanted: Color) -> ColorChoice {
    match wanted {
        Color::Auto => AutoStream::choice(&io::stdout()),
        Color::Always => ColorChoice::AlwaysAnsi,
        Color::Never => ColorChoice::Never,
    }
}

/// A line on standard error. Nobody may be listening there, and that is no reason to fail.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "resound: {text}");
}
