//! The page: what it holds, that it is sound, and that a browser shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use resound_core::signal::Version;
use resound_lab::agent::{Spent, Used};
use resound_lab::costs::plays::Measure;
use resound_lab::report::{Asked, Host, Page, Start};
use resound_lab::suite::{Item, Outcome, Player, items};
use resound_lab::table::{Finding, RowReport, TableReport};
use resound_lab::verdict::{Tolerance, Verdict, compare};
use resound_sim::kernel::Profile;
use resound_sim::kernel::table::{ROWS, Row};
use resound_sim::run::timeline::Svg;
use resound_sim::{Echo, Record, Run, Scenario, World};

fn play(scenario: &Scenario) -> Arc<Run> {
    Arc::new(World::new(scenario, &mut Echo).play(Record::Everything))
}

/// What the lab would give, made by the simulator: every scenario of the library, and "real" runs on a network that is
/// a little slower. Some do not come as predicted.
fn made() -> Vec<Outcome> {
    let players = |(number, item)| Player::ALL.map(|player| outcome(&item, player, number));
    items(&[]).into_iter().enumerate().flat_map(players).collect()
}

fn outcome(item: &Item, player: Player, number: usize) -> Outcome {
    let mut scenario = (*item.scenario).clone();
    for link in &mut scenario.links {
        link.delay += Duration::from_micros(40 + 30 * player as u64 + 7 * number as u64);
    }
    let (verdict, run) = match (number % 17, player) {
        (3, Player::Smol) => {
            (Verdict::NotPlayed("the agent did not answer <within> 5 s & was ended".into()), None)
        }
        (5, Player::Tokio) => {
            scenario.faults.clear();
            judged(item, &scenario)
        }
        _ => judged(item, &scenario),
    };
    let times = run.is_some().into();
    let used = run.as_ref().map(|_| used(player, number as u64));
    Outcome { item: item.clone(), player, verdict, run, took: Duration::from_millis(1_234), times, used }
}

/// A runtime that comes later makes more calls; in all else they are alike.
fn used(player: Player, number: u64) -> Used {
    let cpu = Duration::from_micros(300 + number);
    let spent = Spent { user: cpu, system: cpu, wakes: 12, preempted: 3 };
    let (calls, waited) = (Some(40 + 30 * player as u64 + number), Duration::from_micros(700));
    Used { spent, calls, waited, threads: 2, memory: 3 << 20 }
}

fn judged(item: &Item, scenario: &Scenario) -> (Verdict, Option<Arc<Run>>) {
    let run = play(scenario);
    let differences = compare(scenario, &item.predicted, &run, Tolerance::default());
    let verdict = if differences.is_empty() { Verdict::Agrees } else { Verdict::Differs(differences) };
    (verdict, Some(run))
}

fn host() -> Host {
    Host::here(Asked {
        start: Start::now(),
        date: "2026-01-02 03:04:05 UTC".into(),
        command: "resound compare --report <page>.html".into(),
        together: 8,
    })
}

/// Every row of Linux, as if it had been exercised; one differs, and one was not.
fn table() -> TableReport {
    let linux = ROWS.iter().flat_map(|rows| rows.iter()).filter(|row| row.profile == Profile::Linux);
    let over = |row: &'static Row| {
        let versions = [Version::V4, Version::V6].into_iter();
        versions.filter(|version| row.version.is_none_or(|only| only == *version)).map(move |version| {
            let (verified, cases, took) = (row.verified, 2, Duration::from_secs(1));
            RowReport { row: row.name, version, verified, cases, what: Finding::Agreed, took }
        })
    };
    let mut rows: Vec<RowReport> = linux.flat_map(over).collect();
    rows[7].what = Finding::Differs("poll: the table says <IN>, this kernel gave -".into());
    rows[9].what = Finding::NotExercised("nobody knows how".into());
    TableReport { kernel: "6.18.0".into(), rows }
}

fn page() -> String {
    page_of(&made())
}

