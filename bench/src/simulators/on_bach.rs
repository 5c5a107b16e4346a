//! Loops by hand on bach, over UDP, which is all that it simulates of the network.

use core::time::Duration;
use std::io;

use bach::environment::default::Runtime;
use bach::environment::net::queue::Fixed;
use bach::ext::*;
use bach::net::UdpSocket;

use super::{DELAY, HEARTBEAT, MESSAGE, PAYLOAD};

const SERVER: &str = "server:7";

fn simulate(spawn_clients: impl FnOnce()) {
    let network = Fixed::default().with_net_latency(DELAY);
    Runtime::new().with_net_queues(Some(Box::new(network))).run(|| {
        async { serve().await.expect("nothing breaks") }.group("server").spawn();
        spawn_clients();
    });
}

/// So many round trips over UDP, one after the other in each of `window` places.
pub fn echo(window: usize, count: u64) {
    simulate(|| {
        async move { load(window, count).await.expect("everything comes back") }
            .group("client")
            .primary()
            .spawn();
    });
}

/// So many sessions over UDP, idle for so long.
pub fn idle(sessions: u64, time: Duration) {
    simulate(|| {
        for nth in 0..sessions {
            async { beat().await.expect("nothing breaks") }.group(format!("client {nth}")).spawn();
        }
        async move { time.sleep().await }.group("clock").primary().spawn();
    });
}

async fn serve() -> io::Result<()> {
    let socket = UdpSocket::bind(SERVER).await?;
    let mut buffer = [0; 2_048];
    loop {
        let (n, from) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..n], from).await?;
    }
}

async fn load(window: usize, count: u64) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    for _ in 0..window {
        socket.send_to(&MESSAGE, SERVER).await?;
    }
    let mut message = [0; PAYLOAD];
    for _ in 0..count {
        let (_, from) = socket.recv_from(&mut message).await?;
        assert_eq!(message, MESSAGE);
        socket.send_to(&MESSAGE, from).await?;
    }
    Ok(())
}

async fn beat() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    loop {
        HEARTBEAT.sleep().await;
        socket.send_to(b"resound\n", SERVER).await?;
        socket.recv_from(&mut [0; 8]).await?;
    }
}
