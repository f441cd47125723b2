//! Anything else that is a number: streaming quantiles, and generalised Pareto tails beyond them.
//!
//! What an entity has shown is kept as at most [`CENTROIDS_MAX`] weighted means, merged where they are many and kept
//! apart towards both ends (a t-digest: Dunning and Ertl 2019), and forgotten by multiplying all weights. The law is the
//! posterior mean of a Dirichlet process (Ferguson 1973): with n values of its own and a belief worth w,
//! `P = (w P0 + n P1) / (w + n)`, where P0 is Student's t around the group's median and P1 is the entity's own. P1 goes
//! through the means and, beyond its tenth and its ninetieth percentile, along generalised Pareto laws whose excesses
//! are counted in spreads, each held to [`EXCESS_MAX`], and shrunk to the group's (moments, Hosking and Wallis 1987).
//!
//! There is no hurdle: a window without a value says nothing. There is one memory: after a jump the new level is
//! expected as soon as some values have shown it. Learning takes about 60 ns, a state 60 bytes and 8 a mean.

use super::decay::power;
use super::judgement::Tails;
use super::magnitude::edge;
use super::tail::{GeneralisedPareto, ln_one_minus_exp, ln_sum, student_upper};
use super::{Baseline, Decay, Expected, Judgement, Learned, Memory, NormalIf, Scale, Summary, Tail};
use serde::{Deserialize, Serialize};

/// The predictive distribution of a number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// In ascending order of their means.
    centroids: Vec<Centroid>,
    /// What lies beyond the tenth and the ninetieth percentile.
    far: [Far; 2],
    /// How many values in a row agreed on a new level, negative where that is low, and the level.
    agreeing: i8,
    candidate: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Centroid {
    mean: f32,
    weight: f32,
}

/// Forgotten number of values in a tail, the sum of their excesses in spreads, and of the squares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Far {
    weight: f32,
    excess: f32,
    squares: f32,
}

/// What is believed of a number before the entity has a history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantilePrior {
    median: f64,
    /// From the median to the 84th percentile.
    spread: f64,
    /// How many values that is worth.
    weight: f64,
    /// Mean excess beyond an outer percentile and its mean square, in an entity's own spreads; low and high.
    excess: [(f64, f64); 2],
}

/// What a group's entities say together about their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuantileSummary {
    entities: u64,
    median_sum: i128,
    median_squares: i128,
    spread_sum: i128,
    /// In each tail: values, excesses, squares.
    far: [[i64; 3]; 2],
}

const CENTROIDS_MAX: usize = 24;
/// The share of values that each tail has.
const TAIL_SHARE: f64 = 0.1;
/// A mean lighter than this is forgotten.
const WEIGHT_MIN: f32 = 0.01;
/// An excess counts as this many spreads at most.
const EXCESS_MAX: f64 = 10.0;
/// The normal law beyond its ninetieth percentile: mean and mean square of the excess.
const NORMAL_EXCESS: (f64, f64) = (0.4734, 0.3933);
/// How many values in a tail the believed excess is worth.
const EXCESS_WEIGHT: f64 = 5.0;
/// Degrees of freedom of the belief.
const DEGREES: f64 = 4.0;
/// A value this many spreads beyond the outer percentile may be the first of a new level.
const SURPRISING: f64 = 3.0;
/// Values in a row that agree on it are a new level.
const REGIME_WINDOWS: i8 = 6;
/// What is left of the old level then.
const REGIME_WEIGHT: f32 = 3.0;
const DEFINITION_ENTITIES: f64 = 20.0;
const GROUP_ENTITIES_MIN: u64 = 8;
const ONE: f64 = 1_048_576.0;
const VOTE_MAX: f64 = 1e12;

