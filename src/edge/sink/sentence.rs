//! One sentence that a tired person understands, and numbers as people write them.

use super::Letterhead;
use crate::domain::{Alert, Definition, Duration, Entity, Field, Finding, Measure, NormalIf};

/// The sentence of an alert, about its strongest finding.
pub fn sentence(alert: &Alert, head: &Letterhead<'_>) -> String {
    let Some(definition) = head.definitions.get(usize::from(alert.peak.detector)) else {
        return String::new();
    };
    let said = about(&alert.peak, definition);
    if alert.actors_total > 0 {
        let target = alert
            .peak
            .target
            .as_ref()
            .map_or_else(|| "one target".to_owned(), |(_, target)| target.text());
        let name = entity_text(&alert.peak.entity, definition);
        return format!(
            "{} actors against {target}; strongest {name}: {said}",
            alert.actors_total
        );
    }
    format!("{}: {said}", entity_text(&alert.peak.entity, definition))
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

fn about(finding: &Finding, definition: &Definition) -> String {
    let window = definition
        .windows
        .get(usize::from(finding.window))
        .copied()
        .unwrap_or(Duration::ZERO);
    let span = window_text(window);
    let (low, high) = (finding.expected.low, finding.expected.high);
    let usual = |unit: &str| {
        if finding.expected.prior_weight > 0.9 {
            format!("{} to {}{unit} are usual for such an entity", whole(low), whole(high))
        } else {
            format!("{} to {}{unit} are usual for it", whole(low), whole(high))
        }
    };
    let value = finding.seen_text.as_deref().unwrap_or("");
    match &definition.measure {
        _ if definition.absence => {
            format!(
                "silent for {} windows of {span}; it usually has {} events in one",
                whole(finding.seen),
                whole(finding.expected.typical)
            )
        }
        Measure::Count => format!(
            "{} events in {span}; {} ({})",
            whole(finding.seen),
            usual(""),
            definition.title
        ),
        Measure::Sum(field) if field.name().ends_with(".bytes") => format!(
            "{} in {span}; {} to {} are usual for it ({})",
            amount(finding.seen),
            amount(low),
            amount(high),
            definition.title
        ),
        Measure::Sum(_) | Measure::Value(_) => {
            format!(
                "{} in {span}; {} ({})",
                whole(finding.seen),
                usual(""),
                definition.title
            )
        }
        Measure::Distinct(fields) => {
            let names: Vec<_> = fields.iter().map(|field| field.name()).collect();
            format!(
                "{} different {} in {span}; {}",
                whole(finding.seen),
                names.join(" and "),
                usual("")
            )
        }
        Measure::DistinctBytes(field) => {
            format!(
                "{} of new {} in {span}; {}",
                amount(finding.seen),
                field.name(),
                usual(" B")
            )
        }
        Measure::Spread(slot) => format!(
            "events in {} different slots of {} within {span}; {} ({})",
            whole(finding.seen),
            window_text(*slot),
            usual(""),
            definition.title
        ),
        Measure::Ratio(_) => format!(
            "{} hits in {span}, a share far above the usual {:.1} % ({})",
            whole(finding.seen),
            100.0 * finding.expected.mean,
            definition.title
        ),
        Measure::Interval => {
            format!(
                "contacts every {} s, regular as a clock ({})",
                whole(finding.seen),
                definition.title
            )
        }
        Measure::Category(_) | Measure::Network(_) => {
            let known = whole(finding.expected.typical);
            format!(
                "{value} is new or rare for it; it has {known} usual values ({})",
                definition.title
            )
        }
        Measure::TimeOfWeek => format!("active at an hour when it usually is not ({})", definition.title),
    }
}

/// What would have been normal, in words.
pub(super) fn normal_if(normal: NormalIf) -> String {
    match normal {
        NormalIf::AtMost(most) => format!("at most {}", whole(most)),
        NormalIf::AtLeast(least) => format!("at least {}", whole(least)),
        NormalIf::SeenBefore => "a value that it has had before".to_owned(),
        NormalIf::UsualHour => "at an hour when it is usually active".to_owned(),
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
