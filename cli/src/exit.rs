//! Exit codes: one number for each class of outcome, so that a script need not read.
//!
//! One table leads from the core's reasons to the codes. Codes are a contract: one may be added, none ever changes.

use std::process::ExitCode;

use resound_core::signal::Reason;

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Every message was echoed, every comparison held.
    Good = 0,
    /// Some messages were lost.
    SomeLost = 1,
    /// The command line cannot be understood. clap uses the same number.
    Usage = 2,
    /// A promise was broken, or runtimes differ.
    Failed = 3,
    Refused = 10,
    NoResponse = 11,
    Unreachable = 12,
    /// Reset or closed in mid-session.
    CutOff = 13,
    NoEcho = 14,
    /// Something answers, and it is no echo peer.
    NotEcho = 15,
    NameResolution = 16,
    /// This host lacks a resource or a permission.
    Local = 17,
    Interrupted = 130,
}

macro_rules! help {
    ($interrupted:literal) => {
        concat!(
            "\
Exit codes:
  0    every message echoed, all healthy
  1    some messages lost
  2    usage
  3    a promise broken, or runtimes differ (compare)
  10   refused
  11   no response
  12   unreachable
  13   reset or closed in mid-session
  14   no echo: path-dead, peer-stalled, write-blocked, no-echo, timed-out
  15   not an echo peer: mismatch, protocol, self-connect
  16   name resolution
  17   a local resource or permission is missing
  130  interrupted; statistics are still printed, ",
            $interrupted,
            "

A command line that cannot be understood leaves no document, whatever the output format."
        )
    };
}

/// For `--help`.
pub(crate) const HELP: &str = help!("a second interrupt ends at once");

/// For `serve --help`.
pub(crate) const SERVE_HELP: &str =
    help!("the first one drains (0), the second one resets,\n       the third one ends at once");

const TABLE: &[(Exit, &[Reason])] = {
    use Reason as R;
    &[
        (Exit::Refused, &[R::ConnRefused, R::PortUnreach]),
        (Exit::NoResponse, &[R::NoResponse]),
        (
            Exit::Unreachable,
            &[
                R::Unreachable,
                R::HostUnreach,
                R::NetUnreach,
                R::ProtoUnreach,
                R::NetProhibited,
                R::HostProhibited,
                R::AdminProhibited,
                R::TimeExceeded,
                R::ParamProblem,
                R::NoRoute,
                R::BeyondScope,
                R::RejectRoute,
                R::TooBig,
            ],
        ),
        (Exit::CutOff, &[R::Reset, R::Closed, R::ClosedEarly, R::BrokenPipe, R::Aborted]),
        (Exit::NoEcho, &[R::NoEcho, R::PathDead, R::PeerStalled, R::WriteBlocked, R::TimedOut]),
        (Exit::NotEcho, &[R::Mismatch, R::Protocol, R::SelfConnect]),
        (Exit::NameResolution, &[R::NameResolution]),
        (Exit::Local, &[R::PermDenied, R::NoPorts, R::NoBuffers, R::TooManyFiles, R::NetDown, R::BadAddress]),
    ]
};

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Reason> for Exit {
    /// [`Exit::SomeLost`] for a reason that is newer than this table.
    fn from(reason: Reason) -> Self {
        let row = TABLE.iter().find(|(_, reasons)| reasons.contains(&reason));
        row.map_or(Self::SomeLost, |&(exit, _)| exit)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_exactly_one_code() {
        for &reason in Reason::ALL {
            let rows = TABLE.iter().filter(|(_, reasons)| reasons.contains(&reason)).count();
            assert_eq!(rows, 1, "{reason}");
        }
    }

    #[test]
    fn the_codes_are_those_that_were_promised() {
        for (reason, code) in [
            (Reason::ConnRefused, 10),
            (Reason::NoResponse, 11),
            (Reason::HostUnreach, 12),
            (Reason::ClosedEarly, 13),
            (Reason::PeerStalled, 14),
            (Reason::Mismatch, 15),
            (Reason::NameResolution, 16),
            (Reason::PermDenied, 17),
        ] {
            assert_eq!(Exit::from(reason).code(), code, "{reason}");
        }
    }

    #[test]
    fn the_help_names_every_code() {
        let named = |help: &str| -> Vec<u8> {
            help.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()?.parse().ok()).collect()
        };
        let mut codes: Vec<u8> = TABLE.iter().map(|(exit, _)| exit.code()).collect();
        let others = [Exit::Good, Exit::SomeLost, Exit::Usage, Exit::Failed, Exit::Interrupted];
        codes.extend(others.map(Exit::code));
        codes.sort_unstable();
        assert_eq!(named(HELP), codes);
        assert_eq!(named(SERVE_HELP), codes);
    }
}
