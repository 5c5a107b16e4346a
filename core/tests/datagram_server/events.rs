//! When what happened is told: at once, and then once in a second; and what the driver's turn adds.

use core::time::Duration;

use resound_core::datagram::server::{Config, Event, Ignored};
use resound_core::datagram::{Batch, Fact, Machine, Port, Reading, Ready, Sending, Step, Train, Via, turn};
use resound_core::signal::{Errno, Op, Signal};

use super::{BYTES, SECOND, START, ask, host, server};

#[test]
fn events_come_at_once_and_then_once_in_a_second() {
    let mut server = server(Config::default());
    let at = |ms| START + Duration::from_millis(ms);
    server.handle(at(0), Fact::Overrun { lost: 3 });
    server.handle(at(1), Fact::Overrun { lost: 4 });
    assert_eq!(server.poll(), Step::Event(Event::Overrun { lost: 3 }));
    server.handle(at(2), Fact::Overrun { lost: 5 });
    assert_eq!(server.poll(), Step::Wait(Some(at(1_000))));
    // Only a tick fires a timer.
    server.handle(at(1_001), Fact::Overrun { lost: 1 });
    assert_eq!(server.poll(), Step::Wait(Some(at(1_000))));
    server.handle(at(1_002), Fact::Tick);
    assert_eq!(server.poll(), Step::Event(Event::Overrun { lost: 10 }));
    assert_eq!(server.poll(), Step::Wait(None));
    // After a quiet second the next is told at once.
    server.handle(at(2_002), Fact::Overrun { lost: 6 });
    assert_eq!(server.poll(), Step::Event(Event::Overrun { lost: 6 }));
    assert_eq!(server.counts().overrun, 19);
}

#[test]
fn a_stopped_server_tells_what_it_knows_and_answers_nothing() {
    let mut server = server(Config::default());
    let signal = Signal::Errno(Errno::NoBufs);
    for _ in 0..3 {
        server.handle(START, Fact::Failed { op: Op::Read, signal });
    }
    ask(&mut server, START, host(1), 1);
    server.stop();
    server.stop();
    assert!(!server.is_done());
    assert_eq!(ask(&mut server, START, host(1), 2), 0);
    server.handle(START, Fact::Overrun { lost: 1 });
    assert_eq!(server.poll(), Step::Event(Event::Failed { op: Op::Read, signal, count: 3 }));
    assert_eq!(server.poll(), Step::Event(Event::Stopped));
    assert!(server.is_done());
    assert_eq!(server.poll(), Step::Wait(None));
    assert_eq!((server.counts().ignored(Ignored::Stopped), server.counts().overrun), (2, 1));
}

#[test]
fn an_echo_that_was_not_sent_is_not_counted_as_sent() {
    let mut server = server(Config::default());
    let train = Train::one(host(1), b"hello");
    let signal = Signal::Errno(Errno::Perm);
    server.handle(START, Fact::Received { train: &train });
    let unsent = Fact::Unsent { to: host(1), datagram: b"hello", signal, mtu: None };
    server.handle(START, unsent);
    let counts = server.counts();
    assert_eq!((counts.received, counts.echoed, counts.unsent, counts.bytes), (1, 0, 1, 0));
    assert_eq!(server.poll(), Step::Event(Event::Failed { op: Op::Write, signal, count: 1 }));
}

/// A socket into which a burst has come that was too long for it: some datagrams wait, the rest is lost, and nothing
/// comes after them that could carry the news.
#[derive(Default)]
struct Burst {
    waiting: usize,
    lost: u32,
    ready: bool,
    echoed: usize,
    batch: Option<Batch>,
}

impl Port for Burst {
    fn receive(&mut self, _: Via, mut tell: impl FnMut(Fact<'_>)) -> Reading {
        if self.waiting == 0 {
            return Reading::Empty;
        }
        let train = Train { size: 1, ..Train::one(host(1), &BYTES[..self.waiting]) };
        tell(Fact::Received { train: &train });
        self.echoed += train.echo.get();
        Reading::Some { bytes: core::mem::take(&mut self.waiting) }
    }

    fn errors(&mut self, _: impl FnMut(Fact<'_>)) {}

    fn batch(&mut self) -> &mut Batch {
        self.batch.get_or_insert_with(|| Batch::new(64, 1, 1))
    }

    fn send(&mut self, _: impl FnMut(Fact<'_>)) -> Sending {
        Sending::Done
    }

    fn overrun(&mut self) -> u32 {
        core::mem::take(&mut self.lost)
    }

    fn receive_buffer(&self) -> usize {
        64
    }

    fn next_ready(&mut self) -> Option<Ready> {
        core::mem::take(&mut self.ready).then_some(Ready::Readable)
    }
}

#[test]
fn what_was_dropped_behind_the_last_datagram_is_told_within_a_second() {
    let mut server = server(Config::default());
    let mut port = Burst { waiting: 5, lost: 7, ready: true, ..Burst::default() };
    let mut events = Vec::new();
    let until = turn(&mut server, &mut port, || START, |event| events.push(event));
    assert_eq!((port.echoed, until), (5, Some(START + SECOND)));
    assert_eq!(events, []);
    // Nobody speaks any more: one look, then no deadline. (`turn` asks before that, at every deadline.)
    let until = turn(&mut server, &mut port, || START + SECOND, |event| events.push(event));
    assert_eq!(events, [Event::Overrun { lost: 7 }]);
    assert_eq!(until, None);
}

#[test]
fn the_driver_is_asked_to_look_once_after_datagrams_came() {
    let mut server = server(Config::default());
    ask(&mut server, START, host(1), 1);
    ask(&mut server, START + SECOND / 2, host(1), 1);
    server.handle(START + SECOND, Fact::Tick);
    assert_eq!(server.poll(), Step::Examine);
    server.handle(START + SECOND, Fact::Examined);
    assert_eq!(server.poll(), Step::Wait(None));
}

#[test]
fn a_clock_that_goes_back_is_not_followed() {
    let mut server = server(Config::default());
    server.handle(START + SECOND, Fact::Tick);
    ask(&mut server, START, host(1), 1);
    assert_eq!(server.next_deadline(), Some(START + SECOND * 2));
}
