//! The bare epoll loop: one thread, one buffer, a read and a write for each event.

use std::io::{self, Read as _, Write as _};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::{ANY, BUFFER, ready};

const LISTENER: Token = Token(usize::MAX);

struct Conn {
    stream: TcpStream,
    /// What the kernel did not take. Nothing is read while there is any.
    held: Vec<u8>,
}

enum Over {
    No,
    Yes,
}

pub(super) fn serve() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(ANY)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    ready(listener.local_addr()?)?;
    let mut events = Events::with_capacity(1024);
    let mut conns: Vec<Option<Conn>> = Vec::new();
    let mut buf = vec![0; BUFFER];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut conns)?;
                continue;
            }
            let slot = &mut conns[event.token().0];
            let Some(conn) = slot else { continue };
            if matches!(conn.pump(&mut buf), Ok(Over::Yes) | Err(_)) {
                *slot = None;
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, conns: &mut Vec<Option<Conn>>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                let both = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut stream, Token(conns.len()), both)?;
                conns.push(Some(Conn { stream, held: Vec::new() }));
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

impl Conn {
    /// Echoes until one of the two sides would block.
    fn pump(&mut self, buf: &mut [u8]) -> io::Result<Over> {
        loop {
            while !self.held.is_empty() {
                let Some(n) = unless_blocked(self.stream.write(&self.held))? else { return Ok(Over::No) };
                self.held.drain(..n);
            }
            let Some(n) = unless_blocked(self.stream.read(buf))? else { return Ok(Over::No) };
            if n == 0 {
                return Ok(Over::Yes);
            }
            let wrote = unless_blocked(self.stream.write(&buf[..n]))?.unwrap_or(0);
            self.held.extend_from_slice(&buf[wrote..n]);
            // A short read has emptied the socket: the next byte is a new edge.
            if n < buf.len() && self.held.is_empty() {
                return Ok(Over::No);
            }
        }
    }
}

fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}
