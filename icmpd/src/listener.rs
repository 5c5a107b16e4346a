//! The Unix socket that clients connect to: who may, and when it may be there.
//!
//! * It is never open to more people than it should be, not even for a moment: the mode is set on the socket before it has
//!   a name (`unix_bind_bsd` takes it from there), and a group gets access only after the file belongs to it. No umask is
//!   changed, which would be the whole process's.
//! * Two daemons cannot listen in the same place: each holds a lock (`flock` on the file beside it, `….lock`) for as long
//!   as it lives. The kernel drops the lock of one that crashed; the socket file that it left behind is replaced, but only
//!   after a connect to it was refused. Anything else in that place is left alone.
//! * At the end both files are removed.

use core::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown,
};
use std::path::{Path, PathBuf};

use nix::unistd::Group;
use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};

/// Who may connect.
#[derive(Clone, Debug)]
pub enum Access {
    /// The user whom the daemon runs as, and root: mode 0600.
    Owner,
    /// The members of this group as well: mode 0660.
    Group(Group),
}

/// A socket that listens. Dropping it removes its file.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of the file.
    file: (u64, u64),
    _lock: Lock,
}

/// Why nobody can connect.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotListen {
    /// Another daemon listens there, or another program.
    InUse(PathBuf),
    /// Something else has that name: no socket.
    Occupied(PathBuf),
    /// The file cannot be given to the group.
    Group(String, io::Error),
    /// The system refused otherwise: what was tried, and where.
    System(&'static str, PathBuf, io::Error),
}

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

impl Listener {
    /// Listens at `path`.
    ///
    /// # Errors
    ///
    /// If somebody else does, or the place cannot be used.
    pub fn bind(path: &Path, access: &Access) -> Result<Self, CannotListen> {
        let lock = Lock::take(path)?;
        make_room(path)?;
        let failed = |what| move |error: Errno| CannotListen::System(what, path.into(), error.into());
        let socket = private_socket(path).map_err(failed("listen at"))?;
        let failed = |error| CannotListen::System("look at", path.into(), error);
        let file = fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino())).map_err(failed)?;
        let listener = Self { socket, path: path.into(), file, _lock: lock };
        if let Access::Group(group) = access {
            let given = lchown(path, None, Some(group.gid.as_raw()))
                .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o660)));
            given.map_err(|error| CannotListen::Group(group.name.clone(), error))?;
        }
        let failed = |error: Errno| CannotListen::System("listen at", path.into(), error.into());
        listen(&listener.socket, BACKLOG).map_err(failed)?;
        Ok(listener)
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection, non-blocking and close-on-exec; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What `accept4(2)` said otherwise.
    pub(crate) fn accept(&self) -> io::Result<Option<OwnedFd>> {
        match accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(connection) => Ok(Some(connection)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Somebody may have put another file there; that one is not ours to remove.
        let ours = |meta: fs::Metadata| (meta.dev(), meta.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            // Nobody is left to tell if it fails; the next start finds that nobody listens.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A socket of the kind that daemon and clients use.
pub(crate) fn new_socket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags | SocketFlags::CLOEXEC, None)
}

/// A socket with this name and mode 0600, whatever the umask. It does not listen yet.
fn private_socket(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = new_socket(SocketFlags::NONBLOCK)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Removes what a daemon that died has left behind.
fn make_room(path: &Path) -> Result<(), CannotListen> {
    let failed = |what| move |error| CannotListen::System(what, path.into(), error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at")(error)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(CannotListen::Occupied(path.into())),
        Ok(_) => {}
    }
    let probe =
        new_socket(SocketFlags::NONBLOCK).and_then(|socket| connect(&socket, &SocketAddrUnix::new(path)?));
    match probe {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(failed("remove the stale")),
        // Somebody is there: with a full backlog, or with another type of socket.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(CannotListen::InUse(path.into())),
        Err(error) => Err(failed("find out who listens at")(error.into())),
    }
}

/// The right to listen at a path. Removed with its holder.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    fn take(socket: &Path) -> Result<Self, CannotListen> {
        let mut name = socket.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let failed = |error| CannotListen::System("lock", path.clone(), error);
        loop {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            let file = options.custom_flags(nix::libc::O_NOFOLLOW).open(&path).map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(CannotListen::InUse(socket.into())),
                Err(error) => return Err(failed(error.into())),
            }
            // Its last holder may have removed it after this process had opened it: then this lock means nothing.
            let held = file.metadata().map_err(failed)?;
            let same = |meta: fs::Metadata| (meta.dev(), meta.ino()) == (held.dev(), held.ino());
            if fs::symlink_metadata(&path).is_ok_and(same) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock goes, with the file: whoever opened it meanwhile sees that it is no longer there.
        let _ = fs::remove_file(&self.path);
    }
}

