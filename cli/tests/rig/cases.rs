//! The situations that a client can be in.

use resound_core::signal::Version::{V4, V6};

use super::{Case, Neighbours, Says, Version};

const BOTH: &[Version] = &[V4, V6];

/// No router: whoever does not answer is missed by this host itself.
const LINKED: &str = "host client ; host server\nlink client <-> server 10ms\n";

/// A case as most are.
const BASE: Case = Case {
    name: "",
    versions: BOTH,
    hosts: "",
    script: "",
    neighbours: Neighbours::Known,
    at: 150,
    args: &["-W", "5s"],
    says: &[],
};

/// What silence can be.
const SILENT: &[&str] = &["filtered", "host-down", "address-unused", "path-cut", "accept-queue-full"];
const SILENT_UDP: &[&str] = &["filtered", "host-down", "address-unused", "path-cut", "not-answering"];
const ABSENT: &[&str] = &["host-down", "address-unused", "link-cut"];
const CUT_OFF: &[&str] = &["gateway-down", "link-cut"];
const DEAD: &[&str] = &["host-down", "path-cut"];
const UDP: &[&str] = &["--udp", "-W", "5s"];
const WATCHING: &[&str] = &["--watch", "4s", "-W", "6s"];

/// What is left where the kernel tells a standing connection of an error, and drops the message about the second one: it
/// does while it is busy with that socket (`LockDroppedIcmps`), and a busy machine is.
const UNHEARD: Says = ("unreachable", &[], Some("unreachable"));
const UNHEARD_V6: Says = ("unreachable", &[], Some("perm-denied"));

