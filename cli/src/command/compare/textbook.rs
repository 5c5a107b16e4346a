//! The textbook's table with today's answers: three servers, one of which does not run, asked with plain sockets. What the
//! runtimes make of the same situation stands in the other table, under `udp-three-servers`.

use std::io;
use std::thread::{self, JoinHandle};

use resound_conformance::Scenario;
use resound_conformance::textbook::{Answer, Fate, Told, three_servers};
use resound_core::signal::{Signal, Version};
use serde::Serialize;

/// The head of the table.
pub(super) const TITLE: &str = "The same with plain sockets, measured now: what became of a datagram to each of three servers, of \
    which the 2nd does not run, and what the program was told.";

/// Its columns.
pub(super) const COLUMNS: [&str; 6] = ["sockets", "IP", "1st", "2nd", "3rd", "told"];

type Asked = JoinHandle<io::Result<Vec<Answer>>>;

/// Puts the question, on a thread of its own, if it belongs to what is compared.
pub(super) fn ask(scenarios: &[&Scenario]) -> Option<Asked> {
    let mut versions = Vec::new();
    for scenario in scenarios.iter().filter_map(|scenario| scenario.name().strip_prefix("udp-three-servers-"))
    {
        match scenario {
            "v4" => versions.push(Version::V4),
            "v6" => versions.push(Version::V6),
            _ => {}
        }
    }
    if versions.is_empty() {
        return None;
    }
    let ask = move || {
        versions.into_iter().try_fold(Vec::new(), |mut answers, version| {
            answers.extend(three_servers(version)?);
            Ok(answers)
        })
    };
    thread::Builder::new().name("textbook".into()).spawn(ask).ok()
}

/// The answers. None if there are none: it was not asked, this host lacks what it takes, or somebody is in a hurry.
pub(super) fn answers(asked: Option<Asked>, interrupts: u32) -> Vec<Row> {
    let asked = asked.filter(|asked| interrupts == 0 || asked.is_finished());
    let answers = asked.and_then(|asked| asked.join().ok()?.ok()).unwrap_or_default();
    answers.iter().map(Row::from).collect()
}

/// One way of using sockets, for programs and for people.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    way: &'static str,
    ip: u8,
    fates: [&'static str; 3],
    errno: Option<String>,
    /// Which server it is known to be about, counted from 1.
    server: Option<usize>,
    offender: Option<String>,
    icmp_type: Option<u8>,
    icmp_code: Option<u8>,
    lost_a_live_one: bool,
    /// The same in words.
    #[serde(skip)]
    cells: [String; 6],
}

impl From<&Answer> for Row {
    fn from(answer: &Answer) -> Self {
        let ip = if answer.version == Version::V4 { 4 } else { 6 };
        let said = answer.fates.iter().find_map(|fate| match fate {
            Fate::NotSent(signal) => Some(*signal),
            Fate::Arrived | Fate::Gone => None,
        });
        let (said, server, entry) = match answer.told {
            Told::Nothing => (said, None, None),
            Told::Peer(signal) => (Some(signal), Some(2), None),
            Told::Somebody(signal) => (Some(signal), None, None),
            Told::Entry { error, server } => (said, server.map(|index| index + 1), Some(error)),
        };
        let [first, second, third] = answer.fates.map(|fate| fate.to_string());
        Self {
            way: answer.way.as_str(),
            ip,
            fates: answer.fates.map(word),
            errno: said.map(|signal| match signal {
                Signal::Errno(errno) => errno.to_string(),
                other => format!("{other:?}"),
            }),
            server,
            offender: entry.and_then(|error| error.offender).map(|by| by.to_string()),
            icmp_type: entry.map(|error| error.kind),
            icmp_code: entry.map(|error| error.code),
            lost_a_live_one: answer.lost_a_live_one(),
            cells: [answer.way.to_string(), ip.to_string(), first, second, third, answer.told.to_string()],
        }
    }
}

impl Row {
    /// What stands in each column.
    pub(super) fn cells(&self) -> &[String] {
        &self.cells
    }
}

const fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Arrived => "arrived",
        Fate::Gone => "gone",
        Fate::NotSent(_) => "not-sent",
    }
}
