//! A UDP server with faults.
//!
//! One thread, one socket, and nothing but blocking calls: an order is put down and an empty datagram from the peer's own
//! desk tells the thread to look. Each order is carried out before the call that gave it returns.

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use resound_core::Rng;
use socket2::{Socket, Type};

use super::ports::bound_as;

/// For how long a peer waits for what must come soon.
const SOON: Duration = Duration::from_secs(10);

/// What a peer does with the datagrams that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Echoes (RFC 862).
    Echo,
    /// Never answers.
    Swallow,
    /// Answers only when it becomes something else; then all, in order.
    Hold,
    /// Echoes everything twice.
    Twice,
    /// Echoes this many at a time, the last one first.
    Backwards(usize),
    /// Echoes from another socket: another port, or another address.
    Elsewhere,
    /// Echoes only the first bytes.
    Cut(usize),
    /// Answers with as many bytes that have nothing to do with it.
    Noise {
        /// Of the bytes: the same ones on every run.
        seed: u64,
    },
}

#[derive(Debug)]
enum Order {
    Become(Manner),
    /// Close the socket, as the kernel does for a process that was killed.
    Kill,
    /// Bind again, to the same port.
    Return,
}

/// A UDP port that nobody serves, and that nobody else gets meanwhile: datagrams to it are answered with "port
/// unreachable".
///
/// A connected socket holds the port. It hears its own peer alone (`compute_score` in `net/ipv4/udp.c`), which is
/// itself; for everybody else there is no socket.
#[derive(Debug)]
pub(crate) struct ClosedPort {
    _held: Socket,
    addr: SocketAddr,
}

