//! ICMP.
use super::{Fate, Kernel};
use crate::packet::Packet;
#[derive(Debug, Default)]
pub(super) struct Limiter;
impl Kernel {
    pub(super) fn receive_icmp(&mut self, packet: &Packet) -> Fate {
        let _ = packet;
        Fate::Absorbed("")
    }
}
