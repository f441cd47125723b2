//! The rhythm of contacts: how regular the gaps of a pair are, against the population's pairs, and how common its
//! destination is.

use super::{Ballot, Notes, Outcome, Peers, Plan, Raised, Sight, expected, memory_name, rung_begin, step_of, told};
use crate::domain::{NormalIf, Timestamp};
use crate::engine::baseline::{
    Baseline, Category, CategoryPrior, CategorySummary, Contact, GAPS_MIN, Interval, IntervalPrior, IntervalSummary,
    Scale,
};
use crate::engine::calibration::{CalibrationVote, INCIDENT_SURPRISE};
use serde::{Deserialize, Serialize};

/// The state of a rhythm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IntervalWatch {
    baseline: Interval,
    /// The beginning of the last contact.
    last: Timestamp,
    /// The hash of the destination, for its prevalence.
    destination: u64,
    slot: i32,
    voted: i32,
    /// Contacts in the open window.
    contacts: u32,
    rung: u16,
}

/// Contacts closer together than this are one.
const TOGETHER_SECONDS: f64 = 1.0;

impl IntervalWatch {
    /// A watch whose first window holds `time`.
    pub fn new(plan: &Plan, time: Timestamp) -> Self {
        IntervalWatch {
            baseline: Interval::default(),
            last: Timestamp::MIN,
            destination: 0,
            slot: plan.slot(time),
            voted: i32::MIN,
            contacts: 0,
            rung: 0,
        }
    }

    /// The number of the open window.
    pub fn slot(&self) -> i32 {
        self.slot
    }

    /// Takes a contact in.
    pub fn observe(
        &mut self,
        sight: &Sight<'_>,
        plan: &Plan,
        peers: &Peers<'_, IntervalPrior>,
        common: &CategoryPrior,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        let prior = peers.prior;
        let begun = sight.event.start().unwrap_or(sight.event.time());
        self.destination = sight.value;
        let slot = plan.slot(sight.event.time());
        if slot > self.slot {
            self.slot = slot;
            self.contacts = 0;
            self.rung = 0;
        }
        let gap_seconds = if self.last > Timestamp::MIN {
            begun.since(self.last).as_seconds()
        } else {
            f64::MAX
        };
        if gap_seconds < TOGETHER_SECONDS {
            return;
        }
        let first = self.last == Timestamp::MIN;
        self.last = begun;
        self.contacts = self.contacts.saturating_add(1);
        if first {
            outcome.vote = true;
            return;
        }
        let contact = Contact {
            gap_seconds,
            prevalence: common.at_most_as_common(sight.value),
            newness: None,
        };
        let judgement = self.baseline.judge(prior, Scale::ONE, contact, plan.tail);
        let gaps = self.baseline.gaps() + 1;
        let epoch = (sight.now.seconds() / 3600) as i32;
        if gaps >= GAPS_MIN {
            outcome.judgements += 1;
        }
        let surprise = told(judgement.ln_p, peers.calibrations.of_entity(false), plan);
        if gaps >= GAPS_MIN && epoch != self.voted {
            self.voted = epoch;
            outcome.vote = true;
            let incident = surprise >= INCIDENT_SURPRISE;
            let uniform = plan.uniform(sight.entity, slot);
            ballot
                .calibration
                .vote(CalibrationVote::new(&judgement, sight.entity, false, incident, uniform));
        }
        let rung = step_of(surprise, sight.bar);
        if rung > self.rung && surprise >= rung_begin(1) && gaps as f64 >= plan.at_least {
            self.rung = rung;
            let mut notes = Notes::default();
            notes.add(sight, plan, false);
            let regularity = self.baseline.regularity();
            outcome.raised.push(Raised {
                at: sight.now,
                window_start: plan.begin(slot),
                surprise,
                rung,
                seen: self.baseline.period_seconds(),
                expected: expected(&self.baseline.expected(prior, Scale::ONE), gap_seconds),
                normal_if: NormalIf::LessRegular((regularity * 2.0).max(0.3)),
                memory: memory_name(judgement.memory),
                context: notes.context(),
                regime_change: false,
            });
        }
        self.baseline.learn(prior, Scale::ONE, contact, &plan.decay);
    }

    /// The pair's vote: how regular it is, and that it has its destination.
    pub fn vote(&self, votes: &mut IntervalSummary, destinations: &mut CategorySummary) {
        self.baseline.vote(votes);
        let mut destination = Category::default();
        let nobody = CategoryPrior::new(0.5, 1.0);
        let decay = crate::engine::baseline::Decay::new(
            crate::domain::Duration::from_seconds(86_400),
            crate::domain::Duration::from_seconds(3600),
        );
        destination.learn(&nobody, Scale::ONE, self.destination, &decay);
        destination.tell(destinations);
    }
}
