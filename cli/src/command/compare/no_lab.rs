//! In the place of the lab, where there is none: it is of Linux.

use core::sync::atomic::AtomicBool;
use std::io;
use std::path::Path;

use resound_conformance::Outcome;
use serde::Serialize;

use crate::args::{Compare, RuntimeName, UseLab};
use crate::output::note;

const WHY: &str = "the lab needs Linux";

/// There is nothing to be done.
#[derive(Debug)]
pub(super) enum Plan {}

/// Nothing of it ever comes.
#[derive(Debug)]
#[expect(dead_code, reason = "there is no lab to tell it")]
pub(super) enum News {
    Doing(String),
    Played(Box<Self>),
}

#[derive(Debug, Default)]
pub(super) struct Lab {
    pub(super) hindrance: Option<String>,
}

#[derive(Debug)]
pub(super) struct Hindered(pub(super) String);

/// The lab has no part in the document.
#[derive(Debug, Serialize)]
pub(super) enum Body {}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Counts {}

impl Plan {
    pub(super) fn new(args: &Compare, _: &[RuntimeName], lab: &mut Lab) -> Result<Option<Self>, Hindered> {
        if args.lab == UseLab::Always {
            return Err(Hindered(WHY.into()));
        }
        if args.wants_lab() {
            note(WHY);
            lab.hindrance = Some(WHY.into());
        }
        Ok(None)
    }

    pub(super) fn plays(&self) -> usize {
        match *self {}
    }

    pub(super) fn carry_out(&self, _: &AtomicBool, _: &(dyn Fn(News) + Sync)) {
        match *self {}
    }
}

impl Lab {
    pub(super) fn take(&mut self, _: News) {}

    pub(super) fn sort(&mut self) {}

    pub(super) fn holds(&self) -> bool {
        true
    }

    pub(super) fn lacks(&self) -> Option<String> {
        None
    }

    pub(super) fn text(&self) -> String {
        self.hindrance.as_ref().map(|why| format!("\n{why}\n")).unwrap_or_default()
    }

    pub(super) fn markdown(&self) -> String {
        self.text()
    }

    pub(super) fn body(&self) -> Option<Body> {
        None
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {}
    }
}

pub(super) fn lines(_: u64, _: &News) -> Vec<serde_json::Value> {
    Vec::new()
}

pub(super) fn csv_rows(_: &News) -> Vec<String> {
    Vec::new()
}

pub(super) fn write_page(_: &Path, _: &Lab, _: &[Outcome], _: Option<&str>) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, WHY))
}
