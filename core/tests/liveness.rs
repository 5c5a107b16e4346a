//! The invariants L1 to L7: when a peer is convicted, and when it never is.
//!
//! A small model of a driver runs the detector: bytes become readable in the kernel at generated times, the driver
//! wakes for them and for deadlines with a generated lateness, and reads the kernel dry when it is asked to examine.

use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use resound_core::liveness::{Config, Due, Liveness, Policy};
use resound_core::{Instant, Rng};

const MS: u64 = 1_000_000;

/// What happens, in milliseconds since the connection came up.
#[derive(Clone, Debug, Default)]
struct Script {
    seed: u64,
    /// When something is sent that must be answered, and never is.
    sends: Vec<u64>,
    /// When bytes become readable; they answer nothing.
    bytes: Vec<u64>,
    /// How late the driver's successive wake-ups are; on time when they run out.
    lateness: Vec<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
struct Run {
    convicted: Option<u64>,
    /// When probes were asked for, anew for each silence.
    probes: Vec<u64>,
    /// Every first probe of a silence, over the whole run.
    first_probes: Vec<u64>,
    missed: Vec<(u64, u8)>,
    last_heard: u64,
    /// The first send that counts against the peer since the last byte.
    first_due: Option<u64>,
    /// Total lateness since the last byte, and how many calls were too late.
    late: u64,
    stalls: u64,
    /// Whether the call that led to the verdict was itself too late.
    judged_late: bool,
    unread_at_verdict: bool,
}

const HORIZON: u64 = 200_000;

fn run(config: Config, script: &Script) -> Run {
    let policy = config.check().unwrap();
    let mut rng = Rng::from_seed(script.seed);
    let at = |ms: u64| Instant::from_nanos(ms * MS);
    let mut liveness = Liveness::new(&policy, &mut rng, at(0));
    let mut sends = script.sends.clone();
    sends.sort_unstable();
    let mut bytes = script.bytes.clone();
    bytes.sort_unstable();
    let mut lateness = script.lateness.iter().copied();
    let mut out = Run::default();
    let (mut next_send, mut next_byte, mut now) = (0, 0, 0u64);
    while now < HORIZON {
        // The driver sleeps until its deadline, a readable byte or a send of the program's, and wakes late.
        let deadline = liveness.deadline().map(|d| d.nanos().div_ceil(MS));
        let wake = [deadline, bytes.get(next_byte).copied(), sends.get(next_send).copied()];
        let Some(wake) = wake.into_iter().flatten().min() else { break };
        let late = lateness.next().unwrap_or(0);
        now = now.max(wake) + late;
        if deadline.is_some_and(|d| d <= now) {
            out.late += late;
        }
        let (due, stall) = liveness.tick(&policy, &mut rng, at(now));
        out.stalls += u64::from(stall.is_some());
        let mut read = |liveness: &mut Liveness, out: &mut Run| {
            let mut any = false;
            while bytes.get(next_byte).is_some_and(|&b| b <= now) {
                next_byte += 1;
                liveness.heard(&policy, at(now));
                any = true;
            }
            if any {
                let due = out.first_due.map(|_| now);
                *out = Run {
                    last_heard: now,
                    first_due: due,
                    first_probes: std::mem::take(&mut out.first_probes),
                    ..Run::default()
                };
            }
            any
        };
        match due {
            Due::Nothing => {}
            Due::Probe => {
                if out.probes.is_empty() {
                    out.first_probes.push(now);
                }
                out.probes.push(now);
            }
            Due::Missed(n) => {
                out.probes.push(now);
                out.missed.push((now, n));
            }
            Due::Examine => {
                let judged_late = stall.is_some();
                read(&mut liveness, &mut out);
                if liveness.judge() {
                    out.convicted = Some(now);
                    out.judged_late = judged_late;
                    out.unread_at_verdict = bytes.get(next_byte).is_some_and(|&b| b <= now);
                    return out;
                }
            }
        }
        read(&mut liveness, &mut out);
        while sends.get(next_send).is_some_and(|&s| s <= now) {
            next_send += 1;
            liveness.sent(&policy, at(now));
            out.first_due.get_or_insert(now);
        }
    }
    out
}

fn config() -> impl Strategy<Value = Config> {
    (1u64..=20_000, 1u64..=100, 1u8..=6, 5u64..=500).prop_map(|(probe, factor, misses, tolerance)| Config {
        idle: Duration::from_millis((probe * factor).min(60_000).max(probe)),
        probe: Duration::from_millis(probe),
        misses,
        tolerance: Some(Duration::from_millis(tolerance)),
    })
}

fn script() -> impl Strategy<Value = Script> {
    let lateness = prop_oneof![4 => Just(0u64), 3 => 0u64..50, 2 => 100u64..2_000, 1 => 2_000u64..60_000];
    (any::<u64>(), vec(0..40_000u64, 0..6), vec(0..40_000u64, 0..6), vec(lateness, 0..30))
        .prop_map(|(seed, sends, bytes, lateness)| Script { seed, sends, bytes, lateness })
}

fn ms(d: Duration) -> u64 {
    d.as_millis() as u64
}

/// An on-time driver: what remains is the peer's doing.
fn on_time(script: &Script) -> Script {
    Script { lateness: Vec::new(), ..script.clone() }
}

/// When nobody is ever convicted within the horizon, later than everything.
fn verdict_time(config: Config, script: &Script) -> u64 {
    run(config, script).convicted.unwrap_or(u64::MAX)
}

proptest! {
    /// L1: conviction ≤ B + M·P' + Λ + s·P' + (M+s+1)·tol, with B = min(last_rx + I, first unanswered send + P'). A send
    /// that was due before the last byte counts from that byte: while bytes arrive, the peer lives.
    #[test]
    fn l1_a_dead_peer_is_convicted_in_time(config in config(), script in script()) {
        let run = run(config, &script);
        let (i, p, m) = (ms(config.idle), ms(config.probe), u64::from(config.misses));
        let tolerance = ms(config.tolerance.unwrap());
        let b = (run.last_heard + i).min(run.first_due.map_or(u64::MAX, |due| due + p));
        // The model's clock ticks in milliseconds: each deadline may be rounded up by one.
        let rounding = 2 * (m + run.stalls + 2);
        let bound = b + m * p + run.late + run.stalls * p + (m + run.stalls + 1) * tolerance + rounding;
        if bound < HORIZON {
            let convicted = run.convicted.expect("a silent peer was never convicted");
            prop_assert!(convicted <= bound, "{convicted} > {bound} {run:?}");
        }
    }

    /// L2: a byte that was readable before (first probe + M·P') ⇒ not convicted, at any lateness.
    #[test]
    fn l2_a_readable_byte_prevents_conviction(config in config(), script in script()) {
        let run = run(config, &script);
        if let Some(convicted) = run.convicted {
            prop_assert!(!run.unread_at_verdict);
            prop_assert!(run.probes[0] + u64::from(config.misses) * ms(config.probe) <= convicted + 1);
            let spared = script.bytes.iter().any(|&b| b > run.last_heard && b <= convicted);
            prop_assert!(!spared, "convicted at {convicted} although a byte had come: {run:?}");
        }
    }

    /// L3: adding sends never delays a conviction.
    #[test]
    fn l3_more_sends_never_delay_a_conviction(config in config(), script in script(), more in vec(0..40_000u64, 1..5)) {
        let few = on_time(&script);
        let many = Script { sends: [few.sends.clone(), more].concat(), ..few.clone() };
        let few = Script { bytes: Vec::new(), ..few };
        let many = Script { bytes: Vec::new(), ..many };
        prop_assert!(verdict_time(config, &many) <= verdict_time(config, &few));
    }

    /// L4: adding received bytes never hastens a conviction.
    #[test]
    fn l4_more_bytes_never_hasten_a_conviction(config in config(), script in script(), more in 0..40_000u64) {
        let few = on_time(&script);
        let Some(before) = run(config, &few).convicted else { return Ok(()) };
        let many = Script { bytes: [few.bytes.clone(), vec![more]].concat(), ..few.clone() };
        // The jitter of a later silence is another draw: it may be earlier by at most a quarter of I.
        let slack = if more < before { ms(config.idle) / 4 + 1 } else { 0 };
        prop_assert!(verdict_time(config, &many) + slack >= before);
    }

    /// L5: splitting what arrives into more reads never hastens a conviction.
    #[test]
    fn l5_splitting_reads_never_hastens_a_conviction(config in config(), script in script()) {
        let whole = on_time(&script);
        let split = Script { bytes: whole.bytes.iter().flat_map(|&b| [b, b, b]).collect(), ..whole.clone() };
        prop_assert_eq!(verdict_time(config, &split), verdict_time(config, &whole));
    }

    /// L6: M consecutive unanswered probes are needed, each at least P' apart; a late call never convicts.
    #[test]
    fn l6_it_takes_m_probes_and_a_call_in_time(config in config(), script in script()) {
        let run = run(config, &script);
        let Some(convicted) = run.convicted else { return Ok(()) };
        prop_assert!(!run.judged_late, "{run:?}");
        prop_assert_eq!(run.missed.len() + 1, usize::from(config.misses));
        for (index, (_, n)) in run.missed.iter().enumerate() {
            prop_assert_eq!(usize::from(*n), index + 1);
        }
        let times: Vec<u64> = run.probes.iter().copied().chain([convicted]).collect();
        prop_assert!(times.windows(2).all(|w| w[1] - w[0] >= ms(config.probe)), "{times:?}");
    }

    /// L7: the idle gap before a probe is in [0.75·I, I + the driver's lateness]; there is none when I = 0.
    #[test]
    fn l7_the_idle_gap_has_its_bounds(config in config(), seed: u64, answers in 1u64..30, late in 0u64..500) {
        let policy = config.check().unwrap();
        let mut rng = Rng::from_seed(seed);
        let mut now = 0u64;
        let mut liveness = Liveness::new(&policy, &mut rng, Instant::from_nanos(0));
        for _ in 0..answers {
            let heard = now;
            now = liveness.deadline().unwrap().nanos().div_ceil(MS) + late;
            let (due, _) = liveness.tick(&policy, &mut rng, Instant::from_nanos(now * MS));
            prop_assert_eq!(due, Due::Probe);
            let i = ms(config.idle);
            let gap = now - heard;
            prop_assert!(gap >= i - i / 4 && gap <= i + late + 1, "{gap} for {i}");
            liveness.sent(&policy, Instant::from_nanos(now * MS));
            now += 1;
            liveness.heard(&policy, Instant::from_nanos(now * MS));
            liveness.answered(&policy, Some(Duration::from_millis(1)));
        }
    }

    /// L7, second half, and the promise that I = 0 switches the whole detector off.
    #[test]
    fn l7_nothing_is_probed_when_the_detector_is_off(script in script()) {
        let off = Config { idle: Duration::ZERO, ..Config::default() };
        let run = run(off, &script);
        prop_assert!(run.probes.is_empty() && run.convicted.is_none());
    }
}

#[test]
fn a_patient_detector_waits_for_slow_peers() {
    let policy: Policy = Config::default().check().unwrap();
    let mut rng = Rng::from_seed(1);
    let mut now = Instant::EPOCH;
    let mut liveness = Liveness::new(&policy, &mut rng, now);
    for _ in 0..64 {
        liveness.sent(&policy, now);
        now = now + Duration::from_secs(9);
        liveness.heard(&policy, now);
        liveness.answered(&policy, Some(Duration::from_secs(9)));
    }
    // RFC 6298: the estimate has converged to 9 s, so P' is 9 s and more, not the configured 5 s.
    liveness.sent(&policy, now);
    let wait = liveness.deadline().unwrap() - now;
    assert!(wait >= Duration::from_secs(9) && wait <= Duration::from_secs(15), "{wait:?}");
}

#[test]
fn hints_hasten_one_probe_in_each_patience() {
    let policy = Config::default().check().unwrap();
    let mut rng = Rng::from_seed(1);
    let at = |s: u64| Instant::EPOCH + Duration::from_secs(s);
    let mut liveness = Liveness::new(&policy, &mut rng, at(0));
    liveness.hint(&policy, at(1));
    assert_eq!(liveness.tick(&policy, &mut rng, at(1)).0, Due::Probe);
    liveness.heard(&policy, at(2));
    liveness.hint(&policy, at(3));
    assert_eq!(liveness.tick(&policy, &mut rng, at(3)).0, Due::Nothing, "the last probe is not 5 s old");
    liveness.hint(&policy, at(7));
    assert_eq!(liveness.tick(&policy, &mut rng, at(7)).0, Due::Probe);
}
