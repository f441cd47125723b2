//! Several numbers of one window together, judged by a model when the window closes: unlike what this entity does, given
//! how entities deviate from what they do.
//!
//! The entity's own past is the mean of each component over its windows, shrunk to what is usual for others. An update
//! reaches three scales at most, so that one odd window hardly moves it; [`AGREEING_MAX`] surprising windows on end are
//! a new way of life, which is told once and then learned.

use super::{Ballot, Moment, Notes, Outcome, Peers, Plan, Raised, Sight, rung_begin, rung_of, told};
use crate::domain::{ByModel, Expected, Feature, FeatureOf, FeatureSeen, MemoryName, NormalIf, Timestamp};
use crate::engine::baseline::{Judgement, Memory, power};
use crate::engine::calibration::{Calibration, CalibrationVote, Class, INCIDENT_SURPRISE};
use crate::engine::vector::{Fresh, KNOWN_WINDOWS, Measured, Of, VectorPrior, VectorSummary, VectorVote, number_of};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::f64::consts::LN_10;

/// Surprising windows on end that are a new way of life.
const AGREEING_MAX: u8 = 6;
/// From where on a window is surprising in this.
const AGREEING_SURPRISE: f64 = 3.0;
/// How many scales an update reaches.
const REACH: f32 = 3.0;
/// A feature with a smaller share of the strangeness is not named.
const SHARE_MIN: f64 = 0.05;
/// Components that differ by less hardly differ.
const MEANS_LITTLE: f32 = 1.0;
/// Events of a window that are noted one by one; of the rest only how many there were and until when.
const NOTED_MAX: u32 = 8;

type Components = SmallVec<[f32; 16]>;

/// The state of a vector.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VectorWatch {
    slot: i32,
    /// The epoch in which a window was last closed.
    closed_in: i32,
    /// Events of the open window.
    events: u32,
    /// Windows behind the means, after forgetting.
    windows: f32,
    /// By component; then, by feature that is a share, of the share itself, for people.
    means: Box<[f32]>,
    /// For features that ask for what is new, in their order.
    fresh: Box<[Fresh]>,
    /// By feature; empty when nothing was measured yet, or the window is judged.
    open: Box<[Measured]>,
    judged: Option<Box<Judged>>,
    ballot: Option<Box<VectorVote>>,
    notes: Notes,
    agreeing: u8,
    /// Whether a window of the open one's epoch has voted.
    drawn: bool,
}

/// What an ended window came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Judged {
    /// By feature, as people read it.
    seen: Box<[f64]>,
    components: Box<[f32]>,
    /// Empty where the entity had no past.
    deviations: Box<[f32]>,
    /// Windows of its past.
    windows: f32,
    /// By feature that is a share, what it was in the past; empty where there was none.
    shares: Box<[f32]>,
    /// Of a model's judgement.
    ln_p: Option<f64>,
    incident: bool,
    agreed: bool,
}

impl Judged {
    fn row(&self) -> (Of, &[f32]) {
        if self.deviations.is_empty() {
            (Of::Components, &self.components)
        } else {
            (Of::Deviations, &self.deviations)
        }
    }
}

impl VectorWatch {
    /// A watch whose first window holds `time`.
    pub fn new(plan: &Plan, time: Timestamp) -> Self {
        VectorWatch {
            slot: plan.slot(time),
            closed_in: i32::MIN,
            events: 0,
            windows: 0.0,
            means: Box::default(),
            fresh: Box::default(),
            open: Box::default(),
            judged: None,
            ballot: None,
            notes: Notes::default(),
            agreeing: 0,
            drawn: false,
        }
    }

    /// The number of the open window.
    pub fn slot(&self) -> i32 {
        self.slot
    }

    /// Takes an event in.
    pub fn observe(
        &mut self,
        sight: &Sight<'_>,
        plan: &Plan,
        peers: &Peers<'_, VectorPrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        let slot = plan.slot(sight.event.time());
        if slot > self.slot {
            self.roll(slot, sight.moment(), plan, peers, ballot, outcome);
        }
        if self.judged.is_some() {
            return;
        }
        self.measure(sight, &plan.features);
        if self.events <= NOTED_MAX {
            self.notes.add(sight, plan, slot < self.slot);
        } else {
            self.notes.count(sight, slot < self.slot);
        }
        if self.events == wanted(plan) {
            outcome.wake = Some(plan.close(self.slot).max(sight.now));
        }
    }

