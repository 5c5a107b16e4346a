//! The situations that a client can be in: a row for each.
//!
//! ```text
//!   case(name, what the server does, what happens, what `why` may say)   each of those is right
//!       .v4() .v6()     only over this version
//!       .hosts(..)      other hosts and links than client, router, server
//!       .forgetful()    nobody knows a neighbour's hardware address yet
//!       .at(..)         when `why` starts, in milliseconds
//!       .args(..)       what it is told besides the address
//! ```

use resound_core::signal::Version::{V4, V6};

use super::{Case, Neighbours, ROUTED, Says};

/// A case as most are.
const fn case(
    name: &'static str,
    server: &'static str,
    happens: &'static str,
    says: &'static [Says],
) -> Case {
    Case {
        name,
        versions: &[V4, V6],
        hosts: ROUTED,
        server,
        happens,
        neighbours: Neighbours::Known,
        at: 150,
        args: &["-W", "5s"],
        says,
    }
}

impl Case {
    const fn v4(self) -> Self {
        Self { versions: &[V4], ..self }
    }

    const fn v6(self) -> Self {
        Self { versions: &[V6], ..self }
    }

    const fn hosts(self, hosts: &'static str) -> Self {
        Self { hosts, ..self }
    }

    const fn forgetful(self) -> Self {
        Self { neighbours: Neighbours::Forgotten, ..self }
    }

    const fn at(self, at: u64) -> Self {
        Self { at, ..self }
    }

    const fn args(self, args: &'static [&'static str]) -> Self {
        Self { args, ..self }
    }
}

/// This situation, for this reason, and no doubt.
const fn sure(situation: &'static str, reason: &'static str) -> Says {
    (situation, &[], Some(reason))
}