impl ClosedPort {
    pub(crate) fn new(ip: impl Into<IpAddr>) -> io::Result<Self> {
        let held = bound_as(Type::DGRAM, SocketAddr::new(ip.into(), 0))?;
        let addr = held.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no internet address"))?;
        held.connect(&addr.into())?;
        Ok(Self { _held: held, addr })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// A UDP server with faults. Its sockets and its thread are gone when it is dropped.
#[derive(Debug)]
pub(crate) struct UdpPeer {
    port: ClosedPort,
    received: Arc<AtomicU64>,
    desk: UdpSocket,
    /// Dropped first: that is the order to end.
    orders: Option<Sender<(Order, Sender<io::Result<Instant>>)>>,
    thread: Option<JoinHandle<()>>,
}

impl UdpPeer {
    pub(crate) fn new(ip: impl Into<IpAddr>, manner: Manner) -> io::Result<Self> {
        let ip = ip.into();
        Self::answering_from(ip, ip, manner)
    }

    /// With an address to answer from in [`Manner::Elsewhere`].
    pub(crate) fn answering_from(
        ip: IpAddr,
        elsewhere: impl Into<IpAddr>,
        manner: Manner,
    ) -> io::Result<Self> {
        // It holds the port, so that the peer can come back to it.
        let port = ClosedPort::new(ip)?;
        let desk = UdpSocket::bind((ip, 0))?;
        let (orders, given) = mpsc::channel();
        let received = Arc::new(AtomicU64::new(0));
        let mut server = Server {
            addr: port.addr(),
            manner,
            kept: Vec::new(),
            elsewhere: UdpSocket::bind((elsewhere.into(), 0))?,
            desk: desk.local_addr()?,
            received: Arc::clone(&received),
            given,
        };
        let socket = server.bind()?;
        let thread =
            thread::Builder::new().name("faulty-peer".into()).spawn(move || server.run(Some(socket)))?;
        Ok(Self { port, received, desk, orders: Some(orders), thread: Some(thread) })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Behaves so from now on. What was held is answered first.
    pub(crate) fn become_(&self, manner: Manner) -> io::Result<Instant> {
        self.order(Order::Become(manner))
    }

    /// Dies; when.
    pub(crate) fn kill(&self) -> io::Result<Instant> {
        self.order(Order::Kill)
    }

    /// Serves again, on the same port; since when.
    pub(crate) fn come_back(&self) -> io::Result<Instant> {
        self.order(Order::Return)
    }

    /// How many datagrams have come in.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }

    /// Waits until this many datagrams have come in; when it was seen that they have.
    pub(crate) fn wait_received(&self, count: u64) -> io::Result<Instant> {
        let end = Instant::now() + SOON;
        while self.received() < count {
            if Instant::now() > end {
                return Err(io::Error::other("what was sent never reached the peer"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Instant::now())
    }

    fn order(&self, order: Order) -> io::Result<Instant> {
        let gone = || io::Error::other("the peer's thread has ended");
        let (tell, told) = mpsc::channel();
        self.orders.as_ref().ok_or_else(gone)?.send((order, tell)).map_err(|_| gone())?;
        self.wake();
        told.recv().map_err(|_| gone())?
    }

    /// In vain if it is dead; then it waits for the order itself.
    fn wake(&self) {
        let _ = self.desk.send_to(&[], self.addr());
    }
}

impl Drop for UdpPeer {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Server {
    addr: SocketAddr,
    manner: Manner,
    /// What is still to be answered.
    kept: Vec<(SocketAddr, Vec<u8>)>,
    elsewhere: UdpSocket,
    desk: SocketAddr,
    received: Arc<AtomicU64>,
    given: Receiver<(Order, Sender<io::Result<Instant>>)>,
}

/// Nobody will give orders any more.
struct Over;

impl Server {
    fn bind(&self) -> io::Result<UdpSocket> {
        Ok(bound_as(Type::DGRAM, self.addr)?.into())
    }

    fn run(&mut self, mut socket: Option<UdpSocket>) {
        let mut buffer = vec![0; 65_536];
        loop {
            let carried_out = match &socket {
                None => self.given.recv().map_err(|_| Over).map(|order| self.carry_out(order, &mut socket)),
                Some(open) => match open.recv_from(&mut buffer) {
                    Ok((_, from)) if from == self.desk => self.look(&mut socket),
                    Ok((len, from)) => {
                        self.received.fetch_add(1, Ordering::SeqCst);
                        self.answer(open, from, &buffer[..len]);
                        Ok(())
                    }
                    Err(_) => Err(Over),
                },
            };
            if carried_out.is_err() {
                return;
            }
        }
    }

    fn look(&mut self, socket: &mut Option<UdpSocket>) -> Result<(), Over> {
        loop {
            match self.given.try_recv() {
                Ok(order) => self.carry_out(order, socket),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Over),
            }
        }
    }

    fn carry_out(
        &mut self,
        (order, done): (Order, Sender<io::Result<Instant>>),
        socket: &mut Option<UdpSocket>,
    ) {
        let at = Instant::now();
        let result = match order {
            Order::Become(manner) => {
                self.manner = manner;
                let kept = core::mem::take(&mut self.kept);
                if let Some(socket) = socket {
                    kept.iter().for_each(|(to, datagram)| send(socket, *to, datagram));
                }
                Ok(at)
            }
            Order::Kill => {
                *socket = None;
                Ok(at)
            }
            Order::Return => self.bind().map(|bound| {
                *socket = Some(bound);
                at
            }),
        };
        let _ = done.send(result);
    }

    fn answer(&mut self, socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) {
        match self.manner {
            Manner::Echo => send(socket, to, datagram),
            Manner::Swallow => {}
            Manner::Hold => self.kept.push((to, datagram.to_vec())),
            Manner::Twice => {
                send(socket, to, datagram);
                send(socket, to, datagram);
            }
            Manner::Backwards(count) => {
                self.kept.push((to, datagram.to_vec()));
                if self.kept.len() == count {
                    self.kept.drain(..).rev().for_each(|(to, datagram)| send(socket, to, &datagram));
                }
            }
            Manner::Elsewhere => send(&self.elsewhere, to, datagram),
            Manner::Cut(len) => send(socket, to, &datagram[..len.min(datagram.len())]),
            Manner::Noise { seed } => {
                let mut rng = Rng::from_seed(seed);
                let noise: Vec<u8> = datagram.iter().map(|_| rng.up_to(255) as u8).collect();
                send(socket, to, &noise);
            }
        }
    }
}

/// Whoever asked may have gone meanwhile.
fn send(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) {
    let _ = socket.send_to(datagram, to);
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

    fn asker(peer: &UdpPeer) -> UdpSocket {
        let asker = UdpSocket::bind((HERE, 0)).unwrap();
        asker.connect(peer.addr()).unwrap();
        asker.set_read_timeout(Some(SOON)).unwrap();
        asker
    }

    fn heard(asker: &UdpSocket) -> Result<Vec<u8>, ErrorKind> {
        let mut buffer = [0; 64];
        let len = asker.recv(&mut buffer).map_err(|error| error.kind())?;
        Ok(buffer[..len].to_vec())
    }

    #[test]
    fn a_closed_port_refuses_and_is_nobody_elses() {
        for ip in [IpAddr::from(HERE), "::1".parse().unwrap()] {
            let port = ClosedPort::new(ip).unwrap();
            let asker = UdpSocket::bind((ip, 0)).unwrap();
            asker.connect(port.addr()).unwrap();
            asker.send(b"anybody?").unwrap();
            assert_eq!(heard(&asker), Err(ErrorKind::ConnectionRefused));
            let error = UdpSocket::bind(port.addr()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn no_two_hold_the_same_port() {
        let held: Vec<_> = (0..400).map(|_| ClosedPort::new(HERE).unwrap()).collect();
        let ports: std::collections::BTreeSet<_> = held.iter().map(ClosedPort::addr).collect();
        assert_eq!(ports.len(), held.len());
    }

    #[test]
    fn it_dies_and_returns_on_its_port_again_and_again() {
        let peer = UdpPeer::new(HERE, Manner::Echo).unwrap();
        for _ in 0..3 {
            let asker = asker(&peer);
            asker.send(b"one").unwrap();
            assert_eq!(heard(&asker), Ok(b"one".to_vec()));
            peer.kill().unwrap();
            asker.send(b"two").unwrap();
            assert_eq!(heard(&asker), Err(ErrorKind::ConnectionRefused));
            peer.come_back().unwrap();
        }
        assert_eq!(peer.received(), 3);
    }

    #[test]
    fn each_manner_does_what_it_says() {
        let peer = UdpPeer::new(HERE, Manner::Hold).unwrap();
        let asker = asker(&peer);
        asker.send(b"held").unwrap();
        peer.wait_received(1).unwrap();
        peer.become_(Manner::Twice).unwrap();
        asker.send(b"twice").unwrap();
        let back: Vec<_> = (0..3).map(|_| heard(&asker).unwrap()).collect();
        assert_eq!(back, [&b"held"[..], b"twice", b"twice"]);
        peer.become_(Manner::Backwards(2)).unwrap();
        asker.send(b"a").unwrap();
        asker.send(b"b").unwrap();
        assert_eq!([heard(&asker).unwrap(), heard(&asker).unwrap()], [b"b", b"a"]);
        peer.become_(Manner::Cut(2)).unwrap();
        asker.send(b"cut").unwrap();
        assert_eq!(heard(&asker), Ok(b"cu".to_vec()));
        peer.become_(Manner::Noise { seed: 1 }).unwrap();
        asker.send(b"noise").unwrap();
        let noise = heard(&asker).unwrap();
        assert!(noise.len() == 5 && noise != b"noise", "{noise:?}");
        // A connected socket hears nobody else.
        peer.become_(Manner::Elsewhere).unwrap();
        asker.send(b"elsewhere").unwrap();
        peer.wait_received(7).unwrap();
        peer.become_(Manner::Echo).unwrap();
        asker.send(b"here").unwrap();
        assert_eq!(heard(&asker), Ok(b"here".to_vec()));
    }
}