    fn measure(&mut self, sight: &Sight<'_>, features: &[Feature]) {
        self.events = self.events.saturating_add(1);
        if self.open.is_empty() {
            self.open = features.iter().map(|_| Measured::default()).collect();
        }
        let mut fresh_place = 0;
        for ((measured, feature), glimpse) in self.open.iter_mut().zip(features).zip(sight.glimpses) {
            let mut fresh = None;
            if matches!(feature.of, FeatureOf::New(_)) {
                if self.fresh.len() <= fresh_place {
                    let mut more = std::mem::take(&mut self.fresh).into_vec();
                    more.resize_with(fresh_place + 1, Fresh::default);
                    self.fresh = more.into_boxed_slice();
                }
                fresh = self.fresh.get_mut(fresh_place);
                fresh_place += 1;
            }
            measured.take(&feature.of, *glimpse, fresh);
        }
    }

    /// The window has ended: judges it.
    pub fn wake(&mut self, now: Timestamp, plan: &Plan, peers: &Peers<'_, VectorPrior>, bar: f64) -> Option<Raised> {
        if self.judged.is_some() || self.events < wanted(plan) || now < plan.close(self.slot) {
            return None;
        }
        self.judge(plan, peers);
        let judged = self.judged.as_deref()?;
        let calibration = peers.calibrations.of_entity(judged.deviations.is_empty());
        let surprise = told(judged.ln_p?, calibration, plan);
        let rung = rung_of(surprise);
        if rung == 0 {
            return None;
        }
        let raised = self.raised(judged, now, surprise, rung, plan, peers.prior, &|row| {
            let (of, _) = judged.row();
            let raw = peers.prior.surprise(of, row).unwrap_or(0.0);
            told(-raw * LN_10, calibration, plan) < bar.max(rung_begin(1))
        });
        self.notes.clear();
        Some(raised)
    }

