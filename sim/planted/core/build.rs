//! Makes the planted core: copies the source of `resound-core`, and puts in the bugs of `bugs.txt`, each behind a
//! switch. The copy lies among the build's own output; the core itself is only read.
//!
//! A bug that no longer fits fails the build, and says which one and what to do. None is ever skipped in silence.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What stands in a patch for "while this bug is turned on".
const SWITCH: &str = "PLANTED";

fn main() {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let (list, core) = (here.join("bugs.txt"), here.join("../../../core/src"));
    println!("cargo::rerun-if-changed={}", list.display());
    println!("cargo::rerun-if-changed={}", core.display());

    let text = fs::read_to_string(&list).unwrap_or_else(|e| panic!("{}: {e}", list.display()));
    let bugs = parse(&text);
    let mut source = BTreeMap::new();
    read_all(&core, Path::new(""), &mut source);
    plant(&bugs, &mut source);

    let to = out.join("core");
    // A module that is gone from the core must not linger here.
    let _ = fs::remove_dir_all(&to);
    for (path, lines) in &source {
        let path = to.join(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("the output can be written");
        fs::write(path, lines.join("\n") + "\n").expect("the output can be written");
    }
    fs::write(out.join("bugs.rs"), declare(&bugs)).expect("the output can be written");
}

/// A bug.
struct Bug {
    name: String,
    /// What is done wrong, in one sentence.
    says: String,
    hunks: Vec<Hunk>,
}

/// A place of the core, and what stands there instead.
struct Hunk {
    file: PathBuf,
    before: Vec<String>,
    after: Vec<String>,
}

// The list.

fn parse(text: &str) -> Vec<Bug> {
    let mut bugs: Vec<Bug> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let wrong = |what: &str| -> ! { panic!("bugs.txt:{number}: {what}: {line:?}") };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "bug" {
            bugs.push(Bug { name: rest.to_owned(), says: String::new(), hunks: Vec::new() });
            continue;
        }
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let Some(bug) = bugs.last_mut() else { wrong("it belongs to no bug") };
        match (word, bug.hunks.last_mut()) {
            ("in", _) => bug.hunks.push(Hunk { file: rest.into(), before: Vec::new(), after: Vec::new() }),
            ("says", None) => bug.says = rest.to_owned(),
            ("-", Some(hunk)) => hunk.before.push(rest.to_owned()),
            ("+", Some(hunk)) => hunk.after.push(rest.to_owned()),
            ("=", Some(hunk)) => {
                hunk.before.push(rest.to_owned());
                hunk.after.push(rest.to_owned());
            }
            _ => wrong("a line begins with `bug`, `says`, `in`, `-` (goes), `+` (comes) or `=` (stays)"),
        }
    }
    for bug in &bugs {
        let Bug { name, says, hunks } = bug;
        assert!(!says.is_empty(), "bugs.txt: bug {name} does not say what it does wrong");
        let switched = hunks.iter().any(|hunk| hunk.after.iter().any(|line| line.contains(SWITCH)));
        let nowhere = hunks.iter().any(|hunk| hunk.before.is_empty());
        assert!(!nowhere, "bugs.txt: bug {name} does not say where: a place needs `-` or `=` lines");
        assert!(switched, "bugs.txt: bug {name} has no {SWITCH} in it: it could not be turned off");
        assert_eq!(bugs.iter().filter(|other| other.name == *name).count(), 1, "bugs.txt: two bugs {name}");
    }
    bugs
}

// The patches.

fn read_all(root: &Path, folder: &Path, source: &mut BTreeMap<PathBuf, Vec<String>>) {
    for entry in fs::read_dir(root.join(folder)).expect("the core's source lies beside the simulator's") {
        let entry = entry.expect("the core's source can be read");
        let path = folder.join(entry.file_name());
        if entry.file_type().expect("it has a type").is_dir() {
            read_all(root, &path, source);
        } else {
            let text = fs::read_to_string(root.join(&path)).expect("the core's source can be read");
            // Attributes and documentation of the crate itself stand in the crate that includes it.
            let inner = |line: &&str| {
                path == Path::new("lib.rs") && (line.starts_with("//!") || line.starts_with("#!["))
            };
            let lines = text.lines().filter(|line| !inner(line)).map(str::to_owned).collect();
            source.insert(path, lines);
        }
    }
}

