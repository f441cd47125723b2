//! Which one: ports, processes, paths, agents, networks.
//!
//! p is the summed probability of all values no likelier than the one seen. With forgotten weights `w` of the values
//! that are kept, `n` their sum, strength `s` and discount `d` (Pitman and Yor 1997), a kept value has mass
//! (w - d min(w, 1)) / (n + s), and everything unseen together the rest. What is unseen is spread as the group's values
//! are: a value that many of the group's entities have is less strange than one that nobody has. Both parameters are
//! learned, so that who churns expects newness and who never did does not: the strength from how many things were new
//! to the entity (see `strength.rs`), the discount as the share of its values that were seen about once, each shrunk to
//! the group's, one vote an entity.
//!
//! Up to [`Category::VALUES_MAX`] values are kept exactly, five bytes each (see `values.rs`). Past that the lightest goes to
//! a filter (see `lost.rs`), and the answer is coarser: a value that may have been lost is judged as all lost ones
//! together.
//!
//! One new value among `n` is no stranger than about 1 in n, and twenty of them together are: how many values of a window
//! are new is a second question, of the window (see `burst.rs`).

use super::burst::{BurstPrior, BurstSummary, Bursts, NewsLaw};
use super::decay::power;
use super::judgement::{Judgement, largest_usual};
use super::lost::Lost;
use super::prevalence::{CELLS, Prevalence, ROWS, cell};
use super::strength::{DEFINITION_ENTITIES, StrengthPrior, StrengthSummary};
use super::values::{self, Fade, Kept, Values, print};
use super::{Baseline, Decay, Expected, Learned, Memory, NormalIf, Scale, Summary, Tail};
use crate::domain::earlier;
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;

/// The predictive distribution of a category.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "SavedCategory")]
pub struct Category {
    values: Values,
    /// What not every entity has.
    aside: Option<Box<Aside>>,
    /// Forgotten number of values that were new to the entity, its first one not counted.
    news: f32,
    /// How many values, from the first on, the group has been told of.
    told: u8,
    /// What the weights of the values are worth.
    fade: Fade,
}

/// A category as it was saved.
#[derive(Deserialize)]
struct SavedCategory {
    values: values::Saved,
    #[serde(deserialize_with = "aside")]
    aside: Option<Box<Aside>>,
    news: f32,
    told: u8,
    #[serde(deserialize_with = "earlier::packed")]
    fade: Fade,
}

impl From<SavedCategory> for Category {
    fn from(saved: SavedCategory) -> Self {
        let SavedCategory {
            values,
            mut aside,
            news,
            told,
            fade,
        } = saved;
        let lost = aside.as_mut().and_then(|aside| aside.lost.as_mut());
        if let Some(lost) = lost.filter(|_| values.had_long_prints) {
            lost.take_any_for_lost();
        }
        Category {
            values: values.values,
            aside,
            news,
            told,
            fade,
        }
    }
}

/// What not every entity has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Aside {
    /// The values that had to go, while any is remembered.
    lost: Option<Box<Lost>>,
    /// How many new values came together.
    bursts: Bursts,
}

/// Whether an entity is known to have had a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// It had it within its memory.
    Known,
    /// It did not have it within its memory.
    New,
    /// Values had to go from its memory, so this can't be told.
    Unsure,
}

/// How many values of one window are new to the entity, along with how many that are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct News {
    /// New values, each counted as far as it is rare in the group.
    pub new: u32,
    /// Known values.
    pub known: f64,
}

impl News {
    /// A probability that a window has so many new values, given that it has two values at all.
    fn among_several(&self, p: f64, law: &NewsLaw) -> f64 {
        let needed = (2.0 - self.known).clamp(0.0, 2.0).ceil() as u32;
        (p / law.at_least(needed).max(p)).min(1.0)
    }
}

/// What is believed of a category before the entity has a history.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryPrior {
    discount: f64,
    strength: StrengthPrior,
    bursts: BurstPrior,
    prevalence: Option<Arc<Prevalence>>,
}

