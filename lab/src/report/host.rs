//! Where and when it was measured.

use std::fmt;
use std::fs;
use std::thread;

use super::html::{Escaped, Heading};

/// Where and when it was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The kernel: `Linux 6.18.5 x86_64`.
    pub kernel: String,
    /// How many processors, and which: `2 × …`.
    pub processors: String,
    /// How much memory, in words.
    pub memory: String,
    /// How busy it was in the last minute, five and fifteen, in processes that wanted to run (proc_loadavg(5)).
    pub load: String,
    /// Which version of Resound.
    pub version: String,
    /// When, as the caller writes it.
    pub date: String,
    /// The command line.
    pub command: String,
}

impl Host {
    /// This one, as it is now. What the caller alone knows: when it is, and what was asked for.
    #[must_use]
    pub fn here(date: String, command: String) -> Self {
        let line = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let uname = nix::sys::utsname::uname();
        let word = |word: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
            uname.as_ref().map_or_else(|_| "?".to_owned(), |uname| word(uname).to_string_lossy().into_owned())
        };
        let field = |text: &str, name: &str| {
            let line =
                text.lines().find(|line| line.split(':').next().is_some_and(|of| of.trim() == name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let count =
            thread::available_parallelism().map_or_else(|_| "?".to_owned(), |count| count.to_string());
        let model = field(&line("/proc/cpuinfo"), "model name").unwrap_or_else(|| "processors".to_owned());
        let load = line("/proc/loadavg");
        Self {
            kernel: format!(
                "{} {} {}",
                word(|of| of.sysname()),
                word(|of| of.release()),
                word(|of| of.machine())
            ),
            processors: format!("{count} × {model}"),
            memory: field(&line("/proc/meminfo"), "MemTotal").unwrap_or_else(|| "?".to_owned()),
            load: load.split(' ').take(3).collect::<Vec<_>>().join(", "),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            date,
            command,
        }
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "<section>\n{}\n<dl>", Heading::HOST)?;
        for (name, value) in [
            ("when", &self.date),
            ("command", &self.command),
            ("version", &self.version),
            ("kernel", &self.kernel),
            ("processors", &self.processors),
            ("memory", &self.memory),
            ("load at the end", &self.load),
        ] {
            writeln!(f, "<dt>{name}</dt><dd>{}</dd>", Escaped(value))?;
        }
        f.write_str("</dl>\n</section>\n")
    }
}
