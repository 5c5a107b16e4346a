//! What goes to standard output, for every command that runs.

use clap::{Args, ValueEnum};

/// What goes to standard output, and how. `F` are the formats of the command.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output<F: ValueEnum + Default + Send + Sync + 'static = Format> {
    /// What to write to standard output; everything else goes to standard error
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: F,
    /// Same as --output jsonl, or json for what is no stream
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: Color,
    /// Say more
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl<F: ValueEnum + Default + Into<Format> + Send + Sync + 'static> Output<F> {
    /// The format, where `--json` means `json`.
    pub(crate) fn format(&self, json: Format) -> Format {
        if self.json { json } else { self.output.clone().into() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// [`TableFormat`] has it.
    #[value(skip)]
    Markdown,
    /// One JSON document at the end
    Json,
    /// One JSON object for each event, as it happens
    Jsonl,
    /// One row for each event, as it happens
    Csv,
    /// Nothing: the exit code says it
    Quiet,
}

/// The formats of what is a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// For people
    #[default]
    Text,
    /// For people, as a table to paste
    Markdown,
    /// One JSON document at the end
    Json,
    /// One JSON object for each run, as it ends
    Jsonl,
    /// One row for each run, as it ends
    Csv,
    /// Nothing: the exit code says it
    Quiet,
}

impl From<TableFormat> for Format {
    fn from(format: TableFormat) -> Self {
        match format {
            TableFormat::Text => Self::Text,
            TableFormat::Markdown => Self::Markdown,
            TableFormat::Json => Self::Json,
            TableFormat::Jsonl => Self::Jsonl,
            TableFormat::Csv => Self::Csv,
            TableFormat::Quiet => Self::Quiet,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR or TERM=dumb; anywhere with CLICOLOR_FORCE
    #[default]
    Auto,
    Always,
    Never,
}
