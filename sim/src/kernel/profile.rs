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

/// The greatest `int`.
const INT_MAX: u64 = i32::MAX as u64;

macro_rules! sysctls {
    ($($variant:ident $name:literal $default:literal ($least:literal to $most:expr) $doc:literal;)*) => {
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

            /// The least and the greatest value that Linux takes (`proc_dointvec_minmax` and its kin); of what cannot be
            /// set there, what makes sense.
            #[must_use]
            pub const fn bounds(self) -> (u64, u64) {
                match self { $(Self::$variant => ($least, $most)),* }
            }
        }
    };
}

sysctls! {
    SynRetries "tcp_syn_retries" 6 (1 to 127) "How often a SYN is sent again.";
    SynLinearTimeouts "tcp_syn_linear_timeouts" 4 (0 to 127) "How many of these follow each other at the same distance.";
    SynAckRetries "tcp_synack_retries" 5 (0 to 255) "How often a SYN-ACK is sent again.";
    Retries2 "tcp_retries2" 15 (0 to 255) "How often data is sent again before the connection is given up.";
    RtoMinMs "tcp_rto_min_ms" 200 (1 to 120_000) "The least retransmission time-out, in milliseconds (`TCP_RTO_MIN`).";
    RtoMaxMs "tcp_rto_max_ms" 120_000 (1_000 to 120_000) "The longest retransmission time-out, in milliseconds.";
    OrphanRetries "tcp_orphan_retries" 0 (0 to 255) "The same for a connection without a program; 0 stands for 8.";
    FinTimeout "tcp_fin_timeout" 60 (0 to INT_MAX / 1_000) "For how many seconds a connection without a program waits for the peer's FIN.";
    TimeWait "tcp_timewait_len" 60 (1 to 86_400) "For how many seconds TIME_WAIT lasts (a constant in Linux).";
    SoMaxConn "somaxconn" 4_096 (0 to INT_MAX) "The longest queue of a listener.";
    PortLow "ip_local_port_low" 32_768 (1 to 65_535) "The first port that is given out (`ip_local_port_range`).";
    PortHigh "ip_local_port_high" 60_999 (1 to 65_535) "The last one.";
    ReceiveBuffer "rmem_default" 212_992 (2_304 to INT_MAX) "Bytes that a socket keeps for its program, as the kernel counts them.";
    SendBuffer "wmem_default" 212_992 (4_608 to INT_MAX) "Bytes that a socket keeps for the network, as the kernel counts them.";
    IcmpRateLimit "icmp_ratelimit" 1_000 (0 to INT_MAX) "Milliseconds between two ICMP errors to one host, beyond a burst of six.";
    InvalidRateLimit "tcp_invalid_ratelimit" 500 (0 to INT_MAX) "Milliseconds between two answers to segments out of the window.";
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

    /// Sets it: to the nearest that is within its [bounds](Sysctl::bounds), so that no kernel has to do with a setting that
    /// none could have.
    pub const fn set(&mut self, sysctl: Sysctl, value: u64) {
        let (least, most) = sysctl.bounds();
        self.0[sysctl as usize] = if value < least {
            least
        } else if value > most {
            most
        } else {
            value
        };
    }

    /// The ports that are given out: first and last.
    #[must_use]
    pub fn port_range(&self) -> (u16, u16) {
        let low = u16::try_from(self.get(Sysctl::PortLow)).unwrap_or(u16::MAX).max(1);
        let high = u16::try_from(self.get(Sysctl::PortHigh)).unwrap_or(u16::MAX);
        (low, high.max(low))
    }
}