/// What a group's entities say together about their values: how many have each, counted in hashed cells, and how fond of
/// new ones they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategorySummary {
    /// Entities that told their values.
    entities: u64,
    /// Empty, or [`ROWS`] rows of [`CELLS`] counts (a count-min sketch of entities). An entity tells each value once, so
    /// that they can be counted.
    cells: Vec<u32>,
    strength: StrengthSummary,
    #[serde(deserialize_with = "earlier::later")]
    bursts: BurstSummary,
    /// Sums over votes of k / (1 + k) for k values, and of the part of it that was seen about once; in 2^-20.
    variety: u64,
    once: u64,
}

/// A value lighter than this is forgotten.
const WEIGHT_MIN: f32 = 0.02;
/// How many values of its own an entity's discount needs against the group's.
const DISCOUNT_WEIGHT: f64 = 10.0;
const GROUP_ENTITIES_MIN: u64 = 8;
const ONE: f64 = 1_048_576.0;

impl CategoryPrior {
    /// A prior as definitions write it: the share of values that are never seen again, 0 to 0.95, and how many
    /// observations the expectation of something new is worth at the beginning.
    pub fn new(discount: f64, strength: f64) -> Self {
        CategoryPrior {
            discount: discount.clamp(0.0, 0.95),
            strength: StrengthPrior::new(strength.clamp(0.05, 1e4)),
            bursts: BurstPrior::default(),
            prevalence: None,
        }
    }

    /// How many of the group's entities have the value, or a few more; `None` while the group is small.
    pub fn holders(&self, hash: u64) -> Option<u32> {
        Some(self.prevalence.as_ref()?.count(hash))
    }

    /// How much one new value counts among those of its window: the share of the group's entities that do not have it, and
    /// all of it while the group is small.
    pub fn rarity(&self, hash: u64) -> f64 {
        match &self.prevalence {
            None => 1.0,
            Some(prevalence) => {
                (1.0 - f64::from(prevalence.count(hash)) / prevalence.entities() as f64).clamp(0.0, 1.0)
            }
        }
    }

    /// The mass, among what is new to an entity, of values no more common in the group, and of less common ones.
    fn newness(&self, hash: u64) -> (f64, f64) {
        match &self.prevalence {
            None => (1.0, 0.0),
            Some(prevalence) => prevalence.mass(prevalence.count(hash)),
        }
    }
}

/// Reads what lies aside; that was the lost values alone.
fn aside<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<Aside>>, D::Error> {
    if !earlier::is_before(earlier::NEWNESS) {
        return Option::deserialize(deserializer);
    }
    let lost: Option<Box<Lost>> = Option::deserialize(deserializer)?;
    Ok(lost.map(|lost| {
        Box::new(Aside {
            lost: Some(lost),
            bursts: Bursts::default(),
        })
    }))
}

impl Aside {
    fn age(&mut self, kept: f32, fast: f32) {
        self.bursts.age(kept, fast);
        if let Some(lost) = &mut self.lost {
            lost.age(kept);
        }
        self.lost.take_if(|lost| lost.weight() < WEIGHT_MIN);
    }
}

/// The mass of a kept value, without what it leaves to what is unseen.
fn mass(weight: f32, discount: f64) -> f64 {
    f64::from(weight) - discount * f64::from(weight.min(1.0))
}

impl Category {
    /// How many values an entity keeps exactly.
    pub const VALUES_MAX: usize = 32;

    /// Whether the value of this hash is in the entity's memory.
    pub fn novelty(&self, hash: u64) -> Novelty {
        let print = print(hash);
        if self.values.weight_of(print, self.fade).is_some() {
            Novelty::Known
        } else if self.lost().is_some_and(|lost| lost.may_hold(print)) {
            Novelty::Unsure
        } else {
            Novelty::New
        }
    }

