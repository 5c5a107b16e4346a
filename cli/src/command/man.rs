//! `resound man`: manual pages, made from the command line's definition.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::args::{self, Cli};
use crate::exit::Exit;
use crate::output::note;

use super::print;

pub(super) fn run(args: &args::Man) -> Exit {
    let mut root = Cli::command();
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
    let mut roff = Vec::new();
    match Man::new(page).render(&mut roff) {
        Ok(()) => print(&roff),
        Err(error) => {
            note(&format!("cannot make the manual page: {error}"));
            Exit::Local
        }
    }
}

fn write_all(root: Command, dir: &Path) -> Exit {
    let written = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(root, dir));
    match written {
        Ok(()) => Exit::Good,
        Err(error) => {
            note(&format!("cannot write manual pages to {}: {error}", dir.display()));
            Exit::Local
        }
    }
}
