//! Standard input in pieces, read by a thread of its own.
//!
//! The thread reads a few pieces ahead and then waits until it is asked for more. It is left behind when the command ends:
//! a read that waits for a terminal cannot be called back.

use std::io::{self, BufRead, Read as _};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use bytes::Bytes;

/// No piece is larger.
const LARGEST: usize = 64 << 10;
/// How many pieces are read before anybody asks.
const AHEAD: usize = 4;

/// What was read.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Bytes),
    /// A line of so many bytes, which is more than there may be.
    TooLong(u64),
    End,
    Failed(io::Error),
}

/// Where one piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Where the read ended.
    AsRead,
    /// After each newline.
    Lines,
    /// At each newline, which is left out; and nowhere else.
    Datagrams,
}

/// The thread that reads.
#[derive(Debug)]
pub(super) struct Reader {
    permits: SyncSender<()>,
}

impl Reader {
    /// Begins to read, in pieces of at most `largest` bytes; `give` is called with each, on the thread that reads.
    pub(super) fn start(cut: Cut, largest: usize, give: impl Fn(Piece) + Send + 'static) -> io::Result<Self> {
        let (permits, granted) = sync_channel(AHEAD);
        for _ in 1..AHEAD {
            // There is room for them.
            let _ = permits.try_send(());
        }
        let largest = largest.min(LARGEST);
        thread::Builder::new().name("stdin".into()).spawn(move || {
            let take_piece = |piece| {
                give(piece);
                granted.recv().is_ok()
            };
            let take = |bytes| take_piece(Piece::Bytes(bytes));
            let mut stdin = io::stdin().lock();
            let result = match cut {
                Cut::AsRead => as_read(&mut stdin, largest, take),
                Cut::Lines => lines(&mut stdin, largest, take),
                Cut::Datagrams => datagrams(&mut stdin, largest, take_piece),
            };
            give(result.map_or_else(Piece::Failed, |()| Piece::End));
        })?;
        Ok(Self { permits })
    }

    /// A piece has been used up: another one may be read.
    pub(super) fn more(&self) {
        // There are never more permits than pieces that were given; and none is needed after the end.
        let _ = self.permits.try_send(());
    }
}

/// What each read gives; `take` says whether to go on.
fn as_read(input: &mut impl BufRead, largest: usize, mut take: impl FnMut(Bytes) -> bool) -> io::Result<()> {
    let mut buffer = vec![0; largest];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) if !take(Bytes::copy_from_slice(&buffer[..n])) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Lines with their newlines, the last one with or without; `take` says whether to go on.
fn lines(input: &mut impl BufRead, largest: usize, mut take: impl FnMut(Bytes) -> bool) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        input.by_ref().take(largest as u64).read_until(b'\n', &mut line)?;
        if line.is_empty() || !take(Bytes::from(line)) {
            return Ok(());
        }
    }
}

/// Lines without their newlines; of one that is longer than `largest`, only how long it is.
fn datagrams(
    input: &mut impl BufRead,
    largest: usize,
    mut take: impl FnMut(Piece) -> bool,
) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        // One more, for the newline.
        let room = largest as u64 + 1;
        if input.by_ref().take(room).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let piece = if line.last() == Some(&b'\n') {
            line.pop();
            Piece::Bytes(line.into())
        } else if line.len() <= largest {
            // The input has ended without a newline.
            Piece::Bytes(line.into())
        } else {
            Piece::TooLong(line.len() as u64 + skip_line(input)?)
        };
        if !take(piece) {
            return Ok(());
        }
    }
}

/// Reads the rest of a line; how long it was, without its newline.
fn skip_line(input: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            buffer => buffer?,
        };
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let (text, used) = end.map_or((buffer.len(), buffer.len()), |end| (end, end + 1));
        skipped += text as u64;
        input.consume(used);
        if end.is_some() || used == 0 {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(input: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        lines(&mut &*input, LARGEST, |line| {
            found.push(line.to_vec());
            true
        })
        .unwrap();
        found
    }

    #[test]
    fn lines_keep_every_byte() {
        assert_eq!(cut(b""), Vec::<Vec<u8>>::new());
        assert_eq!(cut(b"\n\na"), [&b"\n"[..], b"\n", b"a"]);
        assert_eq!(cut(b"\xff\xfe\n\0"), [&b"\xff\xfe\n"[..], b"\0"]);
    }

    #[test]
    fn a_datagram_is_a_line_and_one_that_is_too_long_is_none() {
        let mut found = Vec::new();
        datagrams(&mut &b"ab\n\nabcd\nabcde\nabcdefgh\nx"[..], 4, |piece| {
            found.push(match piece {
                Piece::Bytes(line) => Ok(line),
                Piece::TooLong(bytes) => Err(bytes),
                Piece::End | Piece::Failed(_) => panic!(),
            });
            true
        })
        .unwrap();
        let line = |text: &'static str| Ok(Bytes::from(text));
        assert_eq!(found, [line("ab"), line(""), line("abcd"), Err(5), Err(8), line("x")]);
    }

    #[test]
    fn a_line_that_is_too_long_goes_in_parts() {
        let long = vec![b'x'; LARGEST + 1];
        let parts = cut(&long);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [LARGEST, 1]);
        assert_eq!(parts.concat(), long);
    }
}
