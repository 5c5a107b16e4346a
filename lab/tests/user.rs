//! The lab without root: whole plays, rows of the kernel table, and an end that nobody expects.
//!
//! Started by root it starts itself again as another user, who is nobody in particular. That user may not be allowed to enter
//! the directory of this file, so it is started as what runs already (`/proc/self/exe`), and needs no other file.
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::net::UdpSocket;
    use std::os::unix::process::CommandExt as _;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, ExitCode, ExitStatus};
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};
    use std::{env, error, fs, io, process, thread};

    use nix::unistd::geteuid;
    use resound_core::signal::Version;
    use resound_lab::agent::{self, Launcher};
    use resound_lab::play::{self, Guest, guest};
    use resound_lab::rig::{Heard, Rig, allowed, prepare};
    use resound_lab::suite::{self, Player};
    use resound_lab::table::on_this_kernel;
    use resound_lab::verdict::{Tolerance, Verdict, version_name};
    use resound_sim::engine::staged::{Case, Extent, Outcome, cases};
    use resound_sim::scenario::{NodeId, address};
    use resound_sim::{Record, Scenario};

    type Whatever<T = ()> = Result<T, Box<dyn error::Error>>;

    /// Nobody in particular.
    const USER: u32 = 65_534;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);

    /// Nothing here takes that long on the busiest machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    // What a process of this file is, by its first argument.
    const AGENT: &str = "lab-agent";
    const PLAYS: &str = "plays";
    const TO_BE_KILLED: &str = "to-be-killed";

    /// The exit code of one that may not use the lab, and has said why.
    const SKIPPED: u8 = 77;

    pub(super) fn main() -> ExitCode {
        match env::args().nth(1).as_deref() {
            Some(AGENT) => agent::main(),
            Some(PLAYS) => code(in_the_lab(plays)),
            Some(TO_BE_KILLED) => code(in_the_lab(a_guest_for_ever)),
            _ if env::args().any(|argument| argument == "--list") => ExitCode::SUCCESS,
            _ => code(tests()),
        }
    }

    fn code(outcome: Whatever<ExitCode>) -> ExitCode {
        outcome.unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        })
    }

    fn in_the_lab(what: fn() -> Whatever) -> Whatever<ExitCode> {
        if let Err(hindrance) = prepare().and_then(|()| allowed()) {
            eprintln!("skipped: {hindrance}");
            return Ok(ExitCode::from(SKIPPED));
        }
        what().map(|()| ExitCode::SUCCESS)
    }

    fn tests() -> Whatever<ExitCode> {
        let root = geteuid().is_root();
        let user = if root { Some(USER) } else { None };
        if let Some(mut lab) = Lab::start(PLAYS, user)? {
            let status = lab.process.wait()?;
            lab.nothing_is_left()?;
            if !status.success() && !is_skip(status) {
                return Err(format!("the plays: {status}").into());
            }
        }
        for user in if root { vec![Some(USER), None] } else { vec![None] } {
            if let Some(lab) = Lab::start(TO_BE_KILLED, user)? {
                lab.end_by_sigkill()?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn is_skip(status: ExitStatus) -> bool {
        status.code() == Some(SKIPPED.into())
    }

    // Outside: the process of a lab, and what is left of it.

    /// A process that uses the lab. All that it starts inherits its mark.
    struct Lab {
        process: Child,
        mark: String,
        interfaces: BTreeSet<String>,
    }

    impl Lab {
        /// As another user, or as this one. `None`, and it says so, if that user may not run this file.
        fn start(part: &str, user: Option<u32>) -> Whatever<Option<Self>> {
            let who = user.map_or_else(|| "this user".to_owned(), |user| format!("user {user}"));
            let (name, value) = ("RESOUND_TEST_LAB", format!("{} {part} {who}", process::id()));
            let mut command = Command::new("/proc/self/exe");
            command.arg(part).env(name, &value).current_dir("/");
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
            let interfaces = interfaces()?;
            match command.spawn() {
                Ok(process) => Ok(Some(Self { process, mark: format!("{name}={value}"), interfaces })),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    eprintln!("skipped: {who} may not execute this file: {error}");
                    Ok(None)
                }
                Err(error) => Err(format!("as {who}: {error}").into()),
            }
        }

        /// The directories in /proc of its processes.
        fn processes(&self) -> Vec<PathBuf> {
            let is_marked = |process: &PathBuf| {
                let environment = fs::read(process.join("environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|entry| entry == self.mark.as_bytes())
            };
            let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
            processes.map(|process| process.path()).filter(is_marked).collect()
        }

        /// Whether it has a process of each of these kinds.
        fn has(&self, kinds: &[&str]) -> bool {
            let here: Vec<_> = self.processes().iter().map(|process| kind(process)).collect();
            kinds.iter().all(|kind| here.iter().any(|is| is == kind))
        }

        /// Without processes nothing has a hold on a namespace, for it has no name.
        fn nothing_is_left(&self) -> Whatever<Duration> {
            let begun = Instant::now();
            loop {
                let left = self.processes();
                if left.is_empty() {
                    break;
                }
                if begun.elapsed() > PATIENCE {
                    let said = left.iter().map(|process| command_line(process)).collect::<Vec<_>>();
                    return Err(format!("{} leaves processes: {said:?}", self.mark).into());
                }
                thread::sleep(Duration::from_millis(1));
            }
            let (before, after) = (&self.interfaces, interfaces()?);
            if after != *before {
                return Err(format!("the interfaces were {before:?}, and are {after:?}").into());
            }
            Ok(begun.elapsed())
        }

        /// SIGKILL, when it has an agent that runs, one that is stopped, and a guest.
        fn end_by_sigkill(mut self) -> Whatever {
            let begun = Instant::now();
            while !self.has(&["S lab-agent", "T lab-agent", "S sleep"]) {
                if let Some(status) = self.process.try_wait()? {
                    return if is_skip(status) { Ok(()) } else { Err(format!("it ended: {status}").into()) };
                }
                if begun.elapsed() > PATIENCE {
                    self.process.kill()?;
                    return Err("there is no guest, or no agent that is stopped".into());
                }
                thread::sleep(Duration::from_millis(5));
            }
            self.process.kill()?;
            self.process.wait()?;
            println!("{}: killed, and all is gone {:?} later", self.mark, self.nothing_is_left()?);
            Ok(())
        }
    }

    /// Its state (proc_pid_stat(5)), and the first word of its command line that is no path: the guest's program, or what
    /// this file is there.
    fn kind(process: &Path) -> String {
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?');
        format!("{state} {}", command_line(process).split(' ').find(|word| !word.contains('/')).unwrap_or(""))
    }

    fn command_line(process: &Path) -> String {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').collect::<Vec<_>>().join(" ")
    }

    fn interfaces() -> io::Result<BTreeSet<String>> {
        Ok(nix::ifaddrs::getifaddrs()?.map(|interface| interface.interface_name).collect())
    }

    // Inside: what is done in the lab.

    fn launcher() -> Launcher {
        Launcher::myself(AGENT)
    }

    /// SIGSTOP for one agent, and a guest that takes its time.
    fn a_guest_for_ever() -> Whatever {
        let text = "
            host client ; host server
            link client <-> server 1ms
            0 server serve 7
            0 client connect server:7
            !0.2 server pause 100s
            until 120
        ";
        let mut command = Command::new("sleep");
        command.arg("1000");
        let setup = play::Setup {
            launcher: &launcher(),
            player: Player::Std,
            record: Record::Said,
            ends: Duration::from_secs(120),
        };
        let at = Duration::from_millis(300);
        guest(&Arc::new(text.parse()?), &setup, Guest { host: A, at, command })?;
        Err("nobody has killed it".into())
    }

    fn plays() -> Whatever {
        hosts_for_nobody()?;
        scenarios_for_nobody()?;
        rows_for_nobody()?;
        println!("a user namespace will do");
        Ok(())
    }

    fn hosts_for_nobody() -> Whatever {
        let scenario: Scenario = "host a tcp_retries2=5\nhost b\nlink a <-> b 1ms\n".parse()?;
        let mut rig = Rig::build(&scenario)?;
        for version in [Version::V4, Version::V6] {
            let [from, to] = [A, B].map(|node| address(node, version));
            let host = rig.host(A).ok_or("no host")?;
            host.run(move || {
                UdpSocket::bind((from, 0)).and_then(|socket| socket.send_to(b"hello", (to, 9)))
            })?;
            first_packet(&mut rig)?;
        }
        rig.host(A).ok_or("no host")?.exhaust_ports()?;
        rig.reboot(A)?;
        Ok(())
    }

    /// Answers until a packet comes.
    fn first_packet(rig: &mut Rig) -> Whatever {
        let begun = Instant::now();
        let wire = &mut rig.wires()[0];
        while begun.elapsed() < PATIENCE {
            match wire.receive()? {
                Some(Heard::Asks(question)) => wire.answer(&question)?,
                Some(Heard::Packet(_)) => return Ok(()),
                Some(Heard::Other) => {}
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
        Err("no packet came".into())
    }

    /// What may need a right: a low port, settings, routes, a limit of another process, signals, a new namespace.
    const SCENARIOS: [&str; 11] = [
        "tcp-server-not-running",
        "udp-one-of-three-dead",
        "process-killed",
        "half-open",
        "keepalive-meets-reboot",
        "no-descriptors-accept",
        "own-routes-tcp",
        "own-routes-udp",
        "ports-exhausted",
        "own-route-lost",
        "icmp-rate-limit",
    ];

    fn scenarios_for_nobody() -> Whatever {
        let mut items = suite::items(&SCENARIOS.map(str::to_owned));
        if items.len() < SCENARIOS.len() {
            return Err("not all of them are scenarios".into());
        }
        let mut wrong = Vec::new();
        // On a machine that stands still again and again, what comes late proves nothing: ever fewer are played at a time.
        for together in [12, 6, 3, 1, 1, 1] {
            let setup = suite::Setup {
                launcher: launcher(),
                players: Player::ALL.to_vec(),
                together,
                tolerance: Tolerance::default(),
            };
            let mut played = 0;
            wrong.clear();
            let mut again = Vec::new();
            suite::run(&items, &setup, &AtomicBool::new(false), |outcome| {
                played += 1;
                if outcome.verdict != Verdict::Agrees {
                    let (item, on) = (&outcome.item, outcome.player.as_str());
                    let head = format!("{} {} {on}", item.name, version_name(item.version));
                    wrong.push(format!("{head}: {:?}", outcome.verdict));
                    again.push((item.name.clone(), item.version));
                }
            });
            if played != 3 * items.len() {
                return Err(format!("{played} plays of {} items", items.len()).into());
            }
            if wrong.is_empty() {
                return Ok(());
            }
            items.retain(|item| again.contains(&(item.name.clone(), item.version)));
        }
        Err(wrong.join("\n").into())
    }

    /// A refusal, a reset, ICMP errors that end a connection and that are read from the queue.
    const ROWS: [&str; 5] = [
        "tcp/syn-sent/refusal IPv4",
        "tcp/unread/rst-exact IPv6",
        "tcp/sending/icmp-hard IPv4",
        "udp/connected/icmp-hard IPv6",
        "udp/unconnected/recverr/icmp-soft IPv4",
    ];

    fn rows_for_nobody() -> Whatever {
        let cases: Vec<Case> = cases(Extent::Rows).into_iter().flatten().collect();
        for name in ROWS {
            let case = cases.iter().find(|case| case.to_string().starts_with(name)).ok_or(name)?;
            let mut last = None;
            // Whoever is late says nothing about the kernel.
            for _ in 0..6 {
                let played = on_this_kernel(&launcher(), &case.scenario)?;
                let outcome = case.compare(&played.run);
                let agrees = outcome == Outcome::Agrees;
                last = Some((outcome, played.late));
                if agrees {
                    break;
                }
            }
            if !matches!(last, Some((Outcome::Agrees, _))) {
                return Err(format!("{case}: {last:?}").into());
            }
        }
        Ok(())
    }
}
