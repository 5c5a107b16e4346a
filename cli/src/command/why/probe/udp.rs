//! Datagrams: one each second until one is answered, or somebody says no.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use resound_core::Instant;
use resound_core::signal::{Errno, IcmpError, Reason};
use resound_sockets::poll::{PollFd, PollFlags, wait};
use resound_sockets::udp::icmp_errors;

use super::super::evidence::{Datagrams, Others, Parting};
use super::dial::{TICK, patience};
use super::others::{Asking, datagrams, number};
use super::{Log, Plan, message, quote};
use crate::output::text::time;
use crate::stats::nanos;

const APART: Duration = Duration::from_secs(1);
/// How long to wait for the rest once some were answered.
const LATE: Duration = Duration::from_secs(2);

struct Inquiry<'a> {
    socket: UdpSocket,
    to: SocketAddr,
    log: &'a Log<'a>,
    /// What was sent, when, and when it came back.
    flights: Vec<Flight>,
}

struct Flight {
    bytes: Vec<u8>,
    sent: Instant,
    back: bool,
}

/// Asks, until it was answered often enough or never will be.
pub(super) fn ask(to: SocketAddr, plan: &Plan, log: &Log<'_>, others: &mut Others) -> Datagrams {
    let socket = match datagrams(to) {
        Ok(socket) => socket,
        Err(errno) => {
            log.errno("send", errno, format!("no socket: {errno}"));
            return Datagrams { sent: 0, echoed: 0, since: 0, end: Parting::Local(errno) };
        }
    };
    let mut inquiry = Inquiry { socket, to, log, flights: Vec::new() };
    let mut asking = None;
    let end = inquiry.until_the_end(plan, &mut asking);
    let flights = &inquiry.flights;
    let (sent, echoed) = (flights.len(), flights.iter().filter(|flight| flight.back).count());
    let since = flights.iter().rev().take_while(|flight| !flight.back).count();
    if let Some(asking) = asking {
        let silent = matches!(end, Parting::Enough) && since > 0;
        *others = if silent { asking.end(log) } else { asking.so_far() };
    }
    Datagrams { sent: sent as u64, echoed: echoed as u64, since: since as u64, end }
}

impl Inquiry<'_> {
    fn until_the_end(&mut self, plan: &Plan, asking: &mut Option<Asking>) -> Parting {
        let began = self.log.now();
        let mut due = began;
        loop {
            let now = self.log.now();
            let answered = self.flights.iter().any(|flight| flight.back);
            let limit = if answered { plan.watch } else { plan.timeout.max(plan.watch) };
            let over = now - began >= limit;
            let open =
                self.flights.iter().any(|flight| !flight.back && now - flight.sent < plan.timeout.min(LATE));
            if over && !(answered && open) {
                if !answered {
                    self.log.note("silence", format!("no answer within {}", time(nanos(now - began))));
                }
                return Parting::Enough;
            }
            if now >= due && !over {
                due = now + APART.min(limit / 4).max(Duration::from_millis(50));
                if let Err(end) = self.send(plan.size) {
                    return end;
                }
            }
            if let Some(end) = self.hear() {
                return end;
            }
            let unanswered = self.flights.iter().rev().take_while(|flight| !flight.back).last();
            let silent = unanswered.is_some_and(|first| now - first.sent >= patience(plan.timeout));
            if unanswered.is_none() {
                *asking = None;
            } else if silent && asking.is_none() {
                *asking = Some(Asking::begin(self.to, self.log).again());
            }
            if let Some(asking) = asking {
                asking.look(self.log);
            }
            let mut fds = vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if let Some(asking) = &*asking {
                asking.watch(&mut fds);
            }
            let soon = if over { TICK } else { (due - self.log.now()).clamp(Duration::from_millis(1), TICK) };
            let answered_all = self.flights.iter().all(|flight| flight.back);
            if !(answered_all && plan.watch.is_zero()) {
                let _ = wait(&mut fds, Some(soon));
            }
        }
    }

    fn send(&mut self, size: usize) -> Result<(), Parting> {
        let seq = self.flights.len() as u64;
        let bytes = message(seq, size);
        match self.socket.send_to(&bytes, self.to) {
            Ok(_) => {
                self.log.note("sent", format!("datagram {seq}, {} bytes", bytes.len()));
                self.flights.push(Flight { bytes, sent: self.log.now(), back: false });
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            // What another datagram met fails this call.
            Err(error) => self.hear().map_or_else(
                || {
                    let errno = number(&error);
                    self.log.errno("sent", errno, format!("datagram {seq}: {errno} from the call itself"));
                    Err(Parting::Local(errno))
                },
                Err,
            ),
        }
    }

    /// Everything that has come.
    fn hear(&mut self) -> Option<Parting> {
        let mut end = None;
        let heard = icmp_errors(&self.socket);
        for same in heard.chunk_by(|one, next| one == next) {
            let icmp = same[0];
            let times = if same.len() > 1 { format!("{} times ", same.len()) } else { String::new() };
            self.log.icmp("icmp", icmp, &times);
            if ends(&icmp) {
                end = end.or(Some(Parting::Icmp(icmp)));
            }
        }
        if end.is_some() {
            return end;
        }
        let mut bytes = vec![0; 65_536];
        loop {
            match self.socket.recv_from(&mut bytes) {
                Ok((n, from)) => {
                    if let Some(end) = self.take(&bytes[..n], from) {
                        return Some(end);
                    }
                }
                // What the queue told is told once more by the next call.
                Err(_) => return None,
            }
        }
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) -> Option<Parting> {
        let same_host = (from.ip(), from.port()) == (self.to.ip(), self.to.port());
        let now = self.log.now();
        let Some(seq) = self.flights.iter().position(|flight| flight.bytes == bytes) else {
            if !same_host {
                self.log.note("received", format!("{} bytes from a stranger, {from}", bytes.len()));
                return None;
            }
            let said = quote(bytes);
            self.log.note("received", format!("{} bytes that were not sent: {said}", bytes.len()));
            return Some(Parting::Differs);
        };
        if !same_host {
            self.log.note("received", format!("datagram {seq} is back, from {from}"));
            return Some(Parting::Elsewhere(from));
        }
        let flight = &mut self.flights[seq];
        if flight.back {
            self.log.note("echo", format!("datagram {seq} is back once more"));
            return None;
        }
        flight.back = true;
        let took = time(nanos(now - flight.sent));
        self.log.note("echo", format!("datagram {seq} is back after {took}"));
        None
    }
}

/// Whether a message says that there is no use in asking on. One about the size of a datagram is for the kernel, which
/// will cut the next one.
fn ends(icmp: &IcmpError) -> bool {
    icmp.meaning().reason != Reason::TooBig
        && icmp.meaning().errno.is_some_and(|errno| errno != Errno::MsgSize)
}
