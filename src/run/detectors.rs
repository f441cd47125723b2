//! `stakeout detectors [ID]`: what is watched, as a table, one detector at length, or a page of documentation.

use crate::domain::{BaselineKind, Definition, Duration, Feature, Field, Measure, Prior, Season, Tail, nearest};
use crate::engine::catalog::{Catalog, Compiled};
use anyhow::bail;
use std::fmt::Write as _;
use std::io::Write;

/// One line for each detector.
pub fn list(catalog: &Catalog, out: &mut dyn Write) -> std::io::Result<()> {
    let mut rows = vec![["DETECTOR", "ABOUT", "MEASURE", "WINDOWS", "LEVEL", "TECHNIQUES"].map(str::to_owned)];
    for compiled in catalog.detectors() {
        let definition = &compiled.definition;
        rows.push([
            definition.id.clone(),
            names(&definition.entity),
            measure(&definition.measure),
            windows(&definition.windows),
            definition.level.word().to_owned(),
            definition.techniques().collect::<Vec<_>>().join(" "),
        ]);
    }
    let widths: Vec<usize> = (0..6)
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// One detector at length.
pub fn show(catalog: &Catalog, id: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(compiled) = catalog.get(id) else {
        let ids = catalog
            .detectors()
            .iter()
            .map(|compiled| compiled.definition.id.as_str());
        match nearest(id, ids) {
            Some(nearest) => bail!("there is no detector `{id}`; did you mean `{nearest}`?"),
            None => bail!("there is no detector `{id}`; `stakeout detectors` lists them"),
        }
    };
    let definition = &compiled.definition;
    writeln!(out, "{}\n", definition.title)?;
    for line in wrapped(&definition.description, 100) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out)?;
    for (name, value) in facts(compiled) {
        writeln!(out, "  {name:<15} {value}")?;
    }
    if !definition.falsepositives.is_empty() {
        writeln!(out, "\n  harmless causes")?;
        for cause in &definition.falsepositives {
            writeln!(out, "  - {cause}")?;
        }
    }
    Ok(())
}

/// All detectors as a page of Markdown, which is `docs/detectors.md`.
pub fn markdown(catalog: &Catalog) -> String {
    let mut page = String::from(
        "# Detectors\n\nWhat Stakeout watches out of the box.\n\
         This page is generated from `detectors/` by `STAKEOUT_WRITE_DOCS=1 cargo test --lib documentation`; \
         `docs/detectors-format.md` tells how to write one.\n\n\
         | detector | about | measure | level | techniques |\n| --- | --- | --- | --- | --- |\n",
    );
    for compiled in catalog.detectors() {
        let definition = &compiled.definition;
        let _ = writeln!(
            page,
            "| [{id}](#{id}) | {} | {} | {} | {} |",
            names(&definition.entity),
            measure(&definition.measure),
            definition.level.word(),
            definition.techniques().collect::<Vec<_>>().join(" "),
            id = definition.id,
        );
    }
    for compiled in catalog.detectors() {
        let definition = &compiled.definition;
        let _ = writeln!(
            page,
            "\n## {}\n\n**{}.**\n{}\n",
            definition.id, definition.title, definition.description
        );
        for (name, value) in facts(compiled) {
            if name != "version" {
                let _ = writeln!(page, "- {name}: {value}");
            }
        }
        for cause in &definition.falsepositives {
            let _ = writeln!(page, "- harmless cause: {cause}");
        }
    }
    page
}

/// What a person asks of a detector, by name.
fn facts(compiled: &Compiled) -> Vec<(&'static str, String)> {
    let definition = &compiled.definition;
    let mut facts = vec![
        ("detector", definition.id.clone()),
        ("version", definition.version.clone()),
        ("about", names(&definition.entity)),
    ];
    if !definition.target.is_empty() {
        facts.push(("target", names(&definition.target)));
    }
    facts.push(("measure", measure(&definition.measure)));
    if let Measure::Vector(features) = &definition.measure {
        let names: Vec<String> = features.iter().map(Feature::words).collect();
        facts.push(("features", names.join(", ")));
    }
    facts.push(("strange if", strange(definition)));
    facts.push(("windows", windows(&definition.windows)));
    if let Some(gap) = definition.session_gap {
        facts.push(("sessions", format!("events less than {gap} apart are one")));
    }
    facts.push(("baseline", baseline(definition)));
    facts.push(("level", definition.level.word().to_owned()));
    facts.push(("tactics", definition.tactics().collect::<Vec<_>>().join(", ")));
    facts.push(("techniques", definition.techniques().collect::<Vec<_>>().join(", ")));
    facts.push(("needs fields", names(compiled.fields())));
    facts
}

