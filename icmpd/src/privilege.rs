//! Giving up what is no longer needed, for ever.
//!
//! The one thing that needs a privilege is to open the raw sockets. After that, all capabilities go: effective, permitted,
//! inheritable and ambient, and `no_new_privs` makes sure that no `execve` brings any back, not even for root
//! (prctl(2), capabilities(7)). What was done is not believed but read back from `/proc`.
//!
//! Capabilities belong to threads. Only the calling thread's can be dropped, and threads that it starts later inherit
//! that; so this comes before any thread is started, and it is an error if another one still has some.

use core::fmt;
use std::io;

use nix::unistd::{setgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

pub use nix::unistd::{Group, User};

use crate::listener::Access;

/// Who the daemon is to be, and whom it serves. Nobody in particular: whoever started it.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// To run as this user.
    pub user: Option<User>,
    /// To let this group's members connect.
    pub group: Option<Group>,
}

impl Identity {
    /// Who may connect, accordingly.
    #[must_use]
    pub fn access(&self) -> Access {
        self.group.clone().map_or(Access::Owner, Access::Group)
    }
}

/// The user of that name.
///
/// # Errors
///
/// If there is none, or the system's directory of users does not answer.
pub fn user(name: &str) -> io::Result<User> {
    User::from_name(name)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such user"))
}

/// The group of that name.
///
/// # Errors
///
/// If there is none, or the system's directory of groups does not answer.
pub fn group(name: &str) -> io::Result<Group> {
    Group::from_name(name)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such group"))
}

/// Why privileges could not be given up. Do not go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum StillPrivileged {
    /// To change the user needs CAP_SETUID and CAP_SETGID.
    User(String, io::Error),
    /// The system refused to let go.
    System(io::Error),
    /// This thread of the process has a capability left, or could get one: a line of its `/proc` status.
    Thread(String),
}

/// Gives up all capabilities, and root's user id if another is wanted.
///
/// The group, if there is one, becomes the only supplementary group where that is allowed, so that the daemon can give it
/// the Unix socket; a user who is a member of it needs no privilege for that.
///
/// # Errors
///
/// If anything is left.
pub fn give_up(identity: &Identity) -> Result<(), StillPrivileged> {
    let system = |error: rustix::io::Errno| StillPrivileged::System(error.into());
    let has = capabilities(None).map_err(system)?.effective;
    if let Some(user) = &identity.user {
        let groups: Vec<_> = identity.group.iter().map(|group| group.gid).collect();
        let changed = setgroups(&groups)
            .and_then(|()| setresgid(user.gid, user.gid, user.gid))
            .and_then(|()| setresuid(user.uid, user.uid, user.uid));
        changed.map_err(|number| StillPrivileged::User(user.name.clone(), number.into()))?;
    } else if let (Some(group), true) = (&identity.group, has.contains(CapabilitySet::SETGID)) {
        setgroups(&[group.gid]).map_err(|number| StillPrivileged::System(number.into()))?;
    }
    clear_ambient_capability_set().map_err(system)?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).map_err(system)?;
    set_no_new_privs(true).map_err(system)?;
    check()
}

/// Reads back what each thread of this process has left.
fn check() -> Result<(), StillPrivileged> {
    for thread in std::fs::read_dir("/proc/self/task").map_err(StillPrivileged::System)? {
        let path = thread.map_err(StillPrivileged::System)?.path();
        let status = std::fs::read_to_string(path.join("status")).map_err(StillPrivileged::System)?;
        if let Some(line) = left_over(&status) {
            return Err(StillPrivileged::Thread(line.to_owned()));
        }
    }
    Ok(())
}

/// The line that tells of a capability, or of a way to get one.
fn left_over(status: &str) -> Option<&str> {
    status.lines().find(|line| {
        let Some((name, value)) = line.split_once(':') else { return false };
        match name {
            "CapInh" | "CapPrm" | "CapEff" | "CapAmb" => value.trim().bytes().any(|digit| digit != b'0'),
            "NoNewPrivs" => value.trim() != "1",
            _ => false,
        }
    })
}

impl fmt::Display for StillPrivileged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name, error) => {
                write!(f, "cannot become the user {name}: {error}; only root can (CAP_SETUID and CAP_SETGID)")
            }
            Self::System(error) => write!(f, "cannot give up privileges: {error}"),
            Self::Thread(line) => write!(f, "privileges are left after giving them up: {line}"),
        }
    }
}

impl core::error::Error for StillPrivileged {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_left_is_found() {
        let clean = "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
            CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
        assert_eq!(left_over(clean), None);
        for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let dirty = clean.replace(&format!("{name}:\t0000"), &format!("{name}:\t2000"));
            assert_eq!(left_over(&dirty), Some(format!("{name}:\t2000000000000000").as_str()));
        }
        assert_eq!(left_over(&clean.replace("Privs:\t1", "Privs:\t0")), Some("NoNewPrivs:\t0"));
    }

    #[test]
    fn threads_that_keep_theirs_are_noticed() {
        if capabilities(None).unwrap().permitted.is_empty() {
            eprintln!("SKIPPED: this process has no capability that it could keep");
            return;
        }
        let dropping = std::thread::spawn(|| {
            assert!(matches!(give_up(&Identity::default()), Err(StillPrivileged::Thread(_))));
            assert!(capabilities(None).unwrap().permitted.is_empty());
            assert!(rustix::thread::no_new_privs().unwrap());
        });
        dropping.join().unwrap();
    }
}
