//! Packets of real kernels: taken from a wire of this host's, and put onto one as they came.
//!
//! A kernel leaves the last checksum to the network card that it believes to be there (checksum offload), so what a
//! packet socket gives has none yet: it is written here. What a decoded packet does not say, TCP's options above all,
//! travels on in its [bytes](Packet::bytes).

use std::net::IpAddr;
use std::sync::Arc;

use super::{ICMP, ICMP_V6, Sum, TCP, UDP, Undecoded, decode};
use crate::packet::Packet;

/// Takes a whole IP packet that a kernel of this host has just sent. It is never damaged: a checksum that is not right is
/// one that was not written yet.
///
/// # Errors
///
/// As [`decode`].
pub fn take(bytes: &[u8]) -> Result<Packet, Undecoded> {
    let packet = decode(bytes)?;
    let mut bytes = bytes.to_vec();
    if let Some((body, protocol, length)) = body(&bytes) {
        bytes.truncate(body + length);
        write_checksum(&mut bytes, body, protocol, (packet.source, packet.destination));
    }
    Ok(Packet { damaged: false, bytes: Some(Arc::new(bytes)), ..packet })
}

/// Appends what was taken as it goes on: with the hops that are left, and damaged if it is.
pub(super) fn put(bytes: &[u8], packet: &Packet, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(bytes);
    let out = &mut out[at..];
    match packet.destination {
        IpAddr::V4(_) => {
            out[8] = packet.hops;
            out[10..12].fill(0);
            let header = usize::from(out[0] & 0x0f) * 4;
            let sum = Sum::default().add(&out[..header]).checksum();
            out[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        IpAddr::V6(_) => out[7] = packet.hops,
    }
    if packet.damaged {
        if let Some(at) = body(out).and_then(|(body, protocol, _)| Some(body + checksum_at(protocol)?)) {
            let right = u16::from_be_bytes([out[at], out[at + 1]]);
            let wrong = if right ^ 1 == 0 { right ^ 2 } else { right ^ 1 };
            out[at..at + 2].copy_from_slice(&wrong.to_be_bytes());
        }
    }
}

/// Where the body of a packet that can be decoded begins, what it is, and how long.
fn body(bytes: &[u8]) -> Option<(usize, u8, usize)> {
    Some(match bytes.first()? >> 4 {
        4 => {
            let header = usize::from(bytes[0] & 0x0f) * 4;
            let total = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
            (header, bytes[9], total.checked_sub(header)?)
        }
        _ => (40, bytes[6], usize::from(u16::from_be_bytes([bytes[4], bytes[5]]))),
    })
}

const fn checksum_at(protocol: u8) -> Option<usize> {
    match protocol {
        TCP => Some(16),
        UDP => Some(6),
        ICMP | ICMP_V6 => Some(2),
        _ => None,
    }
}

fn write_checksum(bytes: &mut [u8], body: usize, protocol: u8, (source, destination): (IpAddr, IpAddr)) {
    let Some(at) = checksum_at(protocol).map(|at| body + at) else { return };
    if bytes.len() < at + 2 {
        return;
    }
    bytes[at..at + 2].fill(0);
    let length = bytes.len() - body;
    let sum = match protocol {
        ICMP => Sum::default(),
        _ => Sum::default().add_pseudo_header(source, destination, protocol, length),
    };
    let right = match (protocol, sum.add(&bytes[body..]).checksum()) {
        // 0 says that there is no checksum (RFC 768).
        (UDP, 0) => u16::MAX,
        (_, right) => right,
    };
    bytes[at..at + 2].copy_from_slice(&right.to_be_bytes());
}
