//! Every scenario on every built-in runtime, each a test of its own.

use std::sync::{Condvar, Mutex, PoisonError};

use resound_conformance::{Runtime, Scenario, run, steadily};

/// How many scenarios are played at a time, however many threads the test harness has.
const SEATS: usize = 6;

static TAKEN: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

/// A place among those that play; given back when it is dropped, by a test that panics too.
struct Seat;

impl Seat {
    fn take() -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut usize| *taken >= SEATS;
        *LEFT.wait_while(taken, full).unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        LEFT.notify_one();
    }
}

/// Plays the scenario whose name the test has.
fn keeps_its_promise(test: &str, runtime: &dyn Runtime) {
    let name = test.replace('_', "-");
    let scenario = Scenario::named(&name).unwrap_or_else(|| panic!("no scenario {name}"));
    let _seat = Seat::take();
    let kept = steadily(|| {
        let outcome = run(scenario, runtime);
        if outcome.passed() { Ok(()) } else { Err(format!("{outcome:#?}")) }
    });
    if let Err(outcome) = kept {
        panic!("{name} on {}: {outcome}", runtime.name());
    }
}

/// Calls a macro with the name of every scenario, behind what else it is given.
macro_rules! scenarios {
    ($with:ident $($what:expr)?) => {
        $with! {
            $($what;)?
            echo_and_close
            batch_half_close
            refused
            connect_to_silence
            first_refuses
            first_is_silent
            self_connect
            flap
            killed_idle
            killed_with_echoes_due
            reset_with_echoes_due
            reset_with_unread_data
            silent
            silent_when_idle
            zero_window
            stalls_and_recovers
            not_an_echo_http
            not_an_echo_random
            not_an_echo_banner
            dies_and_returns
            dies_and_returns_resend
            server_idle_limit
            server_stall_limit
            server_drain
            server_drain_with_echoes_due
            server_abort
            server_per_address_limit
            udp_echo
            udp_three_servers_v4
            udp_three_servers_v6
            udp_three_servers_dual
            udp_all_dead
            udp_dies_and_returns
            udp_silent
            udp_silent_when_idle
            udp_stalls_and_recovers
            udp_flood
            udp_duplicated
            udp_reordered
            udp_late
            udp_wrong_address
            udp_garbled
            udp_client_overrun
            udp_removed_and_added
            udp_too_long
            udp_zero_length
            udp_asked_address
            udp_broadcast
            udp_multicast
            udp_own_port
            udp_rate_limit
            udp_server_overrun
        }
    };
}

macro_rules! names {
    ($($test:ident)*) => { &[$(stringify!($test)),*] };
}

#[test]
fn no_scenario_is_left_out() {
    let tests: &[&str] = scenarios!(names);
    let all: Vec<String> = Scenario::ALL.iter().map(|scenario| scenario.name().replace('-', "_")).collect();
    assert_eq!(tests, all);
}

macro_rules! tests {
    ($runtime:expr; $($test:ident)*) => {
        $(#[test] fn $test() { crate::keeps_its_promise(stringify!($test), &$runtime) })*
    };
}

#[cfg(feature = "std-sockets")]
mod std_sockets {
    scenarios!(tests resound_conformance::on::std::Std);
}

#[cfg(feature = "tokio")]
mod tokio {
    use resound_conformance::on::tokio::Tokio;

    mod current_thread {
        scenarios!(tests super::Tokio::current_thread());
    }

    mod multi_thread {
        scenarios!(tests super::Tokio::multi_thread(2));
    }
}

#[cfg(feature = "smol")]
mod smol {
    use resound_conformance::on::smol::Smol;

    mod one_thread {
        scenarios!(tests super::Smol::threads(1));
    }

    mod two_threads {
        scenarios!(tests super::Smol::threads(2));
    }
}
