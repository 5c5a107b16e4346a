//! Single calls on sockets that have names, as a script makes them; what each gives is said.

use std::collections::BTreeMap;

use resound_core::signal::Errno;
use resound_core::stream::Close;

use super::words::{bytes, gave, gave_a_part, gave_in_all, info};
use crate::kernel::{Fd, TcpOptions, UdpOptions};
use crate::scenario::{Address, Call, Command, Open, Said, SocketKnobs};
use crate::world::{Answer, Calls, Next, Program};

/// Runs the calls of a script, one shell for each host.
#[derive(Debug, Default)]
pub(crate) struct Shell {
    sockets: BTreeMap<String, Fd>,
}

impl Program for Shell {
    fn run(&mut self, calls: &mut Calls<'_>) -> Next {
        while calls.next_ready().is_some() {}
        Next::Sleep(None)
    }

    fn ask(&mut self, calls: &mut Calls<'_>, command: &Command) -> Answer {
        let Command::Call(call) = command else { return Answer::NotMine };
        match self.make(calls, call) {
            Ok(said) => calls.say(said),
            Err(name) => return Answer::Refused(format!("there is no socket {name:?} on this host")),
        }
        Answer::Taken
    }
}

impl Shell {
    fn socket(&self, name: &str) -> Result<Fd, String> {
        self.sockets.get(name).copied().ok_or_else(|| name.to_owned())
    }

    fn make(&mut self, calls: &mut Calls<'_>, call: &Call) -> Result<Said, String> {
        let nothing = |result: Result<(), Errno>| result.map(|()| 0);
        let count = |result: Result<usize, Errno>| result.map(|n| n as u64);
        Ok(match call {
            Call::Open(name, open, knobs) => {
                let result = open_socket(calls, *open, knobs);
                if let Ok(fd) = result {
                    self.sockets.insert(name.clone(), fd);
                }
                let word = match open {
                    Open::Listen(..) => "listen",
                    Open::Connect { .. } => "connect",
                    Open::Udp(_) => "bind",
                };
                // A connect that does not wait for its end.
                let pending = matches!(open, Open::Connect { .. }) && result.is_ok();
                gave(name, word, if pending { Err(Errno::InProgress) } else { result.map(|_| 0) })
            }
            Call::Connect(name, peer) => {
                let fd = self.socket(name)?;
                let to = peer.map(|end| end.socket_addr(calls.version()));
                gave(name, "connect", nothing(calls.udp_connect(fd, to)))
            }
            Call::Accept(name, listener) => {
                let listener = self.socket(listener)?;
                let result = calls.accept(listener);
                if let Ok((fd, _)) = result {
                    self.sockets.insert(name.clone(), fd);
                }
                gave(name, "accept", result.map(|_| 0))
            }
            Call::Recv(name, most) => {
                let fd = self.socket(name)?;
                let mut buffer = vec![0; *most as usize];
                match recv(calls, fd, &mut buffer) {
                    Ok((n, Cut::Short)) => gave_a_part(name, n),
                    result => gave(name, "recv", count(result.map(|(n, _)| n))),
                }
            }
            Call::RecvAll(names) => {
                let mut buffer = [0; 1];
                self.all(names, "recv-all", |fd| match calls.recv_from(fd, &mut buffer) {
                    Ok(_) => Another::Counts,
                    Err(Errno::Again) => Another::None,
                    Err(_) => Another::Other,
                })?
            }
            Call::RecvErrorAll(names) => {
                self.all(names, "errqueue-all", |fd| match calls.recv_error(fd) {
                    Ok(_) => Another::Counts,
                    Err(_) => Another::None,
                })?
            }
            Call::RecvError(name) => {
                let fd = self.socket(name)?;
                match calls.recv_error(fd) {
                    Ok(entry) => Said::other(format_args!("{name} errqueue {}", entry.errno)),
                    Err(errno) => gave(name, "errqueue", Err(errno)),
                }
            }
            Call::Send(name, payload) => {
                let fd = self.socket(name)?;
                let payload = bytes(payload);
                let result = if calls.is_udp(fd) {
                    calls.send_to(fd, None, None, &payload)
                } else {
                    calls.send(fd, &[&payload])
                };
                gave(name, "send", count(result))
            }
            Call::SendTo(name, peer, payload) => {
                let fd = self.socket(name)?;
                let to = peer.socket_addr(calls.version());
                gave(name, "sendto", count(calls.send_to(fd, Some(to), None, &bytes(payload))))
            }
            Call::Join(name, group) => {
                let fd = self.socket(name)?;
                let group = Address::Group(*group).ip(calls.version());
                gave(name, "join", nothing(calls.join(fd, group)))
            }
            Call::Leave(name, group) => {
                let fd = self.socket(name)?;
                let group = Address::Group(*group).ip(calls.version());
                gave(name, "leave", nothing(calls.leave(fd, group)))
            }
            Call::Shutdown(name) => {
                let fd = self.socket(name)?;
                gave(name, "shutdown", nothing(calls.shutdown(fd)))
            }
            Call::ShutdownRead(name) => {
                let fd = self.socket(name)?;
                gave(name, "shutdown-read", nothing(calls.shutdown_read(fd)))
            }
            Call::Close(name) => self.close(calls, name, "close", Close::Drop)?,
            Call::Reset(name) => self.close(calls, name, "reset", Close::Reset)?,
            Call::SoError(name) => {
                let fd = self.socket(name)?;
                match calls.so_error(fd) {
                    Some(errno) => gave(name, "so_error", Err(errno)),
                    None => gave(name, "so_error", Ok(0)),
                }
            }
            Call::Poll(name) => {
                let fd = self.socket(name)?;
                Said::other(format_args!("{name} poll {}", calls.poll(fd)))
            }
            Call::Info(name) => {
                let fd = self.socket(name)?;
                info(name, calls.tcp_info(fd).as_ref())
            }
        })
    }

