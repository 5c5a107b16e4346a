//! Agents, without a network between them: each test has a network namespace of its own, whose loopback device has the
//! addresses of a scenario's hosts. For that it has to be root; otherwise it says so and does nothing.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use resound_core::signal::Version;
use resound_lab::agent::{Agent, Brief, Descriptors, Launcher, Life, Spent, Told, Used};
use resound_lab::suite::Player;
use resound_sim::scenario::NodeId;
use resound_sim::{Echo, Record, Scenario, World};

/// No test takes that long, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Puts this thread, and what it starts, into a namespace with these hosts' addresses. False, with the reason printed,
/// where that is not allowed.
fn alone(hosts: u8) -> bool {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
        println!("skipped: no network namespace can be made here ({errno}); run it as root");
        return false;
    }
    let ip = |arguments: &str| {
        let done = Command::new("ip").args(arguments.split(' ')).status();
        assert!(done.as_ref().is_ok_and(std::process::ExitStatus::success), "ip {arguments}: {done:?}");
    };
    ip("link set lo up");
    // Not the loopback device: IPv6 takes its routes for ways to nowhere (`fib6_is_reject`).
    ip("link add here type veth peer name there");
    ip("link set here up");
    ip("link set there up");
    ip("route add default dev here");
    ip("-6 route add default dev here");
    for host in 1..=hosts {
        ip(&format!("addr add 10.0.0.{host}/32 dev here"));
        ip(&format!("addr add fd00::{host}/128 dev here nodad"));
    }
    // The kernel takes its time until an IPv6 address leads anywhere (`addrconf_dad_work`).
    let by = Instant::now() + PATIENCE;
    let listener = TcpListener::bind("[::]:0").expect("there is a port");
    let port = listener.local_addr().expect("it is bound").port();
    for host in 1..=hosts {
        while TcpStream::connect(format!("[fd00::{host}]:{port}")).is_err() {
            assert!(Instant::now() < by, "fd00::{host} leads nowhere");
            thread::sleep(Duration::from_millis(2));
        }
    }
    true
}

/// Does this on every runtime and over both versions, all at once, each in a namespace with the addresses of so many hosts.
fn everywhere(hosts: u8, test: impl Fn(Player, Version) + Sync) {
    thread::scope(|scope| {
        for player in Player::ALL {
            for version in [Version::V4, Version::V6] {
                let test = &test;
                let name = format!("{} {version:?}", player.as_str());
                let thread = thread::Builder::new().name(name);
                let test = move || {
                    if alone(hosts) {
                        test(player, version);
                    }
                };
                thread.spawn_scoped(scope, test).expect("there is room for six threads");
            }
        }
    });
}

fn scenario(text: &str, version: Version) -> Arc<Scenario> {
    let mut scenario: Scenario = text.parse().unwrap_or_else(|bad| panic!("{bad}"));
    scenario.version = version;
    Arc::new(scenario)
}

/// An agent, and what it has said and nobody has looked at.
struct Host {
    agent: Agent,
    told: Vec<Told>,
}

impl Host {
    fn start(player: Player, scenario: &Arc<Scenario>, host: u8) -> Self {
        let mut host = Self::begin(player, scenario, host);
        host.agent.wait_until_ready(PATIENCE).unwrap();
        host
    }

    /// Starts it, and does not wait until it is ready.
    fn begin(player: Player, scenario: &Arc<Scenario>, host: u8) -> Self {
        let launcher = Launcher::new(env!("CARGO_BIN_EXE_resound-lab-agent"), &[]);
        let brief = Brief { player, host: NodeId(host), scenario: scenario.clone() };
        let agent = Agent::start(&launcher, &brief, |mut command| command.spawn()).unwrap();
        Self { agent, told: Vec::new() }
    }

    /// Reads a line of the script to it, and waits until that is carried out.
    fn ask(&mut self, line: u32) -> &mut Self {
        self.agent.ask(line, 1).unwrap();
        self.hear_until("it is done", |host| host.agent.open() == 0)
    }

    /// Waits until this is said: that is next.
    fn says(&mut self, words: &str) -> &mut Self {
        self.hear_until(words, |host| !host.told.is_empty());
        let told = self.told.remove(0);
        assert_eq!(told.said.to_string(), words, "then: {:?}", self.told);
        self
    }

