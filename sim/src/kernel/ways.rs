//! Which addresses are a host's own, and which it has no way to.
//!
//! What an administrator said of an address, in a route of some type, counts before what the interfaces have: such a route
//! belongs to none of them. With an interface that is down go its routes and, with the last one, the IPv6 address; the
//! IPv4 address stays (`fib_disable_ip`, `addrconf_ifdown`; measured).

use std::net::IpAddr;

use resound_core::signal::Version;

use crate::packet::{is_for_many, version};
use crate::scenario::RouteKind;

/// What no interface leads to, because it is down or was not configured again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlinked {
    /// These addresses. One of this host's own is its own no more.
    pub addresses: Vec<IpAddr>,
    /// Groups and, over IPv4, everybody on the first link.
    pub many: bool,
}

/// A host's addresses and routes.
#[derive(Debug)]
pub(super) struct Ways {
    addresses: Vec<IpAddr>,
    routes: Vec<(Option<IpAddr>, RouteKind)>,
    unlinked: Option<Unlinked>,
}

impl Ways {
    pub(super) fn new(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, routes: Vec::new(), unlinked: None }
    }

    /// There is no way to this address (`None`: to any) from now on; or (`None`) there is again.
    pub(super) fn route(&mut self, to: Option<IpAddr>, kind: Option<RouteKind>) {
        self.routes.retain(|(was, _)| *was != to);
        self.routes.extend(kind.map(|kind| (to, kind)));
    }

    pub(super) fn unlink(&mut self, unlinked: Option<Unlinked>) {
        self.unlinked = unlinked;
    }

    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback() || (self.addresses.contains(&address) && !self.is_unlinked(address))
    }

    /// The address from which this host speaks to that one.
    pub(super) fn source_for(&self, to: IpAddr) -> Option<IpAddr> {
        if self.is_local(to) {
            return Some(to);
        }
        self.own(version(to))
    }

    /// The host's own address on the network.
    pub(super) fn own(&self, wanted: Version) -> Option<IpAddr> {
        let own = self.addresses.iter().copied().find(|own| version(*own) == wanted);
        own.filter(|own| !self.is_unlinked(*own))
    }

    /// Whether any way is lost.
    pub(super) fn are_lost(&self) -> bool {
        !self.routes.is_empty() || self.unlinked.is_some()
    }

    /// How the host's own routes answer for that address, which may be its own; `None`: there is a way.
    pub(super) fn routed_to(&self, to: IpAddr) -> Option<RouteKind> {
        if !self.are_lost() || self.is_local(to) {
            return None;
        }
        let of = |wanted| self.routes.iter().find(|(to, _)| *to == wanted).map(|(_, kind)| *kind);
        let missing = self.is_unlinked(to).then_some(RouteKind::Missing);
        of(Some(to)).or_else(|| of(None)).or(missing)
    }

    fn is_unlinked(&self, address: IpAddr) -> bool {
        let Some(unlinked) = &self.unlinked else { return false };
        unlinked.addresses.contains(&address) || (unlinked.many && is_for_many(address))
    }
}