impl fmt::Display for CannotListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(
                    f,
                    "somebody listens at {} already; choose another place with --socket",
                    path.display()
                )
            }
            Self::Occupied(path) => {
                write!(f, "{} is there and is no socket; it is not touched", path.display())
            }
            Self::Group(name, error) => {
                write!(
                    f,
                    "cannot give the socket to the group {name}: {error}; only its members and root can"
                )
            }
            Self::System(what, path, error) => write!(f, "cannot {what} {}: {error}", path.display()),
        }
    }
}

impl core::error::Error for CannotListen {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, removed with it.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("icmpd-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("s")
        }

        fn files(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn it_is_private_from_the_first_moment_whatever_the_umask() {
        let dir = Dir::new("mode");
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
        let socket = private_socket(&dir.socket());
        nix::sys::stat::umask(before);
        socket.unwrap();
        assert_eq!(mode(&dir.socket()), 0o600);
    }

    #[test]
    fn a_group_gets_access_if_it_is_given_any() {
        let dir = Dir::new("group");
        let own = Group::from_gid(nix::unistd::getegid()).unwrap().expect("this process's group has a name");
        let listener = Listener::bind(&dir.socket(), &Access::Group(own.clone())).unwrap();
        assert_eq!(mode(&dir.socket()), 0o660);
        assert_eq!(fs::metadata(dir.socket()).unwrap().gid(), own.gid.as_raw());
        drop(listener);
        let _listener = Listener::bind(&dir.socket(), &Access::Owner).unwrap();
        assert_eq!(mode(&dir.socket()), 0o600);
    }

    #[test]
    fn only_one_listens_and_nothing_is_left_behind() {
        let dir = Dir::new("one");
        let first = Listener::bind(&dir.socket(), &Access::Owner).unwrap();
        assert!(matches!(Listener::bind(&dir.socket(), &Access::Owner), Err(CannotListen::InUse(_))));
        assert!(dir.socket().exists());
        drop(first);
        assert_eq!(dir.files(), 0);
        drop(Listener::bind(&dir.socket(), &Access::Owner).unwrap());
    }

    #[test]
    fn of_many_that_start_at_once_one_listens() {
        let dir = Dir::new("race");
        drop(private_socket(&dir.socket()).unwrap());
        let lock = Lock::take(&dir.socket()).unwrap();
        assert!(matches!(Listener::bind(&dir.socket(), &Access::Owner), Err(CannotListen::InUse(_))));
        drop(lock);
        let all: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..16).map(|_| scope.spawn(|| Listener::bind(&dir.socket(), &Access::Owner))).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(all.iter().filter(|result| result.is_ok()).count(), 1, "{all:?}");
        drop(all);
        assert_eq!(dir.files(), 0);
    }

    #[test]
    fn what_a_crash_left_behind_is_replaced() {
        let dir = Dir::new("stale");
        // As a crash leaves it: the file, and nobody who listens.
        drop(private_socket(&dir.socket()).unwrap());
        fs::write(dir.socket().with_extension("lock"), "").unwrap();
        let listener = Listener::bind(&dir.socket(), &Access::Owner).unwrap();
        connect(new_socket(SocketFlags::empty()).unwrap(), &SocketAddrUnix::new(dir.socket()).unwrap())
            .unwrap();
        assert!(listener.accept().unwrap().is_some());
        assert!(listener.accept().unwrap().is_none());
    }

    #[test]
    fn what_is_somebody_elses_is_left_alone() {
        let dir = Dir::new("others");
        let stream = std::os::unix::net::UnixListener::bind(dir.socket()).unwrap();
        assert!(matches!(Listener::bind(&dir.socket(), &Access::Owner), Err(CannotListen::InUse(_))));
        drop(stream);
        fs::remove_file(dir.socket()).unwrap();
        fs::write(dir.socket(), "precious").unwrap();
        assert!(matches!(Listener::bind(&dir.socket(), &Access::Owner), Err(CannotListen::Occupied(_))));
        assert_eq!(fs::read_to_string(dir.socket()).unwrap(), "precious");
        let missing = dir.0.join("no/such/directory");
        let error = Listener::bind(&missing, &Access::Owner).unwrap_err().to_string();
        assert!(error.contains("no/such/directory") && !error.contains('\n'), "{error}");
    }
}