    /// What is told of a judged window. `is_normal` tells whether a row would not have been.
    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of one judgement, each of its own type"
    )]
    fn raised(
        &self,
        judged: &Judged,
        now: Timestamp,
        surprise: f64,
        rung: u16,
        plan: &Plan,
        prior: &VectorPrior,
        is_normal: &dyn Fn(&[f32]) -> bool,
    ) -> Raised {
        let (of, row) = judged.row();
        let shares = prior.blame(of, row);
        // What the entity is expected to show, where the row holds its deviation from that.
        let base: Components = match of {
            Of::Components => row.iter().map(|_| 0.0).collect(),
            Of::Deviations => judged.components.iter().zip(row).map(|(seen, by)| seen - by).collect(),
        };
        let middle = |component| prior.spread(of, component).map_or(0.0, |spread| spread.middle);
        let usual: Components = (0..row.len()).map(middle).collect();
        let features = named(&plan.features, judged, &base, &usual, &shares);
        let mut changed = row.to_vec();
        let mut typical = 0;
        for feature in &features {
            for component in places(&plan.features, usize::from(feature.feature)) {
                changed[component] = usual[component];
            }
            typical += 1;
            if is_normal(&changed) {
                break;
            }
        }
        let first = features.first().copied();
        Raised {
            at: now,
            window_start: plan.begin(self.slot),
            surprise,
            rung,
            seen: first.map_or(0.0, |first| if first.seen.is_finite() { first.seen } else { 0.0 }),
            expected: first.map_or_else(Expected::default, |first| {
                expected(&plan.features, first, judged, &base, prior, of)
            }),
            normal_if: NormalIf::Typical(typical),
            memory: match of {
                Of::Components => MemoryName::Prior,
                Of::Deviations => MemoryName::Slow,
            },
            context: self.notes.context(),
            regime_change: judged.agreed,
            by_model: prior.epoch().map(|epoch| ByModel {
                epoch,
                features,
                text: String::new(),
            }),
        }
    }

    /// Ends the open window: judges what it came to, and learns it.
    fn judge(&mut self, plan: &Plan, peers: &Peers<'_, VectorPrior>) {
        let mut components = Components::new();
        for (measured, feature) in self.open.iter().zip(&*plan.features) {
            measured.write(&feature.of, &mut components);
        }
        let seen = self.open.iter().zip(&*plan.features);
        let seen = seen.map(|(measured, feature)| measured.number(&feature.of)).collect();
        self.open = Box::default();
        let prior = peers.prior;
        let deviations: Box<[f32]> = if self.windows >= KNOWN_WINDOWS {
            let expected = prior.expected(&self.means, self.windows, components.len());
            components
                .iter()
                .zip(expected)
                .map(|(seen, expected)| seen - expected)
                .collect()
        } else {
            Box::default()
        };
        let mut judged = Judged {
            seen,
            components: components.as_slice().into(),
            deviations,
            windows: self.windows,
            shares: self.means.get(components.len()..).unwrap_or_default().into(),
            ln_p: None,
            incident: false,
            agreed: false,
        };
        let (of, row) = judged.row();
        if let Some(raw) = prior.surprise(of, row) {
            let ln_p = -raw * LN_10;
            let calibration: &Calibration = peers.calibrations.of_entity(of == Of::Components);
            let surprise = told(ln_p, calibration, plan);
            judged.ln_p = Some(ln_p);
            judged.incident = surprise >= INCIDENT_SURPRISE;
            self.agreeing = if surprise >= AGREEING_SURPRISE {
                self.agreeing + 1
            } else {
                0
            };
            if self.agreeing >= AGREEING_MAX {
                judged.agreed = true;
                self.agreeing = 0;
                self.windows = self.windows.min(1.0);
            }
        }
        let is_share = |feature: &Feature| feature.of == FeatureOf::Share;
        let shares = plan
            .features
            .iter()
            .zip(&judged.seen)
            .filter(|(feature, _)| is_share(feature));
        let mut learned = components.clone();
        learned.extend(shares.map(|(_, share)| *share as f32));
        self.learn(&learned, prior);
        self.judged = Some(Box::new(judged));
    }

    fn learn(&mut self, components: &[f32], prior: &VectorPrior) {
        if self.means.len() != components.len() {
            self.means = components.iter().map(|_| f32::NAN).collect();
        }
        for (place, (mean, seen)) in self.means.iter_mut().zip(components).enumerate() {
            if !seen.is_finite() {
                continue;
            }
            if !mean.is_finite() {
                *mean = *seen;
                continue;
            }
            let mut by = *seen - *mean;
            if self.windows >= KNOWN_WINDOWS {
                let reach = REACH * prior.scale(place);
                by = by.clamp(-reach, reach);
            }
            *mean += by / (self.windows + 1.0);
        }
        self.windows += 1.0;
    }

    /// Closes a first window that is over. Gives whether nothing is left to do.
    pub fn settle_first(
        &mut self,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, VectorPrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        if self.closed_in != i32::MIN {
            return true;
        }
        if moment.now < plan.close(self.slot) {
            return false;
        }
        let open = plan
            .slot(moment.now.minus(plan.lateness))
            .max(self.slot.saturating_add(1));
        self.roll(open, moment, plan, peers, ballot, outcome);
        true
    }

    /// Closes the open window and begins another.
    fn roll(
        &mut self,
        slot: i32,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, VectorPrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        if self.judged.is_none() && self.events >= wanted(plan) {
            self.judge(plan, peers);
        }
        if let Some(judged) = self.judged.take() {
            let is_first = judged.windows == 0.0;
            // Also while there is no model yet: the budget has to know how many there will be.
            outcome.judgements += 1;
            let votes = is_first || plan.may_draw(moment.entity, self.slot) && !self.drawn;
            if let Some(ln_p) = judged.ln_p.filter(|_| votes) {
                let judgement = Judgement {
                    ln_p,
                    ln_p_beyond: ln_p,
                    memory: Memory::Slow,
                };
                let class = Class::of(judged.deviations.is_empty());
                let uniform = plan.uniform(moment.entity, self.slot);
                let vote = CalibrationVote::new(&judgement, moment.entity, class, judged.incident, uniform);
                ballot.calibration.vote(vote);
            }
            if plan.draws(&mut self.drawn, moment.entity, self.slot) {
                let drawn = plan.mixed(moment.entity ^ 0x7665_6374_6f72_0000, self.slot);
                let Judged {
                    components,
                    deviations,
                    incident,
                    ..
                } = *judged;
                self.ballot = Some(Box::new(VectorVote::new(drawn, incident, components, deviations)));
                outcome.vote = true;
            }
        }
        self.closed_in = (moment.now.seconds() / 3600) as i32;
        if let Ok(passed @ 1..) = u64::try_from(i64::from(slot) - i64::from(self.slot)) {
            self.windows *= power(plan.decay.slow(), passed) as f32;
        }
        plan.pass_on(&mut self.drawn, self.slot, slot);
        self.slot = slot;
        self.events = 0;
        self.open = Box::default();
        self.notes.clear();
    }

    /// The entity's vote.
    pub fn vote(&mut self, votes: &mut VectorSummary) {
        if let Some(ballot) = self.ballot.take() {
            votes.vote(*ballot);
        }
    }
}

