//! Single calls on sockets that have names, as a script makes them; what each gives is said.

use std::collections::BTreeMap;

use resound_core::signal::Errno;
use resound_core::stream::Close;

use super::words::bytes;
use crate::kernel::{Fd, TcpOptions, UdpOptions};
use crate::scenario::{Call, Command, Open, Peer, Said, SocketKnobs, socket_addr};
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
        let gave = |name: &str, call: &str, result: Result<u64, Errno>| {
            Said::Call(format!("{name} {call}").into_boxed_str(), result)
        };
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
                    Open::Connect(_) => "connect",
                    Open::Udp(_) => "bind",
                };
                // A connect that does not wait for its end.
                let pending = matches!(open, Open::Connect(_)) && result.is_ok();
                gave(name, word, if pending { Err(Errno::InProgress) } else { result.map(|_| 0) })
            }
            Call::Connect(name, peer) => {
                let fd = self.socket(name)?;
                let to = peer.map(|peer| addr(calls, peer));
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
                gave(name, "recv", count(recv(calls, fd, &mut buffer)))
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
                let to = addr(calls, *peer);
                gave(name, "sendto", count(calls.send_to(fd, Some(to), None, &bytes(payload))))
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
                Said::other(match calls.tcp_info(fd) {
                    None => format!("{name} info -"),
                    Some(view) => format!(
                        "{name} info unacked={} unsent={} retransmits={} backoff={} probes={}",
                        view.unacked, view.unsent, view.retransmits, view.backoff, view.probes
                    ),
                })
            }
        })
    }

    fn close(&mut self, calls: &mut Calls<'_>, name: &str, word: &str, how: Close) -> Result<Said, String> {
        let fd = self.sockets.remove(name).ok_or_else(|| name.to_owned())?;
        calls.close(fd, how);
        Ok(Said::Call(format!("{name} {word}").into_boxed_str(), Ok(0)))
    }
}

fn addr(calls: &Calls<'_>, peer: Peer) -> std::net::SocketAddr {
    socket_addr(peer, calls.version())
}

fn recv(calls: &mut Calls<'_>, fd: Fd, buffer: &mut [u8]) -> Result<usize, Errno> {
    if calls.is_udp(fd) {
        calls.recv_from(fd, buffer).map(|arrived| arrived.length)
    } else {
        calls.recv(fd, buffer)
    }
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
    match open {
        Open::Listen(port, backlog) => calls.listen(calls.any(port), backlog, &tcp),
        Open::Connect(peer) => calls.connect(addr(calls, peer), &tcp),
        Open::Udp(port) => {
            let udp = UdpOptions {
                recverr: knobs.recverr,
                receive_buffer: knobs.receive_buffer,
                reuse_address: knobs.reuse_address,
                reuse_port: knobs.reuse_port,
                broadcast: false,
            };
            calls.udp(calls.any(port), &udp)
        }
    }
}