    /// How many values are kept.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    fn kept(&self) -> impl Iterator<Item = Kept> + '_ {
        self.values.iter(self.fade)
    }

    /// Weighted number of values, and of those that were seen about once.
    fn variety(&self) -> (f64, f64) {
        let all = self.kept().map(|kept| f64::from(kept.weight.min(1.0))).sum();
        let once = self
            .kept()
            .filter(|kept| kept.weight <= 1.0)
            .map(|kept| f64::from(kept.weight))
            .sum();
        (all, once)
    }

    fn discount(&self, prior: &CategoryPrior) -> f64 {
        let (all, once) = self.variety();
        ((DISCOUNT_WEIGHT * prior.discount + once) / (DISCOUNT_WEIGHT + all)).min(0.95)
    }

    fn lost(&self) -> Option<&Lost> {
        self.aside.as_ref()?.lost.as_deref()
    }

    fn lost_weight(&self) -> f64 {
        self.lost().map_or(0.0, |lost| f64::from(lost.weight()))
    }

    /// About how many values were lost.
    fn lost_values(&self) -> f64 {
        self.lost().map_or(0.0, Lost::values)
    }

    /// The probability that an observation is a value that the entity never had.
    pub(super) fn chance_of_new(&self, prior: &CategoryPrior) -> f64 {
        let discount = self.discount(prior);
        let sum = self.weight();
        let strength = prior.strength.strength(f64::from(self.news), sum);
        let kept: f64 = self.kept().map(|kept| mass(kept.weight, discount)).sum();
        let gone = sum + strength - kept;
        (gone - self.lost_weight() + discount * self.lost_values()) / (sum + strength)
    }

    /// Whether the entity's own history outweighs what is believed of its group, so that it makes sense to count what is
    /// new to it.
    pub fn is_known(&self, prior: &CategoryPrior) -> bool {
        let sum = self.weight();
        sum >= prior.strength.strength(f64::from(self.news), sum)
    }

    /// The law of how many new values come in a window, along with so many known ones.
    fn news_law(&self, prior: &CategoryPrior, known: f64, most: u32) -> NewsLaw {
        let chance = self.chance_of_new(prior);
        let most = most.min(Bursts::NEW_MAX);
        match &self.aside {
            Some(aside) => aside.bursts.law(&prior.bursts, chance, known, most),
            None => Bursts::default().law(&prior.bursts, chance, known, most),
        }
    }

    /// How many known values a window usually has; where that was never counted, every value that the entity has.
    pub fn known_usually(&self) -> f64 {
        let counted = self.aside.as_ref().and_then(|aside| aside.bursts.known_usually());
        counted.unwrap_or(self.values.len() as f64)
    }

    /// How strange so many new values are in one window, along with so many known ones, among windows of two values or more:
    /// of a single value this is not asked. Nothing while the entity itself is hardly known.
    pub fn judge_news(&self, prior: &CategoryPrior, news: News) -> Option<Judgement> {
        if !self.is_known(prior) {
            return None;
        }
        let law = self.news_law(prior, news.known, news.new);
        Some(Judgement {
            ln_p: news.among_several(law.at_least(news.new), &law).ln(),
            ln_p_beyond: news.among_several(law.at_least(news.new.saturating_add(1)), &law).ln(),
            memory: Memory::Slow,
        })
    }

    /// How many new values a window is expected to have along with so many known ones, and the largest number that is
    /// less surprising than this.
    pub fn news_expected(&self, prior: &CategoryPrior, news: News, surprise_max: f64) -> (Expected, f64) {
        let law = self.news_law(prior, news.known, Bursts::NEW_MAX);
        let (mean, variance) = law.moments();
        let weight = self.weight();
        let strength = prior.strength.strength(f64::from(self.news), weight);
        let expected = Expected {
            typical: law.quantile(0.5),
            low: law.quantile(0.05),
            high: law.quantile(0.95),
            mean,
            variance,
            history_windows: weight,
            prior_weight: strength / (strength + weight),
        };
        let usual = |new: u64| -news.among_several(law.at_least(new as u32), &law).log10() < surprise_max;
        (expected, largest_usual(news.new.into(), usual) as f64)
    }

    /// Takes in how many values of a window were new; to be called before these are learned. While the entity is hardly
    /// known, that says nothing.
    pub fn learn_news(&mut self, prior: &CategoryPrior, new: u32, known: u32) {
        if (new == 0 && self.aside.is_none()) || !self.is_known(prior) {
            return;
        }
        let chance = self.chance_of_new(prior);
        self.aside.get_or_insert_default().bursts.learn(new, known, chance);
    }

    /// Forgotten weight of all values, lost ones included.
    fn weight(&self) -> f64 {
        self.lost_weight() + self.kept().map(|kept| f64::from(kept.weight)).sum::<f64>()
    }

    /// Tells the group of the values that it does not know yet that this entity has.
    pub fn tell(&mut self, summary: &mut CategorySummary) {
        let told = usize::from(self.told);
        if told >= self.values.len() {
            return;
        }
        if summary.cells.is_empty() {
            summary.cells = vec![0; ROWS * CELLS];
        }
        summary.entities += u64::from(self.told == 0);
        for kept in self.kept().skip(told) {
            for row in 0..ROWS {
                if let Some(count) = summary.cells.get_mut(cell(row, kept.print)) {
                    *count = count.saturating_add(1);
                }
            }
        }
        self.told = self.values.len() as u8;
    }

    /// Makes the next [`tell`](Category::tell) tell everything, because the group has begun to count anew.
    pub fn tell_all_again(&mut self) {
        self.told = 0;
    }

    /// Forgets that new values come together, for a test of what that is good for.
    #[cfg(test)]
    pub(super) fn forget_bursts(&mut self) {
        if let Some(aside) = &mut self.aside {
            aside.bursts.forget_sizes();
        }
    }

    /// Gives up the lightest value, of two equally light ones the one that the group knows longer.
    fn lose_lightest(&mut self) {
        if let Some((place, gone)) = self.values.take_lightest(self.fade) {
            self.told -= u8::from(place < usize::from(self.told));
            let aside = self.aside.get_or_insert_default();
            aside.lost.get_or_insert_default().take_in(gone.print, gone.weight);
        }
    }
}

