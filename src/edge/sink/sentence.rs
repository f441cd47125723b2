//! One sentence that a tired person understands, and numbers as people write them.

use super::Letterhead;
use crate::domain::{
    Alert, Definition, Duration, Entity, EntityValue, Feature, FeatureOf, FeatureSeen, Field, Finding, Measure,
    NormalIf, Season, SentencePart,
};

/// The sentence of an alert, about its strongest finding.
pub fn sentence(alert: &Alert, head: &Letterhead<'_>) -> String {
    let Some(definition) = head.definitions.get(usize::from(alert.peak.detector)) else {
        return String::new();
    };
    let said = about(&alert.peak, definition);
    let said = match alert.together.map(|together| together.others) {
        None => said,
        Some(1) => format!("{said}; another detector finds it strange in the same hour"),
        Some(others) => format!("{said}; {others} other detectors find it strange in the same hour"),
    };
    if alert.actors_total == 0 {
        return said;
    }
    let target = alert.peak.target.as_ref();
    let target = target.map_or_else(
        || "one target".to_owned(),
        |(field, target)| called(Field::ALL.get(usize::from(*field)).copied(), &target.text()),
    );
    let actors = match definition.entity.as_slice() {
        [Field::SourceIp, ..] => "addresses",
        [Field::UserName, ..] => "accounts",
        [Field::HostName, ..] => "hosts",
        _ => "actors",
    };
    format!(
        "{} {actors} against {target}; the strongest: {said}",
        alert.actors_total
    )
}

/// The entity as people write it: a pair with an arrow.
pub fn entity_text(entity: &Entity, definition: &Definition) -> String {
    let values = entity.values();
    match (definition.entity.as_slice(), values.len()) {
        ([Field::SourceIp, Field::DestinationIp, ..], 2..) => {
            let mut parts = entity.text().split(' ').map(str::to_owned).collect::<Vec<_>>();
            let port = if parts.len() > 2 {
                format!(" port {}", parts.split_off(2).join(" "))
            } else {
                String::new()
            };
            format!("{}{port}", parts.join(" to "))
        }
        _ => entity.text(),
    }
}

/// A name with what kind of thing it is, where the name alone does not tell.
fn called(field: Option<Field>, name: &str) -> String {
    match field {
        Some(Field::UserName) => format!("account {name}"),
        Some(Field::HostName) => format!("host {name}"),
        _ => name.to_owned(),
    }
}

/// Who did what, and what is usual.
fn about(finding: &Finding, definition: &Definition) -> String {
    let window = definition.windows.get(usize::from(finding.window));
    let window = window.copied().unwrap_or(Duration::ZERO);
    let who = match definition.entity.as_slice() {
        [only] => called(Some(*only), &finding.entity.text()),
        _ => entity_text(&finding.entity, definition),
    };
    if definition.absence && finding.context.events == 0 {
        return silence(&who, finding, window);
    }
    let said = filled(finding, definition, window);
    let does_say_who = definition
        .sentence
        .iter()
        .any(|part| matches!(part, SentencePart::Entity(_)));
    let said = match (definition.sentence.is_empty(), does_say_who) {
        (true, _) => format!("{who}: {said}"),
        (false, true) => said,
        (false, false) => format!("{who} {said}"),
    };
    let said = match usual(finding, definition, window) {
        usual if usual.is_empty() => said,
        usual => format!("{said}; {usual}"),
    };
    if definition.sentence.is_empty() {
        format!("{said} ({})", definition.title)
    } else {
        said
    }
}

/// Since when it is silent, and how long it has been so before. Windows are those in which it is usually heard.
fn silence(who: &str, finding: &Finding, window: Duration) -> String {
    let long = |windows: f64| length(Duration::from_nanos((window.nanos() as f64 * windows) as i64));
    let since = finding.context.start.to_string();
    let since = since.get(..16).unwrap_or(&since).replace('T', " ");
    let missed = long(finding.seen);
    let before = if finding.expected.high > 0.0 {
        format!("the longest such silence before was {}", long(finding.expected.high))
    } else {
        "it was never silent then before".to_owned()
    };
    format!("{who} has been silent since {since} UTC, for {missed} in which it is usually heard; {before}")
}

