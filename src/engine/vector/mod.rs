//! Vectors: what several features of one entity and window come to, and what models see of them.
//!
//! Sketch: an open window costs 32 bytes a feature, and the sets of what is counted as different; between windows there is
//! one number of 4 bytes for each component, and 132 bytes for each feature that asks for what is new.

mod fresh;
mod kept;
mod sample;
mod sequence;
mod text;

pub use fresh::Fresh;
pub(super) use sample::KNOWN_WINDOWS;
pub use sample::{Of, VectorPrior, VectorSummary, VectorVote};
pub use sequence::{SequencePrior, SequenceSummary, SequenceVote, TOKENS_MAX, push_token};

use super::measure::Distinct;
use super::select::Matcher;
use crate::domain::{Event, Feature, FeatureOf, Field, Neighbourhood, Networks, Value, hash_value, write_entity};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// What a feature sees of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Glimpse {
    /// The event is not among those that count.
    Apart,
    /// It counts, and has no value.
    Absent,
    /// A number.
    Number(f64),
    /// The hash of a value.
    Value(u64),
}

/// What features measure of an event, by feature.
pub struct Look<'a> {
    /// The event.
    pub event: &'a Event,
    /// Which networks there are.
    pub networks: &'a Networks,
    /// The hour of the week in the site's time zone.
    pub hour_of_week: u8,
}

impl Look<'_> {
    /// Writes a glimpse for each feature; `among` has a matcher for those that do not count every event.
    pub fn write(
        &self,
        features: &[Feature],
        among: &[Option<Matcher>],
        bytes: &mut Vec<u8>,
        glimpses: &mut Vec<Glimpse>,
    ) {
        glimpses.clear();
        // Several features of one field come one behind the other: its value is hashed once.
        let mut last: Option<(&[Field], Glimpse)> = None;
        for (feature, among) in features.iter().zip(among) {
            let counts = among.as_ref().is_none_or(|among| among.matches(self.event));
            glimpses.push(match &feature.of {
                FeatureOf::Share => Glimpse::Number(f64::from(u8::from(counts))),
                _ if !counts => Glimpse::Apart,
                FeatureOf::Distinct(fields) | FeatureOf::New(fields) => {
                    let value = match last {
                        Some((before, value)) if before == fields => value,
                        _ => self.glimpse(&feature.of, bytes).unwrap_or(Glimpse::Absent),
                    };
                    last = Some((fields, value));
                    value
                }
                of => self.glimpse(of, bytes).unwrap_or(Glimpse::Absent),
            });
        }
    }

    fn glimpse(&self, of: &FeatureOf, bytes: &mut Vec<u8>) -> Option<Glimpse> {
        let event = self.event;
        Some(match of {
            FeatureOf::Count | FeatureOf::Share => Glimpse::Number(1.0),
            FeatureOf::Hour => Glimpse::Number(f64::from(self.hour_of_week % 24)),
            FeatureOf::Sum(field)
            | FeatureOf::Mean(field)
            | FeatureOf::Greatest(field)
            | FeatureOf::Deviation(field) => Glimpse::Number(event.number(*field)?.max(0.0)),
            FeatureOf::Distinct(fields) | FeatureOf::New(fields) => Glimpse::Value(match fields.as_slice() {
                [field] => hash_value(event.get(*field)?, bytes),
                fields => write_entity(event, fields, bytes)?.0,
            }),
            FeatureOf::Networks(field) => {
                let value = match self.networks.neighbourhood(event.ip(*field)?) {
                    Neighbourhood::System(system) => Value::U64(system.number.into()),
                    Neighbourhood::Prefix(network) => Value::Ip(network.first()),
                };
                Glimpse::Value(hash_value(value, bytes))
            }
            FeatureOf::Length(field) => Glimpse::Number(self.text(*field)?.len() as f64),
            FeatureOf::Entropy(field) => Glimpse::Number(text::entropy(self.text(*field)?)),
            FeatureOf::Depth(field) => Glimpse::Number(text::depth(self.text(*field)?)),
            FeatureOf::Digits(field) => Glimpse::Number(text::share(self.text(*field)?, |c| c.is_ascii_digit())),
            FeatureOf::Signs(field) => Glimpse::Number(text::share(self.text(*field)?, |c| {
                c.is_ascii() && !c.is_ascii_alphanumeric()
            })),
            FeatureOf::Consonants(field) => Glimpse::Number(text::consonants(self.text(*field)?)),
        })
    }

    fn text(&self, field: Field) -> Option<&str> {
        self.event.str(field)
    }
}

