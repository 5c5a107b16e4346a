//! The textbook: the situations that a client can be in, what each means, and what to try.
//!
//! A [`Situation`] is what was observed, and holds for certain. Where different things would look the same from here,
//! those are its [`Candidate`]s, and `decide` says what would tell them apart.

/// What there is to say about a situation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The name.
    pub(super) word: &'static str,
    /// In a few words; `{who}` is whoever said so.
    pub(super) headline: &'static str,
    pub(super) means: &'static str,
    pub(super) advice: &'static [&'static str],
    /// What would tell the candidates apart, where there are any.
    pub(super) decide: Option<&'static str>,
}

macro_rules! situations {
    ($($variant:ident $word:literal $headline:literal $means:literal [$($advice:literal),* $(,)?] $(decide $decide:literal)?;)*) => {
        /// What was observed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(super) enum Situation {
            $($variant,)*
        }

        impl Situation {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$variant),*];

            pub(super) const fn entry(self) -> Entry {
                match self {
                    $(Self::$variant => Entry {
                        word: $word,
                        headline: $headline,
                        means: $means,
                        advice: &[$($advice),*],
                        decide: situations!(@decide $($decide)?),
                    },)*
                }
            }
        }
    };
    (@decide) => { None };
    (@decide $decide:literal) => { Some($decide) };
}