impl QuantilePrior {
    /// A prior as definitions write it: the median, from there to the 84th percentile, and how many values of an
    /// entity's own outweigh it.
    pub fn new(typical: f64, spread: f64, weight: f64) -> Self {
        QuantilePrior {
            median: typical,
            spread: spread.max(1e-9),
            weight: weight.clamp(0.1, 1e4),
            excess: [NORMAL_EXCESS; 2],
        }
    }

    /// ln P(X >= x) and ln P(X < x).
    fn ln_tails(&self, x: f64) -> (f64, f64) {
        let t = (x - self.median) / self.spread;
        (student_upper(t, DEGREES), student_upper(-t, DEGREES))
    }
}

impl Quantile {
    fn weight(&self) -> f64 {
        self.centroids.iter().map(|held| f64::from(held.weight)).sum()
    }

    /// The entity's own value that this share of its values does not exceed; 0 without values.
    fn own(&self, share: f64) -> f64 {
        let wanted = share * self.weight();
        let (mut sum, mut last) = (0.0, None::<(f64, f64)>);
        for held in &self.centroids {
            let (mean, weight) = (f64::from(held.mean), f64::from(held.weight));
            let at = sum + 0.5 * weight;
            if at >= wanted {
                return match last {
                    Some((last_at, last_mean)) => {
                        last_mean + (mean - last_mean) * (wanted - last_at) / (at - last_at).max(1e-12)
                    }
                    None => mean,
                };
            }
            last = Some((at, mean));
            sum += weight;
        }
        last.map_or(0.0, |(_, mean)| mean)
    }

    /// From the median to the outer percentile on the wider side, as many spreads as that is of a normal law; never 0.
    fn spread(&self) -> f64 {
        let middle = self.own(0.5);
        let wide = (self.own(1.0 - TAIL_SHARE) - middle).max(middle - self.own(TAIL_SHARE));
        (wide / 1.2816).max(1e-6 * middle.abs()).max(1e-9)
    }

    /// Shares of the entity's own values: at least x, above x, at most x, below x.
    fn shares(&self, x: f64) -> (f64, f64, f64, f64) {
        let all = self.weight().max(1e-12);
        let (mut sum, mut last) = (0.0, None::<(f64, f64)>);
        for held in &self.centroids {
            let (mean, weight) = (f64::from(held.mean), f64::from(held.weight));
            if x == mean {
                let (below, at_most) = (sum / all, ((sum + weight) / all).min(1.0));
                return (1.0 - below, 1.0 - at_most, at_most, below);
            }
            if x < mean {
                let share = last.map_or(0.0, |(last_at, last_mean)| {
                    last_at + (sum + 0.5 * weight - last_at) * (x - last_mean) / (mean - last_mean)
                });
                let share = (share / all).clamp(0.0, 1.0);
                return (1.0 - share, 1.0 - share, share, share);
            }
            last = Some((sum + 0.5 * weight, mean));
            sum += weight;
        }
        (0.0, 0.0, 1.0, 1.0)
    }

    fn tail_law(&self, side: usize, prior: &QuantilePrior) -> GeneralisedPareto {
        let (far, (mean, square)) = (self.far[side], prior.excess[side]);
        let weight = EXCESS_WEIGHT + f64::from(far.weight);
        GeneralisedPareto::of_moments(
            -0.2,
            (EXCESS_WEIGHT * mean + f64::from(far.excess)) / weight,
            (EXCESS_WEIGHT * square + f64::from(far.squares)) / weight,
        )
    }

