//! A server with faults.
//!
//! One thread, one `poll(2)`: it wakes for its sockets and for orders. Each order is carried out before the call that
//! gave it returns, and the moment just before it is what detection is measured from.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use resound_core::Rng;
use socket2::{SockRef, Socket};

use super::ports::{addr_of, any, bound};

/// For how long a peer waits for what must come soon, such as bytes that were sent.
const SOON: Duration = Duration::from_secs(10);

/// What a peer does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Echoes (RFC 862).
    Echo,
    /// Says this to whoever connects, then echoes.
    Greet(&'static [u8]),
    /// Reads and never answers.
    Swallow,
    /// Never reads.
    Ignore,
    /// Closes every connection as soon as it is accepted.
    HangUp,
    /// Answers whatever comes with this.
    Answer(&'static [u8]),
    /// Answers whatever comes with as many bytes that have nothing to do with it.
    Noise {
        /// Of the bytes: the same ones on every run.
        seed: u64,
    },
}

#[derive(Debug)]
enum Order {
    Become(Conduct),
    /// End as a killed process does: the kernel closes every socket. A connection with unread bytes is reset by that,
    /// any other gets a FIN.
    Kill,
    /// As `Kill`, once every connection holds bytes that were not read.
    KillUnread,
    /// Reset every connection (SO_LINGER 0), and listen no more.
    Reset,
    /// Listen again, on the same port.
    Return,
}

/// A server with faults. Its sockets and its thread are gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    addr: SocketAddr,
    received: Arc<AtomicU64>,
    spoken: Arc<OnceLock<Instant>>,
    /// Dropped first: that is the order to end.
    orders: Option<Sender<(Order, Sender<io::Result<Instant>>)>>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    pub(crate) fn new(conduct: Conduct) -> io::Result<Self> {
        Self::with_receive_buffer(conduct, None)
    }

    /// With a receive buffer of about this many bytes on each connection.
    pub(crate) fn with_receive_buffer(conduct: Conduct, bytes: Option<usize>) -> io::Result<Self> {
        // It holds the port, so that the peer can come back to it.
        let held = bound(any())?;
        let addr = addr_of(&held)?;
        let (orders, given) = mpsc::channel();
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let (received, spoken) = (Arc::new(AtomicU64::new(0)), Arc::new(OnceLock::new()));
        let mut server = Server {
            _held: held,
            addr,
            receive_buffer: bytes,
            conduct,
            listener: None,
            connections: Vec::new(),
            received: Arc::clone(&received),
            spoken: Arc::clone(&spoken),
            given,
            woken,
        };
        server.listen()?;
        let thread = thread::Builder::new().name("faulty-peer".into()).spawn(move || server.run())?;
        Ok(Self { addr, received, spoken, orders: Some(orders), wake, thread: Some(thread) })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Behaves so from now on.
    pub(crate) fn become_(&self, conduct: Conduct) -> io::Result<Instant> {
        self.order(Order::Become(conduct))
    }

    /// Dies; when.
    pub(crate) fn kill(&self) -> io::Result<Instant> {
        self.order(Order::Kill)
    }

    /// Dies once there are bytes that it has not read; when.
    pub(crate) fn kill_unread(&self) -> io::Result<Instant> {
        self.order(Order::KillUnread)
    }

    /// Resets every connection, and dies; when.
    pub(crate) fn reset(&self) -> io::Result<Instant> {
        self.order(Order::Reset)
    }

    /// Listens again, on the same port; since when.
    pub(crate) fn come_back(&self) -> io::Result<Instant> {
        self.order(Order::Return)
    }

    /// Waits until this many bytes have come in, over all connections; when it was seen that they have.
    pub(crate) fn wait_received(&self, bytes: u64) -> io::Result<Instant> {
        let end = Instant::now() + SOON;
        while self.received.load(Ordering::SeqCst) < bytes {
            if Instant::now() > end {
                return Err(io::Error::other("what was sent never reached the peer"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Instant::now())
    }

    /// Waits until it has said something that is no echo; the moment just before it first did.
    pub(crate) fn wait_spoken(&self) -> io::Result<Instant> {
        let end = Instant::now() + SOON;
        loop {
            match self.spoken.get() {
                Some(&at) => return Ok(at),
                None if Instant::now() > end => return Err(io::Error::other("the peer never spoke")),
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn order(&self, order: Order) -> io::Result<Instant> {
        let gone = || io::Error::other("the peer's thread has ended");
        let (tell, told) = mpsc::channel();
        self.orders.as_ref().ok_or_else(gone)?.send((order, tell)).map_err(|_| gone())?;
        (&self.wake).write_all(&[0])?;
        told.recv().map_err(|_| gone())?
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = (&self.wake).write_all(&[0]);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Server {
    _held: Socket,
    addr: SocketAddr,
    receive_buffer: Option<usize>,
    conduct: Conduct,
    listener: Option<TcpListener>,
    connections: Vec<Connection>,
    received: Arc<AtomicU64>,
    spoken: Arc<OnceLock<Instant>>,
    given: Receiver<(Order, Sender<io::Result<Instant>>)>,
    woken: UnixStream,
}

struct Connection {
    stream: TcpStream,
    /// What is still to be sent; nothing is read meanwhile.
    unsent: Vec<u8>,
}

/// What happens to a connection.
#[derive(PartialEq, Eq)]
enum Fate {
    Stays,
    Ends,
}

impl Server {
    fn listen(&mut self) -> io::Result<()> {
        let socket = bound(self.addr)?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.set_nonblocking(true)?;
        socket.listen(64)?;
        self.listener = Some(socket.into());
        Ok(())
    }

    fn run(&mut self) {
        while self.follow_orders() {
            let ready = self.wait();
            let mut index = 0;
            // `ready` has one entry for each connection, in order; those that end make room for the next.
            self.connections.retain_mut(|connection| {
                index += 1;
                !ready[index - 1]
                    || connection.serve(self.conduct, &self.received, &self.spoken) == Fate::Stays
            });
            self.accept();
        }
    }

    /// Waits for an order or a socket; which connections are ready.
    fn wait(&mut self) -> Vec<bool> {
        let mut fds = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        for connection in &self.connections {
            let interest = match (connection.unsent.is_empty(), self.conduct) {
                (false, _) => PollFlags::POLLOUT,
                (true, _) => PollFlags::POLLIN,
            };
            fds.push(PollFd::new(connection.stream.as_fd(), interest));
        }
        if self.conduct == Conduct::Ignore {
            fds.truncate(1);
        }
        let watched = fds.len() - 1;
        if let Some(listener) = &self.listener {
            fds.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        let _ = poll(&mut fds, PollTimeout::NONE);
        let mut ready: Vec<bool> = fds[1..=watched].iter().map(|fd| fd.any().unwrap_or(false)).collect();
        ready.resize(self.connections.len(), false);
        let mut bytes = [0; 64];
        let _ = self.woken.read(&mut bytes);
        ready
    }

    fn accept(&mut self) {
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(TcpListener::accept) {
            if self.conduct == Conduct::HangUp || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let _ = stream.set_nodelay(true);
            let unsent = match self.conduct {
                Conduct::Greet(banner) => banner.to_vec(),
                _ => Vec::new(),
            };
            self.connections.push(Connection { stream, unsent });
        }
    }

    /// False if there will be no more.
    fn follow_orders(&mut self) -> bool {
        loop {
            match self.given.try_recv() {
                Ok((order, tell)) => {
                    let _ = tell.send(self.follow(&order));
                }
                Err(mpsc::TryRecvError::Empty) => return true,
                Err(mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn follow(&mut self, order: &Order) -> io::Result<Instant> {
        // An order is about everybody who has connected, also those that the kernel has not handed over yet.
        self.accept();
        let at = match order {
            Order::KillUnread => self.wait_unread()?,
            _ => Instant::now(),
        };
        match order {
            Order::Become(conduct) => self.conduct = *conduct,
            Order::Return => self.listen()?,
            Order::Kill | Order::KillUnread => self.end(),
            Order::Reset => {
                for connection in &self.connections {
                    SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO))?;
                }
                self.end();
            }
        }
        Ok(at)
    }

    fn end(&mut self) {
        self.connections.clear();
        self.listener = None;
    }

    fn wait_unread(&self) -> io::Result<Instant> {
        for connection in &self.connections {
            let mut readable = [PollFd::new(connection.stream.as_fd(), PollFlags::POLLIN)];
            let patience = PollTimeout::try_from(SOON).unwrap_or(PollTimeout::MAX);
            if poll(&mut readable, patience)? == 0 {
                return Err(io::Error::other("what was sent never reached the peer"));
            }
        }
        Ok(Instant::now())
    }
}

impl Connection {
    fn serve(&mut self, conduct: Conduct, received: &AtomicU64, spoken: &OnceLock<Instant>) -> Fate {
        if !self.unsent.is_empty() {
            if conduct != Conduct::Echo {
                spoken.get_or_init(Instant::now);
            }
            return self.flush();
        }
        let mut bytes = [0; 65_536];
        let n = match self.stream.read(&mut bytes) {
            Ok(0) => return Fate::Ends,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Fate::Stays,
            Err(_) => return Fate::Ends,
        };
        match conduct {
            Conduct::Echo | Conduct::Greet(_) => self.unsent.extend_from_slice(&bytes[..n]),
            Conduct::Answer(with) => self.unsent.extend_from_slice(with),
            Conduct::Noise { seed } => {
                let mut rng = Rng::from_seed(seed);
                self.unsent.extend((0..n).map(|_| rng.up_to(255) as u8));
            }
            Conduct::Swallow | Conduct::Ignore | Conduct::HangUp => {}
        }
        if matches!(conduct, Conduct::Answer(_) | Conduct::Noise { .. }) {
            spoken.get_or_init(Instant::now);
        }
        received.fetch_add(n as u64, Ordering::SeqCst);
        self.flush()
    }

    fn flush(&mut self) -> Fate {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Fate::Stays,
                Err(_) => return Fate::Ends,
            }
        }
        Fate::Stays
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    fn connect(peer: &Peer) -> TcpStream {
        let stream = TcpStream::connect(peer.addr()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    fn ask(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
        stream.write_all(bytes).unwrap();
        let mut answer = vec![0; bytes.len()];
        stream.read_exact(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_echoes_dies_with_a_fin_and_comes_back_to_its_port() {
        let peer = Peer::new(Conduct::Echo).unwrap();
        let mut stream = connect(&peer);
        assert_eq!(ask(&mut stream, b"hello"), b"hello");
        peer.kill().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        assert_eq!(TcpStream::connect(peer.addr()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        peer.come_back().unwrap();
        assert_eq!(ask(&mut connect(&peer), b"again"), b"again");
    }

    #[test]
    fn with_unread_bytes_or_on_order_it_resets() {
        for unread in [true, false] {
            let peer = Peer::new(if unread { Conduct::Ignore } else { Conduct::Swallow }).unwrap();
            let mut stream = connect(&peer);
            stream.write_all(b"hello").unwrap();
            if unread {
                peer.kill_unread().unwrap();
            } else {
                peer.wait_received(5).unwrap();
                peer.reset().unwrap();
            }
            assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }

    #[test]
    fn it_is_rude_in_every_way_it_is_told_to() {
        let mut byte = [0];
        let flap = Peer::new(Conduct::HangUp).unwrap();
        assert_eq!(connect(&flap).read(&mut byte).unwrap(), 0);
        let banner = Peer::new(Conduct::Greet(b"220 ready\r\n")).unwrap();
        assert_eq!(ask(&mut connect(&banner), b"hello"), b"220 r");
        let noise = Peer::new(Conduct::Noise { seed: 1 }).unwrap();
        assert_ne!(ask(&mut connect(&noise), b"hello world"), b"hello world");
        let http = Peer::new(Conduct::Answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")).unwrap();
        assert_eq!(ask(&mut connect(&http), b"hello"), b"HTTP/");
    }
}
