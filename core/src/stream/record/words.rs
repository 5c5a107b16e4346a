//! The words of a line, and what of them a machine of your own needs for its commands.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::iter::Peekable;
use core::num::NonZeroU32;
use core::str::{FromStr, SplitAsciiWhitespace};

use crate::stream::ConnId;

/// A command that can stand in a record. Implement it for the commands of your own machine; what is written must be
/// read back as the same command.
pub trait CommandText: Sized {
    /// Writes it as words.
    ///
    /// # Errors
    ///
    /// Those of the formatter.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Reads it back. That nothing follows it is checked by the caller.
    ///
    /// # Errors
    ///
    /// Says which word is not what it should be.
    fn read(words: &mut Words<'_>) -> Result<Self, BadEntry>;
}

/// Bytes as hexadecimal digits, two each; none are written as `-`.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A line that is no entry: which word is wrong, and what should stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEntry {
    /// Which word of the line, from 1.
    pub word: usize,
    /// What should stand there.
    pub expected: &'static str,
    /// What stands there; `None` if the line ends before.
    pub found: Option<String>,
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { word, expected, found } = self;
        match found {
            Some(found) => write!(f, "word {word}: expected {expected}, found {found:?}"),
            None => write!(f, "word {word}: expected {expected}, but the line ends"),
        }
    }
}

impl core::error::Error for BadEntry {}

/// The words of a line, taken one after the other.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    words: Peekable<SplitAsciiWhitespace<'a>>,
    taken: usize,
    last: Option<&'a str>,
}

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        Self { words: line.split_ascii_whitespace().peekable(), taken: 0, last: None }
    }

    /// The next word.
    ///
    /// # Errors
    ///
    /// There is none; `expected` says what should have stood there.
    pub fn word(&mut self, expected: &'static str) -> Result<&'a str, BadEntry> {
        self.taken += 1;
        self.last = self.words.next();
        self.last.ok_or_else(|| self.bad(expected))
    }

    /// The next word, as a value.
    ///
    /// # Errors
    ///
    /// There is none, or it is not one of those.
    pub fn value<T: FromStr>(&mut self, expected: &'static str) -> Result<T, BadEntry> {
        self.word(expected)?.parse().map_err(|_| self.bad(expected))
    }

    /// The next word, as [`Hex`] writes it.
    ///
    /// # Errors
    ///
    /// There is none, or it is something else.
    pub fn bytes(&mut self) -> Result<Vec<u8>, BadEntry> {
        const EXPECTED: &str = "bytes as pairs of hexadecimal digits, or -";
        let word = self.word(EXPECTED)?;
        if word == "-" {
            return Ok(Vec::new());
        }
        let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
        let pair = |pair: &[u8]| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        word.as_bytes().chunks(2).map(pair).collect::<Option<_>>().ok_or_else(|| self.bad(EXPECTED))
    }

    /// The error that the word taken last is not what was expected.
    #[must_use]
    pub fn bad(&self, expected: &'static str) -> BadEntry {
        BadEntry { word: self.taken, expected, found: self.last.map(str::to_owned) }
    }

    /// Takes the next word if it is this one.
    pub(super) fn takes(&mut self, word: &str) -> bool {
        let taken = self.words.next_if_eq(&word).is_some();
        self.taken += usize::from(taken);
        taken
    }

    /// Whether every word was taken.
    pub(super) fn is_empty(&mut self) -> bool {
        self.words.peek().is_none()
    }

    pub(super) fn end(mut self) -> Result<(), BadEntry> {
        const EXPECTED: &str = "the end of the line";
        if self.is_empty() {
            return Ok(());
        }
        self.word(EXPECTED)?;
        Err(self.bad(EXPECTED))
    }

    pub(super) fn conn(&mut self) -> Result<ConnId, BadEntry> {
        self.value::<NonZeroU32>("the number of a connection, from 1").map(ConnId)
    }

    /// `unacked=1`, with everything before the value as `key`.
    pub(super) fn field<T: FromStr>(&mut self, key: &'static str) -> Result<T, BadEntry> {
        let word = self.word(key)?;
        word.strip_prefix(key).and_then(|value| value.parse().ok()).ok_or_else(|| self.bad(key))
    }
}
