//! What goes over the wire.
//!
//! ```text
//!   0        4                 12                12 + n
//!   ├────────┼─────────────────┼─────────────────┤
//!   │ n      │ number          │ text            │      both numbers with the highest byte first
//!   └────────┴─────────────────┴─────────────────┘
//! ```
//!
//! Number 0 is no request: with it a client says who it is, first thing on each connection, and again where it wants to
//! hear whether the server lives. A request has a number from 1 on, its answer the same one.

/// A longer text is not this protocol.
const LONGEST: usize = 1_024;
const HEAD: usize = 12;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of the request; 0 of a greeting.
    pub number: u64,
    /// The request, or the answer.
    pub text: String,
}

impl Frame {
    /// Adds its bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        out.extend(length.to_be_bytes());
        out.extend(self.number.to_be_bytes());
        out.extend(self.text.as_bytes());
    }

    /// Whether a text is short enough.
    #[must_use]
    pub const fn fits(text: &str) -> bool {
        text.len() <= LONGEST
    }
}

/// Bytes that are not of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What came in on one connection, and is no whole frame yet.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
}

impl Incoming {
    /// So much came in.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    ///
    /// What came in is not this protocol.
    pub fn take(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [a, b, c, d, number @ ..] = *head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > LONGEST {
            return Err(Malformed);
        }
        let Some(text) = rest.get(..length) else { return Ok(None) };
        let text = std::str::from_utf8(text).map_err(|_| Malformed)?.to_owned();
        self.bytes.drain(..HEAD + length);
        Ok(Some(Frame { number: u64::from_be_bytes(number), text }))
    }
}
