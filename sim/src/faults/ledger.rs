//! What each fault did in the end: acted, absorbed or inert.
//!
//! A fault that changes nothing proves nothing, and a test that relies on it is green for no reason. So each one is
//! followed until something came of it. What is first said to have acted stays so.

use crate::kernel::Fate;
use crate::packet::FaultId;
use crate::run::Effect;

#[derive(Clone, Debug)]
enum Entry {
    Waiting,
    /// It has begun; nothing came of it yet.
    Began,
    /// There was nothing that it could have done anything to: why.
    Missed(String),
    Absorbed(Absorbed),
    Acted(String),
}

#[derive(Clone, Debug)]
enum Absorbed {
    Why(String),
    Fate(&'static str),
}

#[derive(Debug)]
pub(super) struct Ledger(Vec<Entry>);

impl Ledger {
    pub(super) fn new(faults: usize) -> Self {
        Self(vec![Entry::Waiting; faults])
    }

    fn entry(&mut self, fault: FaultId) -> &mut Entry {
        &mut self.0[fault.0 as usize]
    }

    pub(super) fn began(&mut self, fault: FaultId) {
        let entry = self.entry(fault);
        if matches!(entry, Entry::Waiting) {
            *entry = Entry::Began;
        }
    }

    pub(super) fn acted(&mut self, fault: FaultId, what: String) {
        let entry = self.entry(fault);
        if !matches!(entry, Entry::Acted(_)) {
            *entry = Entry::Acted(what);
        }
    }

    pub(super) fn has_acted(&self, fault: FaultId) -> bool {
        matches!(self.0[fault.0 as usize], Entry::Acted(_))
    }

    /// There was nothing that it could have done anything to.
    pub(super) fn missed(&mut self, fault: FaultId, why: String) {
        let entry = self.entry(fault);
        if matches!(entry, Entry::Waiting | Entry::Began) {
            *entry = Entry::Missed(why);
        }
    }

    pub(super) fn absorbed(&mut self, fault: FaultId, why: String) {
        let entry = self.entry(fault);
        if matches!(entry, Entry::Waiting | Entry::Began) {
            *entry = Entry::Absorbed(Absorbed::Why(why));
        }
    }

    pub(super) fn met(&mut self, fault: FaultId, fate: Fate) {
        match fate {
            Fate::Acted(what) if !self.has_acted(fault) => self.acted(fault, what.to_owned()),
            Fate::Acted(_) => {}
            Fate::Absorbed(why) => {
                let entry = self.entry(fault);
                if matches!(entry, Entry::Waiting | Entry::Began) {
                    *entry = Entry::Absorbed(Absorbed::Fate(why));
                }
            }
        }
    }

    pub(super) fn close(self) -> Vec<Effect> {
        let close = |entry| match entry {
            Entry::Waiting => Effect::Inert("it never came to that".to_owned()),
            Entry::Began => Effect::Inert("nothing met it".to_owned()),
            Entry::Missed(why) => Effect::Inert(why),
            Entry::Absorbed(Absorbed::Why(why)) => Effect::Absorbed(why),
            Entry::Absorbed(Absorbed::Fate(why)) => Effect::Absorbed(why.to_owned()),
            Entry::Acted(what) => Effect::Acted(what),
        };
        self.0.into_iter().map(close).collect()
    }
}
