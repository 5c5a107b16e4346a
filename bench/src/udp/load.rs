//! The clients that load a UDP server: ours on each runtime, and the loop of `send_to` and `recv_from` that a user would
//! write. Each is a process of its own, so that its time on a core and its memory are its own.
//!
//! A client keeps a window of datagrams on their way. For each that comes back another one goes out; ours goes round its
//! peers. On loopback, with a window that fits the receive buffers, none is lost.

use core::net::{Ipv4Addr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;

use bytes::Bytes;
use resound_core::datagram::client::{HEADER, PeerId};
use resound_std::udp::{ClientConfig, Event};
use smol::stream::StreamExt as _;

use crate::child::{cpu_of_this, resident_of_this};
use crate::servers::ANY;

/// How long each datagram is, with our header in it.
pub(crate) const DATAGRAM: usize = 64;

/// So many peers are added at once: their first datagrams must fit the server's receive buffer.
const CHUNK: usize = 128;

/// What a client is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) server: SocketAddr,
    /// How many peers. More than one are at addresses of their own, 127.0.0.1 and those that follow.
    pub(crate) peers: usize,
    pub(crate) window: usize,
    /// Ends after this time, or after so many datagrams, whichever comes first.
    pub(crate) time: Duration,
    pub(crate) datagrams: usize,
}

/// What a client has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) amount: f64,
    /// In seconds.
    pub(crate) took: f64,
    /// Time on a core, in seconds.
    pub(crate) cpu: f64,
    /// The middle round trip, in seconds. Only with a window of one.
    pub(crate) middle: f64,
    /// Resident memory for each peer, in bytes.
    pub(crate) memory: f64,
}

impl Task {
    pub(crate) fn args(&self) -> [String; 5] {
        [
            self.server.to_string(),
            self.peers.to_string(),
            self.window.to_string(),
            self.time.as_millis().to_string(),
            self.datagrams.to_string(),
        ]
    }

    fn parse(args: &[&str]) -> Option<Self> {
        let &[server, peers, window, millis, datagrams] = args else { return None };
        Some(Self {
            server: server.parse().ok()?,
            peers: peers.parse().ok()?,
            window: window.parse().ok()?,
            time: Duration::from_millis(millis.parse().ok()?),
            datagrams: datagrams.parse().ok()?,
        })
    }

    fn peer(&self, nth: usize) -> SocketAddr {
        let host = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + nth as u32);
        SocketAddr::from((host, self.server.port()))
    }
}

impl FromStr for Done {
    type Err = core::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut figures = text.split(' ').map(str::parse);
        let mut next = || figures.next().unwrap_or_else(|| "missing".parse());
        Ok(Self { amount: next()?, took: next()?, cpu: next()?, middle: next()?, memory: next()? })
    }
}

/// A client at work, from its start to its end.
type Work = fn(Task) -> io::Result<()>;

/// Every client by name.
const CLIENTS: &[(&str, Work)] = &[
    ("std", |task| {
        let socket = std::net::UdpSocket::bind(ANY)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        smol::future::block_on(by_hand(socket, task))
    }),
    ("tokio", |task| tokio(async { by_hand(tokio::net::UdpSocket::bind(ANY).await?, task).await })),
    ("smol", |task| smol::block_on(async { by_hand(smol::net::UdpSocket::bind(ANY).await?, task).await })),
    ("resound-std", |task| {
        let client = resound_std::udp::Client::bind(ANY, config(task))?;
        let handle = client.handle();
        smol::future::block_on(resound(OnStd { client, handle }, task))
    }),
    ("resound-tokio", |task| {
        tokio(async {
            let client = resound_tokio::udp::Client::bind(ANY, config(task))?;
            let handle = client.handle();
            resound(OnAsync { client, handle }, task).await
        })
    }),
    ("resound-smol", |task| {
        smol::block_on(async {
            let client = resound_smol::udp::Client::bind(ANY, config(task))?;
            let handle = client.handle();
            resound(OnAsync { client, handle }, task).await
        })
    }),
];

/// Is a client: says `ready`, waits for a line, works, says what it has done.
pub(crate) fn run(name: &str, args: &[&str]) -> io::Result<()> {
    let client = CLIENTS.iter().find(|(known, _)| *known == name);
    let (Some((_, client)), Some(task)) = (client, Task::parse(args)) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "which client is to do what?"));
    };
    client(task)
}

fn tokio(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    ::tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Out of the box, but for probes of its own: with many peers they would be part of the load.
fn config(task: Task) -> ClientConfig {
    let mut config = ClientConfig { max_in_flight: task.window.max(1), ..ClientConfig::default() };
    config.link.liveness.idle = Duration::from_secs(600);
    config
}

/// What was measured so far.
struct Meter {
    task: Task,
    since: Instant,
    cpu: Duration,
    sent: Instant,
    round_trips: Vec<Duration>,
    amount: usize,
    memory: f64,
}

impl Meter {
    /// Waits until it is told to begin.
    fn begin(task: Task, memory: f64) -> io::Result<Self> {
        let round_trips = Vec::with_capacity(if task.window == 1 { 1 << 20 } else { 0 });
        writeln!(io::stdout(), "ready")?;
        io::stdin().lock().read_line(&mut String::new())?;
        let now = Instant::now();
        Ok(Self { task, since: now, cpu: cpu_of_this()?, sent: now, round_trips, amount: 0, memory })
    }

    fn sent(&mut self) {
        if self.task.window == 1 {
            self.sent = Instant::now();
        }
    }

    /// One came back. Whether it goes on.
    fn back(&mut self) -> bool {
        self.amount += 1;
        if self.task.window == 1 {
            let now = Instant::now();
            self.round_trips.push(now - self.sent);
            return self.amount < self.task.datagrams && now - self.since < self.task.time;
        }
        self.amount < self.task.datagrams
            && (!self.amount.is_multiple_of(64) || self.since.elapsed() < self.task.time)
    }

    fn end(mut self) -> io::Result<()> {
        let (took, cpu) = (self.since.elapsed().as_secs_f64(), (cpu_of_this()? - self.cpu).as_secs_f64());
        self.round_trips.sort_unstable();
        let middle = self.round_trips.get(self.round_trips.len() / 2).map_or(0.0, Duration::as_secs_f64);
        writeln!(io::stdout(), "{} {took} {cpu} {middle} {}", self.amount, self.memory)
    }
}

/// A socket on any runtime.
trait Socket {
    async fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize>;
    async fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
}

impl Socket for std::net::UdpSocket {
    async fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_to(datagram, to)
    }

    async fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buf)
    }
}