impl Baseline for Category {
    type Seen = u64;
    type Prior = CategoryPrior;
    type Summary = CategorySummary;

    fn age(&mut self, windows: u64, decay: &Decay) {
        let kept = power(decay.slow(), windows) as f32;
        self.news *= kept;
        self.told -= self.values.age(&mut self.fade, kept, WEIGHT_MIN, self.told.into()) as u8;
        if let Some(aside) = &mut self.aside {
            aside.age(kept, power(decay.fast(), windows) as f32);
            self.aside
                .take_if(|aside| aside.lost.is_none() && aside.bursts.is_empty());
        }
    }

    /// `seen` is the value's hash. There is one tail: the unlikely.
    fn judge(&self, prior: &CategoryPrior, _scale: Scale, seen: u64, _tail: Tail) -> Judgement {
        let discount = self.discount(prior);
        let sum = self.weight();
        let strength = prior.strength.strength(f64::from(self.news), sum);
        let total = sum + strength;
        let mass = |weight: f32| mass(weight, discount);
        // What goes for one that was lost is at least what is new.
        let gone = total - self.kept().map(|kept| mass(kept.weight)).sum::<f64>();
        let (p, beyond) = match self.novelty(seen) {
            Novelty::Known => {
                let found = self.values.weight_of(print(seen), self.fade).unwrap_or(0.0);
                let (mut p, mut beyond) = (gone, gone);
                for kept in self.kept() {
                    if kept.weight <= found {
                        p += mass(kept.weight);
                    }
                    if kept.weight < found {
                        beyond += mass(kept.weight);
                    }
                }
                (p / total, beyond / total)
            }
            Novelty::Unsure => (gone / total, 0.0),
            Novelty::New => {
                let (upto, below) = prior.newness(seen);
                let new = self.chance_of_new(prior);
                (new * upto, new * below)
            }
        };
        Judgement {
            ln_p: p.min(1.0).ln(),
            ln_p_beyond: beyond.min(1.0).ln(),
            memory: if sum < strength { Memory::Prior } else { Memory::Slow },
        }
    }

