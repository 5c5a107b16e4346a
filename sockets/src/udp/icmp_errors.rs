//! The error queue of any one socket, for whoever looks at it by hand.

use std::os::fd::AsFd;

use resound_core::signal::IcmpError;

use super::Entry;
use super::sys::ErrorQueue;

/// Takes the ICMP errors out of the error queue of a socket, first come first: of one that was bound with
/// [`Errors::Queued`](super::Errors::Queued), or dialed by [`tcp::dial_witnessed`](crate::tcp::dial_witnessed). None
/// on a system without such queues. An [`Endpoint`](super::Endpoint) empties its own.
///
/// The last one takes away the error that the next call would have failed with (`sock_dequeue_err_skb`). So ask
/// [`finish_dial`](crate::tcp::finish_dial) first of a connect that is under way.
#[must_use]
pub fn icmp_errors(fd: impl AsFd) -> Vec<IcmpError> {
    let mut heard = Vec::new();
    let Some(mut queue) = ErrorQueue::new() else { return heard };
    while let Ok(count) = queue.receive(fd.as_fd()) {
        heard.extend((0..count).filter_map(|at| match queue.get(at)? {
            Entry::Icmp { error, .. } => Some(error),
            Entry::Local { .. } => None,
        }));
        if count == 0 {
            break;
        }
    }
    heard
}
