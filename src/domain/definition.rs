//! A detector's definition: what is watched, about whom, and against which expectation. Plain data as read from
//! `detectors/`; `engine::catalog` reads and checks it, and compiles its selection.

use super::{Duration, Feature, Field, Mistake, VectorModel};

/// One learned detector, checked: its windows ascend, its tail and baseline fit its measure, and every number is
/// finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// One line for people: what is unusual.
    pub title: String,
    /// Its name, the same as its file's without `.yml`.
    pub id: String,
    /// Written in the definition, or else the first 12 hex digits of the SHA-256 of its text.
    pub version: String,
    /// A digest of what decides what its learned state means: whom, which events and how they are measured and judged,
    /// without [`Definition::at_least`] and all that is for people. State that was learned under one may be used under
    /// the same only.
    pub meaning: String,
    /// What it means and why it matters.
    pub description: String,
    /// Whom the baseline is about; at least one field, at most [`Definition::ENTITY_FIELDS_MAX`].
    pub entity: Vec<Field>,
    /// Whom actors share, for grouping alerts; may be empty.
    pub target: Vec<Field>,
    /// What is watched.
    pub measure: Measure,
    /// Which side of the expectation is strange.
    pub tail: Tail,
    /// No finding below this, however improbable, in the unit that [`Measure::unit`] names.
    pub at_least: f64,
    /// Lengths of the windows in which the measure is taken, ascending; at least one.
    pub windows: Vec<Duration>,
    /// How long after its end a window stays open for late events.
    pub lateness: Duration,
    /// What is expected.
    pub baseline: Expectation,
    /// Events of one entity that are closer together than this are one session, which counts once.
    pub session_gap: Option<Duration>,
    /// Whether it looks for an entity that has fallen silent.
    pub absence: bool,
    /// An entity is watched from so many of its events on, whoever selects them; 0 to 255.
    pub after_events: u8,
    /// How bad it is if true.
    pub level: Level,
    /// ATT&CK tactics and techniques as Sigma writes them: `attack.credential-access`, `attack.t1110.003`.
    pub tags: Vec<String>,
    /// Harmless causes that a person should think of first.
    pub falsepositives: Vec<String>,
    /// Further fields whose values an alert should name.
    pub fields: Vec<Field>,
    /// How an alert says what was seen, in order; empty where the measure alone says it.
    pub sentence: Vec<SentencePart>,
}

/// A part of the sentence in which an alert says what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SentencePart {
    /// Words as they stand.
    Text(String),
    /// The measured number, in its unit.
    Seen,
    /// The length of the window.
    Window,
    /// The value that is rare.
    Value,
    /// The share of hits.
    Share,
    /// The hour of the day, at the site.
    Hour,
    /// The field of the entity at this place.
    Entity(usize),
}

impl Definition {
    /// The largest number of fields that make an entity.
    pub const ENTITY_FIELDS_MAX: usize = 4;
    /// The longest sentence, in characters.
    pub const SENTENCE_CHARS_MAX: usize = 200;
    /// The largest number of windows.
    pub const WINDOWS_MAX: usize = 6;

    /// The ATT&CK techniques among the tags, upper case: `T1110.003`.
    pub fn techniques(&self) -> impl Iterator<Item = String> {
        self.tags
            .iter()
            .filter_map(|tag| tag.strip_prefix("attack."))
            .filter(|word| is_technique(word))
            .map(str::to_ascii_uppercase)
    }

    /// The ATT&CK tactics among the tags: `credential-access`.
    pub fn tactics(&self) -> impl Iterator<Item = &str> {
        self.tags
            .iter()
            .filter_map(|tag| tag.strip_prefix("attack."))
            .filter(|word| !is_technique(word))
    }
}

fn is_technique(word: &str) -> bool {
    word.strip_prefix('t')
        .is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
}

/// What is measured over the selected events of one entity and window.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// How many events.
    Count,
    /// The sum of a field that is never negative.
    Sum(Field),
    /// How many different values, or combinations of values.
    Distinct(Vec<Field>),
    /// How many bytes the different values of a field have together: how much text was said that had not been said before
    /// in this window.
    DistinctBytes(Field),
    /// Over how much of the window events are spread: how many slots of this length have one.
    Spread(Duration),
    /// The share of events that the named selection of the definition's `detection` matches too.
    Ratio(String),
    /// A field's value, event by event.
    Value(Field),
    /// The gaps between one event and the next.
    Interval,
    /// Which values, or combinations of values; one judgement for each different one in a window.
    Category(Vec<Field>),
    /// Which networks an address lies in: /24 for IPv4, /48 for IPv6.
    Network(Field),
    /// The hour of the week at which an event, or session, begins.
    TimeOfWeek,
    /// Several numbers together.
    Vector(Vec<Feature>),
    /// Values, or combinations of values, one after the other.
    Sequence(Vec<Field>),
}

