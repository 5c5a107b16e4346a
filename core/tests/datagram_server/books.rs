//! Whatever happens to a server, its books are right: nothing is answered twice, told twice, or forgotten.

use core::time::Duration;

use proptest::prelude::*;
use resound_core::datagram::server::Ignored;
use resound_core::datagram::{Fact, Machine, Train};
use resound_core::signal::Op;

use super::world::{Do, World, configs, operations};
use super::{BYTES, START};

proptest! {
    /// Nothing panics, nothing is answered with more than it was; and, asserted on the way: P1, P2, the books balance,
    /// events of one kind come at most once in a second.
    #[test]
    fn never_more_goes_back_than_came(config in configs(), operations in operations()) {
        let world = World::run(config, START, &operations);
        let (counts, unsent) = (world.server.counts(), world.server.counts().unsent);
        prop_assert!(world.back.0 <= world.came.0 && world.back.1 <= world.came.1);
        prop_assert_eq!(counts.received, world.came.0 as u64);
        prop_assert_eq!(counts.echoed + unsent, world.back.0 as u64);
        prop_assert!(counts.bytes <= world.back.1 as u64);
        prop_assert!(unsent > 0 || counts.bytes == world.back.1 as u64);
    }

    /// None is told twice, none is kept back for ever: the sums of the events are the counters.
    #[test]
    fn events_add_up_to_the_counters(config in configs(), operations in operations(), stop: bool) {
        let mut world = World::run(config, START, &operations);
        if stop {
            world.server.stop();
            world.drain(Duration::ZERO);
            prop_assert_eq!(world.told.remove("done"), Some(1));
            prop_assert!(world.log.last().is_some_and(|(_, last)| last == "Stopped"));
            prop_assert!(world.server.is_done());
        } else {
            // Every kind that was told twice is quiet after two pauses.
            (0..2).for_each(|_| world.apply(&Do::Sleep(1_000_000_000)));
        }
        prop_assert_eq!(world.server.next_deadline(), None);
        let counts = world.server.counts();
        for &why in Ignored::ALL {
            prop_assert_eq!(world.told.get(why.as_str()).copied().unwrap_or(0), counts.ignored(why), "{}", why);
        }
        prop_assert_eq!(world.told.get("overrun").copied().unwrap_or(0), counts.overrun);
        let count = |op| operations.iter().filter(|told| match told {
            Do::Failed(other, _) => *other == op,
            Do::Unsent(_) => op == Op::Write,
            _ => false,
        }).count() as u64;
        prop_assert_eq!(world.told.get("Write").copied().unwrap_or(0), count(Op::Write));
        prop_assert_eq!(world.told.get("Read").copied().unwrap_or(0), count(Op::Read));
    }

    /// P3 shifting a whole trace in time shifts the outputs, nothing else; and P4 the same inputs give the same outputs.
    #[test]
    fn p3_time_has_no_origin(config in configs(), operations in operations(), by in 0u64..1 << 60) {
        let here = World::run(config.clone(), START, &operations);
        let there = World::run(config, START + Duration::from_nanos(by), &operations);
        prop_assert_eq!(here.log, there.log);
        prop_assert_eq!(here.server.counts(), there.server.counts());
    }

    /// A driver that never polls gets the same answers and counts as one that always does.
    #[test]
    fn polling_late_changes_no_answer(config in configs(), operations in operations()) {
        let clocked = |operation: &Do| matches!(operation, Do::Train { .. } | Do::Sleep(_));
        let operations: Vec<Do> = operations.into_iter().filter(clocked).collect();
        let prompt = World::run(config.clone(), START, &operations);
        let mut lazy = World::new(config, START);
        for operation in &operations {
            match *operation {
                Do::Train { from, to, cast, len, size, end } => {
                    let train = Train { to, cast, bytes: &BYTES[..len], size, end, ..Train::one(from, &[]) };
                    lazy.server.handle(lazy.now, Fact::Received { train: &train });
                    lazy.answer(&train);
                }
                Do::Sleep(nanos) => lazy.now = lazy.now + Duration::from_nanos(nanos),
                _ => {}
            }
        }
        let answers = |world: &World| {
            world.log.iter().filter(|(_, line)| line.contains(" of ")).cloned().collect::<Vec<_>>()
        };
        prop_assert_eq!(answers(&prompt), answers(&lazy));
        prop_assert_eq!(prompt.server.counts(), lazy.server.counts());
    }
}
