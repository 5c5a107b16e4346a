//! Standard input in pieces, read by a thread of its own.
//!
//! The thread is left behind when the command ends: a read that waits for a terminal cannot be called back.

use std::io::{self, BufRead, Read as _};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use bytes::Bytes;

/// No piece is larger.
const LARGEST: usize = 64 << 10;
/// How many pieces are read ahead.
const AHEAD: usize = 4;

/// What was read. The end of the input is the end of the channel.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Bytes),
    Failed(io::Error),
}

/// Where one piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Where the read ended.
    AsRead,
    /// After each newline.
    Lines,
}

/// Begins to read, in pieces of at most `largest` bytes.
pub(super) fn read(cut: Cut, largest: usize) -> Receiver<Piece> {
    let (tell, told) = sync_channel(AHEAD);
    let failed = tell.clone();
    let largest = largest.min(LARGEST);
    let started = thread::Builder::new().name("stdin".into()).spawn(move || {
        let result = match cut {
            Cut::AsRead => as_read(&tell, largest),
            Cut::Lines => {
                lines(&mut io::stdin().lock(), largest, |line| tell.send(Piece::Bytes(line)).is_ok())
            }
        };
        if let Err(error) = result {
            // Without a receiver there is nobody left to tell.
            let _ = tell.send(Piece::Failed(error));
        }
    });
    if let Err(error) = started {
        let _ = failed.try_send(Piece::Failed(error));
    }
    told
}

fn as_read(tell: &SyncSender<Piece>, largest: usize) -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    let mut buffer = vec![0; largest];
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                if tell.send(Piece::Bytes(Bytes::copy_from_slice(&buffer[..n]))).is_err() {
                    return Ok(());
                }
            }
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
    fn a_line_that_is_too_long_goes_in_parts() {
        let long = vec![b'x'; LARGEST + 1];
        let parts = cut(&long);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [LARGEST, 1]);
        assert_eq!(parts.concat(), long);
    }
}
