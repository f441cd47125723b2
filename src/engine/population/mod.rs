//! The population: what no partition sees alone. Event time is cut into epochs of one hour; each partition sums up an
//! epoch in integers, the sums are merged in any order to the same bits, and what an epoch taught judges from the start
//! of the second epoch after it.

mod belief;
mod summaries;
mod uniformity;

pub use belief::{Belief, Prior, PriorVotes, Votes};
pub use summaries::{Summaries, SummaryProblem, write_summary};
pub use uniformity::{P_BOUNDS, Uniformity};

use super::succession::Succession;
use super::triage::Budget;
use crate::domain::{Definition, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// The length of an epoch in seconds.
pub const EPOCH_SECONDS: i64 = 3600;
/// Groups of entities that share a prior: internal or not an address, and external.
pub const GROUPS: usize = 2;
/// Epochs after which older votes no longer count: votes live for one to two such spans.
const MEMORY_EPOCHS: i64 = 28 * 24;
const EPOCHS_OF_WEEK: f64 = 168.0;
/// Judgements a day that a detector is believed to make before it has been seen at work, and how many epochs this
/// belief is worth.
const JUDGEMENTS_PER_DAY: f64 = 1000.0;
const JUDGEMENTS_WEIGHT: f64 = 2.0;
/// A detector may be wrong about each entity once in so many days, however large the budget.
const DAYS_FOR_ONE_MISTAKE: f64 = 10.0;

/// The epoch that holds a moment.
pub fn epoch_of(time: Timestamp) -> i64 {
    time.seconds().div_euclid(EPOCH_SECONDS)
}

/// The span of time of which votes are counted together that holds an epoch.
pub fn span_of(epoch: i64) -> i64 {
    epoch.div_euclid(MEMORY_EPOCHS)
}

/// What one partition, or all together, saw in one epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EpochSummary {
    /// By plan, then by group.
    pub votes: Vec<[Votes; GROUPS]>,
    /// Judgements made, by plan.
    pub judgements: Vec<u64>,
    /// Entities that voted, by plan.
    pub entities: Vec<u64>,
    /// How many epochs this is about, by plan: a detector may have come later than others.
    epochs: Vec<u64>,
}

impl EpochSummary {
    /// A summary without anything, for the plans of these beliefs.
    pub fn new(beliefs: &[Belief]) -> Self {
        EpochSummary {
            votes: beliefs
                .iter()
                .map(|belief| [belief.no_votes(), belief.no_votes()])
                .collect(),
            judgements: vec![0; beliefs.len()],
            entities: vec![0; beliefs.len()],
            epochs: vec![0; beliefs.len()],
        }
    }

    /// Adds what another partition saw.
    pub fn merge(&mut self, other: &EpochSummary) {
        for (held, other) in self.votes.iter_mut().flatten().zip(other.votes.iter().flatten()) {
            held.merge(other);
        }
        for (held, other) in self.judgements.iter_mut().zip(&other.judgements) {
            *held += other;
        }
        for (held, other) in self.entities.iter_mut().zip(&other.entities) {
            *held += other;
        }
    }

    /// Whether it is about the plans that were saved.
    pub(super) fn fits(&self, succession: &Succession) -> bool {
        [
            self.votes.len(),
            self.judgements.len(),
            self.entities.len(),
            self.epochs.len(),
        ] == [succession.plans_saved(); 4]
    }

    /// What it says of the plans that go on, in `blank`.
    pub(super) fn handed_on(self, succession: &Succession, mut blank: EpochSummary) -> EpochSummary {
        succession.hand_on_plans(self.votes, &mut blank.votes);
        succession.hand_on_plans(self.judgements, &mut blank.judgements);
        succession.hand_on_plans(self.entities, &mut blank.entities);
        succession.hand_on_plans(self.epochs, &mut blank.epochs);
        blank
    }
}

/// What judges in an epoch.
#[derive(Clone, Debug)]
pub struct Version {
    /// The last epoch that taught it; 0 for the definitions' own beliefs.
    pub number: u64,
    /// By plan, then by group.
    pub beliefs: Vec<[Belief; GROUPS]>,
    /// The surprise from which each detector's alerts are told, by detector.
    pub bars: Vec<f64>,
}

/// The shared state: votes of the last weeks, and the versions that they made.
#[derive(Debug)]
pub struct Population {
    own: Vec<Belief>,
    detector_of_plan: Vec<u16>,
    detectors: usize,
    /// Kinds of entity of which several detectors may be told together.
    kinds_with_company: usize,
    budget: Budget,
    held: Held,
    current: Arc<Version>,
    /// What the current version was made of.
    current_held: Held,
    pending: VecDeque<(i64, Arc<Version>, Held)>,
    /// How evenly p was spread, by detector. Not saved.
    uniformity: Vec<Uniformity>,
}

/// The population as it is saved.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedPopulation {
    held: Held,
    current: (u64, Held),
    pending: Vec<(i64, Held)>,
}

