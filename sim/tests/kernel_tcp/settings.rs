//! Whatever a kernel is set to, it works, and time passes.

use std::time::Duration;

use resound_core::signal::Version;
use resound_core::stream::Close;
use resound_sim::kernel::{Profile, Sysctl, Sysctls, TcpOptions, TcpState};

use crate::wire::{CLIENT, SERVER, Wire};

const DAY: Duration = Duration::from_secs(86_400);

fn all_set_to(value: u64) -> Sysctls {
    let mut sysctls = Sysctls::default();
    for &sysctl in Sysctl::ALL {
        sysctls.set(sysctl, value);
    }
    sysctls
}

#[test]
fn what_no_kernel_takes_becomes_the_nearest_that_it_does() {
    for &sysctl in Sysctl::ALL {
        let (least, most) = sysctl.bounds();
        assert!((least..=most).contains(&sysctl.default_value()), "{}", sysctl.name());
        assert_eq!(all_set_to(0).get(sysctl), least);
        assert_eq!(all_set_to(u64::MAX).get(sysctl), most);
    }
}

/// Nothing panics, no timer fires for ever at one instant, and what has to end ends.
#[test]
fn the_most_extreme_settings_only_make_things_short_or_long() {
    let options = [
        TcpOptions::default(),
        TcpOptions {
            user_timeout: Some(Duration::ZERO),
            keepalive: Some((Duration::ZERO, Duration::ZERO, 0)),
            syn_retries: Some(0),
            receive_buffer: Some(0),
            send_buffer: Some(0),
            ..TcpOptions::default()
        },
        TcpOptions {
            user_timeout: Some(Duration::MAX),
            keepalive: Some((Duration::MAX, Duration::MAX, u8::MAX)),
            syn_retries: Some(u8::MAX),
            receive_buffer: Some(u32::MAX),
            send_buffer: Some(u32::MAX),
            ..TcpOptions::default()
        },
    ];
    for (value, options) in [0, 1, u64::MAX].into_iter().flat_map(|value| options.map(|o| (value, o))) {
        let case = format!("all settings {value}, {options:?}");
        let wire = || Wire::with(Version::V4, Profile::Linux, all_set_to(value));
        let mut silent = wire();
        silent.cut = [true; 2];
        let fd = silent.connect(&options);
        silent.run_for(DAY);
        assert_eq!(silent.state(CLIENT, fd), Some(TcpState::Closed), "{case}");
        assert!(silent.sent.len() < 1_000, "{case}: {} packets", silent.sent.len());

        let mut wire = wire();
        let listener = wire.listen(1, &options);
        let fd = wire.connect(&options);
        wire.run_for(Duration::from_millis(50));
        let peer = wire.call(SERVER, |kernel, now| kernel.accept(now, listener, crate::wire::PID));
        let _ = wire.send(CLIENT, fd, &[b'x'; 10_000]);
        wire.run_for(Duration::from_secs(10));
        wire.cut = [true; 2];
        let _ = wire.send(CLIENT, fd, b"x");
        wire.call(SERVER, |kernel, now| peer.map(|(fd, _)| kernel.close(now, fd, Close::Drop)).ok());
        let before = wire.sent.len();
        wire.run_for(Duration::from_secs(60));
        assert!(wire.sent.len() - before < 100_000, "{case}: {} packets", wire.sent.len() - before);
    }
}
