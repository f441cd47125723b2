//! The `baseline` block of a definition.

use super::number;
use crate::domain::{
    BaselineKind, CountPrior, Duration, Expectation, MagnitudePrior, Measure, Mistake, Place, Prior, Season,
    VectorModel,
};

const HALF_LIFE_MIN: Duration = Duration::from_seconds(60);
const HALF_LIFE_MAX: Duration = Duration::from_seconds(366 * 86_400);

/// Reads `baseline` for a measure over windows, which are `None` when they could not be read. `None` after a mistake; all
/// of them are added to `mistakes`.
pub(super) fn read(
    place: &Place<'_>,
    measure: &Measure,
    windows: Option<&[Duration]>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Expectation> {
    if !place.value().is_mapping() {
        mistakes.push(place.mistake("must be a mapping with `kind`, `half_life` and `prior`"));
        return None;
    }
    place.refuse_unknown_keys(&BASELINE_KEYS, mistakes);
    let kind = kind(place, measure, mistakes);
    let half_life = match place.get("half_life") {
        Some(half_life) => number::duration(&half_life, HALF_LIFE_MIN, HALF_LIFE_MAX, mistakes),
        None => {
            mistakes.push(place.mistake("has no `half_life`"));
            None
        }
    };
    if let (Some(half_life), Some(window)) = (half_life, windows.and_then(<[Duration]>::last))
        && half_life < *window
        && let Some(place) = place.get("half_life")
    {
        mistakes.push(place.mistake(format!("{half_life} is shorter than the longest window ({window})")));
    }
    let season = season(place, kind, mistakes);
    if kind == Some(BaselineKind::Model) {
        if let Some(prior) = place.get("prior") {
            mistakes.push(prior.mistake("a model has no prior: it judges once it has something to learn from"));
        }
        let model = model(place, measure, mistakes)?;
        return Some(Expectation {
            half_life: half_life?,
            season: season?,
            priors: vec![Prior::Model(model); windows?.len()],
        });
    }
    if let Some(model) = place.get("model") {
        mistakes.push(model.mistake("only a baseline of kind `model` has a `model`"));
    }
    let Some(prior) = place.get("prior") else {
        mistakes.push(place.mistake("has no `prior`"));
        return None;
    };
    let priors = priors(&prior, kind?, windows, mistakes)?;
    Some(Expectation {
        half_life: half_life?,
        season: season?,
        priors,
    })
}

fn kind(place: &Place<'_>, measure: &Measure, mistakes: &mut Vec<Mistake>) -> Option<BaselineKind> {
    let Some(kind_place) = place.get("kind") else {
        mistakes.push(place.mistake("has no `kind`"));
        return None;
    };
    let fitting: &[BaselineKind] = match measure {
        Measure::Count => &[BaselineKind::Count],
        Measure::Distinct(_) | Measure::Spread(_) => &[BaselineKind::Distinct],
        Measure::Sum(_) => &[BaselineKind::Magnitude],
        Measure::DistinctBytes(_) => &[BaselineKind::Distinct, BaselineKind::Magnitude],
        Measure::Value(_) => &[BaselineKind::Magnitude, BaselineKind::Quantile],
        Measure::Ratio(_) => &[BaselineKind::Ratio],
        Measure::Category(_) | Measure::Network(_) => &[BaselineKind::Category],
        Measure::TimeOfWeek => &[BaselineKind::TimeOfWeek],
        Measure::Interval => &[BaselineKind::Interval],
        Measure::Vector(_) | Measure::Sequence(_) => &[BaselineKind::Model],
    };
    let word = kind_place.value().as_str().unwrap_or_default();
    match ALL_KINDS.iter().find(|kind| kind.word() == word) {
        Some(kind) if fitting.contains(kind) => Some(*kind),
        Some(_) => {
            let words: Vec<&str> = fitting.iter().map(|kind| kind.word()).collect();
            let message = format!(
                "a baseline of kind `{word}` does not fit the measure `{}`, which takes `{}`",
                measure.word(),
                words.join("` or `")
            );
            mistakes.push(kind_place.mistake(message));
            None
        }
        None => {
            let words = ALL_KINDS.iter().map(|kind| kind.word());
            mistakes.push(kind_place.wrong_word(format!("unknown kind `{word}`"), word, words));
            None
        }
    }
}

/// The keys of a baseline.
pub(super) const BASELINE_KEYS: [&str; 5] = ["kind", "half_life", "season", "prior", "model"];
/// The words of seasons.
pub(super) const SEASONS: [&str; 2] = ["none", "hour_of_week"];
/// Every kind of baseline.
pub(super) const ALL_KINDS: [BaselineKind; 9] = [
    BaselineKind::Count,
    BaselineKind::Distinct,
    BaselineKind::Magnitude,
    BaselineKind::Ratio,
    BaselineKind::Category,
    BaselineKind::TimeOfWeek,
    BaselineKind::Interval,
    BaselineKind::Quantile,
    BaselineKind::Model,
];

fn model(place: &Place<'_>, measure: &Measure, mistakes: &mut Vec<Mistake>) -> Option<VectorModel> {
    let fitting = match measure {
        Measure::Sequence(_) => &[VectorModel::Sequence][..],
        _ => &VectorModel::OF_VECTORS,
    };
    let words: Vec<&str> = fitting.iter().map(|model| model.word()).collect();
    let Some(model) = place.get("model") else {
        mistakes.push(place.mistake(format!("has no `model`, which is one of `{}`", words.join("`, `"))));
        return None;
    };
    let word = model.value().as_str().unwrap_or_default();
    let found = fitting.iter().copied().find(|known| known.word() == word);
    if found.is_none() {
        mistakes.push(model.wrong_word(format!("unknown model `{word}`"), word, words));
    }
    found
}

fn season(place: &Place<'_>, kind: Option<BaselineKind>, mistakes: &mut Vec<Mistake>) -> Option<Season> {
    let Some(season) = place.get("season") else {
        return Some(Season::None);
    };
    let has_levels = kind.is_none_or(|kind| {
        matches!(
            kind,
            BaselineKind::Count | BaselineKind::Distinct | BaselineKind::Magnitude
        )
    });
    let word = season.value().as_str().unwrap_or_default();
    match word {
        "none" => Some(Season::None),
        "hour_of_week" if has_levels => Some(Season::HourOfWeek),
        "hour_of_week" => {
            mistakes.push(season.mistake("a season fits counts, distinct counts and magnitudes only"));
            None
        }
        _ => {
            let message = format!("unknown season `{word}`");
            mistakes.push(season.wrong_word(message, word, SEASONS));
            None
        }
    }
}

/// The numbers of a prior.
pub(super) const fn prior_keys(kind: BaselineKind) -> &'static [&'static str] {
    match kind {
        BaselineKind::Count | BaselineKind::Distinct | BaselineKind::Ratio => &["mean", "dispersion", "weight"],
        BaselineKind::Magnitude => &["active", "typical", "spread", "weight"],
        BaselineKind::Category => &["discount", "strength"],
        BaselineKind::TimeOfWeek => &["weight"],
        BaselineKind::Interval | BaselineKind::Quantile => &["typical", "spread", "weight"],
        BaselineKind::Model => &[],
    }
}

