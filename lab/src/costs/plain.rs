//! The other side: blocking sockets, and as little work for a message as can be. It is the same for every runtime.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::worker::{ANY, PATIENCE, PAYLOAD};

/// An echo server for one connection.
#[derive(Debug)]
pub(super) struct Peer {
    addr: SocketAddr,
    chunks: Arc<AtomicU64>,
}

impl Peer {
    /// Listens, and serves the first that comes, on a thread of its own.
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(ANY)?;
        let (addr, chunks) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let counted = chunks.clone();
        thread::Builder::new().name(String::from("costs-peer")).spawn(move || {
            let Ok((stream, _)) = listener.accept() else { return };
            drop(listener);
            // However it ends, the client sees it, and says so.
            let _ = serve(stream, &counted);
        })?;
        Ok(Self { addr, chunks })
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How often it has received something: with one message on its way at a time, how many.
    pub(super) fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // If nobody came, its thread still waits; a connection that says nothing ends it.
        let _ = TcpStream::connect(self.addr);
    }
}

fn serve(mut stream: TcpStream, chunks: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![0; 64 * 1024];
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        chunks.fetch_add(1, Ordering::Relaxed);
        stream.write_all(&buf[..n])?;
    }
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Load {
    stream: TcpStream,
    buf: Vec<u8>,
}

impl Load {
    pub(super) fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        // A server that falls silent ends the run, and does not hang it.
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buf: Vec::new() })
    }

    /// Messages there and back, one after the other. Returns each round trip.
    pub(super) fn single(&mut self, messages: u32) -> io::Result<Vec<Duration>> {
        let (message, mut echo) = ([7; PAYLOAD], [0; PAYLOAD]);
        let mut took = Vec::with_capacity(messages as usize);
        for _ in 0..messages {
            let sent = Instant::now();
            self.stream.write_all(&message)?;
            self.stream.read_exact(&mut echo)?;
            took.push(sent.elapsed());
        }
        Ok(took)
    }

    /// Messages there and back with `window` of them in flight: for each that came back another one goes out.
    pub(super) fn many(&mut self, messages: u32, window: u32) -> io::Result<()> {
        let (total, first) = (messages as usize * PAYLOAD, messages.min(window) as usize * PAYLOAD);
        self.buf.resize(first, 7);
        self.stream.write_all(&self.buf)?;
        let (mut sent, mut back) = (first, 0);
        let mut echoes = vec![0; first];
        while back < total {
            let n = self.stream.read(&mut echoes)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // Whole messages only.
            let whole = (back + n) / PAYLOAD - back / PAYLOAD;
            back += n;
            let next = (whole * PAYLOAD).min(total - sent);
            self.stream.write_all(&self.buf[..next])?;
            sent += next;
        }
        Ok(())
    }
}
