//! The figures as Markdown.

use core::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::child::Place;
use crate::counted::{Calls, Counted};
use crate::servers;
use crate::simulated::{Measured as Simulators, Unit};
use crate::timed::{Compared, Scale, Spread, Target, Verdict};
use crate::udp::{Counted as CountedUdp, Crowd, Measured, Simulated};

const HOW: &str = "\
Written by `cargo run --release -p resound-bench`. Nothing but ratios is comparable between machines, and on a shared
machine only the counts are between runs.

A comparison runs four servers in turn, each in a fresh process and round after round: ours, the loop that a user of
that runtime would write by hand, the same loop again, and a bare epoll loop (`mio`). A ratio is taken within a round and
given as the median of the rounds, with the middle half of them. *Hand / itself* is the loop against its own second run:
what two equal servers differ by on this machine. A target that is missed by less than that is `noise`. Messages are 64
bytes, on loopback, with TCP_NODELAY; the server is on core 0, the client on core 1, or both on core 0.

By hand are: on std a thread with a buffer of 64 KiB, on tokio `tokio::io::copy` (and `64 KiB`: `read` and `write_all`
with such a buffer), on smol `smol::io::copy`. Tokio is its current-thread runtime; smol has one thread beside the main
one.
";

/// The whole report. `load` is what `/proc/loadavg` said before.
pub(crate) fn markdown(
    load: &str,
    scale: Scale,
    compared: &[Compared],
    counted: &[Counted],
    core: &[(&'static str, f64)],
) -> String {
    let mut out = String::from("# Results\n\n");
    out += HOW;
    let busy = load.split(' ').next().unwrap_or_default();
    let _ = write!(out, "\n{} Load of the machine before the first run: {busy}.\n", environment());
    if !compared.is_empty() {
        let _ = write!(out, "\n## By the clock\n\n{} rounds of {:?}.\n\n", scale.rounds, scale.run);
        out +=
            "| runtime | figure | cores | ours / hand | hand / itself | ours / epoll | hand | target | |\n";
        out += "|---|---|---|---|---|---|---|---|---|\n";
        compared.iter().for_each(|row| timed_row(&mut out, row));
    }
    if !counted.is_empty() {
        counts(&mut out, counted);
    }
    if !core.is_empty() {
        out += "\n## The core\n\nInstructions, without an operating system; `cargo bench -p resound-bench` gives the \
                times.\n\n| what | instructions |\n|---|---|\n";
        for (what, count) in core {
            let _ = writeln!(out, "| {what} | {count:.0} |");
        }
    }
    out
}

const MEBIBYTE: f64 = 1_048_576.0;

const UDP_WHY: &str = "
Where it falls short, and why:

- *The fleet* takes as many instructions per probe at each size; what grows is the wait for memory. A peer that comes up
  lies in four cache lines that nobody has read for ten seconds. The memory is the peers' own, 208 bytes each, and as many
  for all together as there are datagrams on their way behind the oldest that was not answered, 32 bytes each for 3 s.
- *Both ends on two cores*: a window of 64 is one train, so that at any time either the client or the server sleeps, and
  each train waits for two wake-ups across cores. Those take the greater part of the time, however little the rest costs;
  the time on a core says how little.
- *One in flight*: the server on std makes a call more than the loop by hand, `poll`, because a handle must be able to wake
  it. On each runtime it asks for what comes with a datagram (which address was asked, how many were dropped), looks in the
  same call whether there is another, and says from which address it answers. On smol it is a task of an executor, beside
  a loop that is polled by `block_on` itself. Beside other datagrams all of that is cheap; alone it is not.
- *Many peers*: datagrams for different peers leave in one call, but each takes its own way through the kernel, which on
  loopback is also the way to the server's socket. That is what a probe costs, with a thousand peers as with 100 000.
";

const UDP_HOW: &str = "\
A comparison is between a client and a server and two of the same that a user of that runtime would write by hand, with
`send_to` and `recv_from`: on std blocking, on tokio in its current-thread runtime, on smol in `block_on`. Each of the two
is a process, pinned to its core. Datagrams are 64 bytes long. The foreign client is the loop by hand on std, whatever
the server.
";

/// What was measured over UDP.
pub(crate) fn udp(measured: &Measured) -> String {
    let mut out = format!("\n## UDP\n\n{UDP_HOW}");
    simulated(&mut out, &measured.fleets);
    counted_udp(&mut out, &measured.counted);
    out += "\n### Datagrams by the clock\n\n";
    if let Some(scale) = measured.scale {
        let _ = write!(out, "{} rounds of {:?}.\n\n", scale.rounds, scale.run);
    }
    out += "| runtime | figure | cores | ours / hand | hand / itself | hand | target | |\n";
    out += "|---|---|---|---|---|---|---|---|\n";
    measured.compared.iter().for_each(|row| timed_row(&mut out, row));
    crowds(&mut out, &measured.crowds);
    out += UDP_WHY;
    out
}

fn simulated(out: &mut String, fleets: &[Simulated]) {
    *out += "\n### A fleet in simulated time\n\nThe client's machine alone, without an operating system: each peer is \
             probed about every 10 s, and answers after 1 ms; one in a hundred never does, one in a hundred is refused. \
             Nearly each probe has a turn of its own. To reach with 1 000 000 peers: at least 10 times as fast as real \
             time on one core, at most 256 MiB.\n\n";
    *out += "| peers | real time / its own | simulated time / CPU | CPU per probe | instructions per probe | to add | to \
             remove | peak memory | |\n|---|---|---|---|---|---|---|---|---|\n";
    for row in fleets {
        let [wall, cpu] = row.speed;
        let verdict = match row.peers {
            1_000_000 if cpu >= 10.0 && row.peak <= MEBIBYTE * 256.0 => "met",
            1_000_000 => "**missed**",
            _ => "",
        };
        let instructions = row.instructions.map(|count| format!("{count:.0}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {wall:.1} | {cpu:.1} | {:.0} ns | {instructions} | {:.0} ns | {:.0} ns | {:.1} MiB | {verdict} |",
            row.peers,
            row.probe,
            row.add,
            row.remove,
            row.peak / MEBIBYTE,
        );
    }
}

fn counted_udp(out: &mut String, counted: &[CountedUdp]) {
    *out += "\n### System calls per datagram\n\nOf a datagram and its echo, counted by perf.\n\n\
             | client → server | in flight | client | server | client's | server's |\n|---|---|---|---|---|---|\n";
    for CountedUdp { pair: (client, server), window, calls } in counted {
        let Some([asking, serving]) = calls else { continue };
        let server = server.trim_start_matches("udp-");
        let _ = writeln!(
            out,
            "| {client} → {server} | {window} | {:.3} | {:.3} | {} | {} |",
            asking.per_message,
            serving.per_message,
            by_name(asking),
            by_name(serving),
        );
    }
}

fn crowds(out: &mut String, crowds: &[Crowd]) {
    *out += "\n### One client, many peers\n\nOur client on one socket, 128 datagrams in flight, round and round its \
             peers, each of which has an address of its own (127.0.0.1 and those that follow); our server on std answers \
             for all of them, on the other core. Memory is what is resident, for each peer beyond the first.\n\n";
    *out += "| runtime | peers | probes/s | client CPU per probe | calls per probe | memory per peer |\n\
             |---|---|---|---|---|---|\n";
    for row in crowds {
        let calls = row.calls.as_ref().map(|calls| format!("{:.3}", calls.per_message)).unwrap_or_default();
        let memory = if row.peers > 1 { format!("{:.0}", row.memory) } else { String::new() };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {calls} | {memory} |",
            row.runtime,
            row.peers,
            absolute(row.per_second),
            absolute(row.cpu),
        );
    }
}

fn timed_row(out: &mut String, row: &Compared) {
    let bare = row.bare.map(|bare| format!(" {} |", spread(bare))).unwrap_or_default();
    let target = match row.figure.target {
        Target::AtMost(most) => format!("≤ {most:.2}"),
        Target::AtLeast(least) => format!("≥ {least:.2}"),
        Target::None => String::new(),
    };
    let verdict = match row.verdict() {
        Verdict::Met => "met",
        Verdict::Missed => "**missed**",
        Verdict::Noise => "noise",
        Verdict::None => "",
    };
    let cores = if row.place == Place::TwoCores { "two" } else { "one" };
    let _ = writeln!(
        out,
        "| {} | {} | {cores} | {} | {} |{bare} {} | {target} | {verdict} |",
        row.runtime,
        row.figure.name,
        spread(row.ours),
        spread(row.itself),
        absolute(row.by_hand),
    );
}

fn spread(Spread { lower, median, upper }: Spread) -> String {
    format!("{median:.3} ({lower:.2}–{upper:.2})")
}

/// Seconds, or something per second: no figure of one is as large as any of the other.
fn absolute(value: f64) -> String {
    if value < 1.0 {
        format!("{:.2} µs", value * 1e6)
    } else if value < 1e8 {
        format!("{:.0} k/s", value / 1e3)
    } else {
        format!("{:.2} GB/s", value / 1e9)
    }
}

fn counts(out: &mut String, counted: &[Counted]) {
    *out += "\n## By counting\n\nPer message: system calls of the server (perf), and its instructions in user space \
             (callgrind). Per idle connection, of 1 000 that have each exchanged one message: bytes allocated (the \
             runtime's own included), bytes resident (without the kernel's), threads. To reach: at most 0.06 calls with \
             64 in flight; at most 1 500 bytes resident on tokio and smol.\n\n";
    *out += "| server | calls, 1 connection | 50 connections | 64 in flight | instructions, 1 connection | 64 in flight \
             | heap | resident | threads |\n|---|---|---|---|---|---|---|---|---|\n";
    for row in counted {
        let calls = row.calls.as_ref().map(|calls| calls.each_ref().map(|c| format!("{:.3}", c.per_message)));
        let [single, crowd, flying] = calls.unwrap_or_default();
        let instructions = row.instructions.map(|counts| counts.map(|count| format!("{count:.0}")));
        let [one, window] = instructions.unwrap_or_default();
        let idle = row.idle;
        let _ = writeln!(
            out,
            "| {} | {single} | {crowd} | {flying} | {one} | {window} | {:.0} | {:.0} | {:.2} |",
            row.server, idle.heap, idle.resident, idle.threads
        );
    }
    let futures = servers::futures().map(|(runtime, bytes)| format!("{bytes} bytes on {runtime}")).join(", ");
    let _ = writeln!(
        out,
        "\nOur own part of an idle connection is its future: {futures} (to reach: at most 512)."
    );
    *out += "\nWhich calls, per message:\n\n| server | 1 connection | 64 in flight |\n|---|---|---|\n";
    for row in counted {
        if let Some([single, _, flying]) = &row.calls {
            let _ = writeln!(out, "| {} | {} | {} |", row.server, by_name(single), by_name(flying));
        }
    }
}

fn by_name(calls: &Calls) -> String {
    let told = calls.by_name.iter().take(8).filter(|(_, count)| *count >= 0.0005);
    told.map(|(name, count)| format!("{name} {count:.3}")).collect::<Vec<_>>().join(", ")
}

/// The machine and the tools.
/// What the section on simulators begins with: it is the last one, and can be written anew by itself.
pub(crate) const SIMULATORS: &str = "\n## Simulators\n";

const SIMULATORS_HOW: &str = "
Written anew by `resound-bench sim`. Two hosts and a link of 1 ms, in one process, on one core; rates are by time on it.
Ours has whole machines of the core on both ends, with their heartbeats, deadlines and checks, and simulated kernels with
their errors under them. turmoil (tokio) and bach (UDP only) have loops by hand around their own sockets: read a message,
compare it, send the next; a server that sends back what it reads; or, idle, a write and a read of 8 bytes every 13.1 s,
which is the mean of our default. Messages are 64 bytes long. Ratios are taken within a round.
";

const SIMULATORS_WHY: &str = "
Where it falls short, and why:

- *One in flight*: a round trip is two packets, two runs of programs and about 9 400 instructions, spread evenly over
  machines, kernels and world: no one thing is left that would make it twice as fast. They are 31 KiB of code over TCP and
  35 KiB over UDP, and the first cache of a processor holds 32 KiB: what else runs on the machine shows at once. Over TCP
  the same program did 0.6 to 1.3 million a second within ten minutes.
- *UDP, 64 in flight*: each datagram arrives by itself and wakes its program, and some two fifths of what it costs is the
  client's machine, which tags, matches and times each one. turmoil's loop keeps nothing of what it sent. To hand over all
  that arrives at one instant before a program runs would save a sixth of the instructions. It was tried, and left a hole
  in the coverage of the kernel table that is not there now.
";

/// What was measured of simulators.
pub(crate) fn simulators(measured: &Simulators) -> String {
    let mut out = format!("{SIMULATORS}{SIMULATORS_HOW}");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = load.split(' ').next().unwrap_or_default();
    let scale = measured.scale;
    let _ = write!(
        out,
        "\n{} rounds of {:?}. Load of the machine meanwhile: {busy}.\n\n",
        scale.rounds, scale.run
    );
    out += "| work | ours | turmoil | bach | ours / turmoil | ours / bach | target | |\n|---|---|---|---|---|---|---|---|\n";
    for row in &measured.rows {
        let per = match row.unit {
            Unit::RoundTrips => "/s",
            Unit::Seconds => " s/s",
        };
        let [ours, turmoil, bach] =
            row.rates.map(|rate| rate.map_or("–".into(), |rate| thousands(rate.median) + per));
        let [over_turmoil, over_bach] = row.ratios.map(|ratio| ratio.map_or("–".into(), factor));
        let target = row.target.map_or(String::new(), |target| format!("≥ {}{per}", thousands(target)));
        let verdict = match (row.target, row.rates[0]) {
            (Some(target), Some(rate)) if rate.median >= target => "met",
            (Some(target), Some(rate)) if rate.upper >= target => "noise",
            (Some(_), Some(_)) => "**missed**",
            _ => "",
        };
        let _ = writeln!(
            out,
            "| {} | {ours} | {turmoil} | {bach} | {over_turmoil} | {over_bach} | {target} | {verdict} |",
            row.name
        );
    }
    out += "\nInstructions of a round trip, or of an idle second that is simulated, counted by callgrind:\n\n\
            | work | ours | turmoil | bach |\n|---|---|---|---|\n";
    for row in &measured.rows {
        let counts = row.instructions.map(|count| count.map_or("–".into(), |count| format!("{count:.0}")));
        let _ = writeln!(out, "| {} | {} |", row.name, counts.join(" | "));
    }
    out += "\nAll schedules of faults of the standard menu among the first 14 packets of a run with a connect and three \
            messages, each played to its end and judged. To reach: up to 3 faults in under 2 s.\n\n\
            | client | faults | schedules | packets | time | schedules/s | |\n|---|---|---|---|---|---|---|\n";
    for row in &measured.explored {
        let verdict = match row.faults {
            3 if row.took.median < 2.0 => "met",
            3 => "**missed**",
            _ => "",
        };
        let _ = writeln!(
            out,
            "| {} | ≤ {} | {} | {} | {:.2} s | {} | {verdict} |",
            row.name,
            row.faults,
            row.schedules,
            row.packets,
            row.took.median,
            thousands(row.schedules as f64 / row.took.median),
        );
    }
    out + SIMULATORS_WHY
}

/// With three digits that mean something.
fn thousands(value: f64) -> String {
    match value {
        1e6.. => format!("{:.2} M", value / 1e6),
        1e4.. => format!("{:.0} k", value / 1e3),
        1e3.. => format!("{:.1} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

fn factor(Spread { lower, median, upper }: Spread) -> String {
    let [lower, median, upper] = [lower, median, upper].map(|value| match value {
        100.0.. => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    });
    format!("{median} ({lower}–{upper})")
}

fn environment() -> String {
    let file = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = file("/proc/cpuinfo");
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let virtual_machine = if cpuinfo.contains(" hypervisor") { ", virtual" } else { "" };
    let said = |tool: &str| {
        let output = Command::new(tool).arg("--version").output().map(|o| o.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).lines().next().unwrap_or("none").trim().to_string()
    };
    format!(
        "Machine: {}, {cores} cores{virtual_machine}; Linux {}; {}; {}; {}.",
        cpu.unwrap_or("unknown processor"),
        file("/proc/sys/kernel/osrelease").trim(),
        said("rustc"),
        said("perf"),
        said("valgrind"),
    )
}