/// So that what enters state is the same on every machine.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// What a feature of an open window has come to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Events that count.
    counted: u32,
    /// Of these, those that have a value.
    valued: u32,
    /// The sum, mean or greatest; of hours the cosines.
    first: f64,
    /// The sum of squared differences; of hours the sines.
    second: f64,
    different: Option<Box<Distinct>>,
}

impl Measured {
    /// Takes an event in. `fresh` is what the entity has had, where the feature asks for that.
    pub fn take(&mut self, of: &FeatureOf, glimpse: Glimpse, fresh: Option<&mut Fresh>) {
        if glimpse == Glimpse::Apart {
            return;
        }
        self.counted = self.counted.saturating_add(1);
        if glimpse != Glimpse::Absent {
            self.valued = self.valued.saturating_add(1);
        }
        match (of, glimpse) {
            (FeatureOf::New(_), Glimpse::Value(hash)) => {
                self.first += f64::from(u8::from(fresh.is_some_and(|fresh| fresh.is_new(hash))));
            }
            (_, Glimpse::Value(hash)) => {
                self.different.get_or_insert_default().insert(hash, 1.0);
            }
            (FeatureOf::Greatest(_), Glimpse::Number(number)) => self.first = self.first.max(number),
            // Welford 1962.
            (FeatureOf::Deviation(_), Glimpse::Number(number)) => {
                let before = number - self.first;
                self.first += before / f64::from(self.valued);
                self.second += before * (number - self.first);
            }
            (FeatureOf::Hour, Glimpse::Number(hour)) => {
                let (sine, cosine) = ((hour + 0.5) * std::f64::consts::TAU / 24.0).sin_cos();
                self.first += rounded(cosine);
                self.second += rounded(sine);
            }
            (_, Glimpse::Number(number)) => self.first += number,
            (_, Glimpse::Apart | Glimpse::Absent) => {}
        }
    }

    /// What a person reads, in the feature's unit; NaN where it is missing.
    pub fn number(&self, of: &FeatureOf) -> f64 {
        // Nothing of nothing is a number; of events that have no value it is not.
        let is_known = self.valued > 0 || self.counted == 0;
        let known = |number: f64| if is_known { number } else { f64::NAN };
        let mean = |number: f64| number / f64::from(self.valued);
        match of {
            FeatureOf::Count => f64::from(self.counted),
            FeatureOf::Sum(_) | FeatureOf::New(_) => known(self.first),
            FeatureOf::Distinct(_) | FeatureOf::Networks(_) => {
                known(self.different.as_ref().map_or(0.0, |held| held.count()))
            }
            _ if self.valued == 0 => f64::NAN,
            FeatureOf::Greatest(_) => self.first,
            FeatureOf::Mean(_) | FeatureOf::Length(_) | FeatureOf::Depth(_) => mean(self.first),
            FeatureOf::Share | FeatureOf::Entropy(_) | FeatureOf::Digits(_) | FeatureOf::Signs(_) => mean(self.first),
            FeatureOf::Consonants(_) => mean(self.first),
            FeatureOf::Deviation(_) => mean(self.second.max(0.0)).sqrt(),
            FeatureOf::Hour => hour_of(self.first, self.second),
        }
    }

    /// What a model sees: appends the feature's components, in units of what means little; NaN where it is missing.
    pub fn write(&self, of: &FeatureOf, components: &mut SmallVec<[f32; 16]>) {
        if let FeatureOf::Hour = of {
            let mean = |number: f64| number / f64::from(self.valued) / HOUR_UNIT;
            components.extend([mean(self.first) as f32, mean(self.second) as f32]);
            return;
        }
        let number = match (of, law_of(of)) {
            // One event of one says less than ten of ten.
            (FeatureOf::Share, _) => (self.first + 1.0) / (f64::from(self.valued) + 2.0) / LEVEL_UNIT,
            (_, Law::Whole) => 2.0 * (self.number(of) + ANSCOMBE).sqrt(),
            (_, Law::Amount) => rounded(self.number(of).ln_1p()) / AMOUNT_UNIT,
            (_, Law::Level) => self.number(of) / LEVEL_UNIT,
        };
        components.push(number as f32);
    }
}