/// All places are looked for in the core as it is, so that no bug depends on another.
fn plant(bugs: &[Bug], source: &mut BTreeMap<PathBuf, Vec<String>>) {
    let mut places: BTreeMap<&Path, Vec<(usize, &Bug, &Hunk)>> = BTreeMap::new();
    for bug in bugs {
        for hunk in &bug.hunks {
            let Some(lines) = source.get(&hunk.file) else {
                does_not_fit(bug, hunk, "there is no such file")
            };
            let same = |window: &[String]| window.iter().zip(&hunk.before).all(|(a, b)| a.trim() == b.trim());
            let found = lines.windows(hunk.before.len()).enumerate().filter(|(_, window)| same(window));
            match found.map(|(at, _)| at).collect::<Vec<_>>()[..] {
                [at] => places.entry(&hunk.file).or_default().push((at, bug, hunk)),
                [] => does_not_fit(bug, hunk, "these lines are not there"),
                _ => does_not_fit(bug, hunk, "these lines are there more than once"),
            }
        }
    }
    for (file, mut places) in places {
        places.sort_by_key(|(at, ..)| *at);
        for pair in places.windows(2) {
            let ((at, one, hunk), (next, other, _)) = (pair[0], pair[1]);
            let apart = at + hunk.before.len() <= next;
            assert!(
                apart,
                "bugs.txt: {} and {} change the same lines of {}",
                one.name,
                other.name,
                file.display()
            );
        }
        let lines = source.get_mut(file).expect("it was found above");
        for (at, bug, hunk) in places.into_iter().rev() {
            let switch = format!("crate::planted::is(crate::planted::Bug::{})", variant(&bug.name));
            let after = hunk.after.iter().map(|line| line.replace(SWITCH, &switch));
            lines.splice(at..at + hunk.before.len(), after);
        }
    }
}

fn does_not_fit(bug: &Bug, hunk: &Hunk, why: &str) -> ! {
    panic!(
        "\n\nbugs.txt: bug {} does not fit core/src/{}: {why}:\n\n{}\n\n\
         The core has changed there. Find what does this now, and change the bug's `-` and `=` lines to it; a bug that\n\
         cannot be made any more may go, with its row in FOUND.md.\n",
        bug.name,
        hunk.file.display(),
        hunk.before.join("\n"),
    )
}

// What tests see of it.

/// `clamp-after-jitter` → `ClampAfterJitter`.
fn variant(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(capital).collect()
}

fn declare(bugs: &[Bug]) -> String {
    let mut code = String::from(
        "/// A bug that can be turned on.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\npub enum Bug {\n",
    );
    for bug in bugs {
        let _ = writeln!(code, "    /// {}\n    {},", bug.says, variant(&bug.name));
    }
    code += "}\n\nimpl Bug {\n    /// Every one, in the order of the list.\n    pub const ALL: &[Self] = &[";
    for bug in bugs {
        let _ = write!(code, "Self::{}, ", variant(&bug.name));
    }
    code += "];\n";
    for (what, method) in [("Its name.", "name"), ("What is done wrong, in one sentence.", "says")] {
        let _ = write!(
            code,
            "\n    /// {what}\n    #[must_use]\n    pub const fn {method}(self) -> &'static str {{\n        match self {{\n"
        );
        for bug in bugs {
            let text = if method == "name" { &bug.name } else { &bug.says };
            let _ = writeln!(code, "            Self::{} => {text:?},", variant(&bug.name));
        }
        code += "        }\n    }\n";
    }
    code + "}\n"
}
