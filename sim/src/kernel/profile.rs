//! Which system a kernel behaves like, and its settings.

/// Which system a kernel behaves like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Linux 6.x; its rows say where they were verified.
    #[default]
    Linux,
    /// One that nobody has verified: what it does was read or heard of.
    Unverified(Unverified),
}

/// A system whose rows nobody has verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unverified {
    /// macOS, as its published source reads (xnu `bsd/netinet`).
    MacOs,
    /// Windows, as its documentation and bug reports tell.
    Windows,
    /// A Linux that does not let ICMP end a connect, as RFC 1122 §4.2.3.9 asks and 0a8de364ff7a did before it was
    /// reverted.
    LinuxPatient,
}

macro_rules! sysctls {
    ($($variant:ident $name:literal $default:literal $doc:literal;)*) => {
        /// A setting of a kernel, by the name that Linux gives it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Sysctl {
            $(#[doc = $doc] $variant,)*
        }

        impl Sysctl {
            /// Every setting.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What Linux 6.x has.
            #[must_use]
            pub const fn default_value(self) -> u64 {
                match self { $(Self::$variant => $default),* }
            }
        }
    };
}

sysctls! {
    SynRetries "tcp_syn_retries" 6 "How often a SYN is sent again.";
    SynLinearTimeouts "tcp_syn_linear_timeouts" 4 "How many of these follow each other at the same distance.";
    SynAckRetries "tcp_synack_retries" 5 "How often a SYN-ACK is sent again.";
    Retries2 "tcp_retries2" 15 "How often data is sent again before the connection is given up.";
    RtoMinMs "tcp_rto_min_ms" 200 "The least retransmission time-out, in milliseconds (`TCP_RTO_MIN`).";
    RtoMaxMs "tcp_rto_max_ms" 120_000 "The longest retransmission time-out, in milliseconds.";
    OrphanRetries "tcp_orphan_retries" 0 "The same for a connection without a program; 0 stands for 8.";
    FinTimeout "tcp_fin_timeout" 60 "For how many seconds a connection without a program waits for the peer's FIN.";
    TimeWait "tcp_timewait_len" 60 "For how many seconds TIME_WAIT lasts (a constant in Linux).";
    SoMaxConn "somaxconn" 4_096 "The longest queue of a listener.";
    PortLow "ip_local_port_low" 32_768 "The first port that is given out (`ip_local_port_range`).";
    PortHigh "ip_local_port_high" 60_999 "The last one.";
    ReceiveBuffer "rmem_default" 212_992 "Bytes that a socket keeps for its program, as the kernel counts them.";
    SendBuffer "wmem_default" 212_992 "Bytes that a socket keeps for the network, as the kernel counts them.";
    IcmpRateLimit "icmp_ratelimit" 1_000 "Milliseconds between two ICMP errors to one host, beyond a burst of six.";
    InvalidRateLimit "tcp_invalid_ratelimit" 500 "Milliseconds between two answers to segments out of the window.";
}

/// The settings of one kernel: Linux' defaults, but for those that were set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctls([u64; Sysctl::ALL.len()]);

impl Default for Sysctls {
    fn default() -> Self {
        let mut values = [0; Sysctl::ALL.len()];
        for &sysctl in Sysctl::ALL {
            values[sysctl as usize] = sysctl.default_value();
        }
        Self(values)
    }
}

impl Sysctls {
    /// What it is set to.
    #[must_use]
    #[inline]
    pub const fn get(&self, sysctl: Sysctl) -> u64 {
        self.0[sysctl as usize]
    }

    /// Sets it.
    pub const fn set(&mut self, sysctl: Sysctl, value: u64) {
        self.0[sysctl as usize] = value;
    }

    /// The ports that are given out: first and last.
    #[must_use]
    pub fn port_range(&self) -> (u16, u16) {
        let low = u16::try_from(self.get(Sysctl::PortLow)).unwrap_or(u16::MAX).max(1);
        let high = u16::try_from(self.get(Sysctl::PortHigh)).unwrap_or(u16::MAX);
        (low, high.max(low))
    }
}