fn page_of(outcomes: &[Outcome]) -> String {
    let host = host();
    Page {
        host: &host,
        outcomes,
        no_lab: None,
        unfinished: None,
        table: Some(&table()),
        costs: None,
        loopback: &[],
    }
    .to_string()
}

/// The values of an attribute of all elements.
fn values<'a>(page: &'a roxmltree::Document<'_>, name: &'a str) -> impl Iterator<Item = &'a str> {
    page.descendants().filter_map(move |node| node.attribute(name))
}

#[test]
fn it_is_sound_and_each_link_leads_somewhere() {
    let (page, outcomes) = (page(), made());
    let allowed = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&page, allowed).expect("it is XML");

    let ids: Vec<&str> = values(&document, "id").collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "each place has a name of its own");
    let links: Vec<&str> = values(&document, "href").filter_map(|link| link.strip_prefix('#')).collect();
    let dead: Vec<_> = links.iter().filter(|link| !unique.contains(*link)).collect();
    assert!(dead.is_empty(), "{dead:?}");
    assert!(links.len() > outcomes.len(), "a link for each cell: {} of {}", links.len(), outcomes.len());

    let drawn = outcomes.iter().filter(|outcome| outcome.run.is_some()).count() + outcomes.len() / 3;
    assert_eq!(page.matches("class=\"run\"").count(), drawn, "a drawing of each prediction and each run");
    assert!(page.contains("did not answer &lt;within&gt; 5 s &amp; was ended"));
    assert!(page.len() < 15_000_000, "{} bytes", page.len());
}

/// Each state has a part of its own, each row is in one, and what differs is told in its place.
#[test]
fn the_table_is_told_in_words() {
    let page = page();
    let part = page.split("<h2 id=\"table\">").nth(1).and_then(|rest| rest.split("</section>").next());
    let part = part.expect("it has the table");
    let groups: Vec<&str> = part.split("<details class=\"rows\">").skip(1).collect();
    assert_eq!(groups.iter().filter(|group| group.starts_with("<summary>TCP, connecting ")).count(), 1);
    let names: BTreeSet<&str> = table().rows.iter().map(|row| row.row).collect();
    let told: usize = groups.iter().map(|group| group.matches("<tr><th scope=\"row\"").count()).sum();
    assert_eq!(told, names.len());
    let reset = "RST, exact</th><td>ends with ECONNRESET</td><td class=\"calls\">poll IN|OUT|ERR|HUP|RDHUP, recv ECONNRESET,";
    assert!(part.contains(reset), "{part}");
    assert!(part.contains("✗ poll: the table says &lt;IN&gt;, this kernel gave -</td>"), "{part}");
    assert!(!part.contains("other rows"), "each row is in the table");
}

/// The matrix has headings, and no two of the same words.
#[test]
fn scenarios_stand_under_what_they_are_about() {
    let page = page();
    let headings: Vec<&str> =
        page.split("scope=\"rowgroup\">").skip(1).filter_map(|rest| rest.split('<').next()).collect();
    let unique: BTreeSet<&str> = headings.iter().copied().collect();
    assert!(headings.len() >= 10 && unique.len() == headings.len(), "{headings:?}");
    let of = |name: &str| {
        let place = page.find(&format!("\">{name}</a></th>")).expect("a line of the matrix");
        let heading = page[..place].rsplit("scope=\"rowgroup\">").next().expect("a heading");
        heading.split('<').next().unwrap_or_default()
    };
    assert_eq!(of("keepalive-user-timeout"), "TCP: nothing gets through, and nobody says so");
    assert_eq!(of("rst-in-syn-sent"), "TCP: segments that nobody sent");
    assert_eq!(of("user-timeout-after-icmp"), "TCP: ICMP errors and routes that lead nowhere");
}