/// Logarithms of amounts that differ by so much hardly differ: a quarter more or less.
const AMOUNT_UNIT: f64 = 0.25;
/// Shares, entropies in bits, runs of letters.
const LEVEL_UNIT: f64 = 0.1;
/// Coordinates on the circle of the day: about one hour.
const HOUR_UNIT: f64 = 0.25;
/// Twice the square root of a Poisson number and this has a variance of 1 whatever the mean (Anscombe 1948).
const ANSCOMBE: f64 = 0.375;

/// How the numbers of a feature become components of which a difference of 1 means as little everywhere.
enum Law {
    /// Numbers of things: by their square root.
    Whole,
    /// Over many orders of magnitude: by their logarithm.
    Amount,
    /// As they are.
    Level,
}

fn law_of(of: &FeatureOf) -> Law {
    match of {
        FeatureOf::Count | FeatureOf::Distinct(_) | FeatureOf::Networks(_) | FeatureOf::New(_) => Law::Whole,
        FeatureOf::Share
        | FeatureOf::Entropy(_)
        | FeatureOf::Digits(_)
        | FeatureOf::Signs(_)
        | FeatureOf::Consonants(_)
        | FeatureOf::Hour => Law::Level,
        _ => Law::Amount,
    }
}

fn hour_of(cosine: f64, sine: f64) -> f64 {
    sine.atan2(cosine).rem_euclid(std::f64::consts::TAU) * 24.0 / std::f64::consts::TAU
}

/// The number that components stand for, in the feature's unit.
pub fn number_of(of: &FeatureOf, components: &[f32]) -> f64 {
    let first = components.first().copied().map_or(f64::NAN, f64::from);
    if first.is_nan() {
        return f64::NAN;
    }
    match (of, law_of(of)) {
        (FeatureOf::Share, _) => (first * LEVEL_UNIT).clamp(0.0, 1.0),
        (FeatureOf::Hour, _) => hour_of(first, components.get(1).copied().map_or(f64::NAN, f64::from)),
        (_, Law::Whole) => ((first.max(0.0) / 2.0).powi(2) - ANSCOMBE).max(0.0),
        (_, Law::Amount) => (first * AMOUNT_UNIT).exp_m1().max(0.0),
        (_, Law::Level) => (first * LEVEL_UNIT).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(of: &FeatureOf, glimpses: &[Glimpse]) -> Measured {
        let (mut measured, mut fresh) = (Measured::default(), Fresh::default());
        for glimpse in glimpses {
            measured.take(of, *glimpse, Some(&mut fresh));
        }
        measured
    }

    #[test]
    fn features_come_to_what_their_names_say_and_missing_is_not_zero() {
        let numbers = [
            Glimpse::Number(2.0),
            Glimpse::Absent,
            Glimpse::Apart,
            Glimpse::Number(6.0),
        ];
        let values = [1u64, 2, 1, 3].map(|value| Glimpse::Value(xxhash_rust::xxh3::xxh3_64(&value.to_le_bytes())));
        let field = Field::SourceBytes;
        for (of, glimpses, number) in [
            (FeatureOf::Count, &numbers[..], 3.0),
            (FeatureOf::Sum(field), &numbers, 8.0),
            (FeatureOf::Mean(field), &numbers, 4.0),
            (FeatureOf::Greatest(field), &numbers, 6.0),
            (FeatureOf::Deviation(field), &numbers, 2.0),
            (FeatureOf::Distinct(vec![field]), &values, 3.0),
            (FeatureOf::New(vec![field]), &values, 3.0),
            (FeatureOf::Share, &[Glimpse::Number(1.0), Glimpse::Number(0.0)], 0.5),
            (FeatureOf::Sum(field), &[Glimpse::Apart], 0.0),
            (FeatureOf::Sum(field), &[Glimpse::Absent], f64::NAN),
            (FeatureOf::Mean(field), &[Glimpse::Apart], f64::NAN),
            (FeatureOf::Hour, &[Glimpse::Number(23.0), Glimpse::Number(0.0)], 0.0),
        ] {
            let measured = measured(&of, glimpses);
            let told = measured.number(&of);
            // Midnight has two sides.
            let is_same = (told - number).abs() < 1e-6 || (told - number).abs() > 24.0 - 1e-6;
            assert!(is_same || told.is_nan() && number.is_nan(), "{of:?}: {told}");
            let mut components = SmallVec::new();
            measured.write(&of, &mut components);
            let again = number_of(&of, &components);
            let is_near = (again - number).abs() < 1e-3 * number.max(1.0) || (again - number).abs() > 24.0 - 1e-3;
            assert!(is_near || again.is_nan() && number.is_nan(), "{of:?}: {again}");
        }
    }
}
