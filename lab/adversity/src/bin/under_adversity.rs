//! Sessions under adversity: what the tests of `resound-adversity` start, each in a process of its own.
//!
//! ```text
//! under_adversity exchange RUNTIME tcp|udp MESSAGES SEED   a server and a client; every message echoed once, in order
//! under_adversity scenario RUNTIME NAME                    one of the conformance suite
//! ```
//!
//! What came of it goes to standard output, line by line; a promise that was broken ends the process with 1. How the
//! kernel behaves is in the environment ([`resound_adversity::PLAN`]).

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn main() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn main() -> std::process::ExitCode {
    under::main()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod under {
    use core::fmt::Debug;
    use core::net::SocketAddr;
    use core::time::Duration;
    use std::process::ExitCode;
    use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
    use std::thread;

    use bytes::Bytes;
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike as _;
    use resound_conformance::on::{smol::Smol, std::Std, tokio::Tokio};
    use resound_conformance::{
        ClientSession, Dial, EchoClient, Runtime, Scenario, ServerConfig, ServerEvent, run,
    };
    use resound_core::datagram::{client as datagram, server};
    use resound_core::signal::{Cause, Reason};
    use resound_core::stream::client::{Command, Config, Event, Refusal};
    use resound_core::stream::server::Ended;
    use resound_sockets::udp;

    /// How long nothing may happen.
    const PATIENCE: Duration = Duration::from_secs(20);

    const HERE: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 0);

    pub(super) fn main() -> ExitCode {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let done = match words[..] {
            ["exchange", runtime, over, messages, seed] => exchange(runtime, over, messages, seed),
            ["scenario", runtime, name] => scenario(runtime, name),
            _ => Err(String::from("usage: exchange RUNTIME tcp|udp MESSAGES SEED, or scenario RUNTIME NAME")),
        };
        print!("{}", resound_adversity::tally());
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(broken) => {
                println!("broken {broken}");
                ExitCode::FAILURE
            }
        }
    }

    fn runtime(name: &str) -> Result<Box<dyn Runtime>, String> {
        Ok(match name {
            "std" => Box::new(Std),
            "smol" => Box::new(Smol::threads(1)),
            "smol-multi" => Box::new(Smol::threads(2)),
            "tokio" => Box::new(Tokio::current_thread()),
            "tokio-multi" => Box::new(Tokio::multi_thread(2)),
            _ => return Err(format!("no runtime {name}")),
        })
    }

    /// What came of a scenario, in words. How long it took is not held against it here: what is held back from a stalled
    /// connection moves later, and begins its time-out anew.
    fn scenario(on: &str, name: &str) -> Result<(), String> {
        let scenario = Scenario::named(name).ok_or_else(|| format!("no scenario {name}"))?;
        let outcome = run(scenario, &*runtime(on)?);
        outcome.events.iter().for_each(|moment| println!("event {}", moment.what));
        if let Some((reason, origin)) = outcome.verdict {
            println!("verdict {reason} ({origin})");
        }
        let late = |broken: &&String| broken.starts_with("detected after");
        let broken: Vec<&str> =
            outcome.broken.iter().filter(|broken| !late(broken)).map(String::as_str).collect();
        if broken.is_empty() { Ok(()) } else { Err(broken.join(" ")) }
    }

    fn exchange(on: &str, over: &str, messages: &str, seed: &str) -> Result<(), String> {
        let runtime = runtime(on)?;
        let number = |text: &str| text.parse().map_err(|_| format!("no number: {text}"));
        let stream = Messages { count: number(messages)?, seed: number(seed)? };
        match over {
            "tcp" => tcp(&*runtime, &stream)?,
            "udp" => udp(&*runtime, &stream)?,
            _ => return Err(format!("neither tcp nor udp: {over}")),
        }
        println!("cpu-ms {}", cpu_ms()?);
        Ok(())
    }

    /// Messages of varying sizes, no two alike, that follow from a seed.
    struct Messages {
        count: u64,
        seed: u64,
    }

    impl Messages {
        /// Message `at`: mostly short, sometimes as long as said.
        fn payload(&self, at: u64, longest: u64) -> Bytes {
            let mut state =
                self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(at).wrapping_mul(0xd129_0d3b_4f5b_2d25) | 1;
            let mut draw = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            let len = match draw() % 4 {
                0 => 1 + draw() % 16,
                1 | 2 => 1 + draw() % longest.min(1_024),
                _ => 1 + draw() % longest,
            };
            let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| draw().to_ne_bytes()).collect();
            bytes.truncate(usize::try_from(len).unwrap_or(0));
            bytes.into()
        }
    }

    fn text(what: impl Debug) -> String {
        format!("{what:?}")
    }

    fn next<T>(events: &Receiver<T>, awaited: &str) -> Result<T, String> {
        events.recv_timeout(PATIENCE).map_err(|_| format!("nothing happened while {awaited} was awaited"))
    }

    /// Several clients at once, each with its share of the messages.
    fn tcp(runtime: &dyn Runtime, messages: &Messages) -> Result<(), String> {
        const CLIENTS: u64 = 4;
        let (tell, served) = channel();
        let on_event = Box::new(move |event| drop(tell.send(event)));
        let server = runtime.server(HERE, ServerConfig::default(), on_event).map_err(text)?;
        let (addr, count) = (server.local_addr(), messages.count / CLIENTS);
        let sessions =
            (0..CLIENTS).map(|client| TcpSession::start(runtime, addr, messages.seed ^ client << 32, count));
        let mut sessions = sessions.collect::<Result<Vec<_>, _>>()?;
        thread::scope(|scope| {
            let talking: Vec<_> = sessions.iter_mut().map(|session| scope.spawn(|| session.talk())).collect();
            talking.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a panic")?)
        })?;
        idle()?;
        let mut bytes: Vec<u64> = sessions.into_iter().map(TcpSession::close).collect::<Result<_, _>>()?;
        let mut ended = Vec::new();
        while ended.len() < bytes.len() {
            match next(&served, "the end of the connections")? {
                ServerEvent::Connection { event, .. } => ended.push(event),
                ServerEvent::Accepted { .. } | ServerEvent::AcceptFailed { .. } => {}
                other => return Err(format!("the server: {other:?}")),
            }
        }
        server.drain();
        while next(&served, "the end of the server")? != ServerEvent::Done {}
        bytes.sort_unstable();
        ended.sort_unstable_by_key(|ended| ended.received);
        let right = |(ended, bytes): (&Ended, &u64)| {
            ended.cause.reason == Reason::Closed && [ended.received, ended.echoed] == [*bytes; 2]
        };
        if !ended.iter().zip(&bytes).all(right) {
            return Err(format!("{bytes:?} bytes were sent, and the server says {ended:?}"));
        }
        println!("messages {}", count * CLIENTS);
        Ok(())
    }

    struct TcpSession {
        messages: Messages,
        session: Box<dyn ClientSession>,
        events: Receiver<Event>,
        /// That have come back.
        bytes: u64,
    }

    impl TcpSession {
        const LONGEST: u64 = 20_000;

        fn start(runtime: &dyn Runtime, to: SocketAddr, seed: u64, count: u64) -> Result<Self, String> {
            let config = Config { max_in_flight: 64, ..Config::default() };
            let client = EchoClient::new(config, seed, [to]).map_err(text)?;
            let (tell, events) = channel();
            let on_event = Box::new(move |_, event| drop(tell.send(event)));
            let session = runtime.client(client, Dial::default(), on_event).map_err(text)?;
            Ok(Self { messages: Messages { count, seed }, session, events, bytes: 0 })
        }

        fn talk(&mut self) -> Result<(), String> {
            let Self { messages, session, events, bytes } = self;
            let (mut sent, mut echoed) = (0, 0);
            while echoed < messages.count {
                while sent < messages.count {
                    match session.command(Command::Send(messages.payload(sent, Self::LONGEST))) {
                        Ok(()) => sent += 1,
                        Err(refused) if refused.why == Refusal::Full => break,
                        Err(refused) => return Err(text(refused.why)),
                    }
                }
                match next(events, "an echo")? {
                    Event::Echoed { payload, .. } => {
                        if payload != messages.payload(echoed, Self::LONGEST) {
                            return Err(format!("echo {echoed} is another message"));
                        }
                        *bytes += payload.len() as u64;
                        echoed += 1;
                    }
                    Event::Dialing { .. } | Event::Up { .. } | Event::Stalled { .. } => {}
                    other => return Err(format!("after {echoed} echoes: {other:?}")),
                }
            }
            Ok(())
        }

        /// Returns how many bytes came back in all.
        fn close(self) -> Result<u64, String> {
            self.session.command(Command::Close).map_err(text)?;
            loop {
                match next(&self.events, "the close")? {
                    Event::Closed => break,
                    Event::Down { cause, .. } if cause == Cause::peer(Reason::Closed) => {}
                    Event::Stalled { .. } => {}
                    other => return Err(format!("no clean close: {other:?}")),
                }
            }
            match self.events.recv_timeout(PATIENCE) {
                Err(RecvTimeoutError::Disconnected) => Ok(self.bytes),
                more => Err(format!("after the close: {more:?}")),
            }
        }
    }

    /// Nothing is to be done, and nothing is done: how many calls are made, and how long the processor works.
    fn idle() -> Result<(), String> {
        const LONG: Duration = Duration::from_millis(500);
        // What was asked for last is still being finished.
        thread::sleep(LONG / 2);
        let (calls, used) = (resound_adversity::tally().calls(), cpu_ms()?);
        thread::sleep(LONG);
        println!(
            "idle-calls {}\nidle-cpu-ms {}",
            resound_adversity::tally().calls() - calls,
            cpu_ms()? - used
        );
        Ok(())
    }

    fn cpu_ms() -> Result<i64, String> {
        let used = getrusage(UsageWho::RUSAGE_SELF).map_err(text)?;
        Ok(used.user_time().num_milliseconds() + used.system_time().num_milliseconds())
    }

    fn udp(runtime: &dyn Runtime, messages: &Messages) -> Result<(), String> {
        /// Little enough in flight that the smallest of receive buffers holds it.
        const LONGEST: u64 = 4_000;
        const WINDOW: usize = 16;
        /// So late that nothing which is on its way is told as lost.
        const LATE: Duration = Duration::from_secs(30);
        let udp = runtime.udp().ok_or("the runtime has no UDP")?;
        let (tell, served) = channel();
        let on_event = Box::new(move |_, event| {
            let _ = tell.send(event);
        });
        let mut config = udp::ServerConfig::default();
        config.echo.rate = None;
        let server = udp.udp_server(&[HERE], &config, on_event).map_err(text)?;
        let config = datagram::Config {
            timeout: LATE,
            remember: LATE * 2,
            max_in_flight: WINDOW,
            ..datagram::Config::default()
        };
        let client = datagram::Client::new(config, messages.seed, [1, 2]).map_err(text)?;
        let options = udp::Options { errors: udp::Errors::Queued, ..udp::Options::default() };
        let socket = udp::bind(HERE, &options).map_err(text)?;
        let (tell, events) = channel();
        let on_event = Box::new(move |_, event| drop(tell.send(event)));
        let session = udp.udp_client(client, socket, on_event).map_err(text)?;
        let peer = session.ask(|client, now| client.add(now, server.local_addrs()[0])).map_err(text)?;
        let (mut sent, mut echoed) = (0, 0);
        while echoed < messages.count {
            // As many as may be, at once: they leave in one call.
            session.ask(|client, now| {
                while sent < messages.count {
                    match client.send(now, peer, messages.payload(sent, LONGEST)) {
                        Ok(_) => sent += 1,
                        Err(refused) if refused.why == datagram::Refusal::Full => break,
                        Err(refused) => return Err(text(refused.why)),
                    }
                }
                Ok(())
            })?;
            match next(&events, "an echo")? {
                datagram::Event::Echoed { payload, .. } => {
                    if payload != messages.payload(echoed, LONGEST) {
                        return Err(format!("echo {echoed} is another message"));
                    }
                    echoed += 1;
                }
                datagram::Event::Dialing { .. }
                | datagram::Event::Up { .. }
                | datagram::Event::Stalled { .. } => {}
                other => return Err(format!("after {echoed} echoes: {other:?}")),
            }
        }
        idle()?;
        session.ask(|client, now| client.close(now));
        loop {
            match next(&events, "the close")? {
                datagram::Event::Closed => break,
                datagram::Event::Stalled { .. } => {}
                other => return Err(format!("no clean close: {other:?}")),
            }
        }
        let counts = server.counts();
        server.stop();
        drop((session, server));
        let told: Vec<_> = served.into_iter().collect();
        if told != [server::Event::Stopped] {
            return Err(format!("the server: {told:?}"));
        }
        if counts.unsent > 0 || counts.overrun > 0 || counts.echoed < echoed {
            return Err(format!("the server's counts: {counts:?}"));
        }
        println!("messages {echoed}");
        Ok(())
    }
}