fn names(fields: &[Field]) -> String {
    fields.iter().map(|field| field.name()).collect::<Vec<_>>().join(", ")
}

fn measure(measure: &Measure) -> String {
    match measure {
        Measure::Ratio(hits) => format!("ratio of {hits}"),
        Measure::Spread(slot) => format!("spread over slots of {slot}"),
        Measure::Vector(features) => format!("vector of {} features", features.len()),
        measure if measure.fields().is_empty() => measure.word().to_owned(),
        measure => format!("{} of {}", measure.word(), names(measure.fields())),
    }
}

fn strange(definition: &Definition) -> String {
    let rare = match definition.measure {
        Measure::Category(_) => Some("rare for it"),
        Measure::Network(_) => Some("a network rare for it"),
        Measure::TimeOfWeek => Some("at an hour rare for it"),
        Measure::Interval => Some("regular"),
        Measure::Vector(_) => Some("a combination unlike its own"),
        Measure::Sequence(_) => Some("in an order that is rare"),
        _ => None,
    };
    let side = rare.unwrap_or(match definition.tail {
        Tail::Upper => "more than usual",
        Tail::Lower => "less than usual",
        Tail::Both => "more or less than usual",
    });
    let absent = if definition.absence { ", or nothing at all" } else { "" };
    match definition.at_least {
        at_least if at_least > 1.0 => {
            format!("{side}{absent}, from {at_least} {} on", definition.measure.unit())
        }
        _ => format!("{side}{absent}"),
    }
}

fn windows(windows: &[Duration]) -> String {
    windows.iter().map(Duration::to_string).collect::<Vec<_>>().join(" ")
}

fn baseline(definition: &Definition) -> String {
    let expected = &definition.baseline;
    let season = match expected.season {
        Season::HourOfWeek => ", by hour of the week",
        Season::None => "",
    };
    let prior = match expected.priors.first() {
        Some(Prior::Count(prior) | Prior::Distinct(prior)) => {
            format!(
                "{} in {} at first",
                prior.mean,
                windows(definition.windows.get(..1).unwrap_or_default())
            )
        }
        Some(Prior::Magnitude(prior)) => {
            format!(
                "{} in {} at first",
                prior.typical,
                windows(definition.windows.get(..1).unwrap_or_default())
            )
        }
        Some(Prior::Ratio { mean, .. }) => format!("{mean} at first"),
        Some(Prior::Interval { typical, .. } | Prior::Quantile { typical, .. }) => format!("{typical} at first"),
        Some(Prior::Model(model)) => {
            return format!(
                "model {}, half-life {}, judges nothing at first",
                model.word(),
                expected.half_life
            );
        }
        Some(Prior::Category { .. } | Prior::TimeOfWeek { .. }) | None => "nothing at first".to_owned(),
    };
    let kind: BaselineKind = expected.kind();
    format!(
        "{}, half-life {}{season}, expects {prior}",
        kind.word(),
        expected.half_life
    )
}

/// The text in lines of at most `width` characters, as far as its words allow.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::catalog::embedded;

    fn catalog() -> Catalog {
        embedded::catalog().expect("tested beside the definitions")
    }

    #[test]
    fn the_table_has_a_line_for_each_detector() {
        let mut out = Vec::new();
        list(&catalog(), &mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.lines().count(), 31);
        let line = text
            .lines()
            .find(|line| line.starts_with("source_login_failures"))
            .expect("it is there");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "source_login_failures",
                "source.ip",
                "count",
                "5m",
                "1h",
                "1d",
                "high",
                "T1110",
                "T1110.001"
            ]
        );
    }

    #[test]
    fn one_detector_is_shown_at_length_and_a_typo_is_helped() {
        let mut out = Vec::new();
        show(&catalog(), "domain_dns_tunnel", &mut out).expect("it is there");
        let text = String::from_utf8(out).expect("text");
        for expected in [
            "distinct of dns.question.subdomain",
            "from 12 different values on",
            "needs fields",
            "T1071.004",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        let error = show(&catalog(), "domain_dns_tunel", &mut Vec::new()).expect_err("a typo");
        assert_eq!(
            error.to_string(),
            "there is no detector `domain_dns_tunel`; did you mean `domain_dns_tunnel`?"
        );
    }

    #[test]
    fn the_page_of_documentation_is_not_stale() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/detectors.md");
        let page = markdown(&catalog());
        if std::env::var_os("STAKEOUT_WRITE_DOCS").is_some() {
            std::fs::write(path, &page).expect("docs/ is there");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page,
            "docs/detectors.md is stale: `STAKEOUT_WRITE_DOCS=1 cargo test --lib documentation` writes it anew"
        );
    }
}
