//! The shell on a simulated host: a program like any other, on the simulated kernel's calls.

use std::net::{IpAddr, SocketAddr};

use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Version};
use resound_core::stream::Close;

use super::{Received, Shell, System};
use crate::kernel::{Fd, Poll, TcpOptions, UdpOptions};
use crate::scenario::{Command, SocketKnobs};
use crate::world::{Answer, Calls, Next, Program};

impl Program for Shell<Fd> {
    fn run(&mut self, calls: &mut Calls<'_>) -> Next {
        while calls.next_ready().is_some() {}
        Next::Sleep(None)
    }

    fn ask(&mut self, calls: &mut Calls<'_>, command: &Command) -> Answer {
        let Command::Call(call) = command else { return Answer::NotMine };
        match self.make(calls, call) {
            Ok(said) => calls.say(said),
            Err(nobody) => return Answer::Refused(nobody.to_string()),
        }
        Answer::Taken
    }
}

impl System for Calls<'_> {
    type Socket = Fd;

    fn version(&self) -> Version {
        Calls::version(self)
    }

    fn listen(&mut self, at: SocketAddr, backlog: u32, knobs: &SocketKnobs) -> Result<Fd, Errno> {
        Calls::listen(self, at, backlog, &tcp(knobs))
    }

    fn dial(&mut self, from: Option<SocketAddr>, to: SocketAddr, knobs: &SocketKnobs) -> Result<Fd, Errno> {
        self.connect_from(from, to, &tcp(knobs))
    }

    fn bind(&mut self, at: SocketAddr, knobs: &SocketKnobs) -> Result<Fd, Errno> {
        self.udp(at, &udp(knobs))
    }

    fn connect(&mut self, fd: &Fd, to: Option<SocketAddr>) -> Result<(), Errno> {
        self.udp_connect(*fd, to)
    }

    fn accept(&mut self, listener: &Fd) -> Result<Fd, Errno> {
        Calls::accept(self, *listener).map(|(fd, _)| fd)
    }

    fn recv(&mut self, fd: &Fd, most: usize) -> Result<Received, Errno> {
        let mut buffer = vec![0; most];
        if !self.is_udp(*fd) {
            return Calls::recv(self, *fd, &mut buffer).map(Received::Whole);
        }
        let arrived = self.recv_from(*fd, &mut buffer)?;
        Ok(if arrived.truncated { Received::Part(arrived.length) } else { Received::Whole(arrived.length) })
    }

    fn recv_error(&mut self, fd: &Fd) -> Result<Errno, Errno> {
        Calls::recv_error(self, *fd).map(|entry| entry.errno)
    }

    fn send(&mut self, fd: &Fd, to: Option<SocketAddr>, payload: &[u8]) -> Result<usize, Errno> {
        if to.is_none() && !self.is_udp(*fd) {
            return Calls::send(self, *fd, &[payload]);
        }
        self.send_to(*fd, to, None, payload)
    }

    fn join(&mut self, fd: &Fd, group: IpAddr) -> Result<(), Errno> {
        Calls::join(self, *fd, group)
    }

    fn leave(&mut self, fd: &Fd, group: IpAddr) -> Result<(), Errno> {
        Calls::leave(self, *fd, group)
    }

    fn shutdown(&mut self, fd: &Fd) -> Result<(), Errno> {
        Calls::shutdown(self, *fd)
    }

    fn shutdown_read(&mut self, fd: &Fd) -> Result<(), Errno> {
        Calls::shutdown_read(self, *fd)
    }

    fn close(&mut self, fd: Fd, how: Close) {
        Calls::close(self, fd, how);
    }

    fn so_error(&mut self, fd: &Fd) -> Option<Errno> {
        Calls::so_error(self, *fd)
    }

    fn poll(&mut self, fd: &Fd) -> Poll {
        Calls::poll(self, *fd)
    }

    fn info(&mut self, fd: &Fd) -> Option<KernelView> {
        self.tcp_info(*fd)
    }
}

fn tcp(knobs: &SocketKnobs) -> TcpOptions {
    TcpOptions {
        recverr: knobs.recverr,
        user_timeout: knobs.user_timeout,
        keepalive: knobs.keepalive,
        syn_retries: knobs.syn_retries,
        receive_buffer: knobs.receive_buffer,
        send_buffer: knobs.send_buffer,
        reuse_address: knobs.reuse_address,
        reuse_port: knobs.reuse_port,
    }
}

fn udp(knobs: &SocketKnobs) -> UdpOptions {
    UdpOptions {
        recverr: knobs.recverr,
        receive_buffer: knobs.receive_buffer,
        reuse_address: knobs.reuse_address,
        reuse_port: knobs.reuse_port,
        broadcast: knobs.broadcast,
    }
}