/// One prior for each window.
fn priors(
    place: &Place<'_>,
    kind: BaselineKind,
    windows: Option<&[Duration]>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Vec<Prior>> {
    let names = prior_keys(kind);
    if !place.value().is_mapping() {
        mistakes.push(place.mistake(format!("must be a mapping with `{}`", names.join("`, `"))));
        return None;
    }
    place.refuse_unknown_keys(names, mistakes);
    let mut numbers = Numbers {
        place,
        kind,
        windows,
        mistakes,
    };
    let columns: Vec<Option<Vec<f64>>> = names.iter().map(|name| numbers.read(name)).collect();
    let columns: Vec<Vec<f64>> = columns.into_iter().collect::<Option<_>>()?;
    (0..windows?.len())
        .map(|window| {
            let at = |column: usize| columns.get(column)?.get(window).copied();
            Some(match kind {
                BaselineKind::Count | BaselineKind::Distinct => {
                    let prior = CountPrior {
                        mean: at(0)?,
                        dispersion: at(1)?,
                        weight: at(2)?,
                    };
                    match kind {
                        BaselineKind::Count => Prior::Count(prior),
                        _ => Prior::Distinct(prior),
                    }
                }
                BaselineKind::Ratio => Prior::Ratio {
                    mean: at(0)?,
                    dispersion: at(1)?,
                    weight: at(2)?,
                },
                BaselineKind::Magnitude => Prior::Magnitude(MagnitudePrior {
                    active: at(0)?,
                    typical: at(1)?,
                    spread: at(2)?,
                    weight: at(3)?,
                }),
                BaselineKind::Category => Prior::Category {
                    discount: at(0)?,
                    strength: at(1)?,
                },
                BaselineKind::TimeOfWeek => Prior::TimeOfWeek { weight: at(0)? },
                BaselineKind::Interval => Prior::Interval {
                    typical: at(0)?,
                    spread: at(1)?,
                    weight: at(2)?,
                },
                BaselineKind::Quantile => Prior::Quantile {
                    typical: at(0)?,
                    spread: at(1)?,
                    weight: at(2)?,
                },
                BaselineKind::Model => return None,
            })
        })
        .collect()
}

/// Reads a prior's numbers: one a window, or one for the shortest window from which the others follow.
struct Numbers<'n> {
    place: &'n Place<'n>,
    kind: BaselineKind,
    windows: Option<&'n [Duration]>,
    mistakes: &'n mut Vec<Mistake>,
}