    /// Makes a call on each of these sockets until nothing is left, and says how often it gave something.
    fn all(&self, names: &[String], word: &str, mut call: impl FnMut(Fd) -> Another) -> Result<Said, String> {
        let mut counts = Vec::new();
        for name in names {
            let fd = self.socket(name)?;
            let mut count = 0_u32;
            loop {
                match call(fd) {
                    Another::Counts => count += 1,
                    Another::Other => {}
                    Another::None => break,
                }
            }
            counts.push(count);
        }
        Ok(gave_in_all(names.first().map_or("", String::as_str), word, counts))
    }

    fn close(&mut self, calls: &mut Calls<'_>, name: &str, word: &str, how: Close) -> Result<Said, String> {
        let fd = self.sockets.remove(name).ok_or_else(|| name.to_owned())?;
        calls.close(fd, how);
        Ok(gave(name, word, Ok(0)))
    }
}

/// What one more call on a socket gave.
enum Another {
    /// One of those that are counted.
    Counts,
    /// Something else, and there may be more.
    Other,
    /// Nothing is left.
    None,
}

/// Whether a datagram was longer than the buffer (MSG_TRUNC).
enum Cut {
    Whole,
    Short,
}

fn recv(calls: &mut Calls<'_>, fd: Fd, buffer: &mut [u8]) -> Result<(usize, Cut), Errno> {
    if !calls.is_udp(fd) {
        return calls.recv(fd, buffer).map(|n| (n, Cut::Whole));
    }
    let arrived = calls.recv_from(fd, buffer)?;
    Ok((arrived.length, if arrived.truncated { Cut::Short } else { Cut::Whole }))
}

fn open_socket(calls: &mut Calls<'_>, open: Open, knobs: &SocketKnobs) -> Result<Fd, Errno> {
    let tcp = TcpOptions {
        recverr: knobs.recverr,
        user_timeout: knobs.user_timeout,
        keepalive: knobs.keepalive,
        syn_retries: knobs.syn_retries,
        receive_buffer: knobs.receive_buffer,
        send_buffer: knobs.send_buffer,
        reuse_address: knobs.reuse_address,
        reuse_port: knobs.reuse_port,
    };
    let version = calls.version();
    match open {
        Open::Listen(at, backlog) => calls.listen(at.socket_addr(version), backlog, &tcp),
        Open::Connect { to, from } => {
            calls.connect_from(from.map(|from| from.socket_addr(version)), to.socket_addr(version), &tcp)
        }
        Open::Udp(at) => {
            let udp = UdpOptions {
                recverr: knobs.recverr,
                receive_buffer: knobs.receive_buffer,
                reuse_address: knobs.reuse_address,
                reuse_port: knobs.reuse_port,
                broadcast: knobs.broadcast,
            };
            calls.udp(at.socket_addr(version), &udp)
        }
    }
}