pub(super) const CASES: &[Case] = &[
    // -- Nothing is wrong ---------------------------------------------------------------------------------------------
    Case { name: "healthy", script: "0 server serve 7", says: &[("healthy", &[], None)], ..BASE },
    Case {
        name: "healthy-over-udp",
        script: "0 server serve udp 7",
        args: UDP,
        says: &[("healthy", &[], None)],
        ..BASE
    },
    Case {
        name: "lost-syn",
        script: "0 server serve 7\n!client->router#1 drop",
        says: &[("healthy", &[], None)],
        ..BASE
    },
    Case {
        name: "lost-datagram",
        script: "0 server serve udp 7\n!client->router#1 drop",
        args: UDP,
        says: &[("lossy", &[], Some("no-echo"))],
        ..BASE
    },
    // -- The port -----------------------------------------------------------------------------------------------------
    Case { name: "server-not-running", says: &[("port-closed", &[], Some("conn-refused"))], ..BASE },
    Case {
        name: "server-not-running-over-udp",
        args: UDP,
        says: &[("port-closed", &[], Some("port-unreach"))],
        ..BASE
    },
    Case {
        name: "server-killed-before",
        script: "0 server serve 7\n!0.1 server kill",
        says: &[("port-closed", &[], Some("conn-refused"))],
        ..BASE
    },
    Case {
        name: "accept-queue-full",
        script: "0 server call l = tcp listen 7 backlog=1\n\
                 0.1 client call a = tcp connect server:7\n0.1 client call b = tcp connect server:7",
        at: 400,
        says: &[("port-silent", &["accept-queue-full", "port-filtered"], Some("no-response"))],
        ..BASE
    },
    // -- This host ----------------------------------------------------------------------------------------------------
    Case {
        name: "own-route-unreachable",
        script: "0 server serve 7\n!0 client route to server unreachable",
        says: &[("unreachable-route", &[], Some("unreachable"))],
        ..BASE
    },
    Case {
        name: "own-route-prohibit",
        script: "0 server serve 7\n!0 client route to server prohibit",
        says: &[("prohibit-route", &[], Some("perm-denied"))],
        ..BASE
    },
    Case {
        name: "own-route-blackhole",
        script: "0 server serve 7\n!0 client route to server blackhole",
        says: &[("blackhole-route", &[], Some("unreachable"))],
        ..BASE
    },
    Case {
        name: "own-route-missing",
        script: "0 server serve 7\n!0 client route to server missing",
        says: &[("no-route", &[], Some("unreachable"))],
        ..BASE
    },
    Case {
        name: "own-route-missing-over-udp",
        script: "0 server serve udp 7\n!0 client route to server missing",
        args: UDP,
        says: &[("no-route", &[], Some("unreachable"))],
        ..BASE
    },
    Case {
        name: "own-ports-exhausted",
        script: "0 server serve 7\n!0 client no-ports",
        says: &[("no-local-ports", &[], Some("no-ports"))],
        ..BASE
    },
    // -- The link -----------------------------------------------------------------------------------------------------
    Case {
        name: "host-crashed-on-the-link",
        neighbours: Neighbours::Forgotten,
        hosts: LINKED,
        script: "!0 server power-loss",
        args: &["-W", "8s"],
        says: &[("neighbour-silent", ABSENT, Some("host-unreach"))],
        ..BASE
    },
    Case {
        name: "host-crashed-on-the-link-over-udp",
        neighbours: Neighbours::Forgotten,
        hosts: LINKED,
        script: "!0 server power-loss",
        args: &["--udp", "-W", "8s"],
        says: &[("neighbour-silent", ABSENT, Some("host-unreach"))],
        ..BASE
    },
    Case {
        name: "own-cable-pulled",
        neighbours: Neighbours::Forgotten,
        script: "0 server serve 7\n!0 client<->router unplug",
        says: &[("gateway-silent", CUT_OFF, Some("host-unreach"))],
        ..BASE
    },
    Case {
        name: "host-crashed-behind-a-router",
        script: "!0 server power-loss",
        says: &[("host-unreachable", &[], Some("host-unreach"))],
        ..BASE
    },
    Case {
        name: "host-crashed-behind-a-router-over-udp",
        script: "!0 server power-loss",
        args: UDP,
        says: &[("host-unreachable", &[], Some("host-unreach"))],
        ..BASE
    },
    // -- The way ------------------------------------------------------------------------------------------------------
    Case {
        name: "host-unreachable",
        versions: &[V4],
        script: "!0 router route to server unreachable",
        says: &[("host-unreachable", &[], Some("host-unreach"))],
        ..BASE
    },
    // A Linux router says `no route` of such a route.
    Case {
        name: "host-unreachable",
        versions: &[V6],
        script: "!0 router route to server unreachable",
        says: &[("net-unreachable", &[], Some("no-route"))],
        ..BASE
    },
    Case {
        name: "net-unreachable",
        versions: &[V4],
        script: "!0 router route to server missing",
        says: &[("net-unreachable", &[], Some("net-unreach"))],
        ..BASE
    },
    Case {
        name: "net-unreachable",
        versions: &[V6],
        script: "!0 router route to server missing",
        says: &[("net-unreachable", &[], Some("no-route"))],
        ..BASE
    },
    Case {
        name: "prohibited",
        script: "!0 router route to server prohibit",
        says: &[("prohibited", &[], Some("admin-prohibited"))],
        ..BASE
    },
    Case {
        name: "prohibited-over-udp",
        script: "!0 router route to server prohibit",
        args: UDP,
        says: &[("prohibited", &[], Some("admin-prohibited"))],
        ..BASE
    },
    Case {
        name: "routing-loop",
        versions: &[V4],
        script: "!client->router#1 router icmp 11/0 to client",
        says: &[("ttl-exceeded", &[], Some("time-exceeded"))],
        ..BASE
    },
    Case {
        name: "routing-loop",
        versions: &[V6],
        script: "!client->router#1 router icmp 3/0 to client",
        says: &[("ttl-exceeded", &[], Some("time-exceeded"))],
        ..BASE
    },
    Case {
        name: "protocol-unreachable",
        versions: &[V4],
        script: "!client->router#1 server icmp 3/2 to client",
        says: &[("protocol-unreachable", &[], Some("proto-unreach"))],
        ..BASE
    },
    Case {
        name: "firewall-rejects-in-its-own-name",
        versions: &[V4],
        script: "!client->router#1 router icmp 3/3 to client",
        says: &[("rejected", &[], Some("port-unreach"))],
        ..BASE
    },
    Case {
        name: "firewall-rejects-in-its-own-name",
        versions: &[V6],
        script: "!client->router#1 router icmp 1/4 to client",
        says: &[("rejected", &[], Some("port-unreach"))],
        ..BASE
    },
    Case {
        name: "header-rejected",
        versions: &[V4],
        script: "!client->router#1 router icmp 12/0 to client",
        says: &[("header-rejected", &[], Some("param-problem"))],
        ..BASE
    },
    // -- Silence ------------------------------------------------------------------------------------------------------
    Case {
        name: "filtered-silently",
        script: "0 server serve 7\n!0 router route to server blackhole",
        says: &[("silence", SILENT, Some("no-response"))],
        ..BASE
    },
    Case {
        name: "filtered-silently-over-udp",
        script: "0 server serve udp 7\n!0 router route to server blackhole",
        args: UDP,
        says: &[("silence", SILENT_UDP, Some("no-response"))],
        ..BASE
    },
    Case {
        name: "return-path-cut",
        script: "0 server serve 7\n!0 router->client cut",
        says: &[("silence", SILENT, Some("no-response"))],
        ..BASE
    },
    Case {
        name: "udp-server-does-not-answer",
        script: "0 server call u = udp 7",
        args: UDP,
        says: &[("port-silent", &["not-answering", "port-filtered"], Some("no-response"))],
        ..BASE
    },
    // -- The connection -----------------------------------------------------------------------------------------------
    Case {
        name: "reset-at-once",
        script: "0 server call l = tcp listen 7\n!client->router#2 server rst to client",
        says: &[(
            "reset-at-once",
            &["peer-restricted", "server-full", "server-crashes", "in-between"],
            Some("reset"),
        )],
        ..BASE
    },
    Case {
        name: "closed-at-once",
        script: "0 server call l = tcp listen 7\n!client->router#2 server fin to client",
        says: &[(
            "closed-at-once",
            &["peer-restricted", "server-full", "server-crashes", "in-between"],
            Some("closed-early"),
        )],
        ..BASE
    },
    Case {
        name: "accepted-and-reset-by-linger",
        script: "0 server call l = tcp listen 7\n1.0 server call s = accept l\n1.0 server call s reset",
        says: &[(
            "reset-on-write",
            &["closed-unread", "host-restarted", "server-crashes", "in-between"],
            Some("reset"),
        )],
        ..BASE
    },
    Case {
        name: "closed-without-an-answer",
        script: "0 server call l = tcp listen 7\n1.0 server call s = accept l\n\
                 1.1 server call s recv 1000\n1.2 server call s close",
        says: &[(
            "closed-unanswered",
            &["not-an-echo-server", "server-crashes", "in-between"],
            Some("closed-early"),
        )],
        ..BASE
    },
    Case {
        name: "half-open-on-the-first-write",
        script: "0 server serve 7\n!client->router#3 server forget",
        says: &[(
            "reset-on-write",
            &["closed-unread", "host-restarted", "server-crashes", "in-between"],
            Some("reset"),
        )],
        ..BASE
    },
    Case {
        name: "killed-with-unread-data",
        script: "0 server call l = tcp listen 7\n1.0 server call s = accept l\n!1.5 server kill",
        says: &[("server-gone", &["server-killed", "host-restarted"], Some("reset"))],
        ..BASE
    },
    Case {
        name: "not-an-echo-server",
        script: "0 server call l = tcp listen 7\n1.0 server call s = accept l\n\
                 1.0 server call s send \"220 mail ready\"",
        says: &[("not-an-echo-server", &[], Some("mismatch"))],
        ..BASE
    },
    Case {
        name: "own-cable-pulled-after",
        script: "0 server serve 7\n!1.5 client<->router unplug",
        args: &["--watch", "4s", "-W", "8s"],
        says: &[("gateway-silent", CUT_OFF, Some("host-unreach"))],
        ..BASE
    },
    // -- Later --------------------------------------------------------------------------------------------------------
    Case {
        name: "server-process-killed",
        script: "0 server serve 7\n!1.5 server kill",
        args: WATCHING,
        says: &[
            ("server-gone", &[], Some("closed")),
            ("server-gone", &[], Some("closed-early")),
            // It died with a message unread.
            ("server-gone", &["server-killed", "host-restarted"], Some("reset")),
        ],
        ..BASE
    },
    Case {
        name: "half-open",
        script: "0 server serve 7\n!1.5 server forget",
        args: WATCHING,
        says: &[("reset-by-peer", &["server-restarted", "host-restarted", "in-between"], Some("reset"))],
        ..BASE
    },
    Case {
        name: "crash-and-reboot",
        script: "0 server serve 7\n!1.5 server reboot 500ms",
        args: WATCHING,
        says: &[
            ("server-gone", &["server-killed", "host-restarted"], Some("reset")),
            ("reset-by-peer", &["server-restarted", "host-restarted", "in-between"], Some("reset")),
        ],
        ..BASE
    },
    Case {
        name: "host-crash",
        script: "0 server serve 7\n!1.5 server power-loss",
        args: WATCHING,
        says: &[("host-unreachable", &[], Some("host-unreach")), UNHEARD],
        ..BASE
    },
    Case {
        name: "host-crash-on-the-link",
        hosts: LINKED,
        script: "0 server serve 7\n!1.5 server power-loss",
        args: &["--watch", "4s", "-W", "15s"],
        says: &[("neighbour-silent", ABSENT, Some("host-unreach")), ("path-dead", DEAD, Some("path-dead"))],
        ..BASE
    },
    Case {
        name: "path-cut",
        script: "0 server serve 7\n!1.5 client->router cut",
        args: WATCHING,
        says: &[("path-dead", DEAD, Some("path-dead"))],
        ..BASE
    },
    Case {
        name: "path-cut-from-the-first-message",
        script: "0 server serve 7\n!client->router#3 client->router cut",
        says: &[("path-dead", DEAD, Some("path-dead"))],
        ..BASE
    },
    Case {
        name: "retransmission-time-out",
        hosts: "host client tcp_retries2=3 tcp_rto_max_ms=1000 ; router router ; host server\n\
                link client <-> router 10ms ; link router <-> server 1ms\n",
        script: "0 server serve 7\n!1.5 client->router cut",
        args: &["--watch", "4s", "-W", "20s"],
        says: &[("path-dead", DEAD, Some("timed-out"))],
        ..BASE
    },
    Case {
        name: "host-unreachable-after",
        versions: &[V4],
        script: "0 server serve 7\n!1.5 router route to server unreachable",
        args: WATCHING,
        says: &[("host-unreachable", &[], Some("host-unreach")), UNHEARD],
        ..BASE
    },
    Case {
        name: "net-unreachable-after",
        versions: &[V4],
        script: "0 server serve 7\n!1.5 router route to server missing",
        args: WATCHING,
        says: &[("net-unreachable", &[], Some("net-unreach")), UNHEARD],
        ..BASE
    },
    Case {
        name: "net-unreachable-after",
        versions: &[V6],
        script: "0 server serve 7\n!1.5 router route to server missing",
        args: WATCHING,
        says: &[("net-unreachable", &[], Some("no-route")), UNHEARD],
        ..BASE
    },
    Case {
        name: "prohibited-after",
        script: "0 server serve 7\n!1.5 router route to server prohibit",
        args: WATCHING,
        says: &[("prohibited", &[], Some("admin-prohibited")), UNHEARD, UNHEARD_V6],
        ..BASE
    },
    Case {
        name: "udp-server-killed",
        script: "0 server serve udp 7\n!1.5 server kill",
        args: &["--udp", "--watch", "4s", "-W", "5s"],
        says: &[("port-closed", &[], Some("port-unreach"))],
        ..BASE
    },
    Case {
        name: "udp-server-hangs",
        script: "0 server serve udp 7\n!1.5 server pause 60s",
        args: &["--udp", "--watch", "8s", "-W", "4s"],
        says: &[("port-silent", &["not-answering", "port-filtered"], Some("no-echo"))],
        ..BASE
    },
    Case {
        name: "udp-path-cut",
        script: "0 server serve udp 7\n!1.5 client->router cut",
        args: &["--udp", "--watch", "8s", "-W", "4s"],
        says: &[("silence", &["filtered", "host-down", "path-cut", "not-answering"], Some("no-echo"))],
        ..BASE
    },
    Case {
        name: "own-route-gone",
        script: "0 server serve 7\n!1.5 client route to server missing",
        args: WATCHING,
        says: &[("no-route", &[], Some("unreachable"))],
        ..BASE
    },
    Case {
        name: "icmp-that-heals",
        versions: &[V4],
        script: "0 server serve 7\n!1.5 router route to server unreachable until 2.5",
        args: WATCHING,
        says: &[("healthy", &[], None)],
        ..BASE
    },
    Case {
        name: "forged-icmp-on-a-standing-connection",
        versions: &[V4],
        script: "0 server serve 7\n!1.5 router icmp 3/13 to client",
        args: WATCHING,
        says: &[("healthy", &[], None)],
        ..BASE
    },
    Case {
        name: "forged-rst-outside-of-the-window",
        script: "0 server serve 7\n!1.5 server rst to client seq=outside",
        args: WATCHING,
        says: &[("healthy", &[], None)],
        ..BASE
    },
    // -- The program --------------------------------------------------------------------------------------------------
    Case {
        name: "server-does-not-accept",
        script: "0 server call l = tcp listen 7",
        says: &[(
            "peer-stalled",
            &["server-hung", "not-accepted", "not-an-echo-server"],
            Some("peer-stalled"),
        )],
        ..BASE
    },
    Case {
        name: "server-hangs",
        script: "0 server serve 7\n!1.5 server pause 60s",
        args: WATCHING,
        says: &[("peer-stalled", &[], Some("peer-stalled"))],
        ..BASE
    },
    Case {
        name: "zero-window",
        script: "0 server call l = tcp listen 7 rcvbuf=4608",
        args: &["-s", "100000", "-W", "5s"],
        says: &[("zero-window", &["server-hung", "not-accepted"], Some("write-blocked"))],
        ..BASE
    },
];
