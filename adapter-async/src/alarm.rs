//! A timer that is made when it is first needed and moved only when it must be.
//!
//! Deadlines move with every message, nearly always to a later time. To re-arm the runtime's timer each time would cost
//! more than the message. So the timer is left where it is; when it fires too early it is armed once more, and nothing
//! else happens. Only a deadline that is earlier than what is armed moves it.
//!
//! Whether a deadline has passed is read off the clock, never off the timer: a runtime may hold back a timer that has
//! fired (tokio's cooperative budget), and its clock may stand still in suspend.

use core::task::{Context, Poll};
use core::time::Duration;
use resound_core::Instant;
use resound_sockets::clock::Clock;

use crate::runtime::Timer;

/// The longest time that is ever asked of a runtime: no runtime's clock overflows at it.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug)]
pub(crate) struct Alarm<T> {
    /// For when it is armed; `None` if it has fired or was never armed.
    armed: Option<Instant>,
    timer: Option<T>,
}

impl<T> Default for Alarm<T> {
    fn default() -> Self {
        Self { armed: None, timer: None }
    }
}

impl<T: Timer> Alarm<T> {
    /// Ready once the deadline has passed. With `None` the task is not woken, or once for nothing.
    pub(crate) fn poll(
        &mut self,
        clock: &Clock,
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        loop {
            if deadline <= clock.now() {
                return Poll::Ready(());
            }
            let timer = match (self.armed, &mut self.timer) {
                (Some(armed), Some(timer)) if armed <= deadline => timer,
                (_, timer) => {
                    self.armed = Some(deadline);
                    arm(timer, clock, deadline)
                }
            };
            if timer.poll_fired(cx).is_pending() {
                return Poll::Pending;
            }
            self.armed = None;
        }
    }
}

fn arm<'a, T: Timer>(timer: &'a mut Option<T>, clock: &Clock, at: Instant) -> &'a mut T {
    let delay = clock.until(at).min(LONGEST);
    match timer {
        Some(timer) => {
            timer.reset(delay);
            timer
        }
        None => timer.insert(T::after(delay)),
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;
    use core::cell::Cell;
    use core::task::Waker;

    use super::*;

    std::thread_local! {
        static ARMED: Rc<Cell<u32>> = Rc::default();
    }

    /// Counts how often it is armed, and fires when its time has come by the clock.
    struct Counting(Clock, Instant);

    fn armed() -> u32 {
        ARMED.with(|armed| armed.get())
    }

    impl Timer for Counting {
        fn after(delay: Duration) -> Self {
            ARMED.with(|armed| armed.set(armed.get() + 1));
            let clock = Clock::start();
            Self(clock, clock.now() + delay)
        }

        fn reset(&mut self, delay: Duration) {
            *self = Self::after(delay);
        }

        fn poll_fired(&mut self, _: &mut Context<'_>) -> Poll<()> {
            if self.0.now() >= self.1 { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    #[test]
    fn a_deadline_that_moves_on_does_not_move_the_timer() {
        let clock = Clock::start();
        let mut alarm = Alarm::<Counting>::default();
        let cx = &mut Context::from_waker(Waker::noop());
        let far = clock.now() + Duration::from_secs(60);
        for message in 0..1_000 {
            let deadline = far + Duration::from_millis(message);
            assert!(alarm.poll(&clock, Some(deadline), cx).is_pending());
        }
        assert_eq!(armed(), 1);
        assert!(alarm.poll(&clock, Some(far + Duration::from_secs(1)), cx).is_pending());
        assert_eq!(armed(), 1);
    }

    #[test]
    fn an_earlier_deadline_moves_it_and_an_early_firing_arms_it_again() {
        let clock = Clock::start();
        let mut alarm = Alarm::<Counting>::default();
        let cx = &mut Context::from_waker(Waker::noop());
        let in_millis = |ms| Some(clock.now() + Duration::from_millis(ms));
        assert!(alarm.poll(&clock, in_millis(60_000), cx).is_pending());
        assert!(alarm.poll(&clock, in_millis(5), cx).is_pending());
        assert_eq!(armed(), 2);
        std::thread::sleep(Duration::from_millis(10));
        let later = in_millis(20);
        assert!(alarm.poll(&clock, later, cx).is_pending(), "it fired for a deadline that has moved");
        assert_eq!(armed(), 3);
        std::thread::sleep(Duration::from_millis(30));
        assert!(alarm.poll(&clock, later, cx).is_ready());
        assert!(alarm.poll(&clock, None, cx).is_pending());
    }
}