    /// Waits until something that begins with these words is said, whatever is said before: how much that is, is a matter
    /// of time, and so are the rest of the words.
    fn comes_to(&mut self, words: &str) -> &mut Self {
        loop {
            self.hear_until(words, |host| !host.told.is_empty());
            if self.told.remove(0).said.to_string().starts_with(words) {
                return self;
            }
        }
    }

    fn hear_until(&mut self, what: &str, is: impl Fn(&Self) -> bool) -> &mut Self {
        let by = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(Instant::now() < by, "waited for {what:?} in vain");
            let mut fds = [PollFd::new(self.agent.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(100u8)).unwrap();
            let life = self.agent.hear(&mut self.told).unwrap();
            assert!(life == Life::GoesOn || is(self), "it ended while {what:?} was waited for");
        }
        self
    }
}

#[test]
fn a_client_and_a_server_say_what_happens() {
    everywhere(2, |player, version| {
        let text = "
            host client
            host server
            0 server serve 7
            0 client connect server:7
            1 client send \"hello\"
            2 client close
            3 client send \"is anybody there?\"
        ";
        let scenario = scenario(text, version);
        let (mut client, mut server) = (Host::start(player, &scenario, 0), Host::start(player, &scenario, 1));
        server.ask(0);
        client.ask(1).says("dialing").comes_to("up");
        server.says("accepted");
        client.ask(2).says("sent 0").says("echo 0");
        client.ask(3).says("closed");
        server.says("ended closed");
        client.ask(4).says("refused (no program here takes this)");
    });
}

#[test]
fn a_client_of_two_says_whose_it_is() {
    everywhere(3, |player, version| {
        let text = "
            host client
            host one
            host other
            0 one serve udp 7
            0 other serve udp 7
            0 client connect udp one:7
            1 client send \"hello\"
            1 client connect udp other:8
            2 client abort
            3 client close
        ";
        let scenario = scenario(text, version);
        let mut client = Host::start(player, &scenario, 0);
        let mut one = Host::start(player, &scenario, 1);
        one.ask(0);
        client.ask(2).says("dialing").comes_to("up");
        client.ask(3).comes_to("sent ").comes_to("echo ");
        client.ask(4).comes_to("other dialing").comes_to("other dial-failed port-unreach peer");
        client.comes_to("other retry 1");
        client.ask(5).comes_to("closed");
        client.ask(6).says("refused (no program here takes this)");
        // A second server on that port.
        one.ask(0).says("bind EADDRINUSE");
    });
}

#[test]
fn whoever_is_killed_takes_its_sockets_along_and_comes_back_with_the_next() {
    everywhere(2, |player, version| {
        let text = "
            host client
            host server
            0 server serve 7
            0 client connect server:7 idle=10s
            1 client send \"hello\"
        ";
        let scenario = scenario(text, version);
        let (mut client, mut server) = (Host::start(player, &scenario, 0), Host::start(player, &scenario, 1));
        server.ask(0);
        client.ask(1).says("dialing").comes_to("up");
        server.says("accepted");
        server.agent.kill();
        let life = server.agent.hear(&mut server.told).unwrap();
        assert!(matches!(life, Life::Ended(status) if status.signal() == Some(9)), "{life:?}");
        assert!(server.agent.ask(0, 1).is_err());
        client.says("down closed peer").comes_to("retry 1");
        let mut server = Host::start(player, &scenario, 1);
        server.ask(0);
        client.comes_to("dialing").comes_to("up");
        server.says("accepted");
    });
}

#[test]
fn whoever_is_stopped_says_nothing_until_it_goes_on() {
    everywhere(2, |player, version| {
        let text = "
            host client
            host server
            0 server serve udp 7
            0 client connect udp server:7 idle=300ms probe=300ms misses=2
        ";
        let scenario = scenario(text, version);
        let (mut client, mut server) = (Host::start(player, &scenario, 0), Host::start(player, &scenario, 1));
        server.ask(0);
        client.ask(1).says("dialing").comes_to("up");
        server.agent.stop();
        client.comes_to("suspect 1").comes_to("down no-echo timer").comes_to("retry 1");
        server.agent.go_on();
        client.comes_to("dialing").comes_to("up");
    });
}