/// The votes of the last weeks, and how much was judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    recent: EpochSummary,
    earlier: EpochSummary,
    span: i64,
    /// Forgotten counts of epochs since a detector came, by detector.
    epochs: Vec<f64>,
    judgements: Vec<f64>,
    /// Forgotten sums over epochs of the entities that each detector judged, and of the epochs in which it judged any.
    entities: Vec<(f64, f64)>,
}

impl Held {
    /// Nothing of so many detectors with plans of these beliefs.
    fn new(own: &[Belief], detectors: usize) -> Held {
        Held {
            recent: EpochSummary::new(own),
            earlier: EpochSummary::new(own),
            span: i64::MIN,
            epochs: vec![0.0; detectors],
            judgements: vec![0.0; detectors],
            entities: vec![(0.0, 0.0); detectors],
        }
    }

    /// Whether it is about the detectors that were saved.
    fn fits(&self, succession: &Succession) -> bool {
        self.recent.fits(succession)
            && self.earlier.fits(succession)
            && [self.epochs.len(), self.judgements.len(), self.entities.len()] == [succession.detectors_saved(); 3]
    }

    /// What it says of the detectors that go on, in `blank`.
    fn handed_on(self, succession: &Succession, mut blank: Held) -> Held {
        blank.recent = self.recent.handed_on(succession, blank.recent);
        blank.earlier = self.earlier.handed_on(succession, blank.earlier);
        blank.span = self.span;
        succession.hand_on_detectors(self.epochs, &mut blank.epochs);
        succession.hand_on_detectors(self.judgements, &mut blank.judgements);
        succession.hand_on_detectors(self.entities, &mut blank.entities);
        blank
    }
}

impl Population {
    /// A population that nobody has voted in yet.
    pub fn new(definitions: &[Definition], budget: Budget) -> Self {
        let own: Vec<Belief> = definitions
            .iter()
            .flat_map(|definition| definition.baseline.priors.iter().zip(&definition.windows))
            .map(|(prior, window)| Belief::of(prior, *window))
            .collect();
        let detector_of_plan = definitions
            .iter()
            .enumerate()
            .flat_map(|(number, definition)| definition.windows.iter().map(move |_| number as u16))
            .collect();
        let held = Held::new(&own, definitions.len());
        let mut population = Population {
            detector_of_plan,
            detectors: definitions.len(),
            kinds_with_company: super::triage::kinds_with_company(definitions),
            budget,
            current_held: held.clone(),
            held,
            current: Arc::new(Version {
                number: 0,
                beliefs: Vec::new(),
                bars: Vec::new(),
            }),
            pending: VecDeque::new(),
            uniformity: vec![Uniformity::default(); definitions.len()],
            own,
        };
        population.current = Arc::new(population.version(0, &population.held));
        population
    }

    /// A summary without anything, for a partition to fill.
    pub fn blank(&self) -> EpochSummary {
        EpochSummary::new(&self.own)
    }

    /// What judges now.
    pub fn current(&self) -> &Arc<Version> {
        &self.current
    }

    /// How evenly p was spread since this process began, by detector.
    pub fn uniformity(&self) -> &[Uniformity] {
        &self.uniformity
    }

    /// What outlives a process.
    pub(super) fn save(&self) -> SavedPopulation {
        SavedPopulation {
            held: self.held.clone(),
            current: (self.current.number, self.current_held.clone()),
            pending: self
                .pending
                .iter()
                .map(|(epoch, _, held)| (*epoch, held.clone()))
                .collect(),
        }
    }

    /// Takes up what was saved of the detectors that go on. Gives whether it is about the detectors that were saved.
    pub(super) fn restore(&mut self, saved: SavedPopulation, succession: &Succession) -> bool {
        let fits = |held: &Held| held.fits(succession);
        if !fits(&saved.held) || !fits(&saved.current.1) || !saved.pending.iter().all(|(_, held)| fits(held)) {
            return false;
        }
        let hand_on = |held: Held| held.handed_on(succession, Held::new(&self.own, self.detectors));
        let (number, current_held) = saved.current;
        let current_held = hand_on(current_held);
        let pending = saved.pending.into_iter().map(|(epoch, held)| {
            let held = hand_on(held);
            let version = Arc::new(self.version(u64::try_from(epoch).unwrap_or(0), &held));
            (epoch, version, held)
        });
        let pending = pending.collect();
        let held = hand_on(saved.held);
        self.current = Arc::new(self.version(number, &current_held));
        self.current_held = current_held;
        self.pending = pending;
        self.held = held;
        true
    }

