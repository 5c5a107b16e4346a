//! A server has many connections that do nothing, so each is small.

use resound_core::stream::admission::Event;
use resound_core::stream::server::{Connection, Ended};
use resound_smol::Conversation;

#[test]
fn a_connection_takes_half_a_kilobyte_at_most() {
    let size = size_of::<Conversation<Connection, fn(Event<Ended>)>>();
    assert!(size <= 512, "{size} bytes");
}