/// What was seen: the definition's sentence filled in, or what the measure alone can say.
fn filled(finding: &Finding, definition: &Definition, window: Duration) -> String {
    let seen = quantity(&definition.measure, finding.seen);
    let value = shortened(finding.seen_text.as_deref().unwrap_or("a value"));
    if definition.sentence.is_empty() {
        let span = window_text(window);
        return match &definition.measure {
            Measure::Distinct(fields) => format!("{seen} different values of {} in {span}", names(fields)),
            Measure::DistinctBytes(field) => format!("{seen} of different {} in {span}", field.name()),
            Measure::Spread(slot) => format!("events in {seen} stretches of {} within {span}", window_text(*slot)),
            Measure::Ratio(hits) => format!("{seen} events are {hits} in {span}, {} of all", share(finding)),
            Measure::Interval => format!("contacts every {seen}, as regularly as a clock"),
            Measure::Category(_) | Measure::Network(_) => format!("{value} is new to it or rare"),
            Measure::TimeOfWeek => format!("active between {}, when it hardly ever is", hour(finding.seen)),
            Measure::Sum(field) => format!("{seen} of {} in {span}", field.name()),
            Measure::Value(field) => format!("{} of {seen}", field.name()),
            Measure::Count => format!("{seen} events in {span}"),
            Measure::Sequence(_) => format!("in another order in {span}: {}", of_sequence(finding)),
            Measure::Vector(_) => format!("unlike itself in {span}: {}", strange_features(finding, definition)),
        };
    }
    let entity = finding.entity.values();
    let mut text = String::new();
    for part in &definition.sentence {
        match part {
            SentencePart::Text(said) => text.push_str(said),
            SentencePart::Seen => text.push_str(&seen),
            SentencePart::Window => text.push_str(&window_text(window)),
            SentencePart::Value => text.push_str(&value),
            SentencePart::Share => text.push_str(&share(finding)),
            SentencePart::Hour => text.push_str(&hour(finding.seen)),
            SentencePart::Entity(place) => {
                let field = definition.entity.get(*place).copied();
                let name = entity.get(*place).map_or_else(String::new, |value| match value {
                    EntityValue::Ip(address) => address.to_string(),
                    EntityValue::Text(text) => text.clone(),
                    EntityValue::Number(number) => number.to_string(),
                });
                text.push_str(&called(field, &name));
            }
        }
    }
    text
}

/// What is usual, and for whom.
fn usual(finding: &Finding, definition: &Definition, window: Duration) -> String {
    let expected = &finding.expected;
    let hourly = definition.baseline.season == Season::HourOfWeek && window <= Duration::from_seconds(3600);
    let whom = match (expected.prior_weight > 0.9, hourly) {
        (true, _) => "for others like it",
        (false, true) => "for it at this hour",
        (false, false) => "for it",
    };
    match &definition.measure {
        _ if is_of_many(finding) => {
            let known = whole(expected.high);
            format!(
                "one of {} new ones in {}, where {} {whom}",
                whole(finding.seen),
                window_text(window),
                match expected.high.round() {
                    high if high < 1.0 => "none is usual".to_owned(),
                    high if high < 2.0 => "one at most is usual".to_owned(),
                    _ => format!("up to {known} are usual"),
                }
            )
        }
        Measure::Category(_) | Measure::Network(_) => match expected.typical.round() {
            known if known < 1.0 => "nothing is known of it yet".to_owned(),
            known if known < 2.0 => "one other is usual for it".to_owned(),
            known => format!("{} others are usual for it", whole(known)),
        },
        Measure::Ratio(_) => format!("{} is usual {whom}", percent(expected.mean)),
        Measure::Interval | Measure::TimeOfWeek => String::new(),
        Measure::Vector(_) | Measure::Sequence(_) if definition.sentence.is_empty() => String::new(),
        Measure::Sequence(_) => of_sequence(finding).to_owned(),
        Measure::Vector(_) => strange_features(finding, definition),
        measure => {
            let (low, high) = (quantity(measure, expected.low), quantity(measure, expected.high));
            if high == quantity(measure, 0.0) {
                format!("none is usual {whom}")
            } else if low == high {
                format!("{high} is usual {whom}")
            } else {
                format!("{low} to {high} are usual {whom}")
            }
        }
    }
}

