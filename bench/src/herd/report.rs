//! The tables, as Markdown.

use core::time::Duration;

use resound_core::{backoff, link};

use super::rules::{Elsewhere, GRPC_SPEC, OTHERS, OURS_ELSEWHERE, Other, Rule, VARIANTS, WIDER, asked};
use super::{BUCKET, Cut, Failure, Herd, Outcome, all_waves_bound, first_wave_bound};

/// What is read before the tables, and what follows from them.
const PREFACE: &str = include_str!("preface.md");
const JUDGEMENT: &str = include_str!("judgement.md");

/// Runs of the same herd with other seeds, of which the median is shown.
const SEEDS: u64 = 9;

/// Everything that is measured of herds.
#[must_use]
pub fn markdown() -> String {
    let mut out = PREFACE.to_string();
    out += "\n## Two minutes without a server\n\n";
    usual(&mut out, secs(120));
    out += "\n## Three seconds without a server\n\n";
    usual(&mut out, secs(3));
    out += "\n## The first wave\n\n";
    first_waves(&mut out);
    out += "\n## Fleets and outages\n\n500 connections a second are accepted.\n\n";
    fleets(&mut out);
    out += "\n## The server's room\n\n10 000 clients.\n\n";
    rooms(&mut out);
    out += "\n## Silence instead of refusals\n\nPeaks are of SYNs.\n\n";
    silence(&mut out);
    out += "\n## Goodbyes, hints and hurry\n\nBy `Link`, except where it says *if*. The server is away for 3 s.\n\n";
    goodbyes(&mut out);
    out += "\n## The knobs\n\n";
    knobs(&mut out);
    out += "\n## Alone\n\nHow long after the server a client is back that has it for itself, on average, in seconds.\n\n";
    alone(&mut out);
    out + "\n" + JUDGEMENT
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ours(config: backoff::Config) -> Rule {
    Rule::Ours(config.check().expect("within the bounds"))
}

fn by_default() -> Rule {
    ours(backoff::Config::default())
}

fn links() -> Rule {
    Rule::Links(link::Config::default().check().expect("the default works"))
}

// Every rule.

fn usual(out: &mut String, outage: Duration) {
    let others = OTHERS.iter().map(|known| (known.name, Rule::Other(known.rule), Some(known.elsewhere)));
    let ours = [
        ("gRPC as specified: ± 20 % from the first on", Rule::Other(GRPC_SPEC), None),
        ("**ours**, by `Backoff`", by_default(), Some(OURS_ELSEWHERE)),
        ("**ours**, by `Link`", links(), Some(OURS_ELSEWHERE)),
        ("ours, fleet profile: cap 120 s", ours(backoff::Config::fleet()), None),
    ];
    // What was found elsewhere is known of two minutes.
    let known = outage == secs(120);
    let rows = others.chain(ours).map(|(name, rule, elsewhere)| {
        let mut row = vec![name.to_string()];
        row.extend(by_many_seeds(&rule, outage));
        row.extend(known.then(|| elsewhere.map_or(String::new(), |e| e.to_string())));
        row
    });
    let mut head = vec!["rule", "attempts", "first", "outage", "after", "half", "all"];
    head.extend(known.then_some("elsewhere"));
    table(out, &head, rows);
}

impl core::fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [outage, after] = self.peaks;
        write!(f, "{}: {outage}, {after}; ", self.attempts)?;
        match self.back {
            Some([half, all]) => write!(f, "{half} / {all}"),
            None => f.write_str("– / –"),
        }
    }
}

fn by_many_seeds(rule: &Rule, outage: Duration) -> [String; 6] {
    let herd = |seed| Herd { seed, ..Herd::usual(outage) };
    let clients = herd(1).clients;
    let runs: Vec<_> = (1..=SEEDS).map(|seed| rule.play(&herd(seed))).collect();
    let of = |figure: &dyn Fn(&Outcome) -> f64| spread(runs.iter().map(figure).collect());
    [
        figure(of(&|o| o.attempts)[1], 1),
        range(of(&|o| o.peak_first.into()), 0),
        range(of(&|o| o.peak_outage.into()), 0),
        range(of(&|o| o.peak_after.into()), 0),
        range(of(&|o| seconds(o.median(clients))), 1),
        range(of(&|o| seconds(o.last(clients))), 0),
    ]
}