situations! {
    Healthy "healthy"
        "every message came back"
        "The path works both ways, and a program answers."
        [];
    Lossy "lossy"
        "some messages came back, and some did not"
        "The path and the server work, and lose datagrams: a busy link, a full receive queue at the server, or a filter that limits rates."
        ["measure how many: `resound ping --udp -c 100 TARGET`", "look at `nstat -az UdpRcvbufErrors` on the server's host"];

    // -- This host ------------------------------------------------------------------------------------------------
    NameNotFound "name-not-found"
        "the name has no address"
        "The resolver of this host knows no address for that name, or could not be asked."
        ["check the spelling", "ask the resolver itself: `getent ahosts NAME`", "give an address instead"];
    NoRoute "no-route"
        "this host has no route to it"
        "Nothing was sent. The routing table has no entry for the destination, or the link that it leads through is down."
        ["look at the route: `ip route get ADDRESS`", "look at the links: `ip -br link`"];
    UnreachableRoute "unreachable-route"
        "a route of this host says that it is unreachable"
        "Nothing was sent. Somebody has set a route of the type `unreachable` for the destination on this host."
        ["find it: `ip route get ADDRESS`, `ip route show type unreachable`"];
    ProhibitRoute "prohibit-route"
        "a route of this host prohibits it"
        "Nothing was sent. Somebody has set a route of the type `prohibit` for the destination on this host."
        ["find it: `ip route get ADDRESS`, `ip route show type prohibit`"];
    BlackholeRoute "blackhole-route"
        "a blackhole route of this host swallows it, or the address cannot be used"
        "Nothing was sent: EINVAL. Linux says so of a route of the type `blackhole`, and of an address that cannot be a destination."
        ["find the route: `ip route get ADDRESS`, `ip route show type blackhole`"];
    Broadcast "broadcast-address"
        "that is a broadcast address"
        "Nothing was sent. The address belongs to no single host: in that network it is everybody's."
        ["give the address of one host", "check the prefix length of this host's own address: `ip -br addr`"];
    NoSource "no-source-address"
        "this host has no address to ask from"
        "Nothing was sent. This host has no usable address of that family, or does not speak it at all."
        ["look at the addresses: `ip -br addr`", "give an address of the other IP version"];
    NoPorts "no-local-ports"
        "this host has no local port left for it"
        "Nothing was sent. All ports of `net.ipv4.ip_local_port_range` are taken for that destination, by open connections or by those in TIME_WAIT."
        ["count them: `ss -tan dst ADDRESS | wc -l`", "find out who opens so many connections, and keep them open instead"];
    NoResources "no-local-resources"
        "this host lacks what a socket needs"
        "Nothing was sent. A limit of this process or of this host is reached: descriptors, memory, buffers."
        ["look at the limits: `ulimit -n`, `cat /proc/sys/fs/file-nr`"];
    NotPermitted "not-permitted"
        "this host does not permit it"
        "A packet filter or a security policy of this host forbids this program to send there."
        ["look at the filter: `nft list ruleset`, `iptables -L OUTPUT -nv`", "look at the audit log for a denial by SELinux, AppArmor or a cgroup's policy"];
    LocalReject "local-reject"
        "a filter of this host rejects it"
        "The ICMP error comes from this host's own address: a packet filter here rejects what this program sends, in the manner of a router."
        ["look at the filter: `nft list ruleset`, `iptables -L OUTPUT -nv`"];

    // -- The link -------------------------------------------------------------------------------------------------
    NeighbourSilent "neighbour-silent"
        "on this link nobody answers for that address"
        "This host itself says so: it asked for the hardware address (ARP, or neighbour discovery), and nobody answered. A filter of this host that rejects with `host unreachable` looks the same."
        ["see whether anything on that link answers: `ip neigh`", "see whether the host has power and a link", "check that the address and the prefix length are right"]
        decide "whether anything else on that link answers, and whether the address is in use";
    GatewaySilent "gateway-silent"
        "the next hop, {who}, does not answer on this link"
        "This host itself says so: it asked for the hardware address of its gateway, and nobody answered. The destination was never asked."
        ["see whether anything on that link answers: `ip neigh`", "see whether the gateway is up, and whether other destinations behind it answer", "check the route: `ip route get ADDRESS`"]
        decide "whether anything else on that link answers";

    // -- The way --------------------------------------------------------------------------------------------------
    HostUnreachable "host-unreachable"
        "{who} says that the host cannot be reached"
        "The packets get as far as the one who says so. Usually the host behind it is down, or nobody has that address. It claims to be a router; ICMP can be forged."
        ["see whether the host is up, on its own link", "check the address"];
    NetUnreachable "net-unreachable"
        "{who} says that there is no way to that network"
        "The packets get as far as the one who says so; it has no route any further. It claims to be a router; ICMP can be forged."
        ["follow the path: `traceroute ADDRESS`, `mtr ADDRESS`", "check the routes of that router, and whether its uplink stands"];
    Prohibited "prohibited"
        "{who} says that this is prohibited"
        "A filter or a policy on the way rejects these packets, and says so. It claims to be where it says; ICMP can be forged."
        ["ask whoever runs that filter to permit this source, destination and port", "try from another network"];
    Rejected "rejected"
        "{who} says, in the host's stead, that nothing listens there"
        "A port-unreachable from an address that is not the destination is the work of a firewall that rejects, or of address translation."
        ["ask whoever runs that firewall to permit this source, destination and port"];
    TtlExceeded "ttl-exceeded"
        "{who} says that the packets run out of hops"
        "A routing loop: the packets go round in circles until they are dropped. Or the path is longer than this host's hop limit."
        ["see the circle: `traceroute ADDRESS`", "tell whoever runs those routers", "look at the hop limit here: `sysctl net.ipv4.ip_default_ttl`"];
    ProtocolUnreachable "protocol-unreachable"
        "{who} says that it does not speak this protocol"
        "The host, or a firewall in its name, has no TCP or UDP for that address."
        ["check the address", "ask whoever runs the host"];
    HeaderRejected "header-rejected"
        "{who} could not handle the header of the packets"
        "Somebody on the way, or the host, says that there is something wrong with the packets' header: an option, an extension, a length."
        ["see whether this host adds IP options or extension headers", "try from another host"];
    SourceRejected "source-rejected"
        "{who} says that this host's address is not valid as far as there"
        "The source address has a smaller scope than the path: link-local or site-local to global."
        ["look which source was taken: `ip -6 route get ADDRESS`", "give this host an address of the right scope"];
    Unreachable "unreachable"
        "it cannot be reached, and it is not told who says so"
        "The kernel was told that the destination cannot be reached, and passes on only an error number."
        ["follow the path: `traceroute ADDRESS`", "listen: `tcpdump -n icmp or icmp6`"];
    TooBig "too-big"
        "the message is too big for the path"
        "A datagram of that size does not go through, and may not be cut."
        ["try a smaller --size"];

    // -- Silence --------------------------------------------------------------------------------------------------
    Silence "silence"
        "nobody says anything"
        "The packets leave this host, and nothing comes back: no answer, no refusal, no ICMP error."
        ["ask from another network, and from one next to the host", "see where the path ends: `traceroute -T -p PORT ADDRESS`", "listen on the host: `tcpdump -n port PORT` tells whether the packets arrive"]
        decide "whether the packets arrive at the host: `tcpdump` there, or an attempt from its own link";
    PortSilent "port-silent"
        "the host answers, but not on this port"
        "Something else on the same address did answer, so the host and the path work. This port alone is silent."
        ["look at the queue on the host: `ss -ltn sport = :PORT`, Recv-Q against Send-Q", "look at the filter of the host and before it"]
        decide "`ss -ltn` on the host (a full queue), or `tcpdump` there (a filter before it)";

    // -- The port -------------------------------------------------------------------------------------------------
    PortClosed "port-closed"
        "refused: the host, or somebody in its name, says that nothing listens on that port"
        "The server is not running, or listens on another port or another address. A firewall that refuses in the host's name looks the same."
        ["start the server, or look for it on its host: `ss -lntu`", "check the port", "check that the server does not listen on 127.0.0.1 only"];
    SelfConnect "self-connect"
        "the connection led to itself"
        "Nothing listens on that port of this host, and the kernel chose the very same port to connect from."
        ["start the server", "give it a port outside of `net.ipv4.ip_local_port_range`"];

    // -- The connection -------------------------------------------------------------------------------------------
    ResetAtOnce "reset-at-once"
        "the connection is accepted, and reset before anything is sent"
        "The other kernel accepted, and then somebody reset the connection."
        ["read the log of the server", "see whether it limits connections or addresses", "see whether a proxy or a load balancer stands before it, without a server behind"]
        decide "the log of the server: if it never saw the connection, somebody in between reset it";
    ClosedAtOnce "closed-at-once"
        "the connection is accepted, and closed before anything is sent"
        "A program accepted the connection and closed it in good order, without waiting for a word."
        ["read the log of the server", "see whether it limits connections or addresses"]
        decide "the log of the server";
    ResetOnWrite "reset-on-write"
        "the connection stands until something is sent, and is reset then"
        "The first bytes were answered with a RST: whoever got them knows no such connection, or has closed it with these bytes unread."
        ["see whether a proxy or a SYN filter accepts in the server's name", "see whether the host has restarted meanwhile", "read the log of the server"]
        decide "`tcpdump` on the server's host: whether the connection was ever there";
    ClosedUnanswered "closed-unanswered"
        "the peer takes the message, and closes without an answer"
        "A program took the message and closed the connection in good order: it did not like what it read, or speaks another protocol."
        ["check that an echo server listens on that port", "read its log"]
        decide "the log of the server";
    ServerGone "server-gone"
        "the connection ended, and now nothing listens on that port"
        "The host is alive. The program that held the connection has ended, and nobody has taken its place."
        ["start the server again", "see why it ended: its log, `journalctl`, `dmesg` for the OOM killer"]
        decide "the uptime of the host";
    ClosedLater "closed-by-peer"
        "the peer closed the connection after it had answered"
        "The program at the other end closed the connection in good order, and listens still: it was restarted, or it does not want connections to last."
        ["see whether the server limits how long a connection lasts, or how long it may be idle", "read its log"]
        decide "whether its process is still the same one";
    ResetLater "reset-by-peer"
        "the connection was reset after it had answered"
        "It worked, and then a RST came, which claims to be from the peer."
        ["see whether the server or its host was restarted", "see whether something on the way ends connections that are idle or old"]
        decide "the uptime of the server and of its host, and `tcpdump` there";
    PeerStalled "peer-stalled"
        "the other kernel acknowledges, and no program answers"
        "The path and the host are fine: every byte was acknowledged. What is missing is the program's answer."
        ["see what the server does: `ss -tnp` (Recv-Q), its stack, its log", "send more than its buffers hold (`--size 1000000`): a program that does not read closes the window", "check that it is an echo server"]
        decide "`ss -tn` on the server's host: a Recv-Q that stays means that nobody reads; on the listening socket, that nobody accepts";
    ZeroWindow "zero-window"
        "the peer has stopped reading"
        "Its receive buffer is full, its window closed; the other kernel still acknowledges. The program there does not read."
        ["see what the server does: `ss -tnp` (Recv-Q), its stack, its log"]
        decide "`ss -ltn` on the server's host: whether the connection was ever accepted";
    PathDead "path-dead"
        "the connection stood, and then nothing came back any more"
        "What was sent is sent again and again, and not even the other kernel acknowledges it; nor does anything else there answer."
        ["see whether the host is up", "see whether a link or a route changed just now: `ip monitor`, `mtr ADDRESS`"]
        decide "whether anything at all arrives at the host: `tcpdump` there, or an attempt from its own link";
    FlowDead "flow-dead"
        "this connection is dead, although the host answers elsewhere"
        "What was sent on the connection is not acknowledged, while other packets to the same host are answered: only this flow is dropped."
        ["see whether a firewall or address translation on the way forgets connections, or drops what it does not like", "see whether small messages pass and large ones do not (`--size`): then it is the path's MTU"]
        decide "`tcpdump` on both hosts: where the packets of this one connection end";
    NoEcho "no-echo"
        "no answer came, and it cannot be told who is at fault"
        "The connection stands, and what the kernel knows fits more than one explanation."
        ["wait longer (-W)", "ask again"]
        decide "a longer wait (-W)";

    // -- The peer -------------------------------------------------------------------------------------------------
    NotEcho "not-an-echo-server"
        "something answers, and it is not an echo"
        "A program answers with other bytes than it was sent. The path, the host and the port are fine."
        ["check the port", "look at what it said, above"];
    AnswerElsewhere "answer-from-elsewhere"
        "the echo comes from another address than was asked: {who}"
        "The server has several addresses, and answers from the one that its routes prefer. A connected client never sees such an answer, and a firewall drops it."
        ["bind the server to one address, or make it answer from the address that was asked (IP_PKTINFO)"];
}

