//! Servers over UDP: ours, and the loop of `recv_from` and `send_to` that a user of each runtime would write by hand.
//!
//! Each runs on one thread: on tokio in its current-thread runtime, on smol in a local executor.

use core::net::{Ipv4Addr, SocketAddr};
use std::io;

use resound_std::udp::{EchoConfig, ServerConfig};

use super::{ANY, BUFFER, Serve, ready};

/// Every server by name.
pub(super) const SERVERS: &[(&str, Serve)] = &[
    ("udp-std", std_by_hand),
    ("udp-resound-std", || resound_std(ANY)),
    ("udp-tokio", tokio_by_hand),
    ("udp-resound-tokio", resound_tokio),
    ("udp-smol", smol_by_hand),
    ("udp-resound-smol", resound_smol),
    (WILDCARD, || resound_std(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))),
];

/// Ours on std, at every address of this host. It says that it is at 0.0.0.0.
pub(crate) const WILDCARD: &str = "udp-wildcard";

/// As it is out of the box, but for the limit: every load comes from one address. What it costs to look is still paid.
fn config() -> ServerConfig {
    let echo = EchoConfig { rate: Some(10_000_000), burst: 1 << 20, ..EchoConfig::default() };
    ServerConfig { echo, ..ServerConfig::default() }
}

fn std_by_hand() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind(ANY)?;
    ready(socket.local_addr()?)?;
    let mut buf = vec![0; BUFFER];
    loop {
        let (n, from) = socket.recv_from(&mut buf)?;
        socket.send_to(&buf[..n], from)?;
    }
}

fn resound_std(addr: SocketAddr) -> io::Result<()> {
    let server = resound_std::udp::serve(&[addr], &config(), |_, _| {})?;
    ready(server.handle().local_addrs()[0])?;
    server.join();
    Ok(())
}

fn tokio_by_hand() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let socket = tokio::net::UdpSocket::bind(ANY).await?;
        ready(socket.local_addr()?)?;
        let mut buf = vec![0; BUFFER];
        loop {
            let (n, from) = socket.recv_from(&mut buf).await?;
            socket.send_to(&buf[..n], from).await?;
        }
    })
}

fn resound_tokio() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let server = resound_tokio::udp::serve(&[ANY], &config(), |_, _| {})?;
        ready(server.handle().local_addrs()[0])?;
        server.await;
        Ok(())
    })
}

fn smol_by_hand() -> io::Result<()> {
    smol::block_on(async {
        let socket = smol::net::UdpSocket::bind(ANY).await?;
        ready(socket.local_addr()?)?;
        let mut buf = vec![0; BUFFER];
        loop {
            let (n, from) = socket.recv_from(&mut buf).await?;
            socket.send_to(&buf[..n], from).await?;
        }
    })
}

fn resound_smol() -> io::Result<()> {
    let executor = std::rc::Rc::new(smol::LocalExecutor::new());
    let sockets = executor.clone();
    let spawn = move |responder| sockets.spawn(responder).detach();
    let server = resound_smol::udp::serve(&[ANY], &config(), spawn, |_, _| {})?;
    ready(server.handle().local_addrs()[0])?;
    smol::block_on(executor.run(server));
    Ok(())
}
