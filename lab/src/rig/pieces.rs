//! Packets that a host sent in pieces, put together again.
//!
//! A datagram longer than its link is cut by the host that sends it (RFC 791 §3.2, RFC 8200 §4.5). The network of a
//! scenario knows only whole packets, so it gets one: with the length that it would have had, and the mark that it may be
//! cut. Pieces come in order from one kernel over one wire; whatever does not fit together is thrown away.

const FRAGMENT: u8 = 44;
/// How much of an IPv6 packet comes before the fragment header, and how long that is.
const V6: usize = 40;
const V6_FRAGMENT: usize = 8;

/// What of a packet has come.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Its header, then its body up to where it is complete.
    bytes: Vec<u8>,
    header: usize,
    /// Addresses, protocol and identification: what pieces of one packet have in common (RFC 791 §2.3).
    of: Option<Identity>,
}

/// Source and destination, protocol, identification.
type Identity = ([u8; 32], u8, u32);

/// What a packet is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// It came whole.
    Whole,
    /// It completes a packet: this.
    Last(&'a [u8]),
    /// More is to come.
    Waits,
}

struct Parsed<'a> {
    of: Identity,
    /// Without what says that it is a piece.
    header: Vec<u8>,
    offset: usize,
    more: bool,
    body: &'a [u8],
}

impl Pieces {
    pub(super) fn put(&mut self, packet: &[u8]) -> Piece<'_> {
        let Some(piece) = parse(packet) else { return Piece::Whole };
        if piece.offset == 0 {
            self.header = piece.header.len();
            self.bytes = piece.header;
            self.of = Some(piece.of);
        } else if self.of != Some(piece.of) || self.header + piece.offset != self.bytes.len() {
            self.of = None;
            return Piece::Waits;
        }
        self.bytes.extend_from_slice(piece.body);
        if piece.more {
            return Piece::Waits;
        }
        self.of = None;
        self.write_length();
        Piece::Last(&self.bytes)
    }

    /// The checksum of IPv4's header is not written: whoever takes the packet knows that it was not damaged.
    fn write_length(&mut self) {
        let is_v4 = self.bytes[0] >> 4 == 4;
        let (at, length) = if is_v4 { (2, self.bytes.len()) } else { (4, self.bytes.len() - V6) };
        // What is longer is no packet; its length will not fit, and nobody takes it.
        let length = u16::try_from(length).unwrap_or(0);
        self.bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
}

fn parse(packet: &[u8]) -> Option<Parsed<'_>> {
    match packet.first()? >> 4 {
        4 => parse_v4(packet),
        6 => parse_v6(packet),
        _ => None,
    }
}

fn parse_v4(packet: &[u8]) -> Option<Parsed<'_>> {
    let fixed = packet.first_chunk::<20>()?;
    let place = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff;
    if place == 0 {
        return None;
    }
    let length = usize::from(fixed[0] & 0x0f) * 4;
    let end = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let mut header = packet.get(..length)?.to_vec();
    header.get_mut(6..8)?.fill(0);
    let mut ends = [0; 32];
    ends[..8].copy_from_slice(&fixed[12..]);
    Some(Parsed {
        of: (ends, fixed[9], u16::from_be_bytes([fixed[4], fixed[5]]).into()),
        header,
        offset: usize::from(place & 0x1fff) * 8,
        more: place & 0x2000 != 0,
        body: packet.get(length..end)?,
    })
}

fn parse_v6(packet: &[u8]) -> Option<Parsed<'_>> {
    let (fixed, rest) = packet.split_first_chunk::<V6>()?;
    if fixed[6] != FRAGMENT {
        return None;
    }
    let end = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let &[protocol, _, high, low, i0, i1, i2, i3] = rest.first_chunk::<V6_FRAGMENT>()?;
    let place = u16::from_be_bytes([high, low]);
    let mut header = fixed.to_vec();
    header[6] = protocol;
    let mut ends = [0; 32];
    ends.copy_from_slice(&fixed[8..]);
    Some(Parsed {
        of: (ends, protocol, u32::from_be_bytes([i0, i1, i2, i3])),
        header,
        offset: usize::from(place & 0xfff8),
        more: place & 1 != 0,
        body: rest.get(V6_FRAGMENT..end)?,
    })
}
