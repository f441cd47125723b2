//! One definition's text to a checked, compiled definition.

use super::{Compiled, expectation, features, number, sentence, short_hash};
use crate::domain::{Definition, Duration, Field, FieldKind, Level, Measure, Mistake, Place, Tail};
use crate::engine::select::{Selections, unknown_field};
use yaml_serde::Value;

pub(super) const KEYS: [&str; 27] = [
    "title",
    "id",
    "version",
    "description",
    "entity",
    "target",
    "detection",
    "measure",
    "tail",
    "at_least",
    "windows",
    "lateness",
    "sessions",
    "absence",
    "after_events",
    "baseline",
    "level",
    "tags",
    "falsepositives",
    "sentence",
    "fields",
    "references",
    "author",
    "date",
    "modified",
    "status",
    "license",
];

/// Measures that stand alone.
pub(super) const MEASURES_PLAIN: [&str; 3] = ["count", "interval", "time_of_week"];
/// Measures of something.
pub(super) const MEASURES_WITH: [&str; 10] = [
    "sum",
    "distinct",
    "distinct_bytes",
    "spread",
    "ratio",
    "value",
    "category",
    "network",
    "vector",
    "sequence",
];

/// The keys that decide what learned state means.
const LEARNING_KEYS: [&str; 10] = [
    "entity",
    "detection",
    "measure",
    "tail",
    "windows",
    "lateness",
    "sessions",
    "absence",
    "after_events",
    "baseline",
];

/// The tactics of MITRE ATT&CK for Enterprise, as Sigma writes them.
const TACTICS: [&str; 14] = [
    "reconnaissance",
    "resource-development",
    "initial-access",
    "execution",
    "persistence",
    "privilege-escalation",
    "defense-evasion",
    "credential-access",
    "discovery",
    "lateral-movement",
    "collection",
    "command-and-control",
    "exfiltration",
    "impact",
];

const SECOND: Duration = Duration::from_seconds(1);
const WINDOW_MAX: Duration = Duration::from_seconds(28 * 86_400);
const LATENESS_MAX: Duration = Duration::from_seconds(3600);
const LATENESS_DEFAULT: Duration = Duration::from_seconds(30);
const SESSION_GAP_MAX: Duration = Duration::from_seconds(86_400);