    fn tails(&self, prior: &QuantilePrior, x: f64) -> Tails {
        let (at_least, above, at_most, below) = self.shares(x);
        let (mut at_least, mut above) = (at_least.ln(), above.ln());
        let (mut at_most, mut below) = (at_most.ln(), below.ln());
        let (spread, ln_tail) = (self.spread(), TAIL_SHARE.ln());
        let (low, high) = (self.own(TAIL_SHARE), self.own(1.0 - TAIL_SHARE));
        // A value that was seen again and again is an atom, wherever it lies.
        let atom = |x: f64| {
            self.centroids
                .iter()
                .any(|held| f64::from(held.mean) == x && held.weight > 1.5)
        };
        if x > high {
            let far = ln_tail + self.tail_law(1, prior).ln_upper((x - high) / spread);
            (above, below) = (far, ln_one_minus_exp(far));
            at_least = if atom(x) { at_least.max(far) } else { far };
            at_most = below;
        } else if x < low {
            let far = ln_tail + self.tail_law(0, prior).ln_upper((low - x) / spread);
            (below, above) = (far, ln_one_minus_exp(far));
            at_most = if atom(x) { at_most.max(far) } else { far };
            at_least = above;
        }
        let weight = self.weight();
        let (ln_belief, ln_own) = (
            (prior.weight / (prior.weight + weight)).ln(),
            (weight / (prior.weight + weight)).ln(),
        );
        let (upper, lower) = prior.ln_tails(x);
        let mixed = |own: f64, believed: f64| ln_sum(ln_own + own, ln_belief + believed).min(0.0);
        Tails {
            at_least: mixed(at_least, upper),
            above: mixed(above, upper),
            at_most: mixed(at_most, lower),
            below: mixed(below, lower),
        }
    }

    /// The value that is not exceeded with this probability, by halving.
    fn predicted(&self, prior: &QuantilePrior, share: f64) -> f64 {
        let ln_share = share.ln();
        let reach = 20.0 * (prior.spread + self.spread());
        let mut low = prior.median.min(self.own(0.0)) - reach;
        let mut high = prior.median.max(self.own(1.0)) + reach;
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.tails(prior, middle).at_most >= ln_share {
                high = middle
            } else {
                low = middle
            }
        }
        high
    }

    fn forget(&mut self, kept: f32) {
        for held in &mut self.centroids {
            held.weight *= kept;
        }
        self.centroids.retain(|held| held.weight >= WEIGHT_MIN);
        for far in &mut self.far {
            far.weight *= kept;
            far.excess *= kept;
            far.squares *= kept;
        }
    }

    fn insert(&mut self, mean: f32, weight: f32) {
        let place = self.centroids.partition_point(|held| held.mean < mean);
        match self.centroids.get_mut(place).filter(|held| held.mean == mean) {
            Some(held) => held.weight += weight,
            None => {
                if self.centroids.len() == self.centroids.capacity() {
                    self.centroids.reserve_exact(4);
                }
                self.centroids.insert(place, Centroid { mean, weight });
            }
        }
        if self.centroids.len() > CENTROIDS_MAX {
            self.merge_closest();
        }
    }

    /// Merges the neighbours that weigh least for where they are: the ends are kept apart.
    fn merge_closest(&mut self) {
        let all = self.weight();
        let (mut best, mut best_cost, mut sum) = (0, f64::MAX, 0.0);
        for (place, pair) in self.centroids.windows(2).enumerate() {
            let both = f64::from(pair[0].weight + pair[1].weight);
            let share = (sum + 0.5 * both) / all;
            let cost = both / (share * (1.0 - share)).max(1e-9);
            if cost < best_cost {
                (best, best_cost) = (place, cost);
            }
            sum += f64::from(pair[0].weight);
        }
        if best + 1 < self.centroids.len() {
            let second = self.centroids.remove(best + 1);
            if let Some(first) = self.centroids.get_mut(best) {
                let weight = first.weight + second.weight;
                first.mean += (second.mean - first.mean) * (second.weight / weight);
                first.weight = weight;
            }
        }
    }

    /// Notes what lies beyond an outer percentile, and follows values that may be a new level. Gives what enters the
    /// memory: a value that is far out and alone counts as one [`EXCESS_MAX`] spreads beyond the percentile.
    fn bounded(&mut self, seen: f64) -> f64 {
        let spread = self.spread();
        let (low, high) = (self.own(TAIL_SHARE), self.own(1.0 - TAIL_SHARE));
        let (side, border, excess) = if seen > high {
            (1, high, (seen - high) / spread)
        } else if seen < low {
            (-1, low, (low - seen) / spread)
        } else {
            self.agreeing = 0;
            return seen;
        };
        let counted = excess.min(EXCESS_MAX);
        let far = &mut self.far[usize::from(side > 0)];
        far.weight += 1.0;
        far.excess += counted as f32;
        far.squares += (counted * counted) as f32;
        let candidate = f64::from(self.candidate);
        let agrees = (seen - candidate).abs() <= 0.5 * (candidate - border).abs();
        if self.agreeing.signum() == side && agrees {
            self.agreeing += side;
            self.candidate += ((seen - candidate) / f64::from(self.agreeing.abs())) as f32;
            return seen;
        }
        self.agreeing = if excess > SURPRISING { side } else { 0 };
        self.candidate = seen as f32;
        seen.clamp(low - EXCESS_MAX * spread, high + EXCESS_MAX * spread)
    }

    /// A new level has shown itself: the old one is held to little.
    fn settle(&mut self) {
        let kept = (REGIME_WEIGHT / (self.weight() as f32).max(REGIME_WEIGHT)).min(1.0);
        for held in &mut self.centroids {
            held.weight *= kept;
        }
        self.centroids.retain(|held| held.weight >= WEIGHT_MIN);
        self.far = [Far::default(); 2];
        self.insert(self.candidate, f32::from(REGIME_WINDOWS));
        self.agreeing = 0;
    }
}

