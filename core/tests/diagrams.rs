//! `docs/state-machines.md` is made from the tables that the machines run on. If this test fails, the tables have
//! changed: `UPDATE_EXPECT=1 cargo test -p resound-core --test diagrams` writes the file anew; read the difference.

use core::fmt::{Debug, Write as _};

use expect_test::expect_file;
use resound_core::link;
use resound_core::stream::server;

const HEAD: &str = "\
# State machines

Made from the tables in the code by `core/tests/diagrams.rs`; do not edit. To write it anew after a change of a table:

```console
UPDATE_EXPECT=1 cargo test -p resound-core --test diagrams
```

A pair of state and input without an entry changes nothing. What each machine does with each fact and each command in
each state, with all the steps that follow, is in [`core/tests/snapshots`](../core/tests/snapshots).
";

const LINK: &str = "\
## Link

One peer, for as long as the program wants it (`core/src/link`). The echo client's state is that of its link.
";

const SERVER: &str = "\
## A server's side of a connection

What comes in goes out again (`core/src/stream/server.rs`).
";

/// A state or an input, as the documentation shows it.
struct Named<T> {
    it: T,
    meaning: &'static str,
}

#[test]
fn the_diagrams_are_those_of_the_tables() {
    let mut page = HEAD.to_owned();
    let states = link::State::ALL.iter().map(|&it| Named { it, meaning: it.describe() }).collect::<Vec<_>>();
    let inputs = link::Input::ALL.iter().map(|&it| Named { it, meaning: it.describe() }).collect::<Vec<_>>();
    section(&mut page, LINK, &states, &inputs, link::State::TABLE);
    let states =
        server::State::ALL.iter().map(|&it| Named { it, meaning: it.describe() }).collect::<Vec<_>>();
    let inputs =
        server::Input::ALL.iter().map(|&it| Named { it, meaning: it.describe() }).collect::<Vec<_>>();
    section(&mut page, SERVER, &states, &inputs, server::State::TABLE);
    expect_file!["../../docs/state-machines.md"].assert_eq(&page);
}

fn section<S, I>(page: &mut String, head: &str, states: &[Named<S>], inputs: &[Named<I>], table: &[(S, I, S)])
where
    S: Debug + Copy + PartialEq,
    I: Debug + Copy + PartialEq,
{
    write!(page, "\n{head}\n```mermaid\nstateDiagram-v2\n    [*] --> {:?}\n", states[0].it).unwrap();
    for from in states {
        for to in states {
            let on = table.iter().filter(|(f, _, t)| (*f, *t) == (from.it, to.it));
            let on: Vec<_> = on.map(|(_, on, _)| format!("{on:?}")).collect();
            if !on.is_empty() {
                writeln!(page, "    {:?} --> {:?}: {}", from.it, to.it, on.join(", ")).unwrap();
            }
        }
        if table.iter().all(|(f, ..)| *f != from.it) {
            writeln!(page, "    {:?} --> [*]", from.it).unwrap();
        }
    }
    page.push_str("```\n\n| state | meaning |\n|---|---|\n");
    for Named { it, meaning } in states {
        writeln!(page, "| {it:?} | {meaning} |").unwrap();
    }
    page.push_str("\n| input |");
    states.iter().for_each(|state| write!(page, " in {:?} |", state.it).unwrap());
    writeln!(page, " meaning |\n|---|{}---|", "---|".repeat(states.len())).unwrap();
    for Named { it, meaning } in inputs {
        write!(page, "| {it:?} |").unwrap();
        for from in states {
            let to = table.iter().find(|(f, on, _)| (*f, *on) == (from.it, *it));
            let to = to.map_or_else(String::new, |(_, _, to)| format!("{to:?} "));
            write!(page, " {to}|").unwrap();
        }
        writeln!(page, " {meaning} |").unwrap();
    }
}
