//! `resound icmpd`: how it starts, what it has given up, what it writes and how it ends. Most of it needs CAP_NET_RAW and
//! skips aloud without.

#![allow(missing_docs)]
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use common::{Ran, collect, events, resound, run, signal, wait};
use nix::sys::signal::Signal;
use resound_icmpd::client::Client;
use resound_icmpd::protocol::{Event, Place};
use serde_json::Value;

const NOBODY: u32 = 65_534;

/// A directory of its own, removed with it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("resound-icmpd-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn icmpd(socket: &Path, more: &[&str]) -> Command {
    let socket = socket.to_str().unwrap();
    resound(&[&["icmpd", "--socket", socket], more].concat())
}

fn may_listen() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    const CAP_NET_RAW: u32 = 13;
    let may = u64::from_str_radix(effective, 16).unwrap() >> CAP_NET_RAW & 1 == 1;
    if !may {
        eprintln!("SKIPPED: raw sockets need CAP_NET_RAW");
    }
    may
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: only root can become somebody else");
    }
    root
}

/// One that listens, and what it said first.
struct Daemon {
    child: Option<Child>,
    stdout: Option<BufReader<ChildStdout>>,
    first: String,
}

impl Daemon {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        Self { child: Some(child), stdout: Some(stdout), first }
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    /// The fields of that name, one of each thread.
    fn status(&mut self, name: &str) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child().id())).unwrap();
        let statuses = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap());
        statuses
            .map(|status| {
                let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
                line.unwrap().trim().to_owned()
            })
            .collect()
    }

    fn end(mut self) -> Ran {
        let mut child = self.child.take().unwrap();
        signal(&child, Signal::SIGTERM);
        let mut rest = Vec::new();
        self.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
        let mut ran = collect({
            wait(&mut child);
            child
        });
        ran.stdout = [self.first.as_bytes(), &rest].concat();
        ran
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// An address where nobody takes what comes in: the port belongs to a socket that is connected elsewhere.
fn nobody() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:1").unwrap();
    socket
}

/// Sends a datagram there until the client is told that it failed. The daemon hears the whole host, other tests included:
/// what comes too fast is lost, which it says.
fn is_told(client: &mut Client, socket: &UdpSocket, dead: &UdpSocket) {
    loop {
        socket.send_to(b"hello", dead.local_addr().unwrap()).unwrap();
        loop {
            match client.next(Some(Duration::from_secs(5))).unwrap().map(|line| line.event) {
                Some(Event::Icmp(_)) => return,
                Some(Event::Dropped { at: Place::Daemon, .. }) => {}
                Some(other) => panic!("{other:?}"),
                None => break,
            }
        }
    }
}