    /// Takes one value of a window into the memory; does not forget (see [`Baseline`]).
    fn learn(&mut self, _prior: &CategoryPrior, _scale: Scale, seen: u64, _decay: &Decay) -> Learned {
        let print = print(seen);
        if self.values.count(print, self.fade) {
            return Learned::Usual;
        }
        let is_first = self.values.is_empty() && self.lost().is_none();
        if !is_first && self.novelty(seen) == Novelty::New {
            self.news += 1.0;
        }
        let full = self.values.len() >= Self::VALUES_MAX;
        if full {
            self.lose_lightest();
        }
        self.values.push(print, self.fade);
        if full { Learned::Bounded } else { Learned::Usual }
    }

    fn windows(&self) -> f64 {
        self.weight()
    }

    /// A category has no order.
    fn surprising_from(&self, _prior: &CategoryPrior, _scale: Scale) -> f64 {
        0.0
    }

    /// The number of values that the entity is expected to have, and how many observations stand behind it.
    fn expected(&self, prior: &CategoryPrior, _scale: Scale) -> Expected {
        let values = self.values.len() as f64;
        let weight = self.weight();
        let strength = prior.strength.strength(f64::from(self.news), weight);
        Expected {
            typical: values,
            low: values,
            high: values,
            mean: values,
            variance: 0.0,
            history_windows: weight,
            prior_weight: strength / (strength + weight),
        }
    }

    /// No number would have been normal: another value would.
    fn normal_if(
        &self,
        _prior: &CategoryPrior,
        _scale: Scale,
        _seen: u64,
        _tail: Tail,
        _surprise_max: f64,
    ) -> Option<NormalIf> {
        None
    }

    /// How fond of new values the entity is. Which values it has is told apart (see [`Category::tell`]).
    fn vote(&self, summary: &mut CategorySummary) {
        if self.values.is_empty() {
            return;
        }
        summary.strength.vote(f64::from(self.news), self.weight());
        if let Some(aside) = &self.aside {
            aside.bursts.vote(&mut summary.bursts);
        }
        let (all, once) = self.variety();
        let fixed = |x: f64| (x * ONE).round() as u64;
        summary.variety = summary.variety.saturating_add(fixed(all / (1.0 + all)));
        summary.once = summary.once.saturating_add(fixed(once / (1.0 + all)));
    }

    fn prior(definition: &CategoryPrior, summary: &CategorySummary) -> CategoryPrior {
        let variety = summary.variety as f64 / ONE + DEFINITION_ENTITIES;
        let once = summary.once as f64 / ONE + DEFINITION_ENTITIES * definition.discount;
        CategoryPrior {
            discount: (once / variety).min(0.95),
            strength: definition.strength.taught(&summary.strength),
            bursts: definition.bursts.taught(&summary.bursts),
            prevalence: (summary.entities >= GROUP_ENTITIES_MIN)
                .then(|| Arc::new(Prevalence::of(summary.entities, &summary.cells))),
        }
    }
}

impl CategorySummary {
    fn add(&mut self, other: &Self) {
        self.strength.merge(&other.strength);
        self.bursts.merge(&other.bursts);
        self.variety = self.variety.saturating_add(other.variety);
        self.once = self.once.saturating_add(other.once);
        if self.cells.is_empty() {
            self.cells = vec![0; other.cells.len()];
        }
    }

    /// Adds what the same entities said in an earlier span of time, in which they told their values too.
    pub fn join_earlier(&mut self, earlier: &Self) {
        self.add(earlier);
        self.entities = self.entities.max(earlier.entities);
        for (count, more) in self.cells.iter_mut().zip(&earlier.cells) {
            *count = (*count).max(*more);
        }
    }
}

