//! The load client: one thread, and as little work for each message as can be.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use mio::{Events, Interest, Poll, Token};

/// The payload of every message.
pub(crate) const PAYLOAD: usize = 64;

/// How many messages a pipelined connection keeps in flight.
pub(crate) const WINDOW: usize = 64;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    After(Duration),
    Messages(usize),
}

impl Stop {
    fn reached(self, since: Instant, messages: usize) -> bool {
        match self {
            Self::After(time) => since.elapsed() >= time,
            Self::Messages(enough) => messages >= enough,
        }
    }
}

/// What went through, and how long it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Through {
    /// Messages or bytes.
    pub(crate) amount: usize,
    pub(crate) took: Duration,
}

pub(crate) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    // A server that falls silent must end the run, not hang it.
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

/// One message there and back after the other. Returns each round trip.
pub(crate) fn ping_pong(stream: &mut TcpStream, stop: Stop) -> io::Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(1 << 20);
    let (message, mut echo) = ([7; PAYLOAD], [0; PAYLOAD]);
    let since = Instant::now();
    while !stop.reached(since, took.len()) {
        let sent = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut echo)?;
        took.push(sent.elapsed());
    }
    Ok(took)
}

/// A window of messages out at once, and all of them back.
pub(crate) fn burst(stream: &mut TcpStream, messages: usize) -> io::Result<()> {
    let mut buf = [7; WINDOW * PAYLOAD];
    let window = &mut buf[..messages * PAYLOAD];
    stream.write_all(window)?;
    stream.read_exact(window)
}

/// A sliding window: for each message that came back another one goes out.
pub(crate) fn pipelined(stream: &mut TcpStream, stop: Stop) -> io::Result<Through> {
    let window = [7; WINDOW * PAYLOAD];
    let mut echoes = [0; WINDOW * PAYLOAD];
    let (mut back, mut amount) = (0, 0);
    let since = Instant::now();
    stream.write_all(&window)?;
    while !stop.reached(since, amount) {
        back += stream.read(&mut echoes)?;
        let whole = back / PAYLOAD;
        back %= PAYLOAD;
        amount += whole;
        stream.write_all(&window[..whole * PAYLOAD])?;
    }
    Ok(Through { amount, took: since.elapsed() })
}

/// Many connections, each with one message on its way.
#[derive(Debug)]
pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    conns: Vec<(mio::net::TcpStream, usize)>,
}

impl Crowd {
    /// Connects.
    pub(crate) fn connect(addr: SocketAddr, count: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut conns = Vec::with_capacity(count);
        for token in 0..count {
            let stream = connect(addr)?;
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(token), Interest::READABLE)?;
            conns.push((stream, 0));
        }
        Ok(Self { poll, events: Events::with_capacity(count), conns })
    }

    /// A closed loop on each connection.
    pub(crate) fn run(&mut self, stop: Stop) -> io::Result<Through> {
        let (message, mut echo) = ([7; PAYLOAD], [0; PAYLOAD]);
        let mut amount = 0;
        let since = Instant::now();
        for (stream, _) in &mut self.conns {
            stream.write_all(&message)?;
        }
        while !stop.reached(since, amount) {
            wait(&mut self.poll, &mut self.events, Duration::from_secs(30))?;
            for event in &self.events {
                let (stream, back) = &mut self.conns[event.token().0];
                match stream.read(&mut echo[*back..]) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(n) => *back += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(e) => return Err(e),
                }
                if *back == PAYLOAD {
                    *back = 0;
                    amount += 1;
                    stream.write_all(&message)?;
                }
            }
        }
        let took = since.elapsed();
        self.settle(&mut echo)?;
        Ok(Through { amount, took })
    }

    /// Takes in what is still on its way.
    fn settle(&mut self, echo: &mut [u8]) -> io::Result<()> {
        let blocked = |e: &io::Error| e.kind() == io::ErrorKind::WouldBlock;
        for (stream, back) in &mut self.conns {
            while *back < PAYLOAD {
                match stream.read(&mut echo[*back..]) {
                    Ok(n) => *back += n,
                    Err(e) if blocked(&e) => {
                        wait(&mut self.poll, &mut self.events, Duration::from_millis(1))?;
                    }
                    Err(e) => return Err(e),
                }
            }
            *back = 0;
        }
        Ok(())
    }
}

/// `total` bytes there and back, 64 KiB at a time, as fast as they go.
pub(crate) fn bulk(stream: TcpStream, total: usize) -> io::Result<Through> {
    stream.set_nonblocking(true)?;
    let mut stream = mio::net::TcpStream::from_std(stream);
    let mut poll = Poll::new()?;
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut stream, Token(0), both)?;
    let mut events = Events::with_capacity(1);
    let out = vec![7; 64 * 1024];
    let mut back = vec![0; 256 * 1024];
    let (mut sent, mut received) = (0, 0);
    let since = Instant::now();
    while received < total {
        let wrote = unless_blocked(stream.write(&out[..out.len().min(total - sent)]))?;
        let read = unless_blocked(stream.read(&mut back))?;
        if read == Some(0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        sent += wrote.unwrap_or(0);
        received += read.unwrap_or(0);
        if read.is_none() && wrote.unwrap_or(0) == 0 {
            wait(&mut poll, &mut events, Duration::from_secs(30))?;
            if events.is_empty() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
    Ok(Through { amount: total, took: since.elapsed() })
}

/// Waits for readiness; a signal is no reason to fail.
fn wait(poll: &mut Poll, events: &mut Events, time: Duration) -> io::Result<()> {
    match poll.poll(events, Some(time)) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
        other => other,
    }
}

fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}
