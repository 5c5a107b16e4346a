//! Scratch.
use core::time::Duration;
use resound_core::Instant;
use resound_core::datagram::client::{Client, Config};
use resound_core::datagram::{Batch, Fact, Machine, Step, Train};
use std::net::{Ipv4Addr, SocketAddr};
fn main() {
    let n: u32 = std::env::args().nth(1).map_or(1_000_000, |a| a.parse().unwrap());
    let secs: u64 = std::env::args().nth(2).map_or(60, |a| a.parse().unwrap());
    let mut config = Config::default();
    config.link.liveness.idle = Duration::from_secs(10);
    let mut client = Client::new(config, 1, [1, 2]).unwrap();
    let mut now = Instant::EPOCH;
    let mut batch = Batch::new(65_536 * 2, 1024, 64);
    for i in 0..n {
        // spread over 10 s
        let addr = SocketAddr::new(Ipv4Addr::from(0x0a00_0000 + i).into(), 7);
        now = Instant::from_nanos(u64::from(i) * 10_000_000_000 / u64::from(n));
        client.add(now, addr).unwrap();
        drive(&mut client, &mut batch, now);
    }
    let begin = std::time::Instant::now();
    let start = now;
    let mut probes = 0u64;
    let mut turns = 0u64;
    while now.since(start) < Duration::from_secs(secs) {
        now = client.next_deadline().unwrap().max(now);
        client.handle(now, Fact::Tick);
        probes += drive(&mut client, &mut batch, now);
        turns += 1;
    }
    let took = begin.elapsed();
    let rss = std::fs::read_to_string("/proc/self/status").unwrap();
    println!(
        "{n} peers, {secs} s: {probes} probes {turns} turns in {took:?}: {:.1}x real time, {:.0} ns/probe",
        secs as f64 / took.as_secs_f64(),
        took.as_nanos() as f64 / probes as f64
    );
    println!(
        "{}",
        rss.lines()
            .filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS"))
            .collect::<Vec<_>>()
            .join(" ")
    );
}
fn drive(client: &mut Client, batch: &mut Batch, now: Instant) -> u64 {
    let mut sent = 0;
    loop {
        match client.poll() {
            Step::Transmit => {
                client.handle(now, Fact::Room { batch });
                for run in batch.runs() {
                    sent += run.count() as u64;
                    let train = Train { size: run.size, ..Train::one(run.to, batch.bytes(run)) };
                    client.handle(now, Fact::Received { train: &train });
                }
                batch.clear();
            }
            Step::Examine => client.handle(now, Fact::Examined),
            Step::Event(_) => {}
            Step::Wait(_) => return sent,
        }
    }
}