impl Numbers<'_> {
    fn read(&mut self, name: &str) -> Option<Vec<f64>> {
        let Some(place) = self.place.get(name) else {
            let message = format!("has no `{name}`, which a baseline of kind `{}` needs", self.kind.word());
            self.mistakes.push(self.place.mistake(message));
            return None;
        };
        let (least, most) = bounds(name, self.kind);
        if place.value().is_sequence() {
            let numbers: Vec<Option<f64>> = place
                .items()
                .iter()
                .map(|item| number::read(item, least, most, self.mistakes))
                .collect();
            if let Some(windows) = self.windows
                && numbers.len() != windows.len()
            {
                let message = format!("{} numbers for {} windows", numbers.len(), windows.len());
                self.mistakes.push(place.mistake(message));
                return None;
            }
            return numbers.into_iter().collect();
        }
        let number = number::read(&place, least, most, self.mistakes)?;
        let windows = self.windows.unwrap_or_default();
        let shortest = windows.first().map_or(1.0, |window| window.as_seconds());
        Some(
            windows
                .iter()
                .map(|window| {
                    let times = window.as_seconds() / shortest;
                    match (name, self.kind) {
                        ("mean", BaselineKind::Count | BaselineKind::Distinct)
                        | ("typical", BaselineKind::Magnitude) => number * times,
                        ("active", _) => 1.0 - power(1.0 - number, times as u64),
                        _ => number,
                    }
                })
                .map(|number| number.clamp(least, most))
                .collect(),
        )
    }
}

/// The bounds of a prior's number.
fn bounds(name: &str, kind: BaselineKind) -> (f64, f64) {
    match (name, kind) {
        ("mean", BaselineKind::Ratio) => (1e-6, 1.0 - 1e-6),
        ("mean", _) => (1e-6, 1e12),
        ("dispersion", BaselineKind::Ratio) => (0.001, 0.9),
        ("dispersion", _) => (1e-6, 1e4),
        ("active", _) => (1e-6, 1.0 - 1e-6),
        ("typical", BaselineKind::Quantile) => (-1e15, 1e15),
        ("typical", _) => (1e-6, 1e15),
        ("spread", BaselineKind::Quantile) => (1e-9, 1e15),
        ("spread", _) => (0.01, 20.0),
        ("discount", _) => (0.0, 0.95),
        ("strength", _) => (0.05, 1e4),
        _ => (0.1, 1e6),
    }
}

/// By multiplication alone, so that it is the same on every machine.
fn power(base: f64, exponent: u64) -> f64 {
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
    }
    result
}
