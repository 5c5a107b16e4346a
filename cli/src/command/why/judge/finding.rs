//! What a judgement is: a situation of the textbook, what may lie behind it, and who says so.

use core::net::{IpAddr, SocketAddr};

use resound_core::signal::Cause;

use super::super::route::is_here;
use super::super::situation::{Candidate, Situation};

/// What is known.
#[derive(Clone, Debug)]
pub(in super::super) struct Finding {
    pub(in super::super) situation: Situation,
    /// What would look the same from here; empty where the situation says it all.
    pub(in super::super) between: Vec<Candidate>,
    /// `None` for what is healthy.
    pub(in super::super) cause: Option<Cause>,
    /// Who said so.
    pub(in super::super) who: Option<IpAddr>,
}

impl Finding {
    pub(super) fn new(situation: Situation, cause: Cause) -> Self {
        let who = cause.icmp.and_then(|icmp| icmp.offender);
        Self { situation, between: Vec::new(), cause: Some(cause), who }
    }

    pub(super) const fn healthy() -> Self {
        Self { situation: Situation::Healthy, between: Vec::new(), cause: None, who: None }
    }

    pub(super) fn between(self, candidates: impl Into<Vec<Candidate>>) -> Self {
        Self { between: candidates.into(), ..self }
    }

    /// What is left of it where the peer is this host, which is up.
    pub(super) fn of_this_host(mut self) -> Self {
        self.between.retain(|candidate| !candidate.is_of_another_host());
        // The last one says no more than the situation does.
        if self.between.len() == 1 {
            self.between.clear();
        }
        self
    }

    /// Whoever said so, for a sentence.
    pub(in super::super) fn who(&self) -> String {
        self.who.map_or_else(|| String::from("somebody"), |who| who.to_string())
    }

    /// The situation in a few words.
    pub(in super::super) fn headline(&self) -> String {
        self.situation.entry().headline.replace("{who}", &self.who())
    }

    /// What to try, with what is known filled in.
    pub(in super::super) fn advice(&self, target: &str, to: Option<SocketAddr>) -> Vec<String> {
        let here = to.is_some_and(|to| is_here(to.ip()));
        let advice = self.situation.entry().advice.iter();
        // Who asks on loopback would reach a server that listens there.
        let advice = advice.filter(|advice| !(here && advice.contains("127.0.0.1 only")));
        let may_have_restarted = self.between.contains(&Candidate::HostRestarted);
        let advice = advice.filter(|advice| may_have_restarted || !advice.contains("the host has restarted"));
        advice.map(|advice| filled_in(advice, target, to)).collect()
    }

    /// What would tell the candidates apart, where there are any.
    pub(in super::super) fn decide(&self, target: &str, to: Option<SocketAddr>) -> Option<String> {
        let decide = self.situation.entry().decide.filter(|_| !self.certain())?;
        Some(filled_in(decide, target, to))
    }

    /// Whether one explanation is left.
    pub(in super::super) fn certain(&self) -> bool {
        self.between.is_empty()
    }
}

/// The textbook's sentence, about this target.
fn filled_in(text: &str, target: &str, to: Option<SocketAddr>) -> String {
    let text = text.replace("TARGET", target);
    match to {
        None => text.replace("NAME", target.rsplit_once(':').map_or(target, |(name, _)| name)),
        Some(to) => text.replace("ADDRESS", &to.ip().to_string()).replace("PORT", &to.port().to_string()),
    }
}