/// Reads a definition. `None` after a mistake; all of them are added to `mistakes`.
pub(super) fn read(root: &Place<'_>, file: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Option<Compiled> {
    let before = mistakes.len();
    if !root.value().is_mapping() {
        mistakes.push(root.mistake("a definition is a mapping with `title`, `id`, `entity`, `detection` ..."));
        return None;
    }
    root.refuse_unknown_keys(&KEYS, mistakes);
    let mut reader = Reader { root, mistakes };
    let title = reader.text("title");
    let id = reader.id(file);
    let version = reader.version(text);
    let description = reader.text("description");
    let entity = reader.entity();
    let target = reader.optional_fields("target");
    let fields = reader.optional_fields("fields");
    let windows = reader.windows();
    let measure = reader.measure();
    let tail = reader.tail(measure.as_ref());
    let at_least = match (root.get("at_least"), &measure) {
        (Some(place), Some(measure)) => number::amount(&place, measure, reader.mistakes),
        _ => Some(1.0),
    };
    let lateness = reader.duration("lateness", Duration::ZERO, LATENESS_MAX);
    let session_gap = reader.duration("sessions", SECOND, SESSION_GAP_MAX);
    let absence = reader.absence(measure.as_ref(), tail);
    let after_events = match root.get("after_events") {
        Some(place) => number::read(&place, 0.0, f64::from(u8::MAX), reader.mistakes).map(|events| events as u8),
        None => Some(0),
    };
    let baseline = match (root.get("baseline"), &measure) {
        (Some(place), Some(measure)) => expectation::read(&place, measure, windows.as_deref(), reader.mistakes),
        (None, _) => reader.missing("baseline"),
        (Some(_), None) => None,
    };
    if let (Some(place), Some(measure)) = (root.get("sessions"), &measure)
        && !matches!(measure, Measure::Count | Measure::TimeOfWeek)
    {
        let message = format!("sessions do not fit the measure `{}`", measure.word());
        reader.mistakes.push(place.mistake(message));
    }
    let sentence = match (root.get("sentence"), &entity, &measure) {
        (Some(place), Some(entity), Some(measure)) => sentence::read(&place, entity, measure, reader.mistakes),
        _ => None,
    };
    let level = reader.level();
    let tags = reader.tags();
    let falsepositives = reader.texts("falsepositives");
    let selections = match root.get("detection") {
        Some(place) => Selections::compile(&place, reader.mistakes),
        None => reader.missing("detection"),
    };
    if let (Some(selections), Some(measure)) = (&selections, &measure) {
        reader.check_selections(selections, measure);
    }
    if mistakes.len() > before {
        return None;
    }
    let (measure, entity, mut selections) = (measure?, entity?, selections?);
    let features = match &measure {
        Measure::Vector(features) => features.as_slice(),
        _ => &[],
    };
    let among = features
        .iter()
        .map(|feature| selections.named.get(feature.among.as_ref()?).cloned())
        .collect();
    let hits = match &measure {
        Measure::Ratio(name) => selections.named.remove(name),
        _ => None,
    };
    let mut needed: Vec<Field> = selections.fields.clone();
    needed.extend(entity.iter().chain(measure.fields()));
    needed.extend(features::fields(features));
    needed.sort();
    needed.dedup();
    Some(Compiled {
        selects: selections.condition.requiring(&entity).requiring(measure.fields()),
        hits,
        among,
        fields: needed,
        definition: Definition {
            title: title?,
            id: id?,
            version: version?,
            meaning: meaning(root),
            description: description?,
            entity,
            target,
            measure,
            tail: tail?,
            at_least: at_least?,
            windows: windows?,
            lateness: lateness.unwrap_or(LATENESS_DEFAULT),
            baseline: baseline?,
            session_gap,
            absence,
            after_events: after_events?,
            level: level?,
            tags,
            falsepositives,
            fields,
            sentence: sentence.unwrap_or_default(),
        },
    })
}

/// The digest of what decides what learned state means, the same however the text is laid out.
fn meaning(root: &Place<'_>) -> String {
    let mut text = String::new();
    for key in LEARNING_KEYS {
        if let Some(place) = root.get(key) {
            text.push_str(key);
            canonical(place.value(), &mut text);
        }
    }
    short_hash(&text, 8)
}

/// Writes a value so that equal ones are equal texts: mappings in the order of their keys.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Mapping(mapping) => {
            let mut pairs: Vec<(String, &Value)> = mapping
                .iter()
                .map(|(key, value)| {
                    let mut text = String::new();
                    canonical(key, &mut text);
                    (text, value)
                })
                .collect();
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            text.push('{');
            for (key, value) in pairs {
                text.push_str(&key);
                text.push(':');
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Sequence(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        // Text in quotes, so that no text can look like a list.
        Value::String(word) => text.push_str(&format!("{word:?}")),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::Bool(yes) => text.push_str(&yes.to_string()),
        Value::Null => text.push('~'),
        Value::Tagged(tagged) => {
            text.push_str(&tagged.tag.to_string());
            canonical(&tagged.value, text);
        }
    }
}

pub(super) struct Reader<'r> {
    root: &'r Place<'r>,
    pub(super) mistakes: &'r mut Vec<Mistake>,
}

