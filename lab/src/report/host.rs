//! Where, when and with what it was measured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use resound_sim::scenario::Role;

use super::html::{Escaped, Heading, Took};
use crate::rig;
use crate::suite::Outcome;
use crate::verdict::Verdict;

/// When it began, and how busy the machine was then.
#[derive(Clone, Debug)]
pub struct Start {
    at: Instant,
    load: String,
}

/// What the caller alone knows.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When it began.
    pub start: Start,
    /// When it ended, as the caller writes it.
    pub date: String,
    /// The command line.
    pub command: String,
    /// How many plays went on at a time, at most.
    pub together: usize,
}

/// Where, when and with what it was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The kernel: `Linux 6.18.5 x86_64`.
    pub kernel: String,
    /// Which of its builds: `#1 SMP …`.
    pub kernel_build: String,
    /// How many processors, and which: `2 × …`.
    pub processors: String,
    /// How much memory, in words.
    pub memory: String,
    /// How busy it was when it began and when it ended: in the last minute, five and fifteen, in processes that wanted to
    /// run (proc_loadavg(5)).
    pub load: [String; 2],
    /// Who was allowed to make namespaces: root, or an ordinary user in a namespace of its own.
    pub rights: String,
    /// Which version of Resound, and how it was built.
    pub version: String,
    /// The runtimes' crates, as Cargo.lock has them.
    pub crates: String,
    /// How long it took.
    pub took: Duration,
    /// When, as the caller writes it.
    pub date: String,
    /// The command line.
    pub command: String,
    /// How many plays went on at a time, at most.
    pub together: usize,
}

impl Start {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { at: Instant::now(), load: load() }
    }
}

/// Now.
impl Default for Start {
    fn default() -> Self {
        Self::now()
    }
}

impl Host {
    /// This one, as it is now, at the end.
    #[must_use]
    pub fn here(asked: Asked) -> Self {
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
        let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "processors".to_owned());
        let Asked { start, date, command, together } = asked;
        Self {
            kernel: format!(
                "{} {} {}",
                word(|of| of.sysname()),
                word(|of| of.release()),
                word(|of| of.machine())
            ),
            kernel_build: word(|of| of.version()),
            processors: format!("{count} × {model}"),
            memory: field(&read("/proc/meminfo"), "MemTotal")
                .map_or_else(|| "?".to_owned(), |kib| memory(&kib)),
            load: [start.load, load()],
            rights: rights(&read("/proc/self/uid_map")).to_owned(),
            version: concat!(env!("CARGO_PKG_VERSION"), ", built with ", env!("RESOUND_LAB_BUILT"))
                .to_owned(),
            crates: env!("RESOUND_LAB_CRATES").to_owned(),
            took: start.at.elapsed(),
            date,
            command,
            together,
        }
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, outcomes: &[Outcome]) -> fmt::Result {
        writeln!(f, "<section>\n{}\n<dl>", Heading::HOST)?;
        let [before, after] = &self.load;
        let mut lines = vec![
            ("ended", self.date.clone()),
            ("took", Took(self.took.as_secs_f64()).to_string()),
            ("command", self.command.clone()),
            ("Resound", self.version.clone()),
            ("crates", self.crates.clone()),
            ("kernel", format!("{}, {}", self.kernel, self.kernel_build)),
            ("processors", self.processors.clone()),
            ("memory", self.memory.clone()),
            ("load", format!("{before} before, {after} at the end")),
        ];
        if !outcomes.is_empty() {
            lines.push(("rights", self.rights.clone()));
            lines.push(("at a time", format!("{} plays at most", self.together)));
            lines.push(("repeated", repeated(outcomes)));
            lines.push(("each host", settings()));
            lines.push(("by scenarios", set_by_scenarios(outcomes)));
        }
        for (name, value) in lines {
            writeln!(f, "<dt>{name}</dt><dd>{}</dd>", Escaped(&value))?;
        }
        f.write_str("</dl>\n</section>\n")
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn load() -> String {
    read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(", ")
}

/// A line of proc_meminfo(5), `24684096 kB`, with fewer digits.
fn memory(line: &str) -> String {
    match line.strip_suffix(" kB").and_then(|kib| kib.parse::<f64>().ok()) {
        Some(kib) => format!("{:.1} GiB", kib / 1024.0 / 1024.0),
        None => line.to_owned(),
    }
}

/// By which right namespaces are made; of the map in user_namespaces(7), where the first namespace has all users.
fn rights(uid_map: &str) -> &'static str {
    let map: Vec<&str> = uid_map.split_whitespace().collect();
    match map[..] {
        ["0", "0", "4294967295"] => "root",
        [] => "unknown",
        _ => "root within a user namespace",
    }
}

