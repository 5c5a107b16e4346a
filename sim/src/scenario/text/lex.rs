//! Lines to words, and what one word can be asked.

use std::borrow::Cow;
use std::str::FromStr;

use super::Malformed;
use super::words::{did_you_mean, known};

/// A word, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Word<'t> {
    text: Cow<'t, str>,
    quoted: bool,
    line: u32,
    column: u32,
}

/// A word or a part of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'w> {
    pub(super) text: &'w str,
    pub(super) quoted: bool,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// The words of a statement that are still to be read.
#[derive(Clone, Debug)]
pub(super) struct Words<'w> {
    rest: &'w [Word<'w>],
    /// Where the statement ends, for what is missing.
    end: (u32, u32),
}

/// Whether this may be the name of a node or a socket.
pub(in crate::scenario) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// All statements of a text: none is empty.
pub(super) fn statements(text: &str) -> Result<Vec<Vec<Word<'_>>>, Malformed> {
    let mut statements = Vec::new();
    for (text, line) in text.split('\n').zip(1..) {
        let words = lex(text, line)?;
        let mut rest = &words[..];
        while let Some(first) = rest.first() {
            let separator = || rest.iter().position(Word::separates);
            let end = if first.piece().is("expect") { None } else { separator() }.unwrap_or(rest.len());
            if end > 0 {
                statements.push(rest[..end].to_vec());
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    Ok(statements)
}

/// The words of a line. `;` is one of its own; so is the `!` that begins a statement.
fn lex(text: &str, line: u32) -> Result<Vec<Word<'_>>, Malformed> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut chars = text.char_indices().zip(1..).peekable();
    let ends = |c: char| c.is_whitespace() || c == ';';
    while let Some(((start, c), column)) = chars.next() {
        let mut word = Word { text: Cow::Borrowed(""), quoted: false, line, column };
        match c {
            _ if c.is_whitespace() => continue,
            '#' => break,
            ';' => word.text = Cow::Borrowed(";"),
            '!' if words.last().is_none_or(Word::separates) => word.text = Cow::Borrowed("!"),
            '"' => {
                word.quoted = true;
                word.text = Cow::Owned(unquote(&mut chars, word.piece())?);
                if let Some(&((_, c), column)) = chars.peek().filter(|((_, c), _)| !ends(*c)) {
                    return Err(word
                        .piece()
                        .at(column)
                        .wrong(format!("a blank is missing between `\"` and `{c}`")));
                }
            }
            _ => {
                let mut end = start + c.len_utf8();
                while let Some(((at, c), column)) = chars.next_if(|((_, c), _)| !ends(*c)) {
                    if c == '"' {
                        let message =
                            "a quote begins a word: put a blank before it, or escape it inside of quotes";
                        return Err(word.piece().at(column).wrong(message));
                    }
                    end = at + c.len_utf8();
                }
                word.text = Cow::Borrowed(&text[start..end]);
            }
        }
        words.push(word);
    }
    Ok(words)
}

/// What stands in quotes; the first quote has been read.
fn unquote(
    chars: &mut impl Iterator<Item = ((usize, char), u32)>,
    opening: Piece<'_>,
) -> Result<String, Malformed> {
    let mut text = String::new();
    let unclosed = || opening.wrong("this quote is not closed on its line: end it with `\"`");
    loop {
        let ((_, c), column) = chars.next().ok_or_else(unclosed)?;
        match c {
            '"' => return Ok(text),
            '\\' => match chars.next().ok_or_else(unclosed)?.0.1 {
                c @ ('"' | '\\') => text.push(c),
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'x' => {
                    let mut digit = || chars.next()?.0.1.to_digit(16);
                    let number = digit().zip(digit()).and_then(|(high, low)| char::from_u32(high * 16 + low));
                    text.push(number.ok_or_else(|| {
                        opening.at(column).wrong("`\\x` needs two hexadecimal digits, as in `\\x1b`")
                    })?);
                }
                other => {
                    let message = format!("`\\{other}` means nothing: there are \\\" \\\\ \\n \\t and \\xNN");
                    return Err(opening.at(column).wrong(message));
                }
            },
            c => text.push(c),
        }
    }
}

impl Word<'_> {
    pub(super) fn piece(&self) -> Piece<'_> {
        Piece { text: &self.text, quoted: self.quoted, line: self.line, column: self.column }
    }

    fn separates(&self) -> bool {
        !self.quoted && self.text == ";"
    }
}

impl<'w> Piece<'w> {
    /// Whether it is this word, and not in quotes.
    pub(super) fn is(self, word: &str) -> bool {
        !self.quoted && self.text == word
    }

    /// The same, at another column.
    fn at(self, column: u32) -> Self {
        Self { column, ..self }
    }

