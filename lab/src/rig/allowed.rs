//! Whether this process may make network namespaces, and how it gets to.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fmt, fs, io, thread};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// Why this process may not make network namespaces: one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindrance(String);

impl Hindrance {
    pub(super) fn no_v6() -> Self {
        Self("there is no IPv6 on this machine".into())
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Hindrance {}

/// What is needed of capabilities(7), by their numbers: to set interfaces up, for packet sockets, and for namespaces.
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (21, "CAP_SYS_ADMIN")];

/// Whether this process may make network namespaces now, and has `ip` to furnish them.
///
/// # Errors
///
/// The first thing that is in the way.
pub fn allowed() -> Result<(), Hindrance> {
    ip()?;
    if let Some(name) = missing(capabilities()?) {
        return Err(Hindrance(format!(
            "this process has no {name}, and did not enter a user namespace when it began"
        )));
    }
    // What a container's system call filter forbids shows only when it is tried.
    let tried = thread::scope(|scope| scope.spawn(|| unshare(CloneFlags::CLONE_NEWNET)).join());
    match tried {
        Ok(Ok(())) => Ok(()),
        Ok(Err(errno)) => {
            let why = in_the_way(&NETWORK).map_or(String::new(), |setting| format!(" ({setting})"));
            Err(Hindrance(format!("the kernel makes no network namespace here{why}: {errno}")))
        }
        Err(_) => Err(Hindrance("the thread that was to make a network namespace died".into())),
    }
}

/// Gets a process without root's rights to where it may make network namespaces: into a user namespace of its own. To be
/// called first thing in `main`, while there is one thread. With those rights it does nothing.
///
/// # Errors
///
/// If this machine does not let an ordinary user make user namespaces: which of its settings, where that can be told.
pub fn prepare() -> Result<(), Hindrance> {
    if missing(capabilities()?).is_none() {
        return Ok(());
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)
        .map_err(|errno| Hindrance(format!("{}: {errno}", no_user_namespace())))?;
    // A group can be mapped without rights outside only by whoever gives up setgroups(2) (user_namespaces(7)).
    let written = write("/proc/self/setgroups", "deny")
        .and_then(|()| write("/proc/self/uid_map", &format!("0 {user} 1")))
        .and_then(|()| write("/proc/self/gid_map", &format!("0 {group} 1")));
    written.map_err(|error| Hindrance(format!("{}: {error}", no_user_namespace())))?;
    match missing(capabilities()?) {
        None => Ok(()),
        Some(name) => Err(Hindrance(format!("{}: {name} is withheld within it", no_user_namespace()))),
    }
}

/// Where `ip` is. Whoever is not root often lacks its directory in PATH.
pub(super) fn ip() -> Result<&'static Path, Hindrance> {
    static IP: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let path = env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
        env::split_paths(&path).chain(usual).map(|directory| directory.join("ip")).find(|ip| ip.is_file())
    };
    IP.get_or_init(find)
        .as_deref()
        .ok_or_else(|| Hindrance("`ip` is not installed here: it is in the package iproute2".into()))
}

fn capabilities() -> Result<u64, Hindrance> {
    let status = fs::read_to_string("/proc/self/status")
        .map_err(|error| Hindrance(format!("/proc/self/status cannot be read: {error}")))?;
    status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .ok_or_else(|| Hindrance("/proc/self/status tells no capabilities".into()))
}

fn missing(capabilities: u64) -> Option<&'static str> {
    NEEDED.iter().find(|(bit, _)| capabilities >> bit & 1 == 0).map(|(_, name)| *name)
}

/// A file under /proc/sys, and what it has if it is in the way.
type Setting = (&'static str, &'static str);

/// Ubuntu gives user namespaces to everybody, and in them, by this setting, no rights.
const APPARMOR: Setting = ("kernel/apparmor_restrict_unprivileged_userns", "1");

/// What is in the way of user namespaces.
const USER: [Setting; 3] =
    [("user/max_user_namespaces", "0"), ("kernel/unprivileged_userns_clone", "0"), APPARMOR];

/// What is in the way of network namespaces.
const NETWORK: [Setting; 2] = [("user/max_net_namespaces", "0"), APPARMOR];

/// The first of these settings that is in the way.
fn in_the_way(settings: &[Setting]) -> Option<String> {
    let has = |path: &str| fs::read_to_string(Path::new("/proc/sys").join(path)).unwrap_or_default();
    let (path, value) = settings.iter().find(|(path, value)| has(path).trim() == *value)?;
    Some(format!("{} is {value}", path.replace('/', ".")))
}

/// Why user namespaces are not to be had, as far as this machine's settings tell.
fn no_user_namespace() -> String {
    let why = in_the_way(&USER).map_or(String::new(), |setting| format!("{setting}; "));
    format!("an ordinary user gets no user namespace here ({why}root may run this)")
}

fn write(path: &str, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
}