#[test]
fn it_says_where_and_with_what() {
    let page = page();
    for words in [
        "<dt>crates</dt><dd>tokio 1.",
        "rustc 1.",
        "<dt>at a time</dt><dd>8 plays",
        "<dt>repeated</dt><dd>none</dd>",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("net.ipv4.conf.all.rp_filter=0; "));
    let by_scenarios = page.split("<dt>by scenarios</dt><dd>").nth(1).and_then(|rest| rest.split('<').next());
    let by_scenarios: Vec<&str> = by_scenarios.expect("it is there").split("; ").collect();
    assert!(by_scenarios.iter().all(|setting| setting.starts_with("net.")), "{by_scenarios:?}");
    assert!(by_scenarios.iter().any(|setting| setting.starts_with("net.ipv4.tcp_retries2=")));
}

/// How many plays were repeated, and how many scenarios had real hosts.
#[test]
fn it_counts_what_was_played() {
    let mut outcomes = made();
    outcomes.retain(|outcome| outcome.verdict == Verdict::Agrees);
    let words = |outcomes: &[Outcome], words: &str| {
        let page = page_of(outcomes);
        assert!(page.contains(words), "{words}");
    };
    words(&outcomes, "<dd>none: every play came as predicted at once</dd>");
    words(&outcomes, "which is the prediction, and then with real hosts");

    outcomes[7].times = 3;
    let once_more = format!("<dd>1 of {} plays, 2 times in all: ", outcomes.len());
    words(&outcomes, &once_more);

    let name = outcomes[0].item.name.clone();
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.item.name == name) {
        outcome.verdict = Verdict::NotPlayed("a real kernel does not".into());
        outcome.run = None;
    }
    let names: BTreeSet<&str> = outcomes.iter().map(|outcome| outcome.item.name.as_str()).collect();
    words(
        &outcomes,
        &format!("which is the prediction, and {} of them then with real hosts", names.len() - 1),
    );
}

/// What is counted stands where paper and telephones show it; who is held against whom, as a terminal shows it.
#[test]
fn costs_are_told_in_words() {
    let page = page();
    let part = page.split("<h2 id=\"costs\">").nth(1).and_then(|rest| rest.split("</section>").next());
    let part = part.expect("it has the costs");
    let open = part.split("<details open=\"open\"><summary>what is counted</summary>").nth(1);
    let open = open.and_then(|rest| rest.split("</details>").next()).expect("what is counted");
    assert_eq!(open.matches("<dt>").count(), Measure::ALL.len());
    assert!(
        open.contains(
            "<dt>wake-ups</dt><dd>How often a thread of a play&#39;s processes gave its processor up"
        )
    );
    assert!(part.contains(">std : smol</th>"), "{part}");
    assert!(part.contains("<td class=\"time\">= ×1.00<br/>"), "{part}");
    assert!(part.contains("<td class=\"time\">less ×"), "{part}");
}

#[test]
fn it_needs_nothing_from_elsewhere() {
    let page = page().replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for word in ["<script", "http:", "https:", "@import", "url(", "src="] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn without_the_lab_it_says_why() {
    let host = host();
    let page = Page {
        host: &host,
        outcomes: &[],
        no_lab: Some("no <namespaces>"),
        unfinished: Some("Interrupted after 1 of 2 plays"),
        table: None,
        costs: None,
        loopback: &[],
    }
    .to_string();
    assert!(page.contains(">Interrupted after 1 of 2 plays.</p>"));
    assert!(page.contains("The lab was not used: no &lt;namespaces&gt;.") && !page.contains("id=\"matrix\""));
}

// Legible.

/// WCAG 2.2, "relative luminance".
fn luminance(color: &str) -> f64 {
    let digits = color.strip_prefix('#').expect("a colour");
    let wide: String = match digits.len() {
        3 => digits.chars().flat_map(|digit| [digit, digit]).collect(),
        _ => digits.to_owned(),
    };
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&wide[at..at + 2], 16).expect("two digits")) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
}