impl Measure {
    /// The word by which definitions name it.
    pub const fn word(&self) -> &'static str {
        match self {
            Measure::Count => "count",
            Measure::Sum(_) => "sum",
            Measure::Distinct(_) => "distinct",
            Measure::DistinctBytes(_) => "distinct_bytes",
            Measure::Spread(_) => "spread",
            Measure::Ratio(_) => "ratio",
            Measure::Value(_) => "value",
            Measure::Interval => "interval",
            Measure::Category(_) => "category",
            Measure::Network(_) => "network",
            Measure::TimeOfWeek => "time_of_week",
            Measure::Vector(_) => "vector",
            Measure::Sequence(_) => "sequence",
        }
    }

    /// The fields that an event must have to be measured.
    pub fn fields(&self) -> &[Field] {
        match self {
            Measure::Distinct(fields) | Measure::Category(fields) | Measure::Sequence(fields) => fields,
            Measure::Sum(field) | Measure::DistinctBytes(field) | Measure::Value(field) | Measure::Network(field) => {
                std::slice::from_ref(field)
            }
            Measure::Count
            | Measure::Spread(_)
            | Measure::Ratio(_)
            | Measure::Interval
            | Measure::TimeOfWeek
            | Measure::Vector(_) => &[],
        }
    }

    /// Whether the measure of an open window can only grow, so that it may be judged before the window closes.
    pub const fn grows(&self) -> bool {
        matches!(
            self,
            Measure::Count | Measure::Sum(_) | Measure::Distinct(_) | Measure::DistinctBytes(_) | Measure::Spread(_)
        )
    }

    /// What `at_least` counts.
    pub const fn unit(&self) -> &'static str {
        match self {
            Measure::Count => "events",
            Measure::Sum(_) => "the summed field's unit",
            Measure::Distinct(_) => "different values",
            Measure::DistinctBytes(_) => "bytes of different values",
            Measure::Spread(_) => "slots of time with an event",
            Measure::Ratio(_) => "hits",
            Measure::Value(_) => "the field's unit",
            Measure::Interval => "gaps",
            Measure::Category(_) | Measure::Network(_) => "events with the value",
            Measure::TimeOfWeek | Measure::Vector(_) | Measure::Sequence(_) => "events",
        }
    }
}

/// Which side of the expectation is strange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// More than expected.
    Upper,
    /// Less than expected.
    Lower,
    /// More or less than expected.
    Both,
}

/// How bad a finding is if true, in Sigma's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Informational,
    /// Look when there is time.
    Low,
    /// Look today.
    Medium,
    /// Look soon.
    High,
    /// Look now.
    Critical,
}

impl Level {
    /// Every level, ascending.
    pub const ALL: [Level; 5] = [
        Level::Informational,
        Level::Low,
        Level::Medium,
        Level::High,
        Level::Critical,
    ];

    /// Sigma's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Level::Informational => "informational",
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }
}

/// What is expected of a measure: a kind of baseline, how fast it forgets, and what it believes before it has seen
/// anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// After this much time an observation has half its weight.
    pub half_life: Duration,
    /// Whether the hour of the week matters.
    pub season: Season,
    /// The belief before there is history, one for each of the definition's windows, in their order; all of one kind.
    pub priors: Vec<Prior>,
}

impl Expectation {
    /// The kind of the baseline.
    pub fn kind(&self) -> BaselineKind {
        self.priors.first().map_or(BaselineKind::Count, Prior::kind)
    }
}

/// The families of predictive distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaselineKind {
    /// Whole numbers of events.
    Count,
    /// Whole numbers of different things.
    Distinct,
    /// Amounts over many orders of magnitude: bytes, durations.
    Magnitude,
    /// Hits among attempts.
    Ratio,
    /// Which of many values.
    Category,
    /// When in the week.
    TimeOfWeek,
    /// The regularity of gaps.
    Interval,
    /// Anything else that is a number.
    Quantile,
    /// Several numbers together, by a model.
    Model,
}