impl Baseline for Quantile {
    type Seen = f64;
    type Prior = QuantilePrior;
    type Summary = QuantileSummary;

    fn age(&mut self, windows: u64, decay: &Decay) {
        self.forget(power(decay.slow(), windows) as f32);
    }

    fn judge(&self, prior: &QuantilePrior, _scale: Scale, seen: f64, tail: Tail) -> Judgement {
        let memory = if self.weight() < prior.weight {
            Memory::Prior
        } else {
            Memory::Slow
        };
        self.tails(prior, seen).judge(tail, memory)
    }

    fn learn(&mut self, _prior: &QuantilePrior, _scale: Scale, seen: f64, decay: &Decay) -> Learned {
        if seen.is_nan() {
            return Learned::Usual;
        }
        let seen = seen.clamp(-1e30, 1e30);
        // A first value is beyond nothing.
        let known = self.weight() >= f64::from(REGIME_WINDOWS);
        let counted = if known { self.bounded(seen) } else { seen };
        self.forget(decay.slow() as f32);
        self.insert(counted as f32, 1.0);
        if self.agreeing.abs() >= REGIME_WINDOWS {
            self.settle();
            Learned::RegimeChange
        } else if counted == seen {
            Learned::Usual
        } else {
            Learned::Bounded
        }
    }

    fn windows(&self) -> f64 {
        self.weight()
    }

    fn surprising_from(&self, prior: &QuantilePrior, _scale: Scale) -> f64 {
        // A tenth of an entity's own values are above; with the belief's share that is more than one in a hundred.
        if 9.0 * self.weight() >= prior.weight {
            self.own(1.0 - TAIL_SHARE) * (1.0 - 1e-6)
        } else {
            f64::MIN_POSITIVE
        }
    }

    fn expected(&self, prior: &QuantilePrior, _scale: Scale) -> Expected {
        let weight = self.weight();
        let share = prior.weight / (prior.weight + weight);
        let sum = |power: i32| {
            let own = self
                .centroids
                .iter()
                .map(|held| f64::from(held.weight) * f64::from(held.mean).powi(power))
                .sum::<f64>();
            own / weight.max(1e-12)
        };
        let mean = share * prior.median + (1.0 - share) * sum(1);
        let believed = prior.median * prior.median + prior.spread * prior.spread * DEGREES / (DEGREES - 2.0);
        let square = share * believed + (1.0 - share) * sum(2);
        Expected {
            typical: self.predicted(prior, 0.5),
            low: self.predicted(prior, 0.05),
            high: self.predicted(prior, 0.95),
            mean,
            variance: (square - mean * mean).max(0.0),
            history_windows: weight,
            prior_weight: share,
        }
    }