impl Summary for CategorySummary {
    fn merge(&mut self, other: &Self) {
        self.add(other);
        self.entities += other.entities;
        for (count, more) in self.cells.iter_mut().zip(&other.cells) {
            *count = count.saturating_add(*more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::proof::Random;
    use super::*;
    use crate::domain::Duration;

    fn decay() -> Decay {
        Decay::new(Duration::from_seconds(60 * 86_400), Duration::from_seconds(3600))
    }

    fn surprise(category: &Category, prior: &CategoryPrior, value: u64) -> f64 {
        category.judge(prior, Scale::ONE, hash(value), Tail::Upper).surprise()
    }

    fn hash(value: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&value.to_le_bytes())
    }

    /// A category that was shown one value a window.
    fn shown(prior: &CategoryPrior, values: impl IntoIterator<Item = u64>) -> Category {
        let mut category = Category::default();
        for value in values {
            category.age(5, &decay());
            category.learn(prior, Scale::ONE, hash(value), &decay());
        }
        category
    }

    #[test]
    fn who_travels_expects_new_networks_and_who_never_did_does_not() {
        let definition = CategoryPrior::new(0.1, 1.0);
        let mut summary = CategorySummary::default();
        for person in 0..17 {
            let mut category = shown(&definition, std::iter::repeat_n(0, 20 + person));
            category.vote(&mut summary);
            category.tell(&mut summary);
        }
        let traveller = shown(
            &definition,
            (0..40).map(|visit| if visit % 3 == 0 { 0 } else { 100 + visit }),
        );
        traveller.vote(&mut summary);
        traveller.clone().tell(&mut summary);
        let prior = Category::prior(&definition, &summary);
        let homebody = shown(&definition, std::iter::repeat_n(0, 20));
        assert!(surprise(&traveller, &prior, 999) < 1.0);
        assert!(surprise(&homebody, &prior, 999) > 2.0);
        assert!(surprise(&homebody, &prior, 0) < 0.1);
    }

    #[test]
    fn a_value_is_told_to_the_group_once() {
        let prior = CategoryPrior::new(0.1, 1.0);
        let (mut category, mut summary) = (shown(&prior, [1, 2]), CategorySummary::default());
        category.tell(&mut summary);
        let once = summary.clone();
        category.tell(&mut summary);
        assert_eq!(summary, once);
        category.learn(&prior, Scale::ONE, hash(3), &decay());
        category.tell(&mut summary);
        assert_eq!(
            (summary.entities, summary.cells.iter().sum::<u32>()),
            (1, 3 * ROWS as u32)
        );
        let mut again = CategorySummary::default();
        category.tell_all_again();
        category.tell(&mut again);
        again.join_earlier(&summary);
        assert_eq!((again.entities, &again.cells), (1, &summary.cells));
    }

    #[test]
    fn past_the_exact_values_new_ones_are_still_told_from_lost_ones() {
        let prior = CategoryPrior::new(0.3, 10.0);
        let mut random = Random::new(5);
        let mut category = Category::default();
        for _ in 0..3000 {
            let value = (random.uniform() * random.uniform() * 120.0) as u64;
            category.learn(&prior, Scale::ONE, hash(value), &decay());
        }
        assert_eq!(category.values(), Category::VALUES_MAX);
        let unsure = (0..120).filter(|value| category.novelty(hash(*value)) == Novelty::Unsure);
        assert!(unsure.count() > 80);
        let new = (1000..1100).filter(|value| category.novelty(hash(*value)) == Novelty::New);
        assert!(new.count() > 90);
        assert!(
            surprise(&category, &prior, 1001) > 1.5,
            "{}",
            surprise(&category, &prior, 1001)
        );
        assert!(surprise(&category, &prior, 110) < 1.5);
    }
}