impl BaselineKind {
    /// The word by which definitions name it.
    pub const fn word(self) -> &'static str {
        match self {
            BaselineKind::Count => "count",
            BaselineKind::Distinct => "distinct",
            BaselineKind::Magnitude => "magnitude",
            BaselineKind::Ratio => "ratio",
            BaselineKind::Category => "category",
            BaselineKind::TimeOfWeek => "time_of_week",
            BaselineKind::Interval => "interval",
            BaselineKind::Quantile => "quantile",
            BaselineKind::Model => "model",
        }
    }
}

/// Whether the hour of the week matters to an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Season {
    /// All hours are alike.
    None,
    /// Each of the 168 hours of the week, in the site's time zone, has its own share.
    HourOfWeek,
}

/// What a baseline believes before it has seen anything. `weight` is how much of an entity's own history outweighs the
/// belief: windows (count, distinct, magnitude), attempts (ratio), sessions (time of week), pairs (interval) or values
/// (quantile).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prior {
    /// For whole numbers of events.
    Count(CountPrior),
    /// For whole numbers of different things.
    Distinct(CountPrior),
    /// For amounts.
    Magnitude(MagnitudePrior),
    /// For hits among attempts.
    Ratio {
        /// The usual share of hits, above 0 and below 1.
        mean: f64,
        /// How much the attempts of one window resemble each other: their correlation, 0 to 1.
        dispersion: f64,
        /// In attempts.
        weight: f64,
    },
    /// For values: Pitman and Yor's process. The next value is a new one with probability
    /// `(strength + discount * values) / (strength + seen)`.
    Category {
        /// 0 where the kinds of values come to an end, towards 1 where new ones never stop.
        discount: f64,
        /// How many observations the expectation of something new is worth at the beginning.
        strength: f64,
    },
    /// For the hour of the week: all hours are alike.
    TimeOfWeek {
        /// In sessions.
        weight: f64,
    },
    /// For the regularity of gaps, which is their median absolute deviation by their median.
    Interval {
        /// The median of the regularity over the pairs of a site.
        typical: f64,
        /// The standard deviation of its natural logarithm.
        spread: f64,
        /// In pairs.
        weight: f64,
    },
    /// For any number.
    Quantile {
        /// The median.
        typical: f64,
        /// From the median to the 84th percentile.
        spread: f64,
        /// In values.
        weight: f64,
    },
    /// For vectors there is no belief, only a kind of model: it judges once there is something to learn from.
    Model(VectorModel),
}

impl Prior {
    /// The kind of baseline that it is for.
    pub const fn kind(&self) -> BaselineKind {
        match self {
            Prior::Count(_) => BaselineKind::Count,
            Prior::Distinct(_) => BaselineKind::Distinct,
            Prior::Magnitude(_) => BaselineKind::Magnitude,
            Prior::Ratio { .. } => BaselineKind::Ratio,
            Prior::Category { .. } => BaselineKind::Category,
            Prior::TimeOfWeek { .. } => BaselineKind::TimeOfWeek,
            Prior::Interval { .. } => BaselineKind::Interval,
            Prior::Quantile { .. } => BaselineKind::Quantile,
            Prior::Model(_) => BaselineKind::Model,
        }
    }
}

/// A belief about whole numbers in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountPrior {
    /// The mean over all windows, empty ones too; above 0.
    pub mean: f64,
    /// How clumped: the variance is `mean + dispersion * mean^2`.
    pub dispersion: f64,
    /// In windows.
    pub weight: f64,
}

/// A belief about amounts in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MagnitudePrior {
    /// The share of windows in which anything happens, above 0 and below 1.
    pub active: f64,
    /// The median over windows in which anything happens, in the measure's unit.
    pub typical: f64,
    /// The standard deviation of `ln(1 + amount)` over these windows.
    pub spread: f64,
    /// In windows.
    pub weight: f64,
}

/// What a site changes about a detector.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The detector.
    pub id: String,
    /// Whether it is left out.
    pub is_off: bool,
    /// Another [`Definition::at_least`].
    pub at_least: Option<f64>,
    /// Another [`Definition::level`].
    pub level: Option<Level>,
    /// What to tell when there is no such detector.
    pub unknown: Mistake,
}
