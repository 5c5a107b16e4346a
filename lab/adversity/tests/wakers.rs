//! Tasks that are woken without need, polled several times, and each time with another waker.
//!
//! An executor may do all of this (`Future::poll`: only the waker of the latest poll counts). Here the wakers of earlier
//! polls wake nobody, so that whoever keeps one sleeps for ever.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use async_executor::Executor;
use bytes::Bytes;
use resound_async::{Runtime, ServerConfig, echo, echo_connections, udp};
use resound_core::datagram::client as datagram;
use resound_core::stream::{client, server};
use resound_core::{link, liveness};
use resound_smol::Smol;
use resound_tokio::Tokio;

const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long one exchange may take. With tasks that sleep for ever it takes for ever.
const PATIENCE: Duration = Duration::from_secs(30);

const TASKS: u32 = 8;
const EACH: u32 = 100;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future under an executor that is within its rights.
struct Restless {
    inner: Task,
    drawn: u64,
    latest: Option<Arc<Stub>>,
    polls: Arc<Polls>,
}

/// How often tasks were polled, and how often they had to be.
#[derive(Default)]
struct Polls {
    all: AtomicU64,
    needed: AtomicU64,
}

/// A waker that can be taken back.
struct Stub(Mutex<Option<Waker>>);

impl Wake for Stub {
    fn wake(self: Arc<Self>) {
        let task = self.0.lock().unwrap().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Restless {
    fn task(inner: impl Future<Output = ()> + Send + 'static, polls: &Arc<Polls>) -> Task {
        static SEEDS: AtomicU64 = AtomicU64::new(0x5eed);
        let drawn = SEEDS.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) | 1;
        Box::pin(Self { inner: Box::pin(inner), drawn, latest: None, polls: polls.clone() })
    }

    fn draw(&mut self) -> u64 {
        self.drawn ^= self.drawn << 13;
        self.drawn ^= self.drawn >> 7;
        self.drawn ^= self.drawn << 17;
        self.drawn
    }
}

impl Future for Restless {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polls.needed.fetch_add(1, Ordering::Relaxed);
        for _ in 0..=self.draw() % 3 {
            self.polls.all.fetch_add(1, Ordering::Relaxed);
            let stub = Arc::new(Stub(Mutex::new(Some(cx.waker().clone()))));
            if let Some(before) = self.latest.replace(stub.clone()) {
                *before.0.lock().unwrap() = None;
            }
            if self.inner.as_mut().poll(&mut Context::from_waker(&stub.into())).is_ready() {
                return Poll::Ready(());
            }
        }
        if self.draw() % 4 == 0 {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Tasks of their own that somebody waits for. Nobody's wake-up polls another's task.
#[derive(Clone)]
struct Group {
    spawn: Spawn,
    polls: Arc<Polls>,
    left: Arc<Mutex<(usize, Option<Waker>)>>,
}

type Spawn = Arc<dyn Fn(Task) + Send + Sync>;

impl Group {
    fn new(spawn: &Spawn, polls: &Arc<Polls>) -> Self {
        Self { spawn: spawn.clone(), polls: polls.clone(), left: Arc::default() }
    }

    fn add(&self, task: impl Future<Output = ()> + Send + 'static) {
        let left = self.left.clone();
        left.lock().unwrap().0 += 1;
        let counted = async move {
            task.await;
            let mut left = left.lock().unwrap();
            left.0 -= 1;
            if left.0 == 0 {
                left.1.take().into_iter().for_each(Waker::wake);
            }
        };
        (self.spawn)(Restless::task(counted, &self.polls));
    }

    /// Ready when all tasks have ended.
    fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let left = self.left.clone();
        poll_fn(move |cx| {
            let mut left = left.lock().unwrap();
            left.1 = Some(cx.waker().clone());
            if left.0 == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

fn payload(task: u32, at: u32) -> Bytes {
    let len = 1 + (task * 7_919 + at * 104_729) % 3_000;
    (0..len).map(|byte| (byte ^ task ^ at) as u8).collect()
}

/// A session with echoes in several tasks at once, and its clean end, as one future.
type Exchange = fn(Arc<Polls>, Spawn) -> Task;

fn tcp<R>(polls: Arc<Polls>, spawn: Spawn) -> Task
where
    R: Runtime<Socket: Send, Timer: Send>,
{
    let [serving, driving, talkers] = core::array::from_fn(|_| Group::new(&spawn, &polls));
    let make = echo_connections(server::Config::default()).unwrap();
    let connections = serving.clone();
    let spawn = move |conversation| connections.add(conversation);
    let server =
        resound_async::serve::<R, _, _, _, _>(HERE, ServerConfig::default(), make, spawn, |_| {}).unwrap();
    let at_server = server.handle();
    // No probe of an idle connection wakes whom nobody else does.
    let liveness = liveness::Config { idle: 3 * PATIENCE, ..liveness::Config::default() };
    let config = client::Config {
        link: link::Config { liveness, ..link::Config::default() },
        ..client::Config::default()
    };
    let client = echo::Client::<R>::connect([at_server.local_addr()], config).unwrap();
    let handle = client.handle();
    let begin = async move {
        serving.add(server);
        driving
            .add(client.run_with(|event| assert!(!matches!(event, client::Event::Lost { .. }), "{event:?}")));
        for task in 0..TASKS {
            let handle = handle.clone();
            talkers.add(async move {
                for at in 0..EACH {
                    assert_eq!(handle.echo(payload(task, at)).await.unwrap().payload, payload(task, at));
                }
            });
        }
        talkers.ended().await;
        // The connection has nothing to do: it hears of the end by its waker alone.
        at_server.abort();
        serving.ended().await;
        handle.close();
        driving.ended().await;
    };
    Restless::task(begin, &polls)
}

fn udp<R>(polls: Arc<Polls>, spawn: Spawn) -> Task
where
    R: Runtime<UdpSocket: Send, Timer: Send>,
{
    let (drivers, talkers) = (Group::new(&spawn, &polls), Group::new(&spawn, &polls));
    let responders = drivers.clone();
    let spawn = move |responder| responders.add(responder);
    let mut config = resound_sockets::udp::ServerConfig::default();
    config.echo.rate = None;
    let server = udp::serve::<R, _, _>(&[HERE], &config, spawn, |_, _| {}).unwrap();
    let at_server = server.handle();
    let client = udp::Client::<R>::open(datagram::Config::default()).unwrap();
    let handle = client.handle();
    let peer = handle.add(at_server.local_addrs()[0]).unwrap();
    let begin = async move {
        drivers.add(server);
        drivers.add(
            client.run_with(|event| assert!(!matches!(event, datagram::Event::Lost { .. }), "{event:?}")),
        );
        for task in 0..TASKS {
            let handle = handle.clone();
            talkers.add(async move {
                for at in 0..EACH {
                    assert_eq!(
                        handle.echo(peer, payload(task, at)).await.unwrap().payload,
                        payload(task, at)
                    );
                }
            });
        }
        talkers.ended().await;
        handle.close();
        at_server.stop();
        drivers.ended().await;
    };
    Restless::task(begin, &polls)
}

/// Runs an exchange in a thread of its own, within the time.
fn within_time(run: impl FnOnce(Arc<Polls>) + Send + 'static) {
    let (tell, told) = channel();
    let polls = Arc::new(Polls::default());
    let counted = polls.clone();
    thread::spawn(move || {
        run(counted);
        let _ = tell.send(());
    });
    told.recv_timeout(PATIENCE).expect("a task sleeps for ever, or has panicked");
    let (all, needed) = (polls.all.load(Ordering::Relaxed), polls.needed.load(Ordering::Relaxed));
    assert!(all > needed + needed / 2, "{all} polls of {needed} needed ones");
}

fn on_smol(threads: usize, exchange: Exchange) {
    within_time(move |polls| {
        let executor = Arc::new(Executor::new());
        let spawner = executor.clone();
        let spawn: Spawn = Arc::new(move |task| spawner.spawn(task).detach());
        let main = exchange(polls, spawn);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| {
                    async_io::block_on(executor.run(async {
                        while !over.load(Ordering::Relaxed) {
                            async_io::Timer::after(Duration::from_millis(10)).await;
                        }
                    }));
                });
            }
            async_io::block_on(executor.run(main));
            over.store(true, Ordering::Relaxed);
        });
    });
}

fn on_tokio(mut builder: tokio::runtime::Builder, exchange: Exchange) {
    within_time(move |polls| {
        let runtime = builder.enable_all().build().unwrap();
        let spawn: Spawn = Arc::new(|task| drop(tokio::spawn(task)));
        let _inside = runtime.enter();
        let main = exchange(polls, spawn);
        runtime.block_on(runtime.spawn(main)).unwrap();
    });
}

fn multi_thread() -> tokio::runtime::Builder {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2);
    builder
}

#[test]
fn tcp_on_smol() {
    on_smol(1, tcp::<Smol>);
}

#[test]
fn tcp_on_smol_multi() {
    on_smol(2, tcp::<Smol>);
}

#[test]
fn tcp_on_tokio() {
    on_tokio(tokio::runtime::Builder::new_current_thread(), tcp::<Tokio>);
}

#[test]
fn tcp_on_tokio_multi() {
    on_tokio(multi_thread(), tcp::<Tokio>);
}

#[test]
fn udp_on_smol() {
    on_smol(1, udp::<Smol>);
}

#[test]
fn udp_on_smol_multi() {
    on_smol(2, udp::<Smol>);
}

#[test]
fn udp_on_tokio() {
    on_tokio(tokio::runtime::Builder::new_current_thread(), udp::<Tokio>);
}

#[test]
fn udp_on_tokio_multi() {
    on_tokio(multi_thread(), udp::<Tokio>);
}