/// The variables of each block of colours: in the light, in the dark, on paper.
fn colors(css: &str) -> Vec<BTreeMap<String, String>> {
    let blocks = css.split(":root{").skip(1);
    let variable = |text: &str| text.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    blocks.map(|block| block.split('}').next().unwrap().split(';').filter_map(variable).collect()).collect()
}

/// Every text has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3), in the light, in the dark and on paper.
#[test]
fn every_text_stands_out() {
    let drawing = colors(Svg::COLORS);
    let page = colors(include_str!("../src/report/style.css"));
    assert_eq!((drawing.len(), page.len()), (3, 3));
    for (mut colors, of_page) in drawing.into_iter().zip(page) {
        colors.extend(of_page);
        let (paper, sheet) = (luminance(&colors["--paper"]), luminance(&colors["--sheet"]));
        for (name, color) in &colors {
            if ["--paper", "--sheet", "--line"].contains(&name.as_str()) {
                continue;
            }
            for ground in [paper, sheet] {
                let (a, b) = (luminance(color).max(ground), luminance(color).min(ground));
                let contrast = (a + 0.05) / (b + 0.05);
                assert!(contrast >= 4.5, "{name} {color}: {contrast:.2} to 1");
            }
        }
    }
}

// In a browser.

const BROWSERS: [&str; 4] = ["chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"];

/// A browser without a window, if there is one; it says so if there is none.
fn browser() -> Option<&'static str> {
    let found = BROWSERS.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok());
    if found.is_none() {
        eprintln!("SKIPPED: no page was shown in a browser: none of {BROWSERS:?} is installed");
    }
    found
}

/// What a browser makes of a file: its standard output, and what it logged.
fn browse(browser: &str, profile: &Path, file: &Path, args: &[&str]) -> (String, String) {
    // One that hangs is ended.
    let mut command = Command::new("timeout");
    command.args(["180", browser]);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display())).args(args);
    let ran = command.arg(format!("file://{}", file.display())).output().expect("the browser starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&ran.stdout), text(&ran.stderr))
}

/// It renders without a word on the console: in the light, in the dark, on a telephone, on paper. The pictures stay in
/// the build directory, for whoever wants to look at them.
#[test]
fn a_browser_shows_it() {
    let Some(browser) = browser() else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (file, profile) = (folder.join("report.html"), folder.join("browser"));
    fs::write(&file, page()).expect("written");
    let log = |args: &[&str]| {
        let (out, log) = browse(browser, &profile, &file, args);
        assert!(!log.contains("CONSOLE"), "{args:?}: {log}");
        out
    };
    let shown = log(&["--dump-dom"]);
    assert!(shown.contains("<tfoot>") && shown.trim_end().ends_with("</html>"), "it was read to its end");
    for (name, size, more) in [
        ("light.png", "1500,1800", "--blink-settings=preferredColorScheme=1"),
        ("dark.png", "1500,1800", "--blink-settings=preferredColorScheme=0"),
        ("narrow.png", "400,1600", "--blink-settings=preferredColorScheme=1"),
    ] {
        let picture = folder.join(name);
        let _ = fs::remove_file(&picture);
        let (to, size) = (format!("--screenshot={}", picture.display()), format!("--window-size={size}"));
        log(&[&to, &size, more]);
        // A page that shows nothing is a picture of about ten thousand bytes.
        let bytes = fs::metadata(&picture).expect("a picture").len();
        assert!(bytes > 40_000, "{name}: {bytes} bytes");
    }
    let paper = folder.join("report.pdf");
    let _ = fs::remove_file(&paper);
    log(&[&format!("--print-to-pdf={}", paper.display()), "--no-pdf-header-footer"]);
    let document = fs::read(&paper).expect("a document");
    assert!(document.starts_with(b"%PDF-"));
    // Only what is open is printed: the matrix, what differs, the plots, the costs.
    let pages = document.windows(12).filter(|at| at == b"/Type /Page\n").count();
    assert!((3..25).contains(&pages), "{pages} pages");
}