impl Socket for ::tokio::net::UdpSocket {
    async fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_to(datagram, to).await
    }

    async fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buf).await
    }
}

impl Socket for smol::net::UdpSocket {
    async fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_to(datagram, to).await
    }

    async fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buf).await
    }
}

async fn by_hand(socket: impl Socket, task: Task) -> io::Result<()> {
    let (datagram, mut buf) = ([7; DATAGRAM], [0; 2 * DATAGRAM]);
    for _ in 0..100 {
        socket.send(&datagram, task.server).await?;
        socket.recv(&mut buf).await?;
    }
    let mut meter = Meter::begin(task, 0.0)?;
    meter.sent();
    for _ in 0..task.window {
        socket.send(&datagram, task.server).await?;
    }
    loop {
        let (n, from) = socket.recv(&mut buf).await?;
        if n != DATAGRAM || from != task.server {
            return Err(io::Error::other(format!("{n} bytes from {from}")));
        }
        if !meter.back() {
            return meter.end();
        }
        meter.sent();
        socket.send(&datagram, task.server).await?;
    }
}

/// Our client on any runtime.
trait Own {
    async fn event(&mut self) -> io::Result<Event>;
    fn add(&self, addr: SocketAddr) -> io::Result<PeerId>;
    fn send(&self, peer: PeerId, payload: &Bytes) -> io::Result<()>;
}

/// Neither a peer nor a message is refused that is within the configuration's bounds.
fn refused(why: impl core::fmt::Debug) -> io::Error {
    io::Error::other(format!("refused: {why:?}"))
}

struct OnStd {
    client: resound_std::udp::Client,
    handle: resound_std::udp::ClientHandle,
}

impl Own for OnStd {
    async fn event(&mut self) -> io::Result<Event> {
        self.client.next_event(Duration::from_secs(30)).map_err(io::Error::other)
    }

    fn add(&self, addr: SocketAddr) -> io::Result<PeerId> {
        self.handle.add(addr).map_err(refused)
    }

    fn send(&self, peer: PeerId, payload: &Bytes) -> io::Result<()> {
        self.handle.send(peer, payload.clone()).map(drop).map_err(refused)
    }
}

/// `tokio`'s and `smol`'s clients have one handle.
struct OnAsync<S> {
    client: S,
    handle: resound_tokio::udp::ClientHandle,
}

impl<S: smol::stream::Stream<Item = Event> + Unpin> Own for OnAsync<S> {
    async fn event(&mut self) -> io::Result<Event> {
        self.client.next().await.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn add(&self, addr: SocketAddr) -> io::Result<PeerId> {
        self.handle.add(addr).map_err(refused)
    }

    fn send(&self, peer: PeerId, payload: &Bytes) -> io::Result<()> {
        self.handle.send(peer, payload.clone()).map(drop).map_err(refused)
    }
}

async fn resound(mut client: impl Own, task: Task) -> io::Result<()> {
    let payload = Bytes::from_static(&[7; DATAGRAM - HEADER]);
    let first = add(&mut client, task, 0..1).await?;
    let before = resident_of_this()?;
    let others = add(&mut client, task, 1..task.peers).await?;
    let memory = (resident_of_this()? - before) as f64 / others.len().max(1) as f64;
    let peers: Vec<PeerId> = first.into_iter().chain(others).collect();

    let mut round = peers.iter().copied().cycle();
    let mut meter = Meter::begin(task, memory)?;
    meter.sent();
    for peer in round.by_ref().take(task.window) {
        client.send(peer, &payload)?;
    }
    loop {
        match client.event().await? {
            Event::Echoed { .. } => {
                if !meter.back() {
                    return meter.end();
                }
                meter.sent();
                if let Some(peer) = round.next() {
                    client.send(peer, &payload)?;
                }
            }
            Event::Lost { peer, cause, .. } => {
                return Err(io::Error::other(format!("lost to {peer:?}: {cause}")));
            }
            _ => {}
        }
    }
}

/// Adds peers, chunk by chunk, and waits until each has answered.
async fn add(client: &mut impl Own, task: Task, which: core::ops::Range<usize>) -> io::Result<Vec<PeerId>> {
    let mut peers = Vec::with_capacity(which.len());
    let mut left = which;
    while !left.is_empty() {
        let chunk = left.by_ref().take(CHUNK);
        let before = peers.len();
        for nth in chunk {
            peers.push(client.add(task.peer(nth))?);
        }
        let mut up = before;
        while up < peers.len() {
            up += usize::from(matches!(client.event().await?, Event::Up { .. }));
        }
    }
    Ok(peers)
}
