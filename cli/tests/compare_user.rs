//! `resound compare` with the lab as a user who is not root; and what is left if it is killed in the middle: nothing.
//!
//! Where root runs these tests, that user is one whom nobody knows, and who may not even be allowed to enter the directory of
//! the program: so it is executed as a file that is open.

#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use core::time::Duration;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use common::{LONG, Ran, collect, finish, marked};
use nix::unistd::geteuid;

/// Nobody in particular.
const NOBODY: u32 = 65_534;

/// Whoever has it uses the lab: what comes late because another test keeps the machine busy proves nothing.
static LAB: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    LAB.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So often a machine may stand still while something is played, four times each.
const MOST_TIMES: u32 = 4;

/// Runs it again if what came was not as predicted; `None` if it cannot be run here, which has been said.
fn patiently(run: impl Fn() -> Option<Ran>) -> Option<Ran> {
    for _ in 1..MOST_TIMES {
        let ran = run()?;
        if ran.code == Some(17) && hindered(&ran.stderr) {
            return None;
        }
        if ran.code == Some(0) {
            return Some(ran);
        }
    }
    run()
}

/// A run that leaves a mark on all its processes.
struct Run {
    child: Child,
    mark: String,
    /// Its working directory, home, and place for temporary files.
    directory: PathBuf,
}

/// Whose run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Whoever runs the tests.
    Tester,
    /// Somebody who is not root.
    User,
}