    /// An error here.
    pub(super) fn wrong(self, message: impl Into<String>) -> Malformed {
        Malformed { line: self.line, column: self.column, message: message.into() }
    }

    /// An error: this is no such thing.
    pub(super) fn is_not(self, what: &str) -> Malformed {
        self.wrong(format!("{:?} is not {what}", self.text))
    }

    /// An error: this is none of those words. `what` says what they are: "a command".
    pub(super) fn is_none_of<'k>(
        self,
        what: &str,
        words: impl Iterator<Item = &'k str> + Clone,
    ) -> Malformed {
        let help = match did_you_mean(self.text, words.clone()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("there are {}", known(words)),
        };
        self.wrong(format!("{:?} is not {what}; {help}", self.text))
    }

    /// What stands before and after the first `between`.
    pub(super) fn split(self, between: &str) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(between).filter(|_| !self.quoted)?;
        let skipped = before.chars().count() + between.chars().count();
        let column = self.column.saturating_add(u32::try_from(skipped).unwrap_or(u32::MAX));
        Some((Self { text: before, ..self }, Self { text: after, column, ..self }))
    }

    /// A whole number. `what` says which, and its range.
    pub(super) fn number<T: FromStr>(self, what: &str) -> Result<T, Malformed> {
        self.text.parse().map_err(|_| self.is_not(what))
    }
}

impl<'w> Words<'w> {
    pub(super) fn new(words: &'w [Word<'w>]) -> Self {
        let end = words.last().map_or((1, 1), |last| {
            let longer = u32::try_from(last.text.chars().count()).unwrap_or(u32::MAX);
            let quotes = if last.quoted { 2 } else { 0 };
            (last.line, last.column.saturating_add(longer).saturating_add(quotes))
        });
        Self { rest: words, end }
    }

    /// The next word; `what` it should be.
    pub(super) fn next(&mut self, what: &str) -> Result<Piece<'w>, Malformed> {
        match self.rest.split_first() {
            Some((word, rest)) => {
                self.rest = rest;
                Ok(word.piece())
            }
            None => {
                let (line, column) = self.end;
                Err(Malformed { line, column, message: format!("here should be {what}") })
            }
        }
    }

    /// The next word, which stays.
    pub(super) fn peek(&self) -> Option<Piece<'w>> {
        self.rest.first().map(Word::piece)
    }

    /// Takes the next word, if it is this one.
    pub(super) fn skip(&mut self, word: &str) -> bool {
        let is = self.peek().is_some_and(|next| next.is(word));
        if is {
            self.rest = &self.rest[1..];
        }
        is
    }

    /// Takes the last word, if it is this one.
    pub(super) fn skip_last(&mut self, word: &str) -> bool {
        match self.rest.split_last() {
            Some((last, rest)) if last.piece().is(word) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The next word has to be this one.
    pub(super) fn must(&mut self, word: &str) -> Result<(), Malformed> {
        let next = self.next(&format!("`{word}`"))?;
        if next.is(word) {
            Ok(())
        } else {
            Err(next.wrong(format!("here should be `{word}`, not {:?}", next.text)))
        }
    }

    /// There has to be no other word.
    pub(super) fn done(&self) -> Result<(), Malformed> {
        self.peek().map_or(Ok(()), |word| {
            let hint = if word.text == "may-be-inert" { ": `may-be-inert` ends a fault" } else { "" };
            Err(word.wrong(format!("nothing should follow here, but {:?} does{hint}", word.text)))
        })
    }

    /// Options up to the end of the statement. Those whose name ends in `=` have a value, which `set` gets; the others get
    /// themselves.
    pub(super) fn options(
        &mut self,
        names: &[&str],
        mut set: impl FnMut(&str, Piece<'w>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut seen = Vec::new();
        while let Some(word) = self.peek() {
            let (key, value) = word.split("=").map_or((word, None), |(key, value)| (key, Some(value)));
            // An option that takes a value is named with its `=`.
            let has_value = names.iter().any(|name| name.strip_suffix('=') == Some(key.text));
            let is_flag = !word.quoted && names.contains(&key.text);
            match value {
                _ if seen.contains(&key.text) => {
                    return Err(key.wrong(format!("`{}` is said twice", key.text)));
                }
                Some(value) if has_value => set(key.text, value)?,
                None if is_flag => set(key.text, key)?,
                Some(_) if is_flag => return Err(key.wrong(format!("`{}` takes no value", key.text))),
                None if has_value && !word.quoted => {
                    return Err(key.wrong(format!("`{0}` needs a value: `{0}=…`", key.text)));
                }
                _ => {
                    return Err(
                        key.is_none_of("an option here", names.iter().map(|name| name.trim_end_matches('=')))
                    );
                }
            }
            seen.push(key.text);
            self.rest = &self.rest[1..];
        }
        Ok(())
    }
}
