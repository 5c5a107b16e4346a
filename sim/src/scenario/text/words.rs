//! The words of the language that stand for values, and help with those that nearly are one.

use std::fmt::Write;

use super::Malformed;
use super::lex::Piece;
use crate::kernel::{Profile, TcpState, Unverified};
use crate::scenario::{Address, Pick, RouteKind};

/// Words, and what each stands for.
pub(super) type Table<T> = [(&'static str, T)];

/// Systems that rows were verified for.
pub(super) const PROFILES: &Table<Profile> = &[
    ("linux", Profile::Linux),
    ("macos", Profile::Unverified(Unverified::MacOs)),
    ("windows", Profile::Unverified(Unverified::Windows)),
    ("linux-patient", Profile::Unverified(Unverified::LinuxPatient)),
];

/// States of a TCP socket, as RFC 9293 names them.
const STATES: &Table<TcpState> = &[
    ("closed", TcpState::Closed),
    ("listen", TcpState::Listen),
    ("syn-sent", TcpState::SynSent),
    ("syn-received", TcpState::SynReceived),
    ("established", TcpState::Established),
    ("fin-wait-1", TcpState::FinWait1),
    ("fin-wait-2", TcpState::FinWait2),
    ("close-wait", TcpState::CloseWait),
    ("closing", TcpState::Closing),
    ("last-ack", TcpState::LastAck),
    ("time-wait", TcpState::TimeWait),
];

/// Which sequence number a forgery has.
pub(super) const PICKS: &Table<Pick> =
    &[("exact", Pick::Exact), ("inside", Pick::Inside), ("outside", Pick::Outside)];

/// How a way that is not there is told of.
pub(super) const ROUTES: &Table<RouteKind> = &[
    ("unreachable", RouteKind::Unreachable),
    ("prohibit", RouteKind::Prohibit),
    ("blackhole", RouteKind::Blackhole),
    ("missing", RouteKind::Missing),
];

/// Addresses that are no node's.
pub(super) const ADDRESSES: &Table<Address> =
    &[("any", Address::Any), ("loopback", Address::Loopback), ("broadcast", Address::Broadcast)];

/// The beginning of a group's name, before its number.
pub(super) const GROUP: &str = "group-";

/// What can happen to one packet.
pub(super) const TAMPERS: &[&str] = &["drop", "delay", "duplicate", "corrupt", "alter", "truncate"];

/// Whether this word cannot be the name of a node: behind a packet it would be read as what happens to that, or before a
/// port as another address.
pub(in crate::scenario) fn is_taken(word: &str) -> bool {
    TAMPERS.contains(&word) || ADDRESSES.iter().any(|(name, _)| *name == word) || word.starts_with(GROUP)
}

impl TcpState {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Closed,
        Self::Listen,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
    ];

    /// Its name: `syn-sent`.
    #[must_use]
    pub fn name(self) -> &'static str {
        word(STATES, self)
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        STATES.iter().find(|(word, _)| *word == name).map(|(_, state)| *state)
    }
}

/// The word for a value.
pub(super) fn word<T: PartialEq>(table: &Table<T>, value: T) -> &'static str {
    table.iter().find(|(_, is)| *is == value).map_or("?", |(word, _)| word)
}

impl Piece<'_> {
    /// The value that this word stands for. `what` says what the words of the table are: "a route's kind".
    pub(super) fn choose<T: Copy>(self, what: &str, table: &Table<T>) -> Result<T, Malformed> {
        let found = table.iter().find(|(word, _)| self.is(word)).map(|(_, value)| *value);
        found.ok_or_else(|| self.is_none_of(what, table.iter().map(|(word, _)| *word)))
    }

    /// The state of a TCP socket.
    pub(super) fn state(self) -> Result<TcpState, Malformed> {
        self.choose("a TCP state", STATES)
    }
}

/// The one of `words` that is nearest to `word`, if it is near enough to be meant.
pub(super) fn did_you_mean<'k>(word: &str, words: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    /// Longer words were not misspelt, they are something else.
    const LONGEST: usize = 40;
    let length = word.chars().take(LONGEST + 1).count();
    let near = |other: &&str| (1..=(length + 2) / 4).contains(&distance(word, other));
    if length > LONGEST {
        return None;
    }
    words.filter(near).min_by_key(|other| distance(word, other))
}

/// How many letters have to be put in, left out or exchanged to make the one of the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let exchanged = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[row.len() - 1]
}

/// Words as a list for people.
pub(super) fn known<'k>(words: impl Iterator<Item = &'k str>) -> String {
    let mut list = String::new();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let between = match (list.is_empty(), words.peek().is_none()) {
            (true, _) => "",
            (false, true) => " and ",
            (false, false) => ", ",
        };
        let _ = write!(list, "{between}{word}");
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_name_of_its_own() {
        for state in TcpState::ALL {
            assert_eq!(TcpState::from_name(state.name()), Some(state));
        }
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let words = || ["server", "client", "router"].into_iter();
        assert_eq!(did_you_mean("sever", words()), Some("server"));
        assert_eq!(did_you_mean("cleint", words()), Some("client"));
        assert_eq!(did_you_mean("printer", words()), None);
        assert_eq!(did_you_mean("", words()), None);
        assert_eq!(known(words()), "server, client and router");
    }
}