    /// In whole units where `seen` is whole, else in thousandths.
    fn normal_if(
        &self,
        prior: &QuantilePrior,
        scale: Scale,
        seen: f64,
        tail: Tail,
        surprise_max: f64,
    ) -> Option<NormalIf> {
        let usual = |x: f64| self.judge(prior, scale, x, tail).surprise() < surprise_max;
        if usual(seen) {
            return None;
        }
        let units = if seen.fract() == 0.0 { 1.0 } else { 1000.0 };
        let middle = self.predicted(prior, 0.5);
        let inside = (middle * units).round();
        if tail != Tail::Lower && seen >= middle {
            let most = edge(inside, (seen * units).ceil(), |n| usual(n / units));
            return Some(NormalIf::AtMost(most / units));
        }
        let least = edge(inside, (seen * units).floor(), |n| usual(n / units));
        Some(NormalIf::AtLeast(least / units))
    }

    fn vote(&self, summary: &mut QuantileSummary) {
        if self.weight() < 4.0 {
            return;
        }
        let fixed = |number: f64| (number.clamp(-VOTE_MAX, VOTE_MAX) * ONE).round() as i128;
        let (median, spread) = (self.own(0.5), self.spread());
        let held = median.clamp(-VOTE_MAX, VOTE_MAX);
        summary.entities += 1;
        summary.median_sum += fixed(median);
        summary.median_squares += (held * held * ONE).round() as i128;
        summary.spread_sum += fixed(spread);
        for (sums, far) in summary.far.iter_mut().zip(&self.far) {
            // A busy entity has no more to say about a tail than one with ten values in it.
            let vote = 1.0_f64.min(10.0 / f64::from(far.weight).max(1e-3));
            for (sum, number) in sums.iter_mut().zip([far.weight, far.excess, far.squares]) {
                *sum += (f64::from(number) * vote * ONE).round() as i64;
            }
        }
    }

    fn prior(definition: &QuantilePrior, summary: &QuantileSummary) -> QuantilePrior {
        if summary.entities < GROUP_ENTITIES_MIN {
            return *definition;
        }
        let n = summary.entities as f64 + DEFINITION_ENTITIES;
        let number = |fixed: i128| fixed as f64 / ONE;
        let median = (DEFINITION_ENTITIES * definition.median + number(summary.median_sum)) / n;
        let believed = definition.median * definition.median + definition.spread * definition.spread;
        let square = (DEFINITION_ENTITIES * believed + number(summary.median_squares)) / n;
        let within = (DEFINITION_ENTITIES * definition.spread + number(summary.spread_sum)) / n;
        let between = (square - median * median).max(0.0);
        QuantilePrior {
            median,
            spread: (between + within * within).sqrt().max(1e-9),
            weight: definition.weight,
            excess: std::array::from_fn(|side| {
                let [weight, excess, squares] = summary.far[side].map(|sum| sum as f64 / ONE);
                let (mean, square) = definition.excess[side];
                let all = DEFINITION_ENTITIES + weight;
                (
                    (DEFINITION_ENTITIES * mean + excess) / all,
                    (DEFINITION_ENTITIES * square + squares) / all,
                )
            }),
        }
    }
}

impl Summary for QuantileSummary {
    fn merge(&mut self, other: &Self) {
        self.entities += other.entities;
        self.median_sum += other.median_sum;
        self.median_squares += other.median_squares;
        self.spread_sum += other.spread_sum;
        for (sums, more) in self.far.iter_mut().flatten().zip(other.far.iter().flatten()) {
            *sums += more;
        }
    }
}