/// How many plays were repeated, and why.
fn repeated(outcomes: &[Outcome]) -> String {
    let again = || outcomes.iter().filter(|outcome| outcome.times > 1);
    let (repeated, times) = (again().count(), again().map(|outcome| outcome.times - 1).sum::<u32>());
    let played = || outcomes.iter().filter(|outcome| outcome.times > 0);
    match repeated {
        0 if played().all(|outcome| outcome.verdict == Verdict::Agrees) => {
            "none: every play came as predicted at once".to_owned()
        }
        0 => "none".to_owned(),
        repeated => format!(
            "{repeated} of {} plays, {times} times in all: they differed once, or while the machine stood still, or could not be played",
            played().count()
        ),
    }
}

/// What every host's kernel is told first.
fn settings() -> String {
    let all = rig::settings().map(|(path, value)| format!("{}={value}", sysctl(path)));
    all.collect::<Vec<_>>().join("; ")
}

/// What scenarios tell some of their hosts' kernels.
fn set_by_scenarios(outcomes: &[Outcome]) -> String {
    // Short values first, so that numbers are in order.
    let mut settings: BTreeMap<&str, BTreeSet<(usize, String)>> = BTreeMap::new();
    let nodes = outcomes.iter().filter(|outcome| outcome.times > 0).flat_map(|of| &of.item.scenario.nodes);
    for node in nodes.filter(|node| node.role == Role::Host) {
        // What no kernel can be told has not been played.
        for (path, value) in rig::files(&node.sysctl).unwrap_or_default() {
            settings.entry(path).or_default().insert((value.len(), value));
        }
    }
    if settings.is_empty() {
        return "nothing".to_owned();
    }
    let one = |(path, values): (&str, BTreeSet<(usize, String)>)| {
        let values: Vec<String> = values.into_iter().map(|(_, value)| value).collect();
        format!("{}={}", sysctl(path), values.join(" or "))
    };
    settings.into_iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The name of a setting under /proc/sys/net, as sysctl(8) has it.
fn sysctl(path: &str) -> String {
    format!("net.{}", path.replace('/', "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_with_what_it_was_built() {
        let asked = Asked { start: Start::now(), date: String::new(), command: String::new(), together: 1 };
        let host = Host::here(asked);
        for name in ["tokio 1.", "async-io 2."] {
            assert!(host.crates.contains(name), "{}", host.crates);
        }
        assert!(host.version.contains("rustc 1."), "{}", host.version);
    }

    #[test]
    fn memory_is_told_in_few_digits() {
        assert_eq!(["24684096 kB", "much"].map(memory), ["23.5 GiB", "much"]);
    }

    #[test]
    fn whoever_has_all_users_is_root() {
        assert_eq!(rights("         0          0 4294967295\n"), "root");
        assert_eq!(rights("         0       1000          1\n"), "root within a user namespace");
    }

    #[test]
    fn every_host_is_told_what_a_namespace_copies() {
        assert!(settings().contains("net.ipv4.tcp_rmem=4096 131072 6291456; "), "{}", settings());
    }
}
