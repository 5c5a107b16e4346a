//! What the tests of the command share: the real binary, servers of it on ports that the kernel chose, and the published
//! schema as the judge of what it writes.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses a part of it")]

use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::AtomicBool;
use core::time::Duration;
use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Instant;

use jsonschema::Validator;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Nothing here takes this long, even on a machine with many other things to do.
pub const LONG: Duration = Duration::from_secs(300);
pub const RUNTIMES: [&str; 3] = ["std", "smol", "tokio"];

pub fn resound(args: &[&str]) -> Command {
    LazyLock::force(&HEARS);
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

/// A child ignores what its parent ignores, and a script's background job ignores SIGINT. What is caught here is a
/// child's own again.
pub static HEARS: LazyLock<()> = LazyLock::new(|| {
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(Signal::SIGINT as i32, 130, always).unwrap();
});

/// Longer than signals count as one request.
pub const APART: Duration = Duration::from_millis(400);

/// Runs it to its end.
pub fn run(args: &[&str]) -> Ran {
    feed(args, b"")
}

/// Runs it with this on standard input.
pub fn feed(args: &[&str], input: &[u8]) -> Ran {
    finish(resound(args), input)
}

pub fn finish(mut command: Command, input: &[u8]) -> Ran {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let ran = collect(child);
    writer.join().unwrap();
    ran
}

/// Waits for the end of a child, and takes what it wrote.
pub fn collect(mut child: Child) -> Ran {
    let pid = child.id();
    let (done, watched) = std::sync::mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if watched.recv_timeout(LONG) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    });
    drop(child.stdin.take());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    drop(done);
    watchdog.join().unwrap();
    Ran { code: status.code(), stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
}

/// How a run ended, and what it wrote.
pub struct Ran {
    /// `None`: a signal killed it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// It ended like this, without a panic.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }

    /// Each line is what the schema calls one.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| judge(line, &LINE)).collect()
    }

    /// It is one document, as the schema has it, and agrees with the exit code.
    #[track_caller]
    pub fn document(&self) -> Value {
        let document = judge(&self.text(), &DOCUMENT);
        if let Some(exit) = document.get("exit") {
            assert_eq!(exit.as_i64(), self.code.map(i64::from), "{self:?}");
        }
        document
    }

    /// The rows, each as long as the first.
    #[track_caller]
    pub fn rows(&self) -> Vec<Vec<String>> {
        let rows: Vec<Vec<String>> = self.text().split_terminator("\r\n").map(cells).collect();
        assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{self:?}");
        rows
    }
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr } = self;
        let stdout = String::from_utf8_lossy(stdout);
        let shown: String = stdout.chars().take(4_000).collect();
        write!(f, "exit {code:?}\n--- stdout\n{shown}\n--- stderr\n{stderr}")
    }
}

fn cells(row: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for letter in row.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cells.last_mut().unwrap().push(other),
        }
    }
    cells
}

/// The events of that name.
pub fn events<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == name).collect()
}

// The schema.

static LINE: LazyLock<Validator> = LazyLock::new(|| validator("#/$defs/line"));
static DOCUMENT: LazyLock<Validator> = LazyLock::new(|| validator("#/$defs/document"));

pub fn schema() -> Value {
    serde_json::from_str(include_str!("../../schema/resound-1.schema.json")).unwrap()
}

fn validator(part: &str) -> Validator {
    let mut schema = schema();
    let whole = schema.as_object_mut().unwrap();
    whole.remove("oneOf");
    whole.insert("$ref".into(), part.into());
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
fn judge(text: &str, validator: &Validator) -> Value {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    serde_json::from_str::<NoDuplicates>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    value
}

/// JSON in which no object names a field twice: parsers differ about which one they keep.
struct NoDuplicates;

impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for NoDuplicates {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some((key, Self)) = map.next_entry::<String, Self>()? {
            assert!(seen.insert(key.clone()), "the field {key} stands there twice");
        }
        Ok(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(Self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self)
    }
}

// Servers and signals.

/// A `resound serve` on a port that the kernel chose.
pub struct Server {
    pub addr: String,
    child: Option<Child>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Server {
    pub fn start(args: &[&str]) -> Self {
        Self::start_with("127.0.0.1:0", args)
    }

    pub fn start_at(addr: &str) -> Self {
        Self::start_with(addr, &[])
    }

    pub fn start_with(addr: &str, args: &[&str]) -> Self {
        let all: Vec<&str> = ["serve", "--tcp", addr, "-o", "jsonl"].iter().chain(args).copied().collect();
        Self::spawn(resound(&all))
    }

    /// One that was made otherwise, and writes lines.
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let addr = value["local"].as_str().unwrap().to_owned();
        Self { addr, child: Some(child), stdout: Some(stdout) }
    }

    pub fn signal(&self, signal: Signal) {
        self::signal(self.child.as_ref().unwrap(), signal);
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Waits for its end; what it wrote after its first line.
    pub fn end(mut self) -> Ran {
        let mut child = self.child.take().unwrap();
        let mut reader = self.stdout.take().unwrap();
        // Meanwhile: what it cannot write it cannot end with.
        let stdout = thread::spawn(move || {
            let mut stdout = Vec::new();
            reader.read_to_end(&mut stdout).unwrap();
            stdout
        });
        let status = wait(&mut child);
        let stdout = stdout.join().unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Ran { code: status.code(), stdout, stderr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

/// Waits until it takes SIGINT itself: before, the signal would end it as it ends any program.
pub fn takes_signals(child: &Child) {
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
        u64::from_str_radix(&mask, 16).ok()
    };
    let began = Instant::now();
    while caught().is_none_or(|mask| mask & 1 << (Signal::SIGINT as u32 - 1) == 0) {
        assert!(began.elapsed() < LONG, "it never takes signals");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Asks it to end again and again, as a person would, until it does.
pub fn insist(child: &mut Child, asking: Signal) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(began.elapsed() < LONG, "it does not end");
        signal(child, asking);
        thread::sleep(APART);
    }
}

/// Waits for the end of a child, but not for ever.
pub fn wait(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > LONG {
            child.kill().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// How many processes have this in their environment (proc_pid_environ(5)).
pub fn marked(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|process| std::fs::read(process.path().join("environ")).ok());
    let has =
        |environment: &Vec<u8>| environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes());
    environments.filter(has).count()
}

/// An address where nobody listens: one that was free a moment ago.
pub fn nobody() -> String {
    free_port().to_string()
}

pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