#[test]
fn it_holds_no_privilege_tells_whose_datagram_failed_and_leaves_nothing_behind() {
    if !may_listen() {
        return;
    }
    let dir = Dir::new("run");
    let mut daemon = Daemon::start(icmpd(&dir.socket(), &["-o", "jsonl"]));
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let threads = daemon.status(name);
        // The one that was started with the program, those for signals and for the daemon itself.
        assert!(threads.len() >= 3, "{threads:?}");
        assert!(threads.iter().all(|set| set == "0000000000000000"), "{name}: {threads:?}");
    }
    assert!(daemon.status("NoNewPrivs").iter().all(|value| value == "1"));
    assert_eq!(fs::metadata(dir.socket()).unwrap().mode() & 0o777, 0o600);

    let mut client = Client::connect(&dir.socket()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.register(&socket).unwrap();
    client.register_port(0).unwrap_err();
    let dead = nobody();
    is_told(&mut client, &socket, &dead);
    drop(client);

    let ran = daemon.end();
    let lines = ran.code(0).lines();
    assert_eq!(ran.stderr, "");
    let names = lines.iter().map(|line| line["event"].as_str().unwrap());
    // Other tests may have been too loud.
    let names: Vec<&str> = names.filter(|&name| name != "dropped").collect();
    assert_eq!(names, ["ready", "registered", "not_registered", "icmp", "watched"]);
    let icmp = events(&lines, "icmp")[0];
    assert_eq!(icmp["peer"], dead.local_addr().unwrap().to_string());
    assert_eq!(icmp["local"], socket.local_addr().unwrap().to_string());
    assert_eq!((&icmp["reason"], &icmp["origin"]), (&"port-unreach".into(), &"peer".into()));
    assert_eq!((&icmp["quoted"]["first"], &icmp["forgeable"]), (&"68656c6c6f".into(), &true.into()));
    assert_eq!(events(&lines, "registered")[0]["client"]["pid"], std::process::id());
    let last = lines.last().unwrap();
    assert_eq!((&last["told"], &last["end"]), (&1.into(), &"count".into()));
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[test]
fn what_clients_are_told_is_what_the_schema_says() {
    if !may_listen() {
        return;
    }
    let dir = Dir::new("schema");
    let daemon = Daemon::start(icmpd(&dir.socket(), &["-o", "jsonl", "--queue", "2"]));
    let mut client = Client::connect(&dir.socket()).unwrap();
    let (socket, closed) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    client.register(&socket).unwrap();
    client.register(&closed).unwrap();
    drop(closed);
    let dead = nobody();
    let mut lines = Vec::new();
    let mut names = Vec::new();
    // Until something was dropped: it does not read meanwhile.
    while !names.contains(&"dropped") {
        for _ in 0..500 {
            socket.send_to(b"hello", dead.local_addr().unwrap()).unwrap();
        }
        while let Some(line) = client.next(Some(Duration::from_millis(300))).unwrap() {
            names.push(match &line.event {
                Event::Icmp(_) => "icmp",
                Event::Dropped { .. } => "dropped",
                Event::Deregistered { .. } => "deregistered",
                other => panic!("{other:?}"),
            });
            lines.extend(serde_json::to_vec(&line).unwrap());
            lines.push(b'\n');
        }
    }
    let ran = Ran { code: Some(0), stdout: lines, stderr: String::new() };
    assert_eq!(ran.lines().len(), names.len());
    assert!(names.contains(&"deregistered") && names.contains(&"icmp"), "{names:?}");
    daemon.end().code(0).lines();
}

#[test]
fn for_people_it_writes_sentences() {
    if !may_listen() {
        return;
    }
    let dir = Dir::new("text");
    let daemon = Daemon::start(icmpd(&dir.socket(), &["-v"]));
    let mut client = Client::connect(&dir.socket()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.register(&socket).unwrap();
    let dead = nobody();
    is_told(&mut client, &socket, &dead);
    let ran = daemon.end();
    let text = ran.code(0).text();
    let expected = format!(
        "{}  port-unreach (peer 127.0.0.1, ICMP 3/3), sent from {}\n",
        dead.local_addr().unwrap(),
        socket.local_addr().unwrap()
    );
    assert!(text.contains(&expected), "{text}");
    assert!(text.starts_with("listening at ") && text.contains("1 errors told"), "{text}");
}

/// Runs it with whatever it takes that it may not open raw sockets.
fn without_the_capability(args: &[&str]) -> Option<Ran> {
    if !may_listen() {
        return Some(run(args));
    }
    let program = env!("CARGO_BIN_EXE_resound");
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-net_raw", "--inh-caps", "-net_raw", program]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => Some(collect(child)),
        Err(error) => {
            eprintln!("SKIPPED: setpriv cannot be run: {error}");
            None
        }
    }
}

#[test]
fn without_the_capability_one_line_says_what_is_needed() {
    let dir = Dir::new("unable");
    let socket = dir.socket();
    let socket = socket.to_str().unwrap();
    let Some(ran) = without_the_capability(&["icmpd", "--socket", socket]) else { return };
    assert_eq!((ran.code(17).stderr.lines().count(), ran.text()), (1, String::new()), "{ran:?}");
    assert!(ran.stderr.contains("cap_net_raw") && ran.stderr.contains("setcap"), "{ran:?}");
    let Some(ran) = without_the_capability(&["icmpd", "--socket", socket, "--json"]) else { return };
    let lines = ran.code(17).lines();
    assert!(lines[0]["error"].as_str().unwrap().contains("cap_net_raw"), "{ran:?}");
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[test]
fn where_another_one_listens_it_does_not_and_a_crash_is_no_obstacle() {
    if !may_listen() {
        return;
    }
    let dir = Dir::new("twice");
    let mut daemon = Daemon::start(icmpd(&dir.socket(), &[]));
    let ran = collect(icmpd(&dir.socket(), &["--json"]).spawn().unwrap());
    assert!(ran.code(17).stderr.contains("listens at") && ran.stderr.lines().count() == 1, "{ran:?}");
    assert!(ran.lines()[0]["error"].is_string());
    Client::connect(&dir.socket()).unwrap();
    daemon.child().kill().unwrap();
    daemon.child().wait().unwrap();
    assert!(dir.socket().exists(), "this is what a crash leaves behind");
    let again = Daemon::start(icmpd(&dir.socket(), &["-o", "jsonl"]));
    Client::connect(&dir.socket()).unwrap();
    again.end().code(0);
}

#[test]
fn as_another_user_it_hears_all_the_same() {
    if !(may_listen() && is_root()) {
        return;
    }
    let Some(user) = nix::unistd::User::from_uid(NOBODY.into()).unwrap() else {
        eprintln!("SKIPPED: user {NOBODY} has no name here");
        return;
    };
    let dir = Dir::new("user");
    chown(&dir.0, Some(NOBODY), None).unwrap();
    let mut daemon = Daemon::start(icmpd(&dir.socket(), &["--user", &user.name, "-o", "jsonl"]));
    for name in ["Uid", "Gid"] {
        let ids = daemon.status(name);
        assert!(ids.iter().all(|ids| ids.split('\t').all(|id| id == "65534")), "{name}: {ids:?}");
    }
    assert!(daemon.status("Groups").iter().all(String::is_empty));
    assert!(daemon.status("CapPrm").iter().all(|set| set == "0000000000000000"));
    let mut client = Client::connect(&dir.socket()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.register(&socket).unwrap();
    is_told(&mut client, &socket, &nobody());
    daemon.end().code(0);
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[test]
fn a_group_is_let_in_and_names_that_do_not_exist_are_a_matter_of_usage() {
    let ran = run(&["icmpd", "--group", "no-such-group-here"]);
    assert!(ran.code(2).stderr.contains("no such group"), "{ran:?}");
    let ran = run(&["icmpd", "--user", "no-such-user-here"]);
    assert!(ran.code(2).stderr.contains("no such user"), "{ran:?}");
    run(&["icmpd", "--queue", "0"]).code(2);
    run(&["icmpd", "-o", "csv"]).code(2);
    if !(may_listen() && is_root()) {
        return;
    }
    let Some(group) = nix::unistd::Group::from_gid(NOBODY.into()).unwrap() else {
        eprintln!("SKIPPED: group {NOBODY} has no name here");
        return;
    };
    let dir = Dir::new("group");
    let daemon = Daemon::start(icmpd(&dir.socket(), &["--group", &group.name]));
    let meta = fs::metadata(dir.socket()).unwrap();
    assert_eq!((meta.permissions().mode() & 0o777, meta.gid()), (0o660, NOBODY));
    daemon.end().code(0);
}

#[test]
fn a_standard_output_that_nobody_reads_holds_no_client_up() {
    if !may_listen() {
        return;
    }
    let dir = Dir::new("unread");
    let mut daemon = Daemon::start(icmpd(&dir.socket(), &["-o", "jsonl"]));
    let mut client = Client::connect(&dir.socket()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.register(&socket).unwrap();
    let dead = nobody();
    // Far more than a pipe holds.
    for _ in 0..1_000 {
        is_told(&mut client, &socket, &dead);
    }
    // And whoever insists gets it to end, too.
    let status = common::insist(daemon.child(), Signal::SIGINT);
    assert!(matches!(status.code(), Some(130)), "{status:?}");
    daemon.child = None;
}

#[test]
fn help_manual_and_completions_know_it() {
    let help = run(&["icmpd", "--help"]);
    for word in ["  17 ", "  130 ", "cap_net_raw", "--max-registrations", "forged"] {
        assert!(help.code(0).text().contains(word), "{word}: {help:?}");
    }
    assert!(run(&["--help"]).text().contains("icmpd"));
    let man = run(&["man", "icmpd"]);
    assert!(man.code(0).text().contains(".SH \"EXIT STATUS\"\n"), "{man:?}");
    for shell in ["bash", "fish", "zsh"] {
        assert!(run(&["completions", shell]).code(0).text().contains("max-registrations"), "{shell}");
    }
}

#[test]
fn every_event_of_the_library_is_in_the_schema() {
    let schema: Value = common::schema();
    let lines = schema["$defs"]["line"]["oneOf"].as_array().unwrap();
    let known: Vec<&str> =
        lines.iter().filter_map(|line| line["properties"]["event"]["const"].as_str()).collect();
    for event in ["ready", "registered", "not_registered", "icmp", "dropped", "deregistered", "watched"] {
        assert!(known.contains(&event), "{event}");
    }
}