#[test]
fn whoever_gets_no_more_descriptors_keeps_those_it_has() {
    everywhere(1, |player, version| {
        let text = "
            host here
            host there
            0 here call u = udp 9
            0 here call v = udp 0
            0 here call u sendto here:9 \"still\"
            0 here call u recv 10
            0 here call u close
        ";
        let scenario = scenario(text, version);
        let mut here = Host::start(player, &scenario, 0);
        here.ask(0).says("u bind 0");
        // As often as it is said, what it had before comes back.
        here.agent.descriptors(Descriptors::NoMore).unwrap();
        here.agent.descriptors(Descriptors::NoMore).unwrap();
        here.ask(1).says("v bind EMFILE");
        here.ask(2).says("u sendto 5").ask(3).says("u recv 5");
        here.ask(4).says("u close 0").ask(1).says("v bind EMFILE");
        here.agent.descriptors(Descriptors::AsUsual).unwrap();
        here.ask(1).says("v bind 0");
        // One that is not ready becomes so before it gets no more.
        let mut next = Host::begin(player, &scenario, 0);
        next.agent.descriptors(Descriptors::NoMore).unwrap();
        next.ask(0).says("u bind EMFILE");
        next.agent.descriptors(Descriptors::AsUsual).unwrap();
        next.ask(0).says("u bind 0");
    });
}

/// Every call of a script, one after the other, on the simulated kernel and on this one.
#[test]
fn single_calls_say_what_simulated_ones_say() {
    if !alone(1) {
        return;
    }
    let calls = "
        a = tcp connect here:9
        a poll
        a info
        a so_error
        a so_error
        a recv 10
        a close
        l = tcp listen 7 backlog=4 reuseaddr
        l2 = tcp listen 7 reuseaddr
        l2 poll
        l3 = tcp listen 8 reuseport
        l4 = tcp listen 8 reuseport
        b = accept l
        b recv 1
        c = tcp connect here:7 uto=5s keepalive=1s/1s/3 syncnt=2 rcvbuf=20000 sndbuf=20000 recverr
        d = accept l
        c poll
        c info
        c recv 5
        c send \"hello\"
        d poll
        d recv 3
        d recv 100
        d recv 100
        d shutdown
        c poll
        c recv 10
        c send 10 bytes
        d recv 100
        c shutdown-read
        d reset
        c poll
        c so_error
        c so_error
        c recv 1
        c errqueue
        c send \"x\"
        c shutdown
        c close
        u = udp 0
        u send \"x\"
        u recv 10
        u connect here:9
        u send \"x\"
        u poll
        u so_error
        u send \"x\"
        u recv 10
        u recv 10
        u disconnect
        u send \"x\"
        v = udp 10 recverr
        w = udp 10
        v sendto here:9 4 bytes
        v poll
        v errqueue
        v errqueue
        v poll
        v info
        v sendto here:9 4 bytes
        v recv 10
        v so_error
        v sendto here:10 4 bytes
        v recv 2
        v recv 2
        v shutdown
        v close
        m = udp loopback:10
        n = udp loopback:11 recverr
        n sendto loopback:10 4 bytes
        n sendto loopback:10 4 bytes
        m recv 2
        m recv-all
        n sendto loopback:9 4 bytes
        n sendto loopback:9 4 bytes
        n errqueue-all
        k = tcp connect here:7 from loopback:12
        o = tcp connect loopback:7 from loopback:12
        p = accept l
        p recv 10
        n join group-1
        n leave group-2
    ";
    let line = |(at, call): (usize, &str)| format!("{at} here call {}\n", call.trim());
    let script: String = calls.trim().lines().enumerate().map(line).collect();
    let text = format!("host here\nuntil 1000\n{script}");
    for version in [Version::V4, Version::V6] {
        let scenario = scenario(&text, version);
        let predicted = World::new(&scenario, &mut Echo).play(Record::Said).said;
        let mut differ = Vec::new();
        // A busy kernel takes its time to deliver what it sends to itself.
        for pause in [5, 50, 300].map(Duration::from_millis) {
            let mut here = Host::start(Player::Std, &scenario, 0);
            for line in 0..scenario.script.len() {
                here.ask(line as u32);
                thread::sleep(pause);
            }
            let both = |at: usize| {
                let call = scenario.show(&scenario.script[at].command).to_string();
                let simulated = predicted.get(at).map(|remark| remark.said.to_string());
                (call, simulated, here.told.get(at).map(|told| told.said.to_string()))
            };
            let all = (0..scenario.script.len()).map(both);
            differ = all.filter(|(_, simulated, real)| simulated != real).collect();
            if differ.is_empty() {
                break;
            }
        }
        assert!(differ.is_empty(), "{version:?}: {differ:#?}");
    }
}

