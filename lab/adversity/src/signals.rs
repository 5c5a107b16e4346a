//! Real signals: the waits that no library can reach are interrupted by the kernel itself.
//!
//! `poll` and `epoll_wait` are never begun again after a handler ran, whatever SA_RESTART says (signal(7)); without that
//! flag nothing else is either.

use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;
use core::time::Duration;
use std::{fs, thread};

use crate::plan::Plan;
use crate::tally::{Doing, signalled};

/// Ignored by whoever does not ask for it, so that one which comes too early or too late ends no process.
const SIGNAL: c_int = libc::SIGURG;

/// The calls that wait for descriptors.
const WAITS: &[c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_ppoll,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
];

/// Begins to send them, if the plan says so.
pub(crate) fn start(plan: &Plan) {
    let Some(every) = plan.signal else { return };
    listen();
    let plan = plan.clone();
    // Without a thread nothing is counted, and whoever looks at the tally sees it.
    let _ = thread::Builder::new().name(String::from("adversity")).spawn(move || send(&plan, every));
}

#[allow(unsafe_code, reason = "a handler must be set for all threads, and std has none")]
fn listen() {
    extern "C" fn nothing(_: c_int) {}
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zero is a valid sigaction: no flags, an empty mask on Linux. The handler does nothing, which may be done
    // at any time. Nothing is asked back.
    unsafe {
        (*action.as_mut_ptr()).sa_sigaction = nothing as extern "C" fn(c_int) as usize;
        libc::sigaction(SIGNAL, action.as_ptr(), core::ptr::null_mut());
    }
}

fn send(plan: &Plan, every: Duration) {
    let own = fs::read_link("/proc/thread-self").unwrap_or_default();
    loop {
        thread::sleep(every);
        let Ok(threads) = fs::read_dir("/proc/self/task") else { return };
        for thread in threads.flatten() {
            let dir = thread.path();
            let (name, dir) = (thread.file_name(), dir.to_string_lossy());
            let Some(id) = name.to_str().and_then(|name| name.parse::<c_int>().ok()) else { continue };
            if own.file_name() == Some(&*name) || !plan.concerns(&dir) {
                continue;
            }
            // A thread that runs says "running" (proc_pid_syscall(5)).
            let call = fs::read_to_string(format!("{dir}/syscall")).unwrap_or_default();
            let call = call.split(' ').next().and_then(|call| call.parse().ok());
            #[allow(unsafe_code, reason = "a signal for one thread")]
            // SAFETY: it takes three numbers. A thread that has ended is ESRCH.
            let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, SIGNAL) } == 0;
            if sent {
                let waits = call.is_some_and(|call| WAITS.contains(&call));
                signalled(if waits { Doing::Waiting } else { Doing::Anything });
            }
        }
    }
}
