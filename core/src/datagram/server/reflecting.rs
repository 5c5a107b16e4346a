//! The ports that are never answered, because of what listens there.
//!
//! An attacker who forges such a source makes this server talk to that service. If the service answers whatever it
//! gets, the two never stop; if its answers are larger than the questions, this server hides who asked.
//!
//! Most of these ports lie below 1024, where no client's own port is chosen from. Those above are few, because an
//! address translator may give one to an honest client, which then gets no answer.
//!
//! Sources: RFC 862, 864, 865, 867, 868 (services that answer anything); CVE-2024-2169 (services that answer errors
//! with errors: CERT/CC VU#417980); US-CERT TA14-017A (services that amplify).

/// How a service answers what it never asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Habit {
    /// It sends back what it gets.
    Echoes,
    /// It answers anything, whatever it says.
    Answers,
    /// It answers what it does not understand with an error.
    Complains,
    /// It answers a short question with much more.
    Amplifies,
}

/// A port from which nothing is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reflecting {
    /// The port.
    pub port: u16,
    /// The service that it belongs to.
    pub service: &'static str,
    /// Why nothing is sent there.
    pub habit: Habit,
}

impl Reflecting {
    /// The entry of [`REFLECTING`] for this port.
    #[must_use]
    pub fn find(port: u16) -> Option<&'static Self> {
        REFLECTING.binary_search_by_key(&port, |entry| entry.port).ok().map(|at| &REFLECTING[at])
    }
}

const fn port(port: u16, service: &'static str, habit: Habit) -> Reflecting {
    Reflecting { port, service, habit }
}

/// Every port from which nothing is answered, whatever the configuration says; sorted.
pub const REFLECTING: &[Reflecting] = &[
    port(7, "echo", Habit::Echoes),
    port(11, "systat", Habit::Answers),
    port(13, "daytime", Habit::Answers),
    port(17, "qotd", Habit::Answers),
    port(19, "chargen", Habit::Answers),
    port(37, "time", Habit::Answers),
    port(53, "dns", Habit::Complains),
    port(69, "tftp", Habit::Complains),
    port(111, "portmap", Habit::Amplifies),
    port(123, "ntp", Habit::Complains),
    port(137, "netbios-ns", Habit::Amplifies),
    port(161, "snmp", Habit::Amplifies),
    port(389, "cldap", Habit::Amplifies),
    port(520, "rip", Habit::Amplifies),
    port(1434, "ms-sql-m", Habit::Amplifies),
    port(1900, "ssdp", Habit::Amplifies),
    port(3702, "ws-discovery", Habit::Amplifies),
    port(5353, "mdns", Habit::Amplifies),
    port(7007, "resound", Habit::Echoes),
    port(11211, "memcached", Habit::Amplifies),
];

/// [`Reflecting::find`] hangs on it.
const _: () = {
    let mut at = 1;
    while at < REFLECTING.len() {
        assert!(REFLECTING[at - 1].port < REFLECTING[at].port);
        at += 1;
    }
};
