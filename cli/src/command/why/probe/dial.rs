//! One connect, and everything that is said about it.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::TcpStream;
use std::os::fd::AsFd as _;

use resound_core::signal::{Errno, IcmpError, Signal};
use resound_sockets::poll::{PollFd, PollFlags, wait};
use resound_sockets::tcp::{dial_witnessed, finish_dial, kernel_view};
use resound_sockets::udp::icmp_errors;

use super::super::evidence::{Dialed, Others};
use super::others::Asking;
use super::{Log, Plan};

/// A connect that is under way.
#[derive(Debug)]
pub(super) struct Dialing {
    pub(super) stream: TcpStream,
    heard: Vec<IcmpError>,
}

impl Dialing {
    /// Begins to connect.
    pub(super) fn begin(to: SocketAddr) -> Result<Self, Dialed> {
        match dial_witnessed(to) {
            Ok(stream) => Ok(Self { stream, heard: Vec::new() }),
            Err(Signal::Errno(errno)) => Err(Dialed::AtOnce(errno)),
            Err(_) => Err(Dialed::AtOnce(Errno::Io)),
        }
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<Dialed> {
        let hung_up = hung_up(&self.stream);
        // In this order: to read the queue takes away what is asked for here.
        let ended = finish_dial(&self.stream);
        self.heard.extend(icmp_errors(&self.stream));
        let icmp = self.heard.last().copied();
        match ended {
            Some(Ok(_)) => Some(Dialed::Stands),
            Some(Err(Signal::SelfConnect)) => Some(Dialed::SelfConnect),
            Some(Err(Signal::Errno(errno))) => {
                // A RST ends it whatever ICMP said before; the number tells which of them it was.
                let icmp = icmp.filter(|icmp| icmp.meaning().errno == Some(errno));
                Some(Dialed::Failed { errno, icmp })
            }
            Some(Err(Signal::Icmp(_))) | None => {
                let errno = icmp.and_then(|icmp| icmp.meaning().errno).filter(|_| hung_up)?;
                Some(Dialed::Failed { errno, icmp })
            }
        }
    }

    /// How it stands when the wait is over. An ICMP error that came while the kernel was busy with the socket ends nothing
    /// (`LockDroppedIcmps`), and was said all the same.
    fn left(&self) -> Dialed {
        match self.heard.last().and_then(|icmp| Some((icmp, icmp.meaning().errno?))) {
            Some((icmp, errno)) => Dialed::Failed { errno, icmp: Some(*icmp) },
            None => Dialed::Silent,
        }
    }
}

/// Whether the socket is closed, for whatever reason.
fn hung_up(stream: &TcpStream) -> bool {
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let asked = wait(&mut fds, Some(Duration::ZERO));
    asked.is_ok() && fds[0].revents().is_some_and(|revents| revents.contains(PollFlags::POLLHUP))
}

/// Connects, and after a while of silence asks others too.
pub(super) fn dial(
    to: SocketAddr,
    plan: &Plan,
    log: &Log<'_>,
    others: &mut Others,
) -> (Dialed, Option<TcpStream>) {
    let mut dialing = match Dialing::begin(to) {
        Ok(dialing) => dialing,
        Err(dialed) => return (dialed, None),
    };
    let (began, mut asking, mut syns) = (log.now(), None::<Asking>, 0);
    let dialed = loop {
        if let Some(dialed) = dialing.ended() {
            break dialed;
        }
        let silent = log.now() - began;
        let Some(left) = plan.timeout.checked_sub(silent).filter(|left| !left.is_zero()) else {
            break dialing.left();
        };
        if let Some(view) = kernel_view(&dialing.stream)
            && view.retransmits > syns
        {
            syns = view.retransmits;
            log.note("kernel", format!("the SYN was sent {} times, without an answer", u32::from(syns) + 1));
        }
        if silent >= patience(plan.timeout) && asking.is_none() {
            asking = Some(Asking::begin(to, log).datagram());
        }
        if let Some(asking) = &mut asking {
            asking.look(log);
        }
        let mut fds = vec![PollFd::new(dialing.stream.as_fd(), PollFlags::POLLOUT)];
        if let Some(asking) = &asking {
            asking.watch(&mut fds);
        }
        let _ = wait(&mut fds, Some(left.min(TICK)));
    };
    if let Some(asking) = asking {
        *others = if dialed == Dialed::Silent { asking.end(log) } else { asking.so_far() };
    }
    (dialed, Some(dialing.stream))
}

/// How long a silence is nothing special: a SYN that is lost once comes again after a second.
pub(super) fn patience(timeout: Duration) -> Duration {
    (timeout / 4).min(Duration::from_millis(1_500))
}

/// How often to look at what tells nothing by itself.
pub(super) const TICK: Duration = Duration::from_millis(200);