impl Reader<'_> {
    fn missing<T>(&mut self, key: &str) -> Option<T> {
        self.mistakes
            .push(self.root.mistake(format!("the definition has no `{key}`")));
        None
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let Some(place) = self.root.get(key) else {
            return self.missing(key);
        };
        match place.value().as_str().map(str::trim) {
            Some(text) if !text.is_empty() => Some(text.to_owned()),
            _ => {
                self.mistakes.push(place.mistake("must be text"));
                None
            }
        }
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        let mut texts = Vec::new();
        let Some(place) = self.root.get(key) else {
            return texts;
        };
        for item in place.items() {
            match item.value().as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => self.mistakes.push(item.mistake("must be text")),
            }
        }
        texts
    }

    fn id(&mut self, file: &str) -> Option<String> {
        let id = self.text("id")?;
        let place = self.root.get("id")?;
        let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let stem = name.strip_suffix(".yml").or(name.strip_suffix(".yaml")).unwrap_or(name);
        if !id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            let message = format!("`{id}` has other signs than a to z, 0 to 9 and _");
            self.mistakes.push(place.mistake(message));
        } else if id != stem {
            let message = format!("`{id}` differs from the file's name, `{stem}`");
            self.mistakes.push(place.mistake(message));
        }
        Some(id)
    }

    fn version(&mut self, text: &str) -> Option<String> {
        let Some(place) = self.root.get("version") else {
            return Some(short_hash(text, 6));
        };
        match place.value() {
            yaml_serde::Value::String(text) if !text.is_empty() => Some(text.clone()),
            yaml_serde::Value::Number(number) => Some(number.to_string()),
            _ => {
                self.mistakes.push(place.mistake("must be a number or text"));
                None
            }
        }
    }

    pub(super) fn fields(&mut self, place: &Place<'_>) -> Option<Vec<Field>> {
        let before = self.mistakes.len();
        let mut fields = Vec::new();
        for item in place.items() {
            let Some(name) = item.value().as_str() else {
                self.mistakes.push(item.mistake("must be a field's name"));
                continue;
            };
            match Field::from_name(name) {
                Some(field) if fields.contains(&field) => {
                    self.mistakes.push(item.mistake(format!("`{name}` stands here twice")));
                }
                Some(field) => fields.push(field),
                None => self.mistakes.push(unknown_field(&item, name)),
            }
        }
        if fields.is_empty() && self.mistakes.len() == before {
            self.mistakes.push(place.mistake("must name a field"));
        }
        (self.mistakes.len() == before).then_some(fields)
    }

    fn optional_fields(&mut self, key: &str) -> Vec<Field> {
        let place = self.root.get(key);
        place.and_then(|place| self.fields(&place)).unwrap_or_default()
    }

    fn entity(&mut self) -> Option<Vec<Field>> {
        let Some(place) = self.root.get("entity") else {
            return self.missing("entity");
        };
        let fields = self.fields(&place)?;
        if fields.len() > Definition::ENTITY_FIELDS_MAX {
            let message = format!(
                "{} fields are over entity_fields_max ({})",
                fields.len(),
                Definition::ENTITY_FIELDS_MAX
            );
            self.mistakes.push(place.mistake(message));
        }
        if let Some(field) = fields.iter().find(|field| field.kind() == FieldKind::Float) {
            let message = format!("{} is a fraction, which names nobody", field.name());
            self.mistakes.push(place.mistake(message));
        }
        Some(fields)
    }

    fn duration(&mut self, key: &str, least: Duration, most: Duration) -> Option<Duration> {
        let place = self.root.get(key)?;
        number::duration(&place, least, most, self.mistakes)
    }

    fn windows(&mut self) -> Option<Vec<Duration>> {
        let Some(place) = self.root.get("windows") else {
            return self.missing("windows");
        };
        let before = self.mistakes.len();
        let mut windows: Vec<Duration> = Vec::new();
        for item in place.items() {
            let Some(window) = number::duration(&item, SECOND, WINDOW_MAX, self.mistakes) else {
                continue;
            };
            if let Some(last) = windows.last()
                && window <= *last
            {
                let message = format!("windows must ascend: {window} stands behind {last}");
                self.mistakes.push(item.mistake(message));
            }
            windows.push(window);
        }
        if windows.is_empty() && self.mistakes.len() == before {
            self.mistakes.push(place.mistake("must name a window, such as `5m`"));
        }
        if windows.len() > Definition::WINDOWS_MAX {
            let message = format!(
                "{} windows are over windows_max ({})",
                windows.len(),
                Definition::WINDOWS_MAX
            );
            self.mistakes.push(place.mistake(message));
        }
        (self.mistakes.len() == before).then_some(windows)
    }

    fn measure(&mut self) -> Option<Measure> {
        let Some(place) = self.root.get("measure") else {
            return self.missing("measure");
        };
        if let Some(word) = place.value().as_str() {
            return match word {
                "count" => Some(Measure::Count),
                "interval" => Some(Measure::Interval),
                "time_of_week" => Some(Measure::TimeOfWeek),
                word if MEASURES_WITH.contains(&word) => {
                    let of = match word {
                        "ratio" => "a selection",
                        "spread" => "a length of time",
                        "vector" => "features",
                        _ => "a field",
                    };
                    let message = format!("`{word}` needs {of}: `{{ {word}: ... }}`");
                    self.mistakes.push(place.mistake(message));
                    None
                }
                word => {
                    let words = MEASURES_PLAIN.into_iter().chain(MEASURES_WITH);
                    let mistake = place.wrong_word(format!("unknown measure `{word}`"), word, words);
                    self.mistakes.push(mistake);
                    None
                }
            };
        }
        let entries = place.entries();
        let [(word, of)] = entries.as_slice() else {
            let message = "must be one measure: `count`, `{ sum: source.bytes }`, `{ distinct: user.name }` ...";
            self.mistakes.push(place.mistake(message));
            return None;
        };
        match word.as_str() {
            "distinct" => self.fields(of).map(Measure::Distinct),
            "category" => self.fields(of).map(Measure::Category),
            "sequence" => self.fields(of).map(Measure::Sequence),
            "sum" => self.field(of, &[FieldKind::Long, FieldKind::Float]).map(Measure::Sum),
            "value" => self.field(of, &[FieldKind::Long, FieldKind::Float]).map(Measure::Value),
            "distinct_bytes" => self.field(of, &[FieldKind::Keyword]).map(Measure::DistinctBytes),
            "network" => self.field(of, &[FieldKind::Ip]).map(Measure::Network),
            "vector" => self.features(of).map(Measure::Vector),
            "spread" => match of
                .value()
                .as_str()
                .and_then(Duration::parse)
                .filter(|slot| slot.nanos() > 0)
            {
                Some(slot) => Some(Measure::Spread(slot)),
                None => {
                    self.mistakes
                        .push(of.mistake("must be a length of time, such as `10m`"));
                    None
                }
            },
            "ratio" => match of.value().as_str() {
                Some(name) => Some(Measure::Ratio(name.to_owned())),
                None => {
                    self.mistakes
                        .push(of.mistake("must be the name of the selection that counts as a hit"));
                    None
                }
            },
            word if MEASURES_PLAIN.contains(&word) => {
                self.mistakes
                    .push(of.mistake(format!("`{word}` takes no field: `measure: {word}`")));
                None
            }
            word => {
                let words = MEASURES_PLAIN.into_iter().chain(MEASURES_WITH);
                self.mistakes
                    .push(of.wrong_word(format!("unknown measure `{word}`"), word, words));
                None
            }
        }
    }

    pub(super) fn field(&mut self, place: &Place<'_>, kinds: &[FieldKind]) -> Option<Field> {
        let fields = self.fields(place)?;
        let [field] = fields.as_slice() else {
            self.mistakes.push(place.mistake("must be one field"));
            return None;
        };
        if !kinds.contains(&field.kind()) {
            let holds = match field.kind() {
                FieldKind::Keyword => "text",
                FieldKind::Long | FieldKind::Float => "numbers",
                FieldKind::Ip => "addresses",
                FieldKind::Bool => "yes or no",
            };
            let message = format!("{} holds {holds}, which does not fit this measure", field.name());
            self.mistakes.push(place.mistake(message));
            return None;
        }
        Some(*field)
    }

    fn tail(&mut self, measure: Option<&Measure>) -> Option<Tail> {
        let usual = match measure {
            Some(Measure::Value(_)) => Tail::Both,
            Some(Measure::Interval) => Tail::Lower,
            _ => Tail::Upper,
        };
        let Some(place) = self.root.get("tail") else {
            return Some(usual);
        };
        let word = place.value().as_str().unwrap_or_default();
        let tail = match word {
            "upper" => Tail::Upper,
            "lower" => Tail::Lower,
            "both" => Tail::Both,
            word => {
                let words = ["upper", "lower", "both"];
                let mistake = place.wrong_word(format!("unknown tail `{word}`"), word, words);
                self.mistakes.push(mistake);
                return None;
            }
        };
        let complaint = match measure {
            Some(
                measure @ (Measure::Category(_)
                | Measure::Network(_)
                | Measure::TimeOfWeek
                | Measure::Vector(_)
                | Measure::Sequence(_)),
            ) => Some(format!(
                "the measure `{}` has no tail: what is rare is strange",
                measure.word()
            )),
            Some(Measure::Interval) if tail != Tail::Lower => {
                Some("gaps are strange when they are regular: their tail is `lower`".to_owned())
            }
            _ => None,
        };
        self.mistakes.extend(complaint.map(|message| place.mistake(message)));
        Some(tail)
    }

    fn absence(&mut self, measure: Option<&Measure>, tail: Option<Tail>) -> bool {
        let Some(place) = self.root.get("absence") else {
            return false;
        };
        let Some(absence) = place.value().as_bool() else {
            self.mistakes.push(place.mistake("must be `true` or `false`"));
            return false;
        };
        if absence && measure.is_some_and(|measure| *measure != Measure::Count) {
            self.mistakes.push(place.mistake("absence needs `measure: count`"));
        }
        if absence && tail == Some(Tail::Upper) {
            self.mistakes
                .push(place.mistake("absence needs `tail: lower` or `tail: both`"));
        }
        absence
    }

    fn level(&mut self) -> Option<Level> {
        let word = self.text("level")?;
        match Level::ALL.iter().find(|level| level.word() == word) {
            Some(level) => Some(*level),
            None => {
                let words = Level::ALL.iter().map(|level| level.word());
                let place = self.root.get("level")?;
                let mistake = place.wrong_word(format!("unknown level `{word}`"), &word, words);
                self.mistakes.push(mistake);
                None
            }
        }
    }

    fn tags(&mut self) -> Vec<String> {
        let tags = self.texts("tags");
        let places = self.root.get("tags").map(|place| place.items()).unwrap_or_default();
        for place in places {
            let Some(word) = place.value().as_str().and_then(|tag| tag.strip_prefix("attack.")) else {
                continue;
            };
            if !TACTICS.contains(&word) && !is_technique(word) {
                let message = format!("`{word}` is neither a tactic nor a technique such as `t1110.003`");
                self.mistakes.push(place.wrong_word(message, word, TACTICS));
            }
        }
        tags
    }

    fn check_selections(&mut self, selections: &Selections, measure: &Measure) {
        let wanted: Vec<(&str, Option<Place<'_>>)> = match measure {
            Measure::Ratio(name) => vec![(name, self.root.get("measure").and_then(|place| place.get("ratio")))],
            Measure::Vector(features) => {
                let place = self.root.get("measure").and_then(|place| place.get("vector"));
                features
                    .iter()
                    .filter_map(|feature| {
                        let place = place.as_ref().and_then(|place| place.get(&feature.name));
                        Some((feature.among.as_deref()?, place))
                    })
                    .collect()
            }
            _ => Vec::new(),
        };
        for (name, place) in &wanted {
            if !selections.named.contains_key(*name)
                && let Some(place) = place
            {
                let names = selections.named.keys().map(String::as_str);
                let message = format!("there is no selection `{name}` under `detection`");
                self.mistakes.push(place.wrong_word(message, name, names));
            }
        }
        for name in &selections.unused {
            if !wanted.iter().any(|(wanted, _)| wanted == name)
                && let Some(place) = self.root.get("detection").and_then(|place| place.get(name))
            {
                self.mistakes
                    .push(place.mistake("the condition does not use this selection"));
            }
        }
    }
}

/// `t1110` or `t1110.003`.
fn is_technique(word: &str) -> bool {
    let is_number = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    let Some(number) = word.strip_prefix('t') else {
        return false;
    };
    match number.split_once('.') {
        Some((technique, part)) => is_number(technique, 4) && is_number(part, 3),
        None => is_number(number, 4),
    }
}
