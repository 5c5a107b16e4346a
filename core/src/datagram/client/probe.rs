//! The header in front of each payload: which datagram this is, and the proof that this client wrote it.
//!
//! Datagrams are lost, doubled and reordered, and anybody can send one. RFC 862 servers return the header verbatim; and
//! routers quote it in their ICMP errors, if they quote that much.
//!
//! ```text
//!   0        4        8            12       16                24               32
//!   ┌────────┬────────┬────────────┬────────┬─────────────────┬────────────────┬─────────
//!   │ magic  │ peer   │ generation │ conn   │ number          │ tag            │ payload …
//!   └────────┴────────┴────────────┴────────┴─────────────────┴────────────────┴─────────
//! ```
//!
//! All numbers are big-endian. The tag is a keyed hash (SipHash-2-4) of what stands before it and of the address that it
//! was sent to: a peer that sees its own probes cannot make those of another. It proves nothing about the payload.

use core::net::SocketAddr;

use siphasher::sip::SipHasher24;

/// How long the header is, in bytes.
pub const HEADER: usize = 32;

const MAGIC: [u8; 4] = *b"rsnd";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The peer's place in the table.
    pub(super) index: u32,
    /// Which of the peers that had this place.
    pub(super) generation: u32,
    /// Which connection or attempt of its link.
    pub(super) conn: u32,
    /// The number of the datagram, among all of this client.
    pub(super) number: u64,
}

/// Makes tags.
#[derive(Clone)]
pub(super) struct Key(SipHasher24);

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    pub(super) fn new(secret: [u64; 2]) -> Self {
        Self(SipHasher24::new_with_keys(secret[0], secret[1]))
    }

    fn tag(&self, head: &[u8; HEADER - 8], to: SocketAddr) -> u64 {
        match to {
            SocketAddr::V4(v4) => self.hash::<30>(head, &v4.ip().octets(), to.port()),
            SocketAddr::V6(v6) => self.hash::<42>(head, &v6.ip().octets(), to.port()),
        }
    }

    /// In one piece: to give them to a hasher one after the other costs twice as much.
    fn hash<const LENGTH: usize>(&self, head: &[u8], ip: &[u8], port: u16) -> u64 {
        let mut bytes = [0; LENGTH];
        let (before, end) = bytes.split_at_mut(LENGTH - 2);
        let (start, middle) = before.split_at_mut(head.len());
        start.copy_from_slice(head);
        middle.copy_from_slice(ip);
        end.copy_from_slice(&port.to_le_bytes());
        self.0.hash(&bytes)
    }
}

impl Header {
    /// Writes the header for a datagram to `to`.
    pub(super) fn write(&self, key: &Key, to: SocketAddr, out: &mut [u8; HEADER]) {
        let mut head = [0; HEADER - 8];
        head[..4].copy_from_slice(&MAGIC);
        head[4..8].copy_from_slice(&self.index.to_be_bytes());
        head[8..12].copy_from_slice(&self.generation.to_be_bytes());
        head[12..16].copy_from_slice(&self.conn.to_be_bytes());
        head[16..].copy_from_slice(&self.number.to_be_bytes());
        out[..24].copy_from_slice(&head);
        out[24..].copy_from_slice(&key.tag(&head, to).to_be_bytes());
    }
}

/// A header as it came back: what it claims, not yet believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    header: Header,
    head: &'a [u8; HEADER - 8],
    tag: u64,
}

impl<'a> Claim<'a> {
    /// `None` if the bytes are no header of anybody's.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<{ HEADER - 8 }>()?;
        let tag = u64::from_be_bytes(*rest.first_chunk()?);
        let (magic, numbers) = head.split_first_chunk::<4>()?;
        if *magic != MAGIC {
            return None;
        }
        let u32_at = |at: usize| numbers.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b));
        let number = u64::from_be_bytes(*numbers.get(12..)?.first_chunk()?);
        let header = Header { index: u32_at(0)?, generation: u32_at(4)?, conn: u32_at(8)?, number };
        Some(Self { header, head, tag })
    }

    /// The header, if this client wrote it to this address.
    pub(super) fn verify(&self, key: &Key, to: SocketAddr) -> Option<Header> {
        // Not in constant time: who could measure the difference would learn the tag of a datagram that it was sent.
        (key.tag(self.head, to) == self.tag).then_some(self.header)
    }

    /// What it claims to be, for a second question with another address.
    pub(super) const fn unverified(&self) -> Header {
        self.header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_key_and_address_verify_a_header() {
        let [here, there]: [SocketAddr; 2] = ["192.0.2.1:7".parse().unwrap(), "192.0.2.1:8".parse().unwrap()];
        let key = Key::new([1, 2]);
        let header = Header { index: 3, generation: 4, conn: 5, number: 6 };
        let mut bytes = [0; HEADER];
        header.write(&key, here, &mut bytes);
        let claim = Claim::parse(&bytes).unwrap();
        assert_eq!(claim.verify(&key, here), Some(header));
        assert_eq!(claim.verify(&key, there), None);
        assert_eq!(claim.verify(&Key::new([1, 3]), here), None);
        for bit in 0..HEADER * 8 {
            let mut forged = bytes;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(Claim::parse(&forged).and_then(|claim| claim.verify(&key, here)).is_none(), "{bit}");
        }
        for len in 0..HEADER {
            assert!(Claim::parse(&bytes[..len]).is_none());
        }
    }
}