#[test]
fn what_nobody_takes_is_refused_and_what_makes_no_sense_ends_it_with_a_reason() {
    let text = "
        host here
        host there
        0 here send \"hello\"
        0 here do something
        0 there close
    ";
    let scenario = scenario(text, Version::V4);
    let mut here = Host::start(Player::Std, &scenario, 0);
    here.ask(0).says("refused (no program here takes this)");
    here.ask(1).says("refused (no program here takes this)");
    here.agent.ask(2, 1).unwrap();
    let by = Instant::now() + PATIENCE;
    let error = loop {
        match here.agent.hear(&mut here.told) {
            Ok(life) => assert!(life == Life::GoesOn && Instant::now() < by, "{life:?}"),
            Err(error) => break error.to_string(),
        }
        thread::sleep(Duration::from_millis(5));
    };
    let expected =
        "the agent of here: it closed its stdout (exit status: 1); its last words: this is not an order";
    assert!(error.starts_with(expected), "{error}");
}

/// An agent whose parent is a shell and whose orders come from here.
struct Grandchild {
    shell: Child,
    pid: i32,
}

impl Drop for Grandchild {
    /// A test that fails leaves nothing behind either. Until it ended nobody else has its number.
    fn drop(&mut self) {
        if is_there(self.pid) {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn grandchild(scenario: &Scenario) -> Grandchild {
    let mut shell = Command::new("sh");
    // Whatever runs in the background has no stdin, unless that is given another number before.
    shell.args(["-c", "exec 3<&0; \"$0\" <&3 & echo $!; wait", env!("CARGO_BIN_EXE_resound-lab-agent")]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text = scenario.to_string();
    write!(shell.stdin.as_mut().unwrap(), "std 0 {}\n{text}", text.len()).unwrap();
    let mut lines = BufReader::new(shell.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
    // It is not said which of them comes first.
    let lines = [lines.next().unwrap(), lines.next().unwrap()];
    assert!(lines.iter().any(|line| line.starts_with("ready ")), "{lines:?}");
    let pid = lines.iter().find_map(|line| line.parse().ok()).unwrap();
    Grandchild { shell, pid }
}

/// Whether a process has not ended; one that nobody has asked after yet has.
fn is_there(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|behind| !behind.is_empty() && !behind.starts_with(" Z"))
}

fn await_end(pid: i32) {
    let by = Instant::now() + PATIENCE;
    while is_there(pid) {
        assert!(Instant::now() < by, "it outlives its parent");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn it_ends_with_its_orders_and_with_its_parent_also_while_it_is_stopped() {
    let scenario = scenario("host here", Version::V4);
    let mut with_orders = grandchild(&scenario);
    drop(with_orders.shell.stdin.take());
    await_end(with_orders.pid);
    assert!(with_orders.shell.wait().unwrap().success());
    for stopped in [false, true] {
        let Grandchild { shell, pid } = &mut grandchild(&scenario);
        if stopped {
            kill(Pid::from_raw(*pid), Signal::SIGSTOP).unwrap();
        }
        // `wait` would close it.
        let orders = shell.stdin.take();
        shell.kill().unwrap();
        shell.wait().unwrap();
        await_end(*pid);
        drop(orders);
    }
}

// What an agent used.

/// It says itself how long it took.
#[test]
fn the_longest_line_is_remembered() {
    let text = "host here\n0 here call u = udp 0\n0 here call u poll";
    let mut host = Host::start(Player::Std, &scenario(text, Version::V4), 0);
    assert_eq!(host.agent.longest(), Duration::ZERO);
    let asked = Instant::now();
    host.ask(0);
    let bind = host.agent.longest();
    assert!(Duration::ZERO < bind && bind < asked.elapsed(), "{bind:?}");
    host.ask(1);
    assert!(host.agent.longest() >= bind);

    let mut host = acting("while read -r word line seed; do case $word in ask) echo done $line; esac; done");
    for (took, longest) in [(300, 300), (4_000_000_000, 4_000_000_000), (20, 4_000_000_000)] {
        assert_eq!(host.ask(took).agent.longest(), Duration::from_nanos(longest));
    }
}

/// Something that says it is an agent: it is ready, and then does this, as a shell.
fn acting(shell: &str) -> Host {
    let script = format!("echo ready 0 0 0 0; {shell}");
    let launcher = Launcher::new("sh", &["-c", &script]).counting();
    let scenario = scenario("host here\n0 here send \"hello\"", Version::V4);
    let brief = Brief { player: Player::Std, host: NodeId(0), scenario };
    let agent = Agent::start(&launcher, &brief, |mut command| command.spawn()).unwrap();
    let mut host = Host { agent, told: Vec::new() };
    host.agent.wait_until_ready(PATIENCE).unwrap();
    host
}

/// What one used that is killed after `meanwhile`. It is not known if something else of this process ended at that very
/// moment: then it is done again.
fn used(mut start: impl FnMut() -> Host, mut meanwhile: impl FnMut(&mut Host)) -> Used {
    for _ in 0..10 {
        let mut host = start();
        meanwhile(&mut host);
        assert_eq!(host.agent.used(), None, "it goes on");
        host.agent.kill();
        host.agent.hear(&mut host.told).unwrap();
        if let Some(used) = host.agent.used() {
            return used;
        }
    }
    panic!("ten times something else ended at the same moment")
}

/// The time on processors of a process that lives, in hundredths of a second (proc_pid_stat(5)).
fn ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let behind = stat.rsplit(')').next().unwrap();
    let numbers = behind.split_whitespace().skip(11).take(2);
    numbers.map(|number| number.parse::<u64>().unwrap()).sum()
}

#[test]
fn whoever_spins_is_seen_to_and_whoever_sleeps_is_not() {
    let spun = used(
        || acting("while :; do :; done"),
        |host| {
            let by = Instant::now() + PATIENCE;
            while ticks(host.agent.id()) < 30 {
                assert!(Instant::now() < by, "it gets no processor");
                thread::sleep(Duration::from_millis(5));
            }
        },
    );
    // A tick may be given to somebody who was there for a part of it only.
    let cpu = spun.spent.cpu();
    assert!((Duration::from_millis(200)..Duration::from_secs(10)).contains(&cpu), "{spun:?}");
    assert!(spun.spent.user > spun.spent.system, "{spun:?}");
    assert_eq!(spun.threads, 1);
    assert!((100_000..100_000_000).contains(&spun.memory), "{spun:?}");

    let slept = used(|| acting("exec sleep 1000"), |_| thread::sleep(Duration::from_millis(300)));
    assert!(slept.spent.cpu() < Duration::from_millis(100), "{slept:?}");
    assert!(slept.spent.cpu() < cpu / 2 && slept.spent.wakes < 20, "{slept:?}");
}

#[test]
fn each_time_that_it_waits_for_something_is_a_wake_up() {
    const ORDERS: u64 = 200;
    let used = used(
        || acting("while read -r order; do case $order in ask*) echo done 0; esac; done"),
        |host| {
            for _ in 0..ORDERS {
                host.ask(0);
            }
        },
    );
    // Where both share a processor, it is taken from one of them before that waits. An order may be there before it is
    // waited for; and its end may come after it.
    let Spent { wakes, .. } = used.spent;
    assert!(used.spent.switches() > ORDERS / 2 && wakes < 3 * ORDERS, "{used:?}");
    match used.calls {
        // A shell reads byte by byte (POSIX, `read`), and writes each line at once.
        Some(calls) => assert!((2 * ORDERS..30 * ORDERS).contains(&calls), "{used:?}"),
        None => println!("skipped: the kernel may not be asked for system calls"),
    }
}

#[test]
fn what_it_had_used_when_it_was_ready_is_not_counted() {
    let text = "host client\nhost server\n0 client connect server:9";
    let scenario = scenario(text, Version::V4);
    let idle = used(|| Host::start(Player::Std, &scenario, 0), |_| ());
    // To start it takes more: it is loaded and linked, and reads its brief.
    assert!(idle.spent.cpu() < Duration::from_millis(1) && idle.spent.wakes <= 2, "{idle:?}");
    assert_eq!(idle.threads, 1, "{idle:?}");
}

#[test]
fn of_one_that_ended_by_itself_nothing_is_known() {
    let mut host = acting("while read -r order; do case $order in ask*) exit 3; esac; done");
    host.agent.ask(0, 1).unwrap();
    let by = Instant::now() + PATIENCE;
    while host.agent.hear(&mut host.told).is_ok() {
        assert!(Instant::now() < by, "it goes on");
        thread::sleep(Duration::from_millis(5));
    }
    host.agent.kill();
    assert_eq!(host.agent.used(), None);
}