/// What a model says of a sequence.
fn of_sequence(finding: &Finding) -> &str {
    finding.by_model.as_ref().map_or("", |by_model| &by_model.text)
}

/// The features that a model blames, with what is usual: `peers 48 (2 are usual)`.
fn strange_features(finding: &Finding, definition: &Definition) -> String {
    let parts = features(finding, definition).map(|(feature, held)| {
        let seen = number_of(feature, held.seen);
        let verb = match feature.of {
            FeatureOf::Count | FeatureOf::Distinct(_) | FeatureOf::Networks(_) | FeatureOf::New(_) => "are",
            _ => "is",
        };
        match held.typical.is_finite() {
            true => format!(
                "{} {seen} ({} {verb} usual)",
                feature.words(),
                number_of(feature, held.typical)
            ),
            false => format!("{} {seen} (none is usual)", feature.words()),
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// The features that a model blames.
pub(super) fn features<'a>(
    finding: &'a Finding,
    definition: &'a Definition,
) -> impl Iterator<Item = (&'a Feature, &'a FeatureSeen)> {
    let known = match &definition.measure {
        Measure::Vector(features) => features.as_slice(),
        _ => &[],
    };
    let seen = finding.by_model.iter().flat_map(|by_model| &by_model.features);
    seen.filter_map(|held| Some((known.get(usize::from(held.feature))?, held)))
}

/// A feature's number in its unit.
fn number_of(feature: &Feature, number: f64) -> String {
    if !number.is_finite() {
        return "nothing".to_owned();
    }
    match &feature.of {
        FeatureOf::Share | FeatureOf::Digits(_) | FeatureOf::Signs(_) => percent(number),
        FeatureOf::Hour => hour(number),
        FeatureOf::Length(_) => amount(number),
        FeatureOf::Sum(field) | FeatureOf::Mean(field) | FeatureOf::Greatest(field) | FeatureOf::Deviation(field) => {
            match field {
                Field::EventDuration => length(Duration::from_nanos(number as i64)),
                field if field.name().ends_with("bytes") || *field == Field::FileSize => amount(number),
                _ => whole(number),
            }
        }
        _ => whole(number),
    }
}

/// Whether a finding is about how many values of a window are new, and not about one of them.
fn is_of_many(finding: &Finding) -> bool {
    matches!(finding.normal_if, NormalIf::NewAtMost(_))
}

/// A number of the measure in its unit.
fn quantity(measure: &Measure, number: f64) -> String {
    match measure {
        Measure::DistinctBytes(_) => amount(number),
        Measure::Sum(field) | Measure::Value(field) if field.name().ends_with(".bytes") => amount(number),
        Measure::Interval => length(Duration::from_nanos((number * 1e9) as i64)),
        _ => whole(number),
    }
}

/// The share of hits: the z of a ratio is that of its share.
fn share(finding: &Finding) -> String {
    let expected = &finding.expected;
    percent((expected.mean + expected.z * expected.variance.max(0.0).sqrt()).clamp(0.0, 1.0))
}

fn percent(share: f64) -> String {
    format!("{} %", whole(100.0 * share))
}

/// An hour of the day, 0 to 23, as its two ends.
fn hour(number: f64) -> String {
    let hour = number.clamp(0.0, 23.0) as u8;
    format!("{hour:02}:00 and {:02}:00", (hour + 1) % 24)
}

fn names(fields: &[Field]) -> String {
    fields
        .iter()
        .map(|field| field.name())
        .collect::<Vec<_>>()
        .join(" and ")
}

/// A value from outside, no longer than people read.
fn shortened(value: &str) -> String {
    const CHARS_MAX: usize = 80;
    match value.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}

/// A length of time in its largest unit, with one digit behind the point where that says more.
fn length(length: Duration) -> String {
    let seconds = length.as_seconds();
    for (unit_seconds, unit) in [(86_400.0, "days"), (3600.0, "h"), (60.0, "min")] {
        // A day and a half is still told in hours.
        if seconds >= 2.0 * unit_seconds || (seconds >= unit_seconds && unit != "days") {
            return format!("{} {unit}", tenths(seconds / unit_seconds));
        }
    }
    format!("{} s", tenths(seconds))
}

fn tenths(number: f64) -> String {
    let rounded = (number * 10.0).round() / 10.0;
    if rounded.fract() == 0.0 {
        format!("{rounded:.0}")
    } else {
        format!("{rounded:.1}")
    }
}

/// What would have been normal, in words.
pub(super) fn normal_if(finding: &Finding, definition: &Definition) -> String {
    match finding.normal_if {
        NormalIf::AtMost(most) => format!("at most {}", whole(most)),
        NormalIf::AtLeast(least) => format!("at least {}", whole(least)),
        NormalIf::SeenBefore if finding.by_model.is_some() => "in an order that is known".to_owned(),
        NormalIf::SeenBefore => "a value that it has had before".to_owned(),
        NormalIf::UsualHour => "at an hour when it is usually active".to_owned(),
        NormalIf::NewAtMost(most) => format!("at most {} values that it has not had before", whole(most)),
        NormalIf::Typical(count) => {
            let wanted = features(finding, definition).take(usize::from(count));
            let parts = wanted.map(|(feature, held)| {
                let typical = number_of(feature, held.typical);
                format!("{} {typical}", feature.words())
            });
            parts.collect::<Vec<_>>().join(" and ")
        }
        NormalIf::LessRegular(bound) => format!("gaps that vary by {bound:.3} of their median or more"),
    }
}

pub(super) fn window_text(window: Duration) -> String {
    let text = window.to_string();
    let (number, unit) = text.split_at(text.len() - 1);
    match unit {
        "d" if number == "1" => "24 h".to_owned(),
        "d" => format!("{number} days"),
        "m" => format!("{number} min"),
        _ => format!("{number} {unit}"),
    }
}

/// A number without more digits than people read.
pub(super) fn whole(number: f64) -> String {
    if number.abs() >= 10.0 || number.fract() == 0.0 {
        format!("{number:.0}")
    } else {
        format!("{number:.1}")
    }
}

/// Bytes as people write them: `1.2 GB`.
pub fn amount(bytes: f64) -> String {
    let mut value = bytes.max(0.0);
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        let seconds = |number: f64| length(Duration::from_nanos((number * 1e9) as i64));
        for (number, text) in [
            (0.5, "0.5 s"),
            (45.0, "45 s"),
            (60.0, "1 min"),
            (90.0, "1.5 min"),
            (3600.0, "1 h"),
            (86_400.0, "24 h"),
            (200_000.0, "2.3 days"),
        ] {
            assert_eq!(seconds(number), text);
        }
        assert_eq!(quantity(&Measure::Sum(Field::SourceBytes), 1_234_567.0), "1.2 MB");
        assert_eq!(quantity(&Measure::Count, 3.25), "3.2");
        assert_eq!(percent(0.0312), "3.1 %");
        assert_eq!(hour(23.0), "23:00 and 00:00");
    }

    #[test]
    fn a_long_value_is_shortened_between_its_characters() {
        assert_eq!(shortened("curl/8.5"), "curl/8.5");
        let long = "ü".repeat(200);
        assert_eq!(shortened(&long), format!("{}...", "ü".repeat(80)));
    }
}
