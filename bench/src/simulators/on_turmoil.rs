//! Loops by hand on turmoil: tokio's sockets, simulated in steps of a millisecond.

use core::time::Duration;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use turmoil::net::{TcpListener, TcpStream, UdpSocket};
use turmoil::{Builder, Sim};

use super::{DELAY, HEARTBEAT, MESSAGE, PAYLOAD, PORT, Transport};

const ANY: (&str, u16) = ("0.0.0.0", PORT);
const SERVER: (&str, u16) = ("server", PORT);

fn simulation<'a>(time: Duration) -> Sim<'a> {
    let mut builder = Builder::new();
    builder.simulation_duration(time).min_message_latency(DELAY).max_message_latency(DELAY);
    // Room for a window and its echoes.
    builder.tcp_capacity(1_024).udp_capacity(1_024).rng_seed(1);
    builder.build()
}

/// So many round trips, one after the other in each of `window` places.
///
/// # Panics
///
/// If they do not all come back.
pub fn echo(transport: Transport, window: usize, count: u64) {
    let mut sim = simulation(Duration::from_secs(365 * 24 * 3600));
    match transport {
        Transport::Tcp => {
            sim.host("server", || async { Ok(serve_tcp().await?) });
            sim.client("client", async move { Ok(load_tcp(window, count).await?) });
        }
        Transport::Udp => {
            sim.host("server", || async { Ok(serve_udp().await?) });
            sim.client("client", async move { Ok(load_udp(window, count).await?) });
        }
    }
    sim.run().expect("everything comes back");
}

/// So many sessions over TCP, idle for so long; how many heartbeats were answered.
///
/// # Panics
///
/// If a session breaks.
#[must_use]
pub fn idle(sessions: u64, time: Duration) -> u64 {
    // It ends with its client.
    let mut sim = simulation(time.saturating_mul(2));
    sim.host("server", || async { Ok(serve_tcp().await?) });
    let answered = Rc::new(core::cell::Cell::new(0));
    let counted = Rc::clone(&answered);
    sim.client("client", async move {
        for _ in 0..sessions {
            let counted = Rc::clone(&counted);
            tokio::task::spawn_local(async move { beat(&counted).await.expect("nothing breaks") });
        }
        tokio::time::sleep(time).await;
        Ok(())
    });
    sim.run().expect("nothing breaks");
    answered.get()
}

async fn serve_tcp() -> io::Result<()> {
    let listener = TcpListener::bind(ANY).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..n]).await?;
            }
            io::Result::Ok(())
        });
    }
}

/// Message by message: each is looked at, and answered by a new one.
async fn load_tcp(window: usize, count: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(SERVER).await?;
    for _ in 0..window {
        stream.write_all(&MESSAGE).await?;
    }
    let mut message = [0; PAYLOAD];
    for _ in 0..count {
        stream.read_exact(&mut message).await?;
        assert_eq!(message, MESSAGE);
        stream.write_all(&MESSAGE).await?;
    }
    Ok(())
}

async fn beat(answered: &core::cell::Cell<u64>) -> io::Result<()> {
    let mut stream = TcpStream::connect(SERVER).await?;
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        stream.write_all(b"resound\n").await?;
        stream.read_exact(&mut [0; 8]).await?;
        answered.set(answered.get() + 1);
    }
}

async fn serve_udp() -> io::Result<()> {
    let socket = UdpSocket::bind(ANY).await?;
    let mut buffer = [0; 2_048];
    loop {
        let (n, from) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..n], from).await?;
    }
}

async fn load_udp(window: usize, count: u64) -> io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).await?;
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
