//! Whether the reactor has reported a direction of a socket since it was asked to.
//!
//! # Why async-io is not asked
//!
//! async-io numbers the turns of its reactor. `Async::poll_readable` notes the turn in which it was called, and says Ready
//! only after an event of a later one (`Source::poll_ready` in its `reactor.rs`): an event of the same turn could be
//! older than the question. But a turn begins before it waits. While another thread waits in the reactor, a question is
//! asked within that thread's turn, and so is what answers it. The task is woken, is told Pending, and has asked anew:
//! by then the next turn has mostly begun. That repeats until the task happens to overtake the reactor's thread, and each
//! time costs two changes of thread. On an idle machine that is microseconds and two reactor turns for a message instead
//! of one; on a busy one each change waits for the scheduler, and a second goes by.
//!
//! `AsyncRead` for `Async` does not suffer from it, because it makes its call before it asks. Here a call follows a
//! report. So the report is taken from the wake-up itself: the reactor is given a waker of our own, which remembers that
//! it was called.
//!
//! An event that is older than the question does no harm: the call finds nothing, and the question is asked again.
//!
//! ```text
//!            poll: asks the reactor             the reactor wakes
//!    Silent ────────────────────────► Waiting ────────────────────► Rung
//!      ▲                                                             │
//!      └──────────────────────── poll: Ready ────────────────────────┘
//! ```

use alloc::sync::Arc;
use alloc::task::Wake;
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The wake-up of one direction.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// Whom a report is passed on to.
    task: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The reactor has not been asked.
    #[default]
    Silent,
    /// The reactor has been asked, and will wake once.
    Waiting,
    /// The reactor has reported.
    Rung,
}

impl Bell {
    /// Ready, once, after the reactor has reported; else the task is woken when it does. `ask` asks the reactor: it is
    /// what async-io calls `poll_readable` or `poll_writable`.
    ///
    /// # Errors
    ///
    /// The reactor could not be asked.
    pub(crate) fn poll(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        mut ask: impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let phase = self.listen(cx.waker());
        match phase {
            Phase::Rung => return Poll::Ready(Ok(())),
            Phase::Waiting => return Poll::Pending,
            Phase::Silent => {}
        }
        // Not under the lock: whoever holds locks of the reactor may ring.
        let waker = Waker::from(self.clone());
        let cx = &mut Context::from_waker(&waker);
        let mut answer = ask(cx);
        if matches!(answer, Poll::Ready(Ok(()))) {
            // What async-io remembers has been passed on by the bell before. Now it has forgotten it.
            answer = ask(cx);
        }
        if answer.is_ready() {
            self.lock().phase = Phase::Silent;
        }
        answer
    }

    /// Takes in the task, and goes on; what the phase was.
    fn listen(&self, task: &Waker) -> Phase {
        let mut state = self.lock();
        let phase = state.phase;
        state.phase = match phase {
            Phase::Silent | Phase::Waiting => Phase::Waiting,
            Phase::Rung => Phase::Silent,
        };
        let known = phase == Phase::Rung || state.task.as_ref().is_some_and(|known| known.will_wake(task));
        let old = if known { None } else { state.task.replace(task.clone()) };
        drop(state);
        // Dropping a waker may run other people's code: not under the lock.
        drop(old);
        phase
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.lock();
        state.phase = Phase::Rung;
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A reactor that says Pending for ever, as async-io may, and keeps the waker.
    #[derive(Default)]
    struct Reactor {
        asked: usize,
        waker: Option<Waker>,
    }

    impl Reactor {
        fn ask(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
            self.asked += 1;
            self.waker = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    #[test]
    fn a_report_is_passed_on_once_whatever_the_reactor_answers() {
        let (bell, task, mut reactor) =
            (Arc::new(Bell::default()), Arc::new(Count::default()), Reactor::default());
        let waker = Waker::from(task.clone());
        let cx = &mut Context::from_waker(&waker);
        for turn in 1..=3 {
            assert!(bell.poll(cx, |cx| reactor.ask(cx)).is_pending());
            assert!(bell.poll(cx, |cx| reactor.ask(cx)).is_pending(), "it has been asked");
            assert_eq!(reactor.asked, turn);
            reactor.waker.take().unwrap().wake();
            assert_eq!(task.0.load(Ordering::Relaxed), turn);
            assert!(bell.poll(cx, |cx| reactor.ask(cx)).is_ready());
        }
    }

    #[test]
    fn a_report_that_comes_while_the_reactor_is_being_asked_is_not_lost() {
        let (bell, task) = (Arc::new(Bell::default()), Arc::new(Count::default()));
        let waker = Waker::from(task.clone());
        let cx = &mut Context::from_waker(&waker);
        let at_once = |cx: &mut Context<'_>| {
            cx.waker().wake_by_ref();
            Poll::Pending
        };
        assert!(bell.poll(cx, at_once).is_pending());
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert!(bell.poll(cx, |_| unreachable!("it has rung")).is_ready());
    }

    #[test]
    fn the_task_that_asked_last_is_woken() {
        let (bell, mut reactor) = (Arc::new(Bell::default()), Reactor::default());
        let tasks = [Arc::new(Count::default()), Arc::new(Count::default())];
        for task in &tasks {
            let waker = Waker::from(task.clone());
            assert!(bell.poll(&mut Context::from_waker(&waker), |cx| reactor.ask(cx)).is_pending());
        }
        reactor.waker.take().unwrap().wake();
        assert_eq!(tasks.map(|task| task.0.load(Ordering::Relaxed)), [0, 1]);
    }

    #[test]
    fn what_the_reactor_remembers_of_a_report_that_was_passed_on_is_no_second_report() {
        let bell = Arc::new(Bell::default());
        let cx = &mut Context::from_waker(Waker::noop());
        let mut answers = [Poll::Ready(Ok(())), Poll::Pending].into_iter();
        assert!(bell.poll(cx, |_| answers.next().unwrap()).is_pending());
        assert!(answers.next().is_none());
    }

    #[test]
    fn a_reactor_that_cannot_be_asked_is_an_error_each_time() {
        let bell = Arc::new(Bell::default());
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..2 {
            let answer = bell.poll(cx, |_| Poll::Ready(Err(io::ErrorKind::OutOfMemory.into())));
            assert!(matches!(answer, Poll::Ready(Err(_))));
        }
    }
}
