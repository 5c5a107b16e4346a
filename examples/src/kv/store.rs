//! What the server keeps. It outlives connections, and a crash: think of it as a file.

use std::collections::{BTreeMap, VecDeque};

use super::WINDOW;

/// Numbers under names.
#[derive(Debug, Default)]
pub struct Numbers(BTreeMap<String, i64>);

impl Numbers {
    /// Does what a request says, and gives the answer.
    pub fn execute(&mut self, request: &str) -> String {
        let words: Vec<&str> = request.split(' ').collect();
        let number = |text: &str| text.parse::<i64>().ok();
        match *words {
            ["get", name] => self.0.get(name).map_or("none".to_owned(), ToString::to_string),
            ["set", name, to] if number(to).is_some() => self.put(name, number(to).unwrap_or_default()),
            ["add", name, by] if number(by).is_some() => {
                let now = self.0.get(name).copied().unwrap_or_default();
                self.put(name, now.saturating_add(number(by).unwrap_or_default()))
            }
            _ => "what?".to_owned(),
        }
    }

    fn put(&mut self, name: &str, number: i64) -> String {
        self.0.insert(name.to_owned(), number);
        number.to_string()
    }
}

/// What becomes of a request that was executed before: the client has lost its connection, and sends again what was not
/// answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeats {
    /// It is executed again. The mistake that the guide finds; kept so that it can be found again.
    Execute,
    /// It gets the answer that it got.
    #[default]
    Recognise,
}

/// The numbers, and what each client has done to them.
#[derive(Debug, Default)]
pub struct Store {
    numbers: Numbers,
    repeats: Repeats,
    clients: BTreeMap<String, Executed>,
}

/// The last requests of one client.
#[derive(Debug, Default)]
struct Executed {
    /// The number of the last one.
    last: u64,
    /// Their answers, the last one at the end. A client has no more of them on their way.
    answers: VecDeque<String>,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(repeats: Repeats) -> Self {
        Self { repeats, ..Self::default() }
    }

    /// Executes a client's request, once, and gives the answer; `None` if it is too old to know.
    pub fn execute(&mut self, client: &str, number: u64, request: &str) -> Option<String> {
        if self.repeats == Repeats::Execute {
            return Some(self.numbers.execute(request));
        }
        let executed = self.clients.entry(client.to_owned()).or_default();
        if number <= executed.last {
            let back = usize::try_from(executed.last - number).ok()?;
            let at = executed.answers.len().checked_sub(back + 1)?;
            return executed.answers.get(at).cloned();
        }
        let answer = self.numbers.execute(request);
        executed.last = number;
        executed.answers.push_back(answer.clone());
        if executed.answers.len() > WINDOW {
            executed.answers.pop_front();
        }
        Some(answer)
    }
}