macro_rules! candidates {
    ($($variant:ident $word:literal $explain:literal;)*) => {
        /// What can lie behind a situation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(super) enum Candidate {
            $($variant,)*
        }

        impl Candidate {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name.
            pub(super) const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it would be.
            pub(super) const fn explain(self) -> &'static str {
                match self { $(Self::$variant => $explain,)* }
            }
        }
    };
}

candidates! {
    HostDown "host-down" "the host is down, or off its link";
    AddressUnused "address-unused" "nobody has that address";
    GatewayDown "gateway-down" "the gateway is down, or off its link";
    LinkCut "link-cut" "this host's own link is cut: a cable, a switch, a radio";
    Filtered "filtered" "a firewall on the way drops the packets without a word";
    LocalFilter "local-filter" "a packet filter of this host drops them: it did with a datagram";
    PathCut "path-cut" "the path is broken, there or on the way back";
    PortFiltered "port-filtered" "a firewall drops what goes to this port";
    AcceptQueueFull "accept-queue-full" "the server listens and does not accept; its queue is full, and further SYNs are dropped";
    ServerHung "server-hung" "the server has the connection, and does not do its work";
    NotAccepted "not-accepted" "the connection waits in the queue, and the server does not accept it";
    NotEcho "not-an-echo-server" "the server reads, and waits for something else than an echo client sends";
    NotAnswering "not-answering" "a server got it, and did not answer: it hangs, its queue is full, or it is no echo server";
    PeerRestricted "peer-restricted" "the server does not want this client";
    ServerFull "server-full" "the server has as many connections as it wants";
    ServerCrashes "server-crashes" "the process that took the connection died";
    ServerRestarted "server-restarted" "the server was restarted";
    ServerKilled "server-killed" "the server's process was killed";
    LimitsSessions "session-limit" "the server ends connections that are idle or old";
    HostRestarted "host-restarted" "the host was restarted, and knows the connection no more";
    ClosedUnread "closed-unread" "the server closed the connection without reading the message";
    InBetween "in-between" "somebody on the way (proxy, load balancer, firewall) did it in the peer's name";
    FlowForgotten "flow-forgotten" "a stateful firewall or address translation forgot the connection";
    MtuBlackHole "mtu-black-hole" "packets of that size are dropped, and the ICMP that says so is lost";
}

impl Candidate {
    /// Whether this host cannot be the one that it speaks of: it has the address, and has been up all along.
    pub(super) const fn is_of_another_host(self) -> bool {
        matches!(self, Self::HostDown | Self::AddressUnused | Self::HostRestarted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_its_own() {
        let mut words: Vec<&str> = Situation::ALL.iter().map(|situation| situation.entry().word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Situation::ALL.len());
        let mut words: Vec<&str> = Candidate::ALL.iter().map(|candidate| candidate.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Candidate::ALL.len());
    }

    #[test]
    fn whatever_is_wrong_comes_with_advice() {
        for situation in Situation::ALL {
            let Entry { word, headline, means, advice, .. } = situation.entry();
            assert!(!advice.is_empty() || *situation == Situation::Healthy, "{word}");
            assert!(!headline.ends_with('.') && means.ends_with('.'), "{word}");
        }
    }
}
