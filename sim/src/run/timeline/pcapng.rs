//! A capture file (draft-ietf-opsawg-pcapng), for Wireshark.
//!
//! A section, an interface for each link, and an enhanced packet block for each packet on a link. A block has its length
//! at both ends, and every part of it begins at a multiple of four bytes.

use super::Story;
use super::words::Words;
use crate::run::{Happened, Moment};
use crate::scenario::{NodeId, Way};
use crate::wire;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

/// Raw IP: the first half byte tells the version.
const LINKTYPE_RAW: u16 = 101;

const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;

const NANOSECONDS: u8 = 9;
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

pub(super) fn write(story: Story<'_>) -> Vec<u8> {
    let moments = story.moments();
    let mut interfaces: Vec<[NodeId; 2]> = story.scenario.links.iter().map(|link| link.ends).collect();
    for Moment { what, .. } in moments.iter() {
        // A host that speaks to itself has no link for it.
        if let Happened::Sent { way, .. } = what {
            if interface(&interfaces, *way).is_none() {
                interfaces.push([way.from, way.to]);
            }
        }
    }

    let mut out = Vec::new();
    block(&mut out, SECTION, |body| {
        body.extend(0x1a2b_3c4d_u32.to_le_bytes());
        body.extend([1_u16, 0].map(u16::to_le_bytes).as_flattened());
        // How long the section is: it is not said.
        body.extend(u64::MAX.to_le_bytes());
        option(body, SECTION_APPLICATION, b"resound-sim");
        end_of_options(body);
    });
    for [a, b] in &interfaces {
        block(&mut out, INTERFACE, |body| {
            body.extend(u32::from(LINKTYPE_RAW).to_le_bytes());
            // No limit to a packet's length.
            body.extend([0; 4]);
            option(body, INTERFACE_NAME, format!("{}-{}", story.name(*a), story.name(*b)).as_bytes());
            option(body, INTERFACE_RESOLUTION, &[NANOSECONDS]);
            end_of_options(body);
        });
    }

    let mut words = Words::default();
    let mut packet_bytes = Vec::new();
    for Moment { at, what } in moments.iter() {
        let Happened::Sent { way, packet, arrives, fault } = what else { continue };
        let Some((number, flags)) = interface(&interfaces, *way) else { continue };
        packet_bytes.clear();
        wire::encode(packet, &mut packet_bytes);
        let mark = story.mark(packet, *fault);
        let told = words.tell(*way, packet, mark.forged).all();
        let marked = mark.words(packet, arrives.is_none());
        block(&mut out, ENHANCED_PACKET, |body| {
            let nanos = at.nanos();
            body.extend((number as u32).to_le_bytes());
            body.extend(((nanos >> 32) as u32).to_le_bytes());
            body.extend((nanos as u32).to_le_bytes());
            // As much as was caught, and as there was.
            body.extend([packet_bytes.len() as u32; 2].map(u32::to_le_bytes).as_flattened());
            body.extend(&packet_bytes);
            pad(body);
            if !marked.is_empty() {
                let what = mark.fault.and_then(|id| story.describe(id));
                let what = what.map(|text| format!(": {text}")).unwrap_or_default();
                option(body, COMMENT, format!("{told}, {marked}{what}").as_bytes());
            }
            option(body, PACKET_FLAGS, &flags.to_le_bytes());
            end_of_options(body);
        });
    }
    out
}

/// The interface of a link, and the direction in the packet's flags.
fn interface(interfaces: &[[NodeId; 2]], way: Way) -> Option<(usize, u32)> {
    let number =
        interfaces.iter().position(|&[a, b]| [a, b] == [way.from, way.to] || [b, a] == [way.from, way.to])?;
    Some((number, if interfaces[number][0] == way.from { OUTBOUND } else { INBOUND }))
}

fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    // Kind and length before it, length behind it.
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.extend(kind.to_le_bytes());
    out.extend(length);
    out.extend(body);
    out.extend(length);
}

fn option(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(kind.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}
