//! Whether a window is active at all: beta-Bernoulli, with forgetting. The first half of every hurdle.

use super::decay::{power, weight_of};
use super::moments::{Moments, REGIME_WINDOWS};
use super::{Decay, Scale};
use serde::{Deserialize, Serialize};

/// Windows seen, forgotten; how many of them were active is the weight of the moments of active windows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Activity {
    /// Forgotten number of windows.
    pub(super) windows: f32,
}

/// What is believed of the share of active windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ActivityPrior {
    pub(super) share: f64,
    /// How many windows that is worth.
    pub(super) weight: f64,
}

/// What a group's entities say together about their activity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ActivitySummary {
    entities: u64,
    sum: i64,
    squares: i64,
    noise: i64,
}

/// How many windows a memory is worth that starts again after a habit ended.
const RESTART_WINDOWS: f32 = 4.0 * REGIME_WINDOWS as f32;
const ONE: f64 = 1_048_576.0;
/// How many entities the definition's prior is worth against the group's.
pub(super) const DEFINITION_ENTITIES: f64 = 20.0;
/// A group of fewer entities has no say.
pub(super) const GROUP_ENTITIES_MIN: u64 = 8;

impl Activity {
    /// Empty windows. True when an entity that was always active has now been quiet so long that this is what is
    /// expected of it.
    pub(super) fn age(&mut self, active: &mut Moments, windows: u64, decay: &Decay) -> bool {
        if windows == 0 {
            return false;
        }
        let over = active.quiet > 0 || (active.weight > 0.99 * self.windows && self.windows > 20.0);
        if over {
            active.quiet = u8::try_from(windows.saturating_add(active.quiet.into())).unwrap_or(u8::MAX);
        }
        self.windows =
            (f64::from(self.windows) * power(decay.slow(), windows) + weight_of(decay.slow(), windows)) as f32;
        active.keep(power(decay.slow(), windows), power(decay.fast(), windows));
        if active.quiet < REGIME_WINDOWS {
            return false;
        }
        active.quiet = 0;
        self.windows = RESTART_WINDOWS;
        active.clear();
        true
    }

    /// One active window; to be called before the moments learn it.
    pub(super) fn learn_active(&mut self, active: &mut Moments, decay: &Decay) {
        active.quiet = 0;
        self.windows = (f64::from(self.windows) * decay.slow() + 1.0) as f32;
    }

    /// After the moments have started again at a new level.
    pub(super) fn follow(&mut self, active: &Moments) {
        self.windows = self.windows.max(active.weight);
    }

    /// The probability of an active window.
    pub(super) fn share(&self, active: &Moments, prior: &ActivityPrior, scale: Scale) -> f64 {
        let yes = (prior.weight * prior.share + f64::from(active.weight)) * scale.odds;
        let no = prior.weight * (1.0 - prior.share) + f64::from(self.windows - active.weight).max(0.0);
        (yes / (yes + no)).clamp(1e-12, 1.0 - 1e-12)
    }

    pub(super) fn vote(&self, active: &Moments, summary: &mut ActivitySummary) {
        if self.windows < 6.0 {
            return;
        }
        let share = f64::from(active.weight / self.windows).clamp(0.0, 1.0);
        summary.entities += 1;
        summary.sum += (share * ONE).round() as i64;
        summary.squares += (share * share * ONE).round() as i64;
        summary.noise += (share * (1.0 - share) / f64::from(self.windows) * ONE).round() as i64;
    }
}

impl ActivityPrior {
    /// The group's prior; the definition's own while the group is small.
    pub(super) fn learned(&self, summary: &ActivitySummary) -> Self {
        if summary.entities < GROUP_ENTITIES_MIN {
            return *self;
        }
        let n = summary.entities as f64 + DEFINITION_ENTITIES;
        let between = self.share * (1.0 - self.share) / (self.weight + 1.0);
        let mean = (DEFINITION_ENTITIES * self.share + summary.sum as f64 / ONE) / n;
        let square = (DEFINITION_ENTITIES * (self.share * self.share + between)
            + (summary.squares - summary.noise) as f64 / ONE)
            / n;
        let between = (square - mean * mean).max(1e-6);
        let share = mean.clamp(1e-6, 1.0 - 1e-6);
        ActivityPrior {
            share,
            weight: (share * (1.0 - share) / between - 1.0).clamp(0.2, 100.0),
        }
    }
}

impl ActivitySummary {
    pub(super) fn merge(&mut self, other: &Self) {
        self.entities += other.entities;
        self.sum += other.sum;
        self.squares += other.squares;
        self.noise += other.noise;
    }
}