    /// An epoch has ended with this summary of all partitions.
    pub fn absorb(&mut self, epoch: i64, summary: &EpochSummary) {
        // What judged in the epoch is still the current version.
        for (plan, votes) in summary.votes.iter().enumerate() {
            let detector = usize::from(self.detector_of_plan[plan]);
            for (votes, belief) in votes.iter().zip(&self.current.beliefs[plan]) {
                self.uniformity[detector].add(&votes.calibration, &belief.calibrations);
            }
        }
        let span = span_of(epoch);
        if span != self.held.span {
            let blank = self.blank();
            let recent = std::mem::replace(&mut self.held.recent, blank);
            self.held.earlier = if span == self.held.span.saturating_add(1) {
                recent
            } else {
                self.blank()
            };
            self.held.span = span;
        }
        let day = epoch.div_euclid(24);
        let mut summary = summary.clone();
        for votes in summary.votes.iter_mut().flatten() {
            votes.calibration.date(day);
        }
        self.held.recent.merge(&summary);
        self.held.recent.epochs.iter_mut().for_each(|epochs| *epochs += 1);
        let earlier = self.held.earlier.votes.iter().flatten();
        for (recent, earlier) in self.held.recent.votes.iter_mut().flatten().zip(earlier) {
            match (&mut recent.prior, &earlier.prior) {
                (PriorVotes::Vector(recent), PriorVotes::Vector(earlier)) => recent.settle(earlier, epoch),
                (PriorVotes::Sequence(recent), PriorVotes::Sequence(earlier)) => recent.settle(earlier, epoch),
                _ => {}
            }
        }
        // Half of what was counted is forgotten after about a week.
        for epochs in &mut self.held.epochs {
            *epochs = *epochs * 0.996 + 1.0;
        }
        for (judgements, (entities, epochs)) in self.held.judgements.iter_mut().zip(&mut self.held.entities) {
            *judgements *= 0.996;
            *entities *= 0.996;
            *epochs *= 0.996;
        }
        let mut entities = vec![0u64; self.detectors];
        for (plan, judgements) in summary.judgements.iter().enumerate() {
            let detector = usize::from(self.detector_of_plan[plan]);
            self.held.judgements[detector] += *judgements as f64;
            entities[detector] = entities[detector].max(summary.entities[plan]);
        }
        for ((held, epochs), entities) in self.held.entities.iter_mut().zip(entities) {
            *held += entities as f64;
            *epochs += f64::from(u8::from(entities > 0));
        }
        let version = Arc::new(self.version(u64::try_from(epoch).unwrap_or(0), &self.held));
        self.pending.push_back((epoch, version, self.held.clone()));
    }

    /// An epoch begins: what was taught up to two epochs ago judges from now on.
    pub fn begin(&mut self, epoch: i64) {
        while self
            .pending
            .front()
            .is_some_and(|(taught, _, _)| *taught <= epoch.saturating_sub(2))
        {
            if let Some((_, version, held)) = self.pending.pop_front() {
                self.current = version;
                self.current_held = held;
            }
        }
    }

    /// Whether no version waits for its epoch.
    pub fn settled(&self) -> bool {
        self.pending.is_empty()
    }

    fn version(&self, number: u64, held: &Held) -> Version {
        let epochs = held.recent.epochs.iter().zip(&held.earlier.epochs);
        let weeks = epochs.map(|(recent, earlier)| (recent + earlier) as f64 / EPOCHS_OF_WEEK);
        let beliefs = self
            .own
            .iter()
            .zip(held.recent.votes.iter().zip(&held.earlier.votes))
            .zip(weeks)
            .map(|((own, (recent, earlier)), weeks)| {
                std::array::from_fn(|group| {
                    let mut votes = recent[group].clone();
                    votes.join_earlier(&earlier[group]);
                    own.taught(&votes, weeks)
                })
            })
            .collect();
        Version {
            number,
            beliefs,
            bars: self.bars(held),
        }
    }

    /// How many detectors share the budget: those that have anything to judge, or all while nothing is known. Logins have
    /// no share where only packets are seen.
    fn at_work(&self, held: &Held) -> usize {
        let working = held.judgements.iter().filter(|judged| **judged >= 1.0).count();
        if working > 0 { working } else { self.detectors }
    }

    /// A detector's bar: its share of the budget over the judgements expected in a day.
    fn bars(&self, held: &Held) -> Vec<f64> {
        let Budget::AlertsPerDay(alerts) = self.budget else {
            return vec![super::triage::FORMING_SURPRISE; self.detectors];
        };
        let prior = JUDGEMENTS_PER_DAY / 24.0 * JUDGEMENTS_WEIGHT;
        let share = alerts.max(0.01) / (self.at_work(held) + self.kinds_with_company) as f64;
        held.judgements
            .iter()
            .zip(&held.entities)
            .zip(&held.epochs)
            .map(|((judged, (entities, active)), epochs)| {
                let epochs = epochs + JUDGEMENTS_WEIGHT;
                let expected = ((judged + prior) / epochs * 24.0).max(1.0);
                let entities = (entities + JUDGEMENTS_WEIGHT) / (active + JUDGEMENTS_WEIGHT);
                let bar = (expected / share.min(entities / DAYS_FOR_ONE_MISTAKE)).log10();
                (bar.max(super::triage::FORMING_SURPRISE) * 1e6).round() / 1e6
            })
            .collect()
    }
}
