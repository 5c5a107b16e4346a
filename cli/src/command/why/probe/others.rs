//! What else to ask in doubt: whether the same port takes another connection, whether anything else on that host
//! answers, and whether somebody speaks about a datagram who was silent about a connection.

use core::net::SocketAddr;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use resound_core::Instant;
use resound_core::signal::{Errno, Signal};
use resound_sockets::errno;
use resound_sockets::poll::{PollFd, PollFlags};
use resound_sockets::udp::{Errors, Options, bind, icmp_errors};

use super::super::evidence::{Dialed, Others, Replied};
use super::dial::Dialing;
use super::{Log, message};

/// A port on which hardly anything listens: tcpmux (RFC 1078). A refusal is what is hoped for.
const SELDOM_USED: u16 = 1;
/// The one to ask if that is the port in question: compressnet.
const SELDOM_USED_TOO: u16 = 2;

/// Questions that are under way.
#[derive(Debug)]
pub(super) struct Asking {
    to: SocketAddr,
    began: Instant,
    again: Option<Dialing>,
    elsewhere: Option<Dialing>,
    datagram: Option<UdpSocket>,
    answers: Others,
}

/// Any free port of the family.
pub(super) fn datagrams(to: SocketAddr) -> Result<UdpSocket, Errno> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    bind(any, &Options { errors: Errors::Queued, ..Options::default() }).map_err(|error| number(&error))
}

pub(super) fn number(error: &std::io::Error) -> Errno {
    match errno::signal(error) {
        Signal::Errno(errno) => errno,
        _ => Errno::Io,
    }
}

impl Asking {
    /// Nothing is to be asked any more.
    pub(super) fn answered(to: SocketAddr, answers: Others, log: &Log<'_>) -> Self {
        Self { to, began: log.now(), again: None, elsewhere: None, datagram: None, answers }
    }

    /// Asks another port of the address.
    pub(super) fn begin(to: SocketAddr, log: &Log<'_>) -> Self {
        let mut asking = Self {
            to,
            began: log.now(),
            again: None,
            elsewhere: None,
            datagram: None,
            answers: Others::default(),
        };
        let mut other = to;
        other.set_port(if to.port() == SELDOM_USED { SELDOM_USED_TOO } else { SELDOM_USED });
        match Dialing::begin(other) {
            Ok(dialing) => asking.elsewhere = Some(dialing),
            Err(dialed) => asking.answers.elsewhere = Some(dialed),
        }
        asking
    }

    /// Sends a datagram to the same port too.
    pub(super) fn datagram(mut self) -> Self {
        match datagram(self.to) {
            Ok(socket) => self.datagram = Some(socket),
            Err(errno) => self.answers.datagram = Some(Replied::Local(errno)),
        }
        self
    }

    /// Asks the same port for another connection too.
    pub(super) fn again(mut self) -> Self {
        match Dialing::begin(self.to) {
            Ok(dialing) => self.again = Some(dialing),
            Err(dialed) => self.answers.again = Some(dialed),
        }
        self
    }

    /// What to wait for.
    pub(super) fn watch<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        let dialings = [&self.again, &self.elsewhere];
        fds.extend(
            dialings
                .into_iter()
                .flatten()
                .map(|dialing| PollFd::new(dialing.stream.as_fd(), PollFlags::POLLOUT)),
        );
        fds.extend(self.datagram.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
    }

    /// Takes the answers that have come.
    pub(super) fn look(&mut self, log: &Log<'_>) {
        let took = log.now() - self.began;
        let questions = [
            (&mut self.again, &mut self.answers.again, "another connection to the same port"),
            (&mut self.elsewhere, &mut self.answers.elsewhere, "another port of the same address"),
        ];
        for (dialing, answer, what) in questions {
            if let Some(dialed) = dialing.as_mut().and_then(Dialing::ended) {
                log.dialed("other", what, &dialed, took);
                *answer = Some(dialed);
                *dialing = None;
            }
        }
        let Some(socket) = &self.datagram else { return };
        let Some(replied) = reply(socket, self.to) else { return };
        match &replied {
            Replied::Answered => log.note("other", "a datagram to the same port: answered"),
            Replied::Icmp(icmp) => log.icmp("other", *icmp, "a datagram to the same port: "),
            Replied::Local(errno) => {
                log.errno("other", *errno, format!("a datagram to the same port: {errno}"));
            }
            Replied::Silent => {}
        }
        self.answers.datagram = Some(replied);
        self.datagram = None;
    }

    /// What was answered; the rest is of no interest any more.
    pub(super) fn so_far(self) -> Others {
        self.answers
    }

    /// What is unanswered by now stays so.
    pub(super) fn end(mut self, log: &Log<'_>) -> Others {
        self.look(log);
        let took = log.now() - self.began;
        if self.again.is_some() {
            log.dialed("other", "another connection to the same port", &Dialed::Silent, took);
            self.answers.again = Some(Dialed::Silent);
        }
        if self.elsewhere.is_some() {
            log.dialed("other", "another port of the same address", &Dialed::Silent, took);
            self.answers.elsewhere = Some(Dialed::Silent);
        }
        if self.datagram.is_some() {
            log.note("other", "a datagram to the same port: no answer");
            self.answers.datagram = Some(Replied::Silent);
        }
        self.answers
    }
}

fn datagram(to: SocketAddr) -> Result<UdpSocket, Errno> {
    let socket = datagrams(to)?;
    socket.send_to(&message(0, 0), to).map_err(|error| number(&error))?;
    Ok(socket)
}

/// What came of the datagram, if anything has.
fn reply(socket: &UdpSocket, to: SocketAddr) -> Option<Replied> {
    // An ICMP error about its size, or one that says nothing, is no answer.
    if let Some(icmp) = icmp_errors(socket).into_iter().find(|icmp| icmp.meaning().errno.is_some()) {
        return Some(Replied::Icmp(icmp));
    }
    let mut bytes = [0; 2_048];
    match socket.recv_from(&mut bytes) {
        Ok((_, from)) if from.ip() == to.ip() => Some(Replied::Answered),
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
        Err(_) => None,
    }
}