impl Run {
    /// `None`, and it says so, if that user may not execute the program.
    fn start(name: &str, who: Who, args: &[&str]) -> Option<Self> {
        static PROGRAM: LazyLock<File> = LazyLock::new(|| File::open(env!("CARGO_BIN_EXE_resound")).unwrap());
        let directory = std::env::temp_dir().join(format!("resound-{name}-{who:?}-{}", process::id()));
        fs::create_dir(&directory).unwrap();
        let mark = format!("RESOUND_TEST_MARK={}", directory.display());
        let mut command = Command::new(format!("/proc/self/fd/{}", PROGRAM.as_raw_fd()));
        command.arg("compare").args(args).args(["--lab", "always", "-o", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.current_dir(&directory).env("TMPDIR", &directory).env("HOME", &directory);
        // What a user's own shell has.
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        let (variable, value) = mark.split_once('=').unwrap();
        command.env(variable, value);
        if who == Who::User && geteuid().is_root() {
            chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
            command.uid(NOBODY).gid(NOBODY);
        }
        match command.spawn() {
            Ok(child) => Some(Self { child, mark, directory }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("SKIPPED: user {NOBODY} may not execute this program: {error}");
                fs::remove_dir(&directory).unwrap();
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Neither processes nor files nor interfaces. A namespace has no name here: without processes it is gone.
#[track_caller]
fn nothing_is_left(mark: &str, directory: &Path, interfaces: &[String]) -> Duration {
    let began = Instant::now();
    while marked(mark) > 0 {
        assert!(began.elapsed() < LONG, "{mark}: {} processes are left", marked(mark));
        thread::sleep(Duration::from_millis(2));
    }
    // It is empty, or this fails.
    fs::remove_dir(directory).unwrap();
    assert_eq!(self::interfaces(), interfaces);
    began.elapsed()
}

fn interfaces() -> Vec<String> {
    let names = nix::ifaddrs::getifaddrs().unwrap().map(|interface| interface.interface_name);
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

fn hindered(stderr: &str) -> bool {
    let hindered = stderr.contains("the lab cannot be used");
    if hindered {
        eprintln!("SKIPPED: {stderr}");
    }
    hindered
}

/// Refused, rebooted, killed, without descriptors; over UDP too.
const SCENARIOS: [&str; 5] = [
    "tcp-server-not-running",
    "udp-server-not-running",
    "half-open",
    "process-killed",
    "no-descriptors-accept",
];

#[test]
fn whoever_is_not_root_compares_all_the_same() {
    let _alone = alone();
    let before = interfaces();
    let args = [&["--part", "scenarios", "--scenario"][..], &SCENARIOS].concat();
    let ran = patiently(|| {
        let Run { child, mark, directory } = Run::start("whole", Who::User, &args)?;
        let ran = collect(child);
        nothing_is_left(&mark, &directory, &before);
        Some(ran)
    });
    let Some(ran) = ran else { return };
    let lab = &ran.code(0).document()["lab"];
    let plays = 6 * SCENARIOS.len();
    assert_eq!((&lab["agree"], &lab["differ"]), (&plays.into(), &0.into()), "{lab}");
}

/// Each part, when it is in the middle of it.
#[test]
fn when_it_is_killed_nothing_is_left() {
    let _alone = alone();
    let before = interfaces();
    // So many processes are there in the middle: itself, and agents or workers.
    for (part, middle) in [("scenarios", 20), ("table", 10), ("costs", 3)] {
        for who in [Who::Tester, Who::User] {
            let Some(run) = Run::start(&format!("killed-{part}"), who, &["--part", part]) else { return };
            let Run { mut child, mark, directory } = run;
            let began = Instant::now();
            while marked(&mark) < middle {
                if child.try_wait().unwrap().is_some() {
                    let ran = collect(child);
                    assert!(hindered(&ran.stderr), "{part} as {who:?}: {ran:?}");
                    return fs::remove_dir(&directory).unwrap();
                }
                assert!(began.elapsed() < LONG, "{part} as {who:?} has {} processes", marked(&mark));
                thread::sleep(Duration::from_millis(5));
            }
            child.kill().unwrap();
            assert_eq!(collect(child).code, None);
            let took = nothing_is_left(&mark, &directory, &before);
            eprintln!("{part} as {who:?}: all is gone after {took:?}");
        }
    }
}

/// The program in a user namespace of its own, started by `starter` after a shell's `preparation`; `None`, and it says so, if
/// that cannot be.
fn prepared(preparation: &str, starter: &str, args: &str) -> Option<Command> {
    let inside = |program: &str| {
        let mut command = Command::new("unshare");
        let line = format!("{preparation} && exec {starter} {program}");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &line]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let tried = inside("true").output();
    if tried.as_ref().is_ok_and(|ran| ran.status.success()) {
        return Some(inside(&format!("{} compare {args}", env!("CARGO_BIN_EXE_resound"))));
    }
    eprintln!("SKIPPED: unshare(1) or what it is to start cannot do this here: {preparation}: {tried:?}");
    None
}

/// One sentence, with the setting that is in the way.
#[test]
fn where_users_get_no_user_namespace_that_is_said() {
    let none = "echo 0 > /proc/sys/user/max_user_namespaces";
    let starter = "setpriv --bounding-set=-all --inh-caps=-all";
    let Some(command) = prepared(none, starter, "--part table -o json") else { return };
    let ran = finish(command, b"");
    let error = ran.code(17).document()["error"].to_string();
    let setting = "user.max_user_namespaces is 0; root may run this";
    assert!(error.contains(setting) && ran.stderr.matches(setting).count() == 1, "{ran:?}");
}

/// It looks for IPv6 where the kernel shows its settings: what is mounted there hides them.
#[test]
fn without_ipv6_the_rest_is_played_and_why_is_said_once() {
    let hidden = "mount -t tmpfs none /proc/sys/net/ipv6";
    let scenarios = "--part scenarios --lab always --scenario tcp-server-not-running udp-server-not-running";
    let _alone = alone();
    for format in ["text", "markdown"] {
        let args = format!("{scenarios} -o {format}");
        let ran = patiently(|| Some(finish(prepared(hidden, "", &args)?, b"")));
        let Some(ran) = ran else { return };
        let text = ran.code(0).text();
        assert!(text.contains("6 of 6 plays came as predicted"), "{text}");
        assert!(text.contains("0 differ; 6 were not played"), "{text}");
        assert_eq!(text.matches("there is no IPv6 on this machine").count(), 1, "{text}");
    }
}