/// Events that a window has at least to be judged.
fn wanted(plan: &Plan) -> u32 {
    (plan.at_least.clamp(1.0, f64::from(u32::MAX))) as u32
}

/// The components of the feature at a place.
fn places(features: &[Feature], place: usize) -> std::ops::Range<usize> {
    let begin = features.iter().take(place).map(Feature::components).sum();
    begin..begin + features.get(place).map_or(0, Feature::components)
}

/// The features to blame, the strongest first. A row's numbers, and those of `usual`, add to `base`.
fn named(features: &[Feature], judged: &Judged, base: &[f32], usual: &[f32], shares: &[f64]) -> Vec<FeatureSeen> {
    let (_, row) = judged.row();
    let mut seen: Vec<(bool, FeatureSeen)> = (0..features.len())
        .map(|place| {
            let components = places(features, place);
            let typical: Components = components.clone().map(|place| base[place] + usual[place]).collect();
            // What is missing differs from anything.
            let differs = |place: usize| {
                let by = (row[place] - usual[place]).abs();
                by.is_nan() || by >= MEANS_LITTLE
            };
            let share: f64 = components.clone().map(|place| shares[place]).sum();
            let number = match features[place].of {
                FeatureOf::Share => {
                    let before = features[..place]
                        .iter()
                        .filter(|feature| feature.of == FeatureOf::Share)
                        .count();
                    judged.shares.get(before).copied().map(f64::from)
                }
                _ => None,
            };
            let seen = FeatureSeen {
                feature: place as u16,
                seen: tidy(judged.seen.get(place).copied().unwrap_or(f64::NAN)),
                typical: tidy(number.unwrap_or_else(|| number_of(&features[place].of, &typical))),
                share: (share * 1e4).round() / 1e4,
            };
            (components.clone().any(differs), seen)
        })
        .collect();
    // What hardly differs from what is usual may have a share, in company with the rest; people are not told of it.
    seen.sort_by(|one, other| other.0.cmp(&one.0).then(other.1.share.total_cmp(&one.1.share)));
    let worth = seen
        .iter()
        .filter(|(differs, seen)| *differs && seen.share >= SHARE_MIN);
    let count = worth.count().clamp(1, FeatureSeen::COUNT_MAX);
    seen.into_iter().take(count).map(|(_, seen)| seen).collect()
}

/// Without the last digits, which come from logarithms.
fn tidy(number: f64) -> f64 {
    let digits = 10f64.powf(5.0 - number.abs().max(1e-3).log10().ceil());
    if number.is_finite() {
        (number * digits).round() / digits
    } else {
        f64::NAN
    }
}

/// What people read of the feature to blame most.
fn expected(
    features: &[Feature],
    first: FeatureSeen,
    judged: &Judged,
    base: &[f32],
    prior: &VectorPrior,
    of: Of,
) -> Expected {
    let place = usize::from(first.feature);
    let component = places(features, place).start;
    let number = |number: f32| tidy(number_of(&features[place].of, &[base[component] + number]));
    let typical = if first.typical.is_finite() { first.typical } else { 0.0 };
    let (low, high) = match prior.spread(of, component) {
        Some(spread) if features[place].components() == 1 => (number(spread.low), number(spread.high)),
        _ => (typical, typical),
    };
    // Nine of ten lie within 1.645 standard deviations of a normal law on either side.
    let deviation = (high - low) / (2.0 * 1.645);
    Expected {
        typical,
        low: low.max(0.0),
        high: high.max(0.0),
        mean: typical,
        variance: deviation * deviation,
        z: if deviation > 0.0 {
            (first.seen - typical) / deviation
        } else {
            0.0
        },
        history_windows: f64::from(judged.windows),
        prior_weight: if judged.deviations.is_empty() {
            1.0
        } else {
            f64::from(2.0 / (judged.windows + 2.0))
        },
    }
}
