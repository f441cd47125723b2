//! The features of a vector: `{ vector: { logins: count, failed: { share: failed }, sources: { distinct: source.ip } } }`.

use super::definition::Reader;
use crate::domain::{Feature, FeatureOf, Field, FieldKind, Place};

/// Features that stand alone.
pub(super) const FEATURES_PLAIN: [&str; 2] = ["count", "hour"];
/// Features of a field or of several.
pub(super) const FEATURES_OF_FIELDS: [&str; 13] = [
    "sum",
    "mean",
    "greatest",
    "deviation",
    "distinct",
    "networks",
    "new",
    "length",
    "entropy",
    "depth",
    "digits",
    "signs",
    "consonants",
];
/// Features of the events that a selection matches.
pub(super) const FEATURES_OF_SELECTION: [&str; 2] = ["count", "share"];
/// Beside a feature of fields: the selection whose events alone count.
pub(super) const AMONG: &str = "among";

const NUMBERS: [FieldKind; 2] = [FieldKind::Long, FieldKind::Float];
const NAME_CHARS_MAX: usize = 40;

impl Reader<'_> {
    /// Reads the features of a vector.
    pub(super) fn features(&mut self, place: &Place<'_>) -> Option<Vec<Feature>> {
        let before = self.mistakes.len();
        let entries = place.entries();
        if entries.len() < 2 || entries.len() > Feature::COUNT_MAX {
            let message = format!(
                "must be 2 to features_max ({}) features: `{{ logins: count, sources: {{ distinct: source.ip }} }}`",
                Feature::COUNT_MAX
            );
            self.mistakes.push(place.mistake(message));
        }
        let features: Vec<Option<Feature>> = entries.iter().map(|(name, of)| self.feature(name, of)).collect();
        let features: Vec<Feature> = features.into_iter().collect::<Option<_>>()?;
        (self.mistakes.len() == before).then_some(features)
    }

    fn feature(&mut self, name: &str, place: &Place<'_>) -> Option<Feature> {
        let is_plain = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !is_plain || name.len() > NAME_CHARS_MAX {
            let message = format!("a feature's name is of a to z, 0 to 9 and _, {NAME_CHARS_MAX} characters at most");
            self.mistakes.push(place.mistake(message));
        }
        let named = |of, among| {
            Some(Feature {
                name: name.to_owned(),
                of,
                among,
            })
        };
        if let Some(word) = place.value().as_str() {
            return match word {
                "count" => named(FeatureOf::Count, None),
                "hour" => named(FeatureOf::Hour, None),
                word => self.unknown(place, word),
            };
        }
        let entries = place.entries();
        let mut among = None;
        let mut of = None;
        for (word, value) in &entries {
            if word == AMONG {
                among = Some(self.selection(value)?);
            } else if of.is_some() {
                self.mistakes
                    .push(place.mistake("must be one feature, perhaps with `among`"));
                return None;
            } else {
                of = Some((word, value));
            }
        }
        let Some((word, value)) = of else {
            self.mistakes
                .push(place.mistake("must be `count`, `hour`, or such as `{ distinct: source.ip }`"));
            return None;
        };
        let of = match word.as_str() {
            "count" | "share" if among.is_some() => {
                self.mistakes
                    .push(place.mistake(format!("`{word}` names its selection itself: `{{ {word}: failed }}`")));
                return None;
            }
            "count" => return named(FeatureOf::Count, Some(self.selection(value)?)),
            "share" => return named(FeatureOf::Share, Some(self.selection(value)?)),
            "sum" => FeatureOf::Sum(self.field(value, &NUMBERS)?),
            "mean" => FeatureOf::Mean(self.field(value, &NUMBERS)?),
            "greatest" => FeatureOf::Greatest(self.field(value, &NUMBERS)?),
            "deviation" => FeatureOf::Deviation(self.field(value, &NUMBERS)?),
            "distinct" => FeatureOf::Distinct(self.fields(value)?),
            "new" => FeatureOf::New(self.fields(value)?),
            "networks" => FeatureOf::Networks(self.field(value, &[FieldKind::Ip])?),
            "length" => FeatureOf::Length(self.field(value, &[FieldKind::Keyword])?),
            "entropy" => FeatureOf::Entropy(self.field(value, &[FieldKind::Keyword])?),
            "depth" => FeatureOf::Depth(self.field(value, &[FieldKind::Keyword])?),
            "digits" => FeatureOf::Digits(self.field(value, &[FieldKind::Keyword])?),
            "signs" => FeatureOf::Signs(self.field(value, &[FieldKind::Keyword])?),
            "consonants" => FeatureOf::Consonants(self.field(value, &[FieldKind::Keyword])?),
            word => return self.unknown(value, word),
        };
        named(of, among)
    }

    fn selection(&mut self, place: &Place<'_>) -> Option<String> {
        let name = place.value().as_str().map(str::to_owned);
        if name.is_none() {
            self.mistakes.push(place.mistake("must be the name of a selection"));
        }
        name
    }

    fn unknown<T>(&mut self, place: &Place<'_>, word: &str) -> Option<T> {
        let words = FEATURES_PLAIN
            .into_iter()
            .chain(FEATURES_OF_FIELDS)
            .chain(["share", AMONG]);
        let message = format!("unknown feature `{word}`");
        self.mistakes.push(place.wrong_word(message, word, words));
        None
    }
}

/// The fields that features look at, each once.
pub(super) fn fields(features: &[Feature]) -> Vec<Field> {
    let mut fields: Vec<Field> = features.iter().flat_map(Feature::fields).copied().collect();
    fields.sort();
    fields.dedup();
    fields
}