/// This situation, for this reason; these look the same from there.
const fn unsure(situation: &'static str, between: &'static [&'static str], reason: &'static str) -> Says {
    (situation, between, Some(reason))
}

const HEALTHY: &[Says] = &[("healthy", &[], None)];

/// What is left where the kernel tells a standing connection of an error, and drops the message about the second one: it
/// does while it is busy with that socket (`LockDroppedIcmps`), and a busy machine is.
const UNHEARD: Says = sure("unreachable", "unreachable");
const UNHEARD_V6: Says = sure("unreachable", "perm-denied");

// What the server does.
const NO_SERVER: &str = "";
const SERVES: &str = "0 server serve 7\n";
const SERVES_UDP: &str = "0 server serve udp 7\n";
const LISTENS: &str = "0 server call l = tcp listen 7\n";
const ACCEPTS: &str = "0 server call l = tcp listen 7\n1.0 server call s = accept l\n";

/// No router: whoever does not answer is missed by this host itself.
const LINKED: &str = "host client ; host server\nlink client <-> server 10ms\n";
/// The client's kernel gives up soon.
const IMPATIENT: &str = "host client tcp_retries2=3 tcp_rto_max_ms=1000 ; router router ; host server\n\
                         link client <-> router 10ms ; link router <-> server 1ms\n";

const UDP: &[&str] = &["--udp", "-W", "5s"];
const WATCHING: &[&str] = &["--watch", "4s", "-W", "6s"];

// What looks the same: silence, an absent host, a connection that ended.
const SILENT: &[&str] = &["filtered", "host-down", "address-unused", "path-cut", "accept-queue-full"];
const SILENT_UDP: &[&str] = &["filtered", "host-down", "address-unused", "path-cut", "not-answering"];
const DEAF: &[&str] = &["not-answering", "port-filtered"];
const ABSENT: &[&str] = &["host-down", "address-unused", "link-cut"];
const CUT_OFF: &[&str] = &["gateway-down", "link-cut"];
const DEAD: &[&str] = &["host-down", "path-cut"];
const UNWANTED: &[&str] = &["peer-restricted", "server-full", "server-crashes", "in-between"];
const UNREAD: &[&str] = &["closed-unread", "host-restarted", "server-crashes", "in-between"];
const KILLED: &[&str] = &["server-killed", "host-restarted"];
const RESTARTED: &[&str] = &["server-restarted", "host-restarted", "in-between"];

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    // -- Nothing is wrong ---------------------------------------------------------------------------------------------
    case("healthy", SERVES, "", HEALTHY),
    case("healthy-over-udp", SERVES_UDP, "", HEALTHY).args(UDP),
    case("lost-syn", SERVES, "!client->router#1 drop", HEALTHY),
    case("lost-datagram", SERVES_UDP, "!client->router#1 drop", &[sure("lossy", "no-echo")]).args(UDP),
    // -- The port -----------------------------------------------------------------------------------------------------
    case("server-not-running", NO_SERVER, "", &[sure("port-closed", "conn-refused")]),
    case("server-not-running-over-udp", NO_SERVER, "", &[sure("port-closed", "port-unreach")]).args(UDP),
    case("server-killed-before", SERVES, "!0.1 server kill", &[sure("port-closed", "conn-refused")]),
    case("accept-queue-full", "0 server call l = tcp listen 7 backlog=1\n",
        "0.1 client call a = tcp connect server:7\n0.1 client call b = tcp connect server:7",
        &[unsure("port-silent", &["accept-queue-full", "port-filtered"], "no-response")]).at(400),
    // -- This host ----------------------------------------------------------------------------------------------------
    case("own-route-unreachable", SERVES, "!0 client route to server unreachable",
        &[sure("unreachable-route", "unreachable")]),
    case("own-route-prohibit", SERVES, "!0 client route to server prohibit",
        &[sure("prohibit-route", "perm-denied")]),
    case("own-route-blackhole", SERVES, "!0 client route to server blackhole",
        &[sure("blackhole-route", "unreachable")]),
    case("own-route-missing", SERVES, "!0 client route to server missing", &[sure("no-route", "unreachable")]),
    case("own-route-missing-over-udp", SERVES_UDP, "!0 client route to server missing",
        &[sure("no-route", "unreachable")]).args(UDP),
    case("own-ports-exhausted", SERVES, "!0 client no-ports", &[sure("no-local-ports", "no-ports")]),
    // -- The link -----------------------------------------------------------------------------------------------------
    case("host-crashed-on-the-link", NO_SERVER, "!0 server power-loss",
        &[unsure("neighbour-silent", ABSENT, "host-unreach")]).hosts(LINKED).forgetful().args(&["-W", "8s"]),
    case("host-crashed-on-the-link-over-udp", NO_SERVER, "!0 server power-loss",
        &[unsure("neighbour-silent", ABSENT, "host-unreach")]).hosts(LINKED).forgetful().args(&["--udp", "-W", "8s"]),
    case("own-cable-pulled", SERVES, "!0 client<->router unplug",
        &[unsure("gateway-silent", CUT_OFF, "host-unreach")]).forgetful(),
    case("host-crashed-behind-a-router", NO_SERVER, "!0 server power-loss", &[sure("host-unreachable", "host-unreach")]),
    case("host-crashed-behind-a-router-over-udp", NO_SERVER, "!0 server power-loss",
        &[sure("host-unreachable", "host-unreach")]).args(UDP),
    // -- The way ------------------------------------------------------------------------------------------------------
    case("host-unreachable", NO_SERVER, "!0 router route to server unreachable",
        &[sure("host-unreachable", "host-unreach")]).v4(),
    // A Linux router says `no route` of such a route.
    case("host-unreachable", NO_SERVER, "!0 router route to server unreachable",
        &[sure("net-unreachable", "no-route")]).v6(),
    case("net-unreachable", NO_SERVER, "!0 router route to server missing",
        &[sure("net-unreachable", "net-unreach")]).v4(),
    case("net-unreachable", NO_SERVER, "!0 router route to server missing", &[sure("net-unreachable", "no-route")]).v6(),
    case("prohibited", NO_SERVER, "!0 router route to server prohibit", &[sure("prohibited", "admin-prohibited")]),
    case("prohibited-over-udp", NO_SERVER, "!0 router route to server prohibit",
        &[sure("prohibited", "admin-prohibited")]).args(UDP),
    case("routing-loop", NO_SERVER, "!client->router#1 router icmp 11/0 to client",
        &[sure("ttl-exceeded", "time-exceeded")]).v4(),
    case("routing-loop", NO_SERVER, "!client->router#1 router icmp 3/0 to client",
        &[sure("ttl-exceeded", "time-exceeded")]).v6(),
    case("protocol-unreachable", NO_SERVER, "!client->router#1 server icmp 3/2 to client",
        &[sure("protocol-unreachable", "proto-unreach")]).v4(),
    case("firewall-rejects-in-its-own-name", NO_SERVER, "!client->router#1 router icmp 3/3 to client",
        &[sure("rejected", "port-unreach")]).v4(),
    case("firewall-rejects-in-its-own-name", NO_SERVER, "!client->router#1 router icmp 1/4 to client",
        &[sure("rejected", "port-unreach")]).v6(),
    case("header-rejected", NO_SERVER, "!client->router#1 router icmp 12/0 to client",
        &[sure("header-rejected", "param-problem")]).v4(),
    // -- Silence ------------------------------------------------------------------------------------------------------
    case("filtered-silently", SERVES, "!0 router route to server blackhole",
        &[unsure("silence", SILENT, "no-response")]),
    case("filtered-silently-over-udp", SERVES_UDP, "!0 router route to server blackhole",
        &[unsure("silence", SILENT_UDP, "no-response")]).args(UDP),
    case("return-path-cut", SERVES, "!0 router->client cut", &[unsure("silence", SILENT, "no-response")]),
    case("udp-server-does-not-answer", NO_SERVER, "0 server call u = udp 7",
        &[unsure("port-silent", DEAF, "no-response")]).args(UDP),
    // -- The connection -----------------------------------------------------------------------------------------------
    case("reset-at-once", LISTENS, "!client->router#2 server rst to client",
        &[unsure("reset-at-once", UNWANTED, "reset")]),
    case("closed-at-once", LISTENS, "!client->router#2 server fin to client",
        &[unsure("closed-at-once", UNWANTED, "closed-early")]),
    case("accepted-and-reset-by-linger", ACCEPTS, "1.0 server call s reset",
        &[unsure("reset-on-write", UNREAD, "reset")]),
    case("closed-without-an-answer", ACCEPTS, "1.1 server call s recv 1000\n1.2 server call s close",
        &[unsure("closed-unanswered", &["not-an-echo-server", "server-crashes", "in-between"], "closed-early")]),
    case("half-open-on-the-first-write", SERVES, "!client->router#3 server forget",
        &[unsure("reset-on-write", UNREAD, "reset")]),
    case("killed-with-unread-data", ACCEPTS, "!1.5 server kill", &[unsure("server-gone", KILLED, "reset")]),
    case("not-an-echo-server", ACCEPTS, "1.0 server call s send \"220 mail ready\"",
        &[sure("not-an-echo-server", "mismatch")]),
    case("own-cable-pulled-after", SERVES, "!1.5 client<->router unplug",
        &[unsure("gateway-silent", CUT_OFF, "host-unreach")]).args(&["--watch", "4s", "-W", "8s"]),
    // -- Later --------------------------------------------------------------------------------------------------------
    // The last is what it says if the server died with a message unread.
    case("server-process-killed", SERVES, "!1.5 server kill",
        &[sure("server-gone", "closed"), sure("server-gone", "closed-early"), unsure("server-gone", KILLED, "reset")])
        .args(WATCHING),
    case("half-open", SERVES, "!1.5 server forget", &[unsure("reset-by-peer", RESTARTED, "reset")]).args(WATCHING),
    case("crash-and-reboot", SERVES, "!1.5 server reboot 500ms",
        &[unsure("server-gone", KILLED, "reset"), unsure("reset-by-peer", RESTARTED, "reset")]).args(WATCHING),
    case("host-crash", SERVES, "!1.5 server power-loss",
        &[sure("host-unreachable", "host-unreach"), UNHEARD]).args(WATCHING),
    case("host-crash-on-the-link", SERVES, "!1.5 server power-loss",
        &[unsure("neighbour-silent", ABSENT, "host-unreach"), unsure("path-dead", DEAD, "path-dead")])
        .hosts(LINKED).args(&["--watch", "4s", "-W", "15s"]),
    case("path-cut", SERVES, "!1.5 client->router cut", &[unsure("path-dead", DEAD, "path-dead")]).args(WATCHING),
    case("path-cut-from-the-first-message", SERVES, "!client->router#3 client->router cut",
        &[unsure("path-dead", DEAD, "path-dead")]),
    case("retransmission-time-out", SERVES, "!1.5 client->router cut",
        &[unsure("path-dead", DEAD, "timed-out")]).hosts(IMPATIENT).args(&["--watch", "4s", "-W", "20s"]),
    case("host-unreachable-after", SERVES, "!1.5 router route to server unreachable",
        &[sure("host-unreachable", "host-unreach"), UNHEARD]).v4().args(WATCHING),
    case("net-unreachable-after", SERVES, "!1.5 router route to server missing",
        &[sure("net-unreachable", "net-unreach"), UNHEARD]).v4().args(WATCHING),
    case("net-unreachable-after", SERVES, "!1.5 router route to server missing",
        &[sure("net-unreachable", "no-route"), UNHEARD]).v6().args(WATCHING),
    case("prohibited-after", SERVES, "!1.5 router route to server prohibit",
        &[sure("prohibited", "admin-prohibited"), UNHEARD, UNHEARD_V6]).args(WATCHING),
    case("udp-server-killed", SERVES_UDP, "!1.5 server kill",
        &[sure("port-closed", "port-unreach")]).args(&["--udp", "--watch", "4s", "-W", "5s"]),
    case("udp-server-hangs", SERVES_UDP, "!1.5 server pause 60s", &[unsure("port-silent", DEAF, "no-echo")])
        .args(&["--udp", "--watch", "8s", "-W", "4s"]),
    case("udp-path-cut", SERVES_UDP, "!1.5 client->router cut",
        &[unsure("silence", &["filtered", "host-down", "path-cut", "not-answering"], "no-echo")])
        .args(&["--udp", "--watch", "8s", "-W", "4s"]),
    case("own-route-gone", SERVES, "!1.5 client route to server missing",
        &[sure("no-route", "unreachable")]).args(WATCHING),
    case("icmp-that-heals", SERVES, "!1.5 router route to server unreachable until 2.5", HEALTHY).v4().args(WATCHING),
    case("forged-icmp-on-a-standing-connection", SERVES, "!1.5 router icmp 3/13 to client", HEALTHY)
        .v4().args(WATCHING),
    case("forged-rst-outside-of-the-window", SERVES, "!1.5 server rst to client seq=outside", HEALTHY).args(WATCHING),
    // -- The program --------------------------------------------------------------------------------------------------
    case("server-does-not-accept", LISTENS, "",
        &[unsure("peer-stalled", &["server-hung", "not-accepted", "not-an-echo-server"], "peer-stalled")]),
    case("server-hangs", SERVES, "!1.5 server pause 60s", &[sure("peer-stalled", "peer-stalled")]).args(WATCHING),
    case("zero-window", NO_SERVER, "0 server call l = tcp listen 7 rcvbuf=4608",
        &[unsure("zero-window", &["server-hung", "not-accepted"], "write-blocked")])
        .args(&["-s", "100000", "-W", "5s"]),
];
