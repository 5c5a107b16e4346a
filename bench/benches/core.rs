//! What the core costs: an echo in either role, a deadline query, a draw of the backoff, a parse of an ICMP message.

use core::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use resound_bench::core::{Serving, Session, Waiting, parse_icmp};

fn client(c: &mut Criterion) {
    let mut group = c.benchmark_group("client");
    let mut session = Session::<1>::new();
    group.bench_function("echo", |b| b.iter(|| session.echo()));
    group.bench_function("deadline query", |b| b.iter(|| session.next_deadline()));
    let mut session = Session::<64>::new();
    group.throughput(Throughput::Elements(64));
    group.bench_function("64 echoes in flight", |b| b.iter(|| session.echo()));
    group.finish();
}

fn server(c: &mut Criterion) {
    let mut serving = Serving::new();
    c.bench_function("server/echo", |b| b.iter(|| serving.echo()));
}

fn blocks(c: &mut Criterion) {
    let mut waiting = Waiting::new();
    c.bench_function("backoff/draw", |b| b.iter(|| waiting.draw()));
    c.bench_function("icmp/parse", |b| b.iter(parse_icmp));
}

criterion_group! {
    name = core;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = client, server, blocks
}
criterion_main!(core);
