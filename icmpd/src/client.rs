//! The client's side, for programs in Rust. [`protocol`](crate::protocol) says what others need to know.

use alloc::collections::VecDeque;
use core::fmt;
use core::mem::MaybeUninit;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use resound_sockets::clock::Clock;
use resound_sockets::poll::{PollFd, PollFlags, wait};
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, connect,
    recv, sendmsg,
};

use crate::listener::new_socket;
use crate::protocol::{Event, LONGEST_LINE, Line, Request, Whose};

/// A connection to the daemon. Dropping it ends all its registrations.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    /// Lines that came while an answer was awaited.
    waiting: VecDeque<Line>,
}

/// What was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The number by which the daemon may tell of its end.
    pub registration: u32,
    /// The local addresses of its sockets.
    pub sockets: Vec<SocketAddr>,
}

/// Why a registration was not granted.
#[derive(Debug)]
pub enum RegisterError {
    /// The daemon refused, and says why.
    Refused(String),
    /// The daemon could not be asked, or did not answer in time.
    Io(io::Error),
}

/// The daemon answers at once; this long it may be busy.
const PATIENCE: Duration = Duration::from_secs(10);

impl Client {
    /// Connects to the daemon that listens at `path`.
    ///
    /// # Errors
    ///
    /// If nobody listens there (ENOENT, ECONNREFUSED), or it is for others (EACCES).
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = new_socket(SocketFlags::empty())?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self { socket, waiting: VecDeque::new() })
    }

    /// Asks for the errors of what this UDP socket sends. It must be bound. It is used by the daemon only to learn its
    /// address, and stays the caller's.
    ///
    /// # Errors
    ///
    /// If the daemon refuses, or cannot be asked.
    pub fn register(&mut self, udp: impl AsFd) -> Result<Registered, RegisterError> {
        self.ask(Request::Register(Whose::Socket), &[udp.as_fd()])
    }

    /// Asks for the errors of this user's UDP sockets with that local port, as they are now.
    ///
    /// # Errors
    ///
    /// If the daemon refuses, or cannot be asked.
    pub fn register_port(&mut self, port: u16) -> Result<Registered, RegisterError> {
        self.ask(Request::Register(Whose::Port(port)), &[])
    }

    /// What the daemon says next; `None` if it says nothing for so long. `None` as `timeout` waits for ever.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the daemon is gone.
    pub fn next(&mut self, timeout: Option<Duration>) -> io::Result<Option<Line>> {
        match self.waiting.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.receive(timeout),
        }
    }

    fn ask(&mut self, request: Request, descriptors: &[BorrowedFd<'_>]) -> Result<Registered, RegisterError> {
        let text = serde_json::to_vec(&request).map_err(io::Error::from)?;
        // If it cannot be sent because the daemon has hung up, what it said before tells why.
        let sent = self.send(&text, descriptors);
        let clock = Clock::start();
        let deadline = clock.now() + PATIENCE;
        loop {
            let line = match (self.receive(Some(clock.until(deadline))), &sent) {
                (Ok(Some(line)), _) => line,
                (Ok(None), _) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                (Err(_), Err(error)) => return Err(io::Error::from(*error).into()),
                (Err(error), Ok(())) => return Err(error.into()),
            };
            match line.event {
                Event::Registered { registration, sockets } => {
                    return Ok(Registered { registration, sockets });
                }
                Event::NotRegistered { why } => return Err(RegisterError::Refused(why.into_owned())),
                _ => self.waiting.push_back(line),
            }
        }
    }

    fn send(&self, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(Errno::INVAL);
        }
        sendmsg(&self.socket, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL).map(|_| ())
    }

    fn receive(&self, timeout: Option<Duration>) -> io::Result<Option<Line>> {
        let clock = Clock::start();
        let deadline = timeout.map(|timeout| clock.now() + timeout);
        let mut buffer = [0; LONGEST_LINE];
        loop {
            match recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((length, _)) => {
                    let text = buffer.get(..length).unwrap_or_default();
                    return Ok(Some(serde_json::from_slice(text)?));
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let left = deadline.map(|deadline| clock.until(deadline));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            wait(&mut fds, left).map_err(|errno| io::Error::other(format!("poll: {errno}")))?;
        }
    }
}

impl AsFd for Client {
    /// Readable when a line has come in.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<io::Error> for RegisterError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "the daemon refused: {why}"),
            Self::Io(error) => write!(f, "the daemon could not be asked: {error}"),
        }
    }
}

impl core::error::Error for RegisterError {}
