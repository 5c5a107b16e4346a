//! A driver over `poll(2)`, and two machines that decide nothing: one remembers everything, one sends all back.

use core::net::{IpAddr, SocketAddr};
use core::task::Poll;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use resound_core::Instant;
use resound_core::datagram::{Cast, End, Fact, Machine, Step, turn};
use resound_core::signal::{Errno, IcmpError, Op, Signal};
use resound_sockets::clock::Clock;
use resound_sockets::poll::{PollFd, PollFlags, wait};
use resound_sockets::port::Left;
use resound_sockets::udp::{Endpoint, Exchange, Sizes, Socket, Want};

/// A socket that `poll(2)` watches.
#[derive(Debug)]
pub(crate) struct Polled {
    socket: UdpSocket,
    wanted: PollFlags,
    ready: PollFlags,
    /// Takes nothing to be sent.
    pub(crate) choked: bool,
    /// Has not heard of errors yet.
    pub(crate) deaf: bool,
    /// Takes everything for an error as well.
    pub(crate) nervous: bool,
}

const fn flags(want: Want) -> PollFlags {
    match want {
        Want::Read => PollFlags::POLLIN.union(PollFlags::POLLERR),
        Want::Errors => PollFlags::POLLERR,
        Want::Write => PollFlags::POLLOUT,
    }
}

impl Socket for Polled {
    type Context<'a> = ();

    fn register(fd: OwnedFd, (): &mut ()) -> io::Result<Self> {
        Ok(Self {
            socket: fd.into(),
            wanted: PollFlags::empty(),
            ready: PollFlags::empty(),
            choked: false,
            deaf: false,
            nervous: false,
        })
    }

    fn poll_ready(&mut self, want: Want, (): &mut ()) -> Poll<io::Result<()>> {
        if self.ready.intersects(flags(want)) || want == Want::Errors && self.nervous {
            return Poll::Ready(Ok(()));
        }
        self.wanted |= flags(want);
        Poll::Pending
    }

    fn attempt<T>(&mut self, want: Want, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T> {
        self.ready -= flags(want);
        if want == Want::Write && self.choked || want == Want::Errors && self.deaf {
            return None;
        }
        Some(call(self.socket.as_fd()).0)
    }
}

impl AsFd for Polled {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a machine was told, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Got { from: SocketAddr, to: Option<IpAddr>, cast: Cast, end: End, size: usize, bytes: Vec<u8> },
    Icmp { error: IcmpError, quote: Vec<u8> },
    Unsent { to: SocketAddr, len: usize, errno: Errno, mtu: Option<u32> },
    Failed { op: Op, errno: Errno },
    Overrun { lost: u32 },
    Blocked,
    Writable,
    Examined,
}

/// Sends what it was given, and remembers.
#[derive(Debug, Default)]
pub(crate) struct Scribe {
    pub(crate) outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(crate) told: Vec<Told>,
    pub(crate) examine: bool,
    blocked: bool,
    echoes: bool,
    clean: bool,
}

fn errno(signal: Signal) -> Errno {
    match signal {
        Signal::Errno(errno) => errno,
        other => panic!("{other:?}"),
    }
}

impl Machine for Scribe {
    type Event = ();

    fn handle(&mut self, _: Instant, fact: Fact<'_>) {
        self.told.push(match fact {
            Fact::Received { train } => {
                if self.echoes {
                    train.echo.set(train.count());
                }
                Told::Got {
                    from: train.from,
                    to: train.to,
                    cast: train.cast,
                    end: train.end,
                    size: train.size,
                    bytes: train.bytes.to_vec(),
                }
            }
            Fact::Room { batch } => {
                while let Some((to, datagram)) = self.outbox.front() {
                    let Some(room) = batch.push(*to, datagram.len()) else { break };
                    room.copy_from_slice(datagram);
                    self.outbox.pop_front();
                }
                return;
            }
            Fact::Icmp { error, quote } => Told::Icmp { error, quote: quote.to_vec() },
            Fact::Unsent { to, datagram, signal, mtu } => {
                Told::Unsent { to, len: datagram.len(), errno: errno(signal), mtu }
            }
            Fact::Failed { op, signal } => Told::Failed { op, errno: errno(signal) },
            Fact::Overrun { lost } => Told::Overrun { lost },
            Fact::Blocked => {
                self.blocked = true;
                Told::Blocked
            }
            Fact::Writable => {
                self.blocked = false;
                Told::Writable
            }
            Fact::Examined => Told::Examined,
            Fact::Resumed | Fact::Tick => return,
        });
    }

    fn poll(&mut self) -> Step<()> {
        if core::mem::take(&mut self.examine) {
            Step::Examine
        } else if !self.blocked && !self.outbox.is_empty() {
            Step::Transmit
        } else {
            Step::Wait(None)
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn is_done(&self) -> bool {
        self.clean
    }
}

/// A machine on its socket.
#[derive(Debug)]
pub(crate) struct Driven {
    pub(crate) machine: Scribe,
    pub(crate) endpoint: Endpoint<Polled>,
    clock: Clock,
}

impl Driven {
    pub(crate) fn new(socket: UdpSocket) -> Self {
        Self::sized(socket, Sizes::default())
    }

    pub(crate) fn sized(socket: UdpSocket, sizes: Sizes) -> Self {
        let socket = Polled::register(socket.into(), &mut ()).unwrap();
        let endpoint = Endpoint::new(socket, sizes).unwrap();
        Self { machine: Scribe::default(), endpoint, clock: Clock::start() }
    }

    /// One that sends back what it gets.
    pub(crate) fn echoing(socket: UdpSocket) -> Self {
        let mut driven = Self::new(socket);
        driven.machine.echoes = true;
        driven
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.endpoint.socket().socket.local_addr().unwrap()
    }

    pub(crate) fn queue(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.machine.outbox.push_back((to, datagram.to_vec()));
    }

    /// Turns until there is nothing to do now. Returns how many turns it took.
    pub(crate) fn run(&mut self) -> u32 {
        for turns in 1..10_000 {
            if self.turn() && !self.sleep(Duration::ZERO) {
                return turns;
            }
        }
        panic!("it turns for ever");
    }

    /// One turn; whether it did all there was to do.
    pub(crate) fn turn(&mut self) -> bool {
        let mut context = ();
        let mut port = Exchange::new(&mut self.endpoint, &mut context);
        let until = turn(&mut self.machine, &mut port, || self.clock.now(), |()| ());
        !port.exhausted() && until.is_none()
    }

    /// Sleeps until the socket has what the last turn left wanting; whether it has.
    pub(crate) fn sleep(&mut self, timeout: Duration) -> bool {
        let polled = self.endpoint.socket_mut();
        let unwanted = if polled.choked { PollFlags::POLLOUT } else { PollFlags::empty() };
        polled.wanted -= unwanted;
        let mut fds = [PollFd::new(polled.socket.as_fd(), polled.wanted - PollFlags::POLLERR)];
        wait(&mut fds, Some(timeout)).unwrap();
        let told = fds[0].revents().unwrap();
        polled.ready = told & core::mem::replace(&mut polled.wanted, PollFlags::empty());
        !polled.ready.is_empty()
    }

    /// Turns until `enough`, which must come to pass soon.
    pub(crate) fn until(&mut self, enough: impl Fn(&[Told]) -> bool) {
        let give_up = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            self.run();
            if enough(&self.machine.told) {
                return;
            }
            assert!(std::time::Instant::now() < give_up, "in vain: {:?}", self.machine.told);
            self.sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn told(&mut self) -> Vec<Told> {
        core::mem::take(&mut self.machine.told)
    }
}
