//! Real hosts: what reaches them, what can be done to them, and that nothing is left of them.
#![cfg(target_os = "linux")]

mod between;
mod faults;
mod left;
mod packets;
mod settings;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use resound_core::signal::Version;
use resound_lab::rig::Host;
use resound_sim::scenario::{NodeId, address};

use between::PATIENCE;

const VERSIONS: [Version; 2] = [Version::V4, Version::V6];

fn at(node: NodeId, version: Version, port: u16) -> SocketAddr {
    SocketAddr::new(address(node, version), port)
}

/// Sends back what it gets, for one connection.
fn echo(host: &Host, version: Version) -> SocketAddr {
    let any = at(host.node(), version, 0);
    host.run(move || {
        let listener = TcpListener::bind(any).expect("a listener");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                if stream.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
        });
        address
    })
}

fn dial(host: &Host, to: SocketAddr) -> TcpStream {
    host.run(move || {
        let stream = TcpStream::connect_timeout(&to, PATIENCE).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read time-out");
        stream
    })
}

/// Whether what is sent comes back.
fn echoes(stream: &mut TcpStream) -> bool {
    let mut back = [0; 5];
    stream.write_all(b"hello").and_then(|()| stream.read_exact(&mut back)).is_ok() && back == *b"hello"
}

fn udp(host: &Host, version: Version) -> UdpSocket {
    let any = at(host.node(), version, 0);
    host.run(move || {
        let socket = UdpSocket::bind(any).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a read time-out");
        socket
    })
}
