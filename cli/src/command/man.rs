//! `resound man`: manual pages, made from the command line's definition.

use std::path::Path;
use std::{fs, io};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::args::{self, Cli};
use crate::exit::Exit;
use crate::output::note;

use super::print;

pub(super) fn run(args: &args::Man) -> Exit {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    if let Some(dir) = &args.dir {
        return write_all(root, dir);
    }
    let page = match &args.command {
        None => Some(root),
        Some(name) => root.get_subcommands().find(|command| command.get_name() == name).cloned(),
    };
    let Some(page) = page else {
        let name = args.command.as_deref().unwrap_or_default();
        note(&format!("no manual page for `{name}`: it is no command of resound; see `resound --help`"));
        return Exit::Usage;
    };
    match roff(page) {
        Ok(roff) => print(&roff),
        Err(error) => {
            note(&format!("cannot make the manual page: {error}"));
            Exit::Local
        }
    }
}

/// The page. What follows the options in the help is named by what it is, as man-pages(7) has it.
fn roff(page: Command) -> io::Result<Vec<u8>> {
    let mut roff = Vec::new();
    Man::new(page).render(&mut roff)?;
    let roff = String::from_utf8_lossy(&roff);
    let name = if roff.contains("Exit codes:") { "\"EXIT STATUS\"" } else { "EXAMPLES" };
    Ok(roff.replace(".SH EXTRA\n", &format!(".SH {name}\n")).into_bytes())
}

/// Writes the page of a command, and those of its own commands.
fn write_page(command: Command, dir: &Path) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_page(inner.clone(), dir)?;
    }
    fs::write(dir.join(Man::new(command.clone()).get_filename()), roff(command)?)
}

fn write_all(root: Command, dir: &Path) -> Exit {
    let written = fs::create_dir_all(dir).and_then(|()| write_page(root, dir));
    match written {
        Ok(()) => Exit::Good,
        Err(error) => {
            note(&format!("cannot write manual pages to {}: {error}", dir.display()));
            Exit::Local
        }
    }
}
