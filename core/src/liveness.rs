//! When to probe, when to suspect, when to convict, and of what.

use core::time::Duration;

/// What the kernel knows about a connection, as far as it tells a dead path from a stalled peer (Linux `TCP_INFO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KernelView {
    /// Segments sent and not acknowledged (`tcpi_unacked`).
    pub unacked: u32,
    /// Bytes taken from the program and not yet sent once (`tcpi_notsent_bytes`).
    pub unsent: u32,
    /// Retransmissions of the oldest segment without an answer (`tcpi_retransmits`).
    pub retransmits: u8,
    /// How often the retransmission or window-probe timer has doubled (`tcpi_backoff`).
    pub backoff: u8,
    /// Window or keepalive probes without an answer (`tcpi_probes`).
    pub probes: u8,
    /// Since the last acknowledgement of any kind came in (`tcpi_last_ack_recv`).
    pub since_ack: Duration,
    /// The peer's receive window in bytes, where the kernel tells it (`tcpi_snd_wnd`, Linux 5.4).
    pub peer_window: Option<u32>,
}
