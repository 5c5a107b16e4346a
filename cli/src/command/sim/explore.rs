//! Every schedule of up to k more faults over a scenario.

use std::panic::{AssertUnwindSafe, catch_unwind};

use resound_sim::engine::Trial;
use resound_sim::engine::explore::{Certificate, Counterexample, Explore, Menu, Within};
use resound_sim::engine::replay::clients;
use resound_sim::{Scenario, oracle};

use super::Verdict;
use crate::args::{MenuName, Sim};

/// What is to be searched.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    most_faults: u32,
    within: u32,
    menus: Vec<MenuName>,
}

/// What came of a search.
pub(super) struct Explored {
    pub(super) plan: Plan,
    pub(super) result: Result<Certificate, Found>,
}

/// A schedule that fails: one of the shortest.
pub(super) struct Found {
    pub(super) rule: String,
    pub(super) what: String,
    /// How many were tried before.
    pub(super) before: u64,
    /// In its text form.
    pub(super) scenario: String,
    /// What came of it; `None` if a program panicked.
    pub(super) verdict: Option<Verdict>,
}

impl Plan {
    pub(super) fn of(args: &Sim) -> Option<Self> {
        let most_faults = args.explore?;
        Some(Self { most_faults, within: args.within, menus: args.menu.clone() })
    }

    pub(super) const fn most_faults(&self) -> u32 {
        self.most_faults
    }

    pub(super) const fn within(&self) -> u32 {
        self.within
    }

    /// The names of the menus, as they are asked for.
    pub(super) fn menus(&self) -> impl Iterator<Item = String> {
        use clap::ValueEnum as _;
        self.menus.iter().filter_map(|menu| Some(menu.to_possible_value()?.get_name().to_owned()))
    }

    pub(super) fn explore(&self, scenario: &Scenario) -> Explored {
        let start = Trial::echo().must(oracle::expected());
        let trial = clients(scenario)
            .into_iter()
            .fold(start, |trial, client| trial.must(oracle::conservation(client)));
        let menu = self.menus.iter().map(|menu| menu.items()).fold(Menu::default(), Menu::and);
        let search = Explore::new(scenario).menu(menu).most_faults(self.most_faults);
        let result = search.within(Within::Overall(self.within)).run(&trial);
        Explored { plan: self.clone(), result: result.map_err(|found| Found::of(*found)) }
    }
}

impl Explored {
    pub(super) const fn holds(&self) -> bool {
        self.result.is_ok()
    }

    pub(super) fn found(&self) -> Option<&Found> {
        self.result.as_ref().err()
    }
}

impl Found {
    fn of(found: Counterexample) -> Self {
        let Counterexample { scenario, broken, schedules_before } = found;
        Self {
            rule: broken.rule.to_string(),
            what: broken.what,
            before: schedules_before,
            scenario: scenario.to_string(),
            verdict: catch_unwind(AssertUnwindSafe(|| Verdict::of(scenario))).ok(),
        }
    }
}

impl MenuName {
    fn items(self) -> Menu {
        match self {
            Self::Standard => Menu::standard(),
            Self::TcpErrors => Menu::tcp_errors(),
            Self::IcmpV4 => Menu::icmp_v4(),
            Self::IcmpV6 => Menu::icmp_v6(),
        }
    }
}