/// The least, the median and the most.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}

fn range(spread: [f64; 3], digits: usize) -> String {
    let [low, middle, high] = spread.map(|value| figure(value, digits));
    if low == high { middle } else { format!("{middle} ({low}–{high})") }
}

/// Never is for ever.
fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::INFINITY, |time| time.as_secs_f64())
}

fn figure(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "–".into() }
}

// What of it holds elsewhere.

fn first_waves(out: &mut String) {
    let rows = [100, 1_000, 10_000, 100_000].map(|clients| {
        let herd = Herd { clients, ..Herd::usual(secs(3)) };
        let played = by_default().play(&herd);
        let all = played.peak_outage.max(played.peak_after);
        let allowed = [first_wave_bound(clients, secs(5)), all_waves_bound(clients, secs(5))];
        let [first_allowed, all_allowed] = allowed.map(|bound| figure(bound, 0));
        vec![clients.to_string(), played.peak_first.to_string(), first_allowed, all.to_string(), all_allowed]
    });
    let first = format!("first attempts in {} ms", BUCKET.as_millis());
    table(out, &["clients", &first, "S1 allows", "all attempts", "S1 with the waves that follow"], rows);
}

fn compared() -> [(&'static str, Rule); 4] {
    let named = |start: &str| {
        let known = OTHERS.iter().find(|known| known.name.starts_with(start));
        Rule::Other(known.expect("it is in the list").rule)
    };
    [
        ("ours", by_default()),
        ("ours, fleet profile", ours(backoff::Config::fleet())),
        ("TigerBeetle's shape after U(0, 5 s)", named("the same")),
        ("backon with_jitter", named("backon 1.6.0 with_jitter")),
    ]
}

/// One run of each rule: all in a cell.
fn runs(herd: &Herd, rules: &[(&'static str, Rule)]) -> Vec<String> {
    let cell = |(_, rule): &(_, Rule)| {
        let o = rule.play(herd);
        let [half, all] = [o.median(herd.clients), o.last(herd.clients)].map(|time| figure(seconds(time), 1));
        format!("{}: {}, {}; {half} / {all}", figure(o.attempts, 1), o.peak_outage, o.peak_after)
    };
    rules.iter().map(cell).collect()
}

fn head(of: &[&'static str], rules: &[(&'static str, Rule)]) -> Vec<&'static str> {
    of.iter().copied().chain(rules.iter().map(|(name, _)| *name)).collect()
}

fn fleets(out: &mut String) {
    let rules = compared();
    let mut rows = Vec::new();
    for (clients, outages) in
        [(1_000, &[1, 3, 30, 120, 3600][..]), (10_000, &[1, 3, 30, 120, 3600]), (100_000, &[3, 120])]
    {
        for &outage in outages {
            let mut row = vec![clients.to_string(), format!("{outage} s")];
            row.extend(runs(&Herd { clients, ..Herd::usual(secs(outage)) }, &rules));
            rows.push(row);
        }
    }
    table(out, &head(&["clients", "outage"], &rules), rows);
}

fn rooms(out: &mut String) {
    let rules = compared();
    let mut rows = Vec::new();
    for room in [5, 50, 500] {
        for outage in [3, 120] {
            let mut row = vec![format!("{}/s", room * 10), format!("{outage} s")];
            row.extend(runs(&Herd { room, ..Herd::usual(secs(outage)) }, &rules));
            rows.push(row);
        }
    }
    table(out, &head(&["accepts", "outage"], &rules), rows);
}

fn silence(out: &mut String) {
    let mut rules = compared().to_vec();
    rules[1] = ("ours, by `Link`", links());
    rules.push(("gRPC as specified", Rule::Other(GRPC_SPEC)));
    let rows = [3, 120].map(|outage| {
        let herd = Herd { failure: Failure::TimedOut, ..Herd::usual(secs(outage)) };
        let mut row = vec![format!("{outage} s")];
        row.extend(runs(&herd, &rules));
        row
    });
    table(out, &head(&["outage"], &rules), rows);
}

fn goodbyes(out: &mut String) {
    let after = |after| Cut::Goodbye(Some(secs(after)));
    let by_rule = |other: Other| (Cut::Lost, Rule::Other(other));
    let cuts = [
        ("the connection breaks", (Cut::Lost, links())),
        ("it breaks, and everybody's network has changed", (Cut::Hurried, links())),
        ("goodbye", (Cut::Goodbye(None), links())),
        ("goodbye, come again after 1 s", (after(1), links())),
        ("goodbye, come again after 3 s", (after(3), links())),
        ("goodbye, come again after 30 s", (after(30), links())),
        ("*if* a goodbye were spread over W0", by_rule(asked::<0>())),
        ("*if* so were 1 s", by_rule(asked::<1_000>())),
        ("*if* so were 3 s", by_rule(asked::<3_000>())),
    ];
    let rows = cuts.map(|(name, (cut, rule))| {
        let herd = Herd { cut, ..Herd::usual(secs(3)) };
        let first = rule.play(&herd).peak_first.to_string();
        vec![name.to_string(), first, runs(&herd, &[("", rule)]).concat()]
    });
    table(out, &["", "first", "all attempts"], rows);
}

fn knobs(out: &mut String) {
    let default = backoff::Config::default();
    let mut variants = vec![("as it is".to_string(), ours(default))];
    for first_window in [1, 2, 7, 10, 20, 60].map(secs) {
        variants.push((format!("W0 = {first_window:?}"), ours(backoff::Config { first_window, ..default })));
    }
    for floor in [1, 1_000, 5_000].map(Duration::from_millis) {
        variants.push((format!("F = {floor:?}"), ours(backoff::Config { floor, ..default })));
    }
    for cap in [10, 60, 120, 300].map(secs) {
        variants.push((format!("C = {cap:?}"), ours(backoff::Config { cap, ..default })));
    }
    for (name, other) in VARIANTS {
        variants.push(((*name).to_string(), Rule::Other(*other)));
    }
    let rows = variants.into_iter().map(|(name, rule)| {
        let mut row = vec![name];
        for (clients, outage) in [(10_000, 120), (10_000, 3), (1_000, 3), (100_000, 120)] {
            row.extend(runs(&Herd { clients, ..Herd::usual(secs(outage)) }, &[("", rule.clone())]));
        }
        row
    });
    table(out, &["", "10 000, 120 s", "10 000, 3 s", "1 000, 3 s", "100 000, 120 s"], rows);
}

fn alone(out: &mut String) {
    let [_, _, spread, backon] = compared();
    let longer = backoff::Config { first_window: secs(7), ..backoff::Config::default() };
    let rules = [
        ("ours", by_default()),
        ("ours, W0 = 7 s", ours(longer)),
        ("windows W0 · 2^n", Rule::Other(WIDER)),
        spread,
        backon,
        ("gRPC as specified", Rule::Other(GRPC_SPEC)),
    ];
    let rows = [1, 3, 10, 30, 120].map(|outage| {
        // As many as give a mean, and nobody in another's way.
        let herd = Herd { clients: 4_000, room: 4_000, ..Herd::usual(secs(outage)) };
        let mut row = vec![format!("{outage} s")];
        for (_, rule) in &rules {
            let back = rule.play(&herd).back;
            let mean = back.iter().map(Duration::as_secs_f64).sum::<f64>() / back.len() as f64;
            row.push(figure(mean, 2));
        }
        row
    });
    table(out, &head(&["outage"], &rules), rows);
}

fn table(out: &mut String, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    *out += &line(&head.iter().map(ToString::to_string).collect::<Vec<_>>());
    *out += &format!("|{}\n", "---|".repeat(head.len()));
    for row in rows {
        *out += &line(&row);
    }
}
