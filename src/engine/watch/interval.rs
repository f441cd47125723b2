//! The rhythm of contacts: how regular the gaps of a pair are, against the population's pairs, how common its destination
//! is, and how new the pair.
//!
//! A pair is looked at each time eight more gaps have come. Of a window the least likely look counts, and looks beyond the
//! first that share no gap with others raise the price; so what was told while the window was open still holds at its end.

use super::{
    Ballot, Moment, Notes, Outcome, Peers, Plan, Raised, Sight, expected, memory_name, rung_begin, step_of, told,
};
use crate::domain::{Duration, Field, NormalIf, Timestamp, hash_value};
use crate::engine::baseline::{
    Baseline, Category, CategoryPrior, CategorySummary, Contact, Decay, GAPS_MAX, GAPS_MIN, Interval, IntervalPrior,
    IntervalSummary, Judgement, Memory, Scale,
};
use crate::engine::calibration::{CalibrationVote, Class, INCIDENT_SURPRISE};
use crate::engine::population::{epoch_of, span_of};
use serde::{Deserialize, Serialize};

/// The state of a rhythm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IntervalWatch {
    baseline: Interval,
    /// The beginning of the last contact.
    last: Timestamp,
    /// The hash of the destination, for its prevalence.
    destination: u64,
    /// A print of the source's hash.
    source: u32,
    /// The epoch of the first contact.
    first: i32,
    slot: i32,
    /// The epoch of the last vote.
    voted: i32,
    /// The logarithm of the least p that a look of the open window found.
    least_ln_p: f32,
    /// Looks in the open window.
    looks: u16,
    rung: u16,
    /// Whether the surprise of the least p ranks as an incident's.
    incident: bool,
    /// Whether the group does not know yet that the pair has its destination.
    untold: bool,
    /// Whether a window has ended whose rhythm the group does not know yet.
    closed: bool,
}

/// Contacts closer together than this are one.
const TOGETHER_SECONDS: f64 = 1.0;
/// Looks after which no gap is left that the first one saw.
const LOOKS_APART: u16 = (GAPS_MAX / GAPS_MIN) as u16;

impl IntervalWatch {
    /// A watch whose first window holds `time`.
    pub fn new(plan: &Plan, time: Timestamp) -> Self {
        IntervalWatch {
            baseline: Interval::default(),
            last: Timestamp::MIN,
            destination: 0,
            source: 0,
            first: epoch_of(time) as i32,
            slot: plan.slot(time),
            voted: i32::MIN,
            least_ln_p: 0.0,
            looks: 0,
            rung: 0,
            incident: false,
            untold: true,
            closed: false,
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
            self.roll(slot, sight.entity, plan, ballot);
        }
        let epoch = epoch_of(sight.now) as i32;
        if epoch != self.voted {
            self.untold |= span_of(epoch.into()) != span_of(self.voted.into());
            self.voted = epoch;
            outcome.vote = true;
        }
        if self.last == Timestamp::MIN {
            let source = sight.event.get(Field::SourceIp);
            self.source = source.map_or(0, |source| (hash_value(source, &mut Vec::new()) >> 32) as u32);
            self.last = begun;
            return;
        }
        let gap_seconds = begun.since(self.last).as_seconds();
        if gap_seconds < TOGETHER_SECONDS {
            return;
        }
        self.last = begun;
        let contact = Contact {
            gap_seconds,
            standing: prior.standing(common.holders(sight.value), self.first, epoch),
        };
        if self.baseline.is_due() {
            self.look(contact, sight, plan, peers, outcome);
        }
        self.baseline.learn(prior, Scale::ONE, contact, &plan.decay);
    }

    /// Judges the rhythm with this contact.
    fn look(
        &mut self,
        contact: Contact,
        sight: &Sight<'_>,
        plan: &Plan,
        peers: &Peers<'_, IntervalPrior>,
        outcome: &mut Outcome,
    ) {
        let prior = peers.prior;
        outcome.judgements += u64::from(self.looks == 0);
        self.looks = self.looks.saturating_add(1);
        let judgement = self.baseline.judge(prior, Scale::ONE, contact, plan.tail);
        let price = (f64::from(self.looks) / f64::from(LOOKS_APART)).max(1.0).ln();
        let ln_p = (judgement.ln_p + price).min(0.0);
        let surprise = told(ln_p, peers.calibrations.of_entity(false), plan);
        if (ln_p as f32) < self.least_ln_p {
            self.least_ln_p = ln_p as f32;
            self.incident = surprise >= INCIDENT_SURPRISE;
        }
        let rung = step_of(surprise, sight.bar);
        let gaps = self.baseline.gaps() + 1;
        if rung <= self.rung || surprise < rung_begin(1) || (gaps as f64) < plan.at_least {
            return;
        }
        self.rung = rung;
        let mut notes = Notes::default();
        notes.add(sight, plan, false);
        let mut context = notes.context();
        let lasted = Duration::from_nanos((self.baseline.span_seconds() * 1e9) as i64);
        context.start = self
            .last
            .minus(lasted)
            .minus(Duration::from_nanos((contact.gap_seconds * 1e9) as i64));
        context.events = gaps.min(GAPS_MAX) as u64 + 1;
        let regularity = self.baseline.regularity();
        outcome.raised.push(Raised {
            at: sight.now,
            window_start: plan.begin(self.slot),
            surprise,
            rung,
            seen: self.baseline.period_seconds(),
            expected: expected(&self.baseline.expected(prior, Scale::ONE), contact.gap_seconds),
            normal_if: NormalIf::LessRegular((regularity * 2.0).max(0.3)),
            memory: memory_name(judgement.memory),
            context,
            regime_change: false,
            by_model: None,
        });
    }

    /// Closes a first window that is over, so that a pair that never comes back has its say in what is usual. Gives
    /// whether nothing is left to do.
    pub fn settle_first(
        &mut self,
        moment: Moment,
        plan: &Plan,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        if moment.now < plan.close(self.slot) {
            return false;
        }
        let open = plan
            .slot(moment.now.minus(plan.lateness))
            .max(self.slot.saturating_add(1));
        self.roll(open, moment.entity, plan, ballot);
        outcome.vote = true;
        true
    }

    /// Closes the open window and begins another.
    fn roll(&mut self, slot: i32, entity: u64, plan: &Plan, ballot: &mut Ballot<'_>) {
        if self.looks > 0 {
            let judgement = Judgement {
                ln_p: self.least_ln_p.into(),
                ln_p_beyond: self.least_ln_p.into(),
                memory: Memory::Slow,
            };
            let uniform = plan.uniform(entity, self.slot);
            let vote = CalibrationVote::new(&judgement, entity, Class::Known, self.incident, uniform);
            ballot.calibration.vote(vote);
            self.closed = true;
        }
        self.slot = slot;
        self.looks = 0;
        self.rung = 0;
        self.least_ln_p = 0.0;
        self.incident = false;
    }

    /// The pair's vote: that it has its destination, and once a window how regular it is.
    pub fn vote(&mut self, votes: &mut IntervalSummary, destinations: &mut CategorySummary) {
        votes.note(self.source, self.voted.max(self.first));
        if std::mem::take(&mut self.closed) {
            self.baseline.vote(votes);
        }
        if std::mem::take(&mut self.untold) {
            let mut destination = Category::default();
            let nobody = CategoryPrior::new(0.5, 1.0);
            let decay = Decay::new(Duration::from_seconds(86_400), Duration::from_seconds(3600));
            destination.learn(&nobody, Scale::ONE, self.destination, &decay);
            destination.tell(destinations);
        }
    }
}
