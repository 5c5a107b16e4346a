//! A user who is not root may run the lab, where the machine allows user namespaces: in one of its own.
//!
//! Started by root it starts itself again as another user.
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let only_lists = std::env::args().any(|argument| argument == "--list");
    if only_lists { std::process::ExitCode::SUCCESS } else { linux::main() }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::UdpSocket;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, ExitCode};
    use std::time::{Duration, Instant};
    use std::{env, error, io, thread};

    use nix::unistd::geteuid;
    use resound_core::signal::Version;
    use resound_lab::rig::{Heard, Rig, allowed, prepare};
    use resound_sim::Scenario;
    use resound_sim::scenario::{NodeId, address};

    /// Nobody in particular.
    const USER: u32 = 65_534;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);

    pub(super) fn main() -> ExitCode {
        if !geteuid().is_root() {
            return report(run());
        }
        let Ok(this) = env::current_exe() else { return ExitCode::FAILURE };
        // An error is one of the exec too: usually a directory on the way that only its owner may enter.
        match Command::new(&this).uid(USER).gid(USER).status() {
            Ok(status) if status.success() => ExitCode::SUCCESS,
            Ok(status) => {
                eprintln!("as user {USER}: {status}");
                ExitCode::FAILURE
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("skipped: user {USER} may not run {}: {error}", this.display());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{} cannot be run as user {USER}: {error}", this.display());
                ExitCode::FAILURE
            }
        }
    }

    fn report(outcome: Result<(), Box<dyn error::Error>>) -> ExitCode {
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn run() -> Result<(), Box<dyn error::Error>> {
        if let Err(hindrance) = prepare() {
            eprintln!("skipped: {hindrance}");
            return Ok(());
        }
        allowed()?;
        let scenario: Scenario = "host a tcp_retries2=5\nhost b\nlink a <-> b 1ms\n".parse()?;
        let mut rig = Rig::build(&scenario)?;
        for version in [Version::V4, Version::V6] {
            let [from, to] = [A, B].map(|node| address(node, version));
            let host = rig.host(A).ok_or("no host")?;
            host.run(move || {
                UdpSocket::bind((from, 0)).and_then(|socket| socket.send_to(b"hello", (to, 9)))
            })?;
            first_packet(&mut rig)?;
        }
        rig.host(A).ok_or("no host")?.exhaust_ports()?;
        rig.reboot(A)?;
        println!("a user namespace will do");
        Ok(())
    }

    /// Answers until a packet comes.
    fn first_packet(rig: &mut Rig) -> Result<(), Box<dyn error::Error>> {
        let begun = Instant::now();
        let wire = &mut rig.wires()[0];
        while begun.elapsed() < Duration::from_secs(20) {
            match wire.receive()? {
                Some(Heard::Asks(question)) => wire.answer(&question)?,
                Some(Heard::Packet(_)) => return Ok(()),
                Some(Heard::Other) => {}
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
        Err("no packet came".into())
    }
}
