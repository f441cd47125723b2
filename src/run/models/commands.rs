//! `stakeout models`: what there is, what a version is, in what two differ, and which is in force.

use super::{Lineage, Reference, Saved, decode, gate, in_force, load, read};
use crate::edge::registry::{Change, InForce, Registry};
use crate::edge::sink::amount;
use crate::engine::model::Table;
use crate::engine::model::quality::Quality;
use crate::run::tables::labels;
use crate::run::tables::rows::{self, Wanted, Whole};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// In which form a version is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// For people.
    Text,
    /// Everything.
    Json,
    /// What the columns look like, as `train --schema` reads it.
    Schema,
}

/// What `stakeout models promote` was asked to do.
#[derive(Clone, Debug)]
pub struct PromoteOptions {
    /// The registry.
    pub models: PathBuf,
    /// The version.
    pub reference: Reference,
    /// Rows to compare it with the version in force on.
    pub on: Vec<PathBuf>,
    /// The column of their labels.
    pub label: Option<String>,
    /// The labels that mean normal.
    pub normal: Vec<String>,
    /// Why it shall be in force whatever stands against it.
    pub force: Option<String>,
    /// Write what was done as JSON.
    pub json: bool,
}

/// Lists all versions of all models. Gives whether every file could be read.
///
/// # Errors
/// When the folder can't be read.
pub fn list(models: &Path, is_json: bool, output: &mut dyn Write) -> anyhow::Result<bool> {
    let registry = Registry::new(models);
    let mut rows = Vec::new();
    let mut is_well = true;
    for name in registry.names()? {
        let in_force = registry.in_force(&name)?.version;
        for version in registry.versions(&name)? {
            let is_in_force = in_force == Some(version);
            rows.push(match read(&registry, &name, version) {
                Ok(saved) => json!({
                    "name": name,
                    "version": version,
                    "in_force": is_in_force,
                    "id": saved.id,
                    "kind": saved.lineage.kind,
                    "created": saved.lineage.created,
                    "rows": saved.lineage.training.rows,
                    "bytes": saved.bytes,
                    "quality": saved.lineage.quality.as_ref().map(quality_text),
                }),
                Err(error) => {
                    is_well = false;
                    json!({"name": name, "version": version, "in_force": is_in_force, "refused": format!("{error:#}")})
                }
            });
        }
    }
    if is_json {
        write_json(&Value::Array(rows), output)?;
        return Ok(is_well);
    }
    if rows.is_empty() {
        writeln!(output, "there is no model in {}", models.display())?;
    }
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let name = format!("{}@{}", text("name"), row["version"]);
        let mark = if row["in_force"] == true { "in force" } else { "" };
        match row["refused"].as_str() {
            Some(refused) => writeln!(output, "{name:<24} {mark:<9} refused: {refused}")?,
            None => writeln!(
                output,
                "{name:<24} {mark:<9} {:<17} {} {:>9} rows {:>9}  {}",
                text("kind"),
                text("created").get(..19).unwrap_or_default(),
                row["rows"],
                amount(row["bytes"].as_f64().unwrap_or_default()),
                text("quality"),
            )?,
        }
    }
    Ok(is_well)
}

/// Shows a version.
///
/// # Errors
/// When it can't be read.
pub fn show(models: &Path, reference: &Reference, shown: Shown, output: &mut dyn Write) -> anyhow::Result<()> {
    let saved = load(reference, models)?;
    let in_force = match reference {
        Reference::Path(_) => None,
        Reference::Named { name, .. } => Some(Registry::new(models).in_force(name)?),
    };
    match shown {
        Shown::Schema => write_json(&serde_json::to_value(&saved.lineage.schema)?, output),
        Shown::Json => write_json(&document(&saved, in_force.as_ref())?, output),
        Shown::Text => write_text(&saved, in_force.as_ref(), output).context("writing the model"),
    }
}

fn document(saved: &Saved, in_force: Option<&InForce>) -> anyhow::Result<Value> {
    let mut document = serde_json::to_value(&saved.lineage)?;
    document["id"] = json!(saved.id);
    document["bytes"] = json!(saved.bytes);
    if let Some(in_force) = in_force {
        document["in_force"] = json!(in_force.version == Some(saved.lineage.version));
        document["changes"] = serde_json::to_value(&in_force.changes)?;
    }
    Ok(document)
}

fn write_text(saved: &Saved, in_force: Option<&InForce>, output: &mut dyn Write) -> std::io::Result<()> {
    let lineage = &saved.lineage;
    let mark = match in_force {
        Some(in_force) if in_force.version == Some(lineage.version) => ", in force",
        _ => "",
    };
    writeln!(
        output,
        "{}@{}: {}, {}, id {}{mark}",
        lineage.name,
        lineage.version,
        lineage.kind.name(),
        amount(saved.bytes as f64),
        saved.id
    )?;
    writeln!(
        output,
        "made {} by version {}, seed {}",
        lineage.created, lineage.program, lineage.seed
    )?;
    if let Some(parent) = &lineage.parent {
        writeln!(output, "after version {} ({})", parent.version, parent.id)?;
    }
    for data in &lineage.data {
        writeln!(
            output,
            "from {}, {}, sha256 {}",
            data.file,
            amount(data.bytes as f64),
            data.sha256
        )?;
    }
    write_parts(lineage, output)?;
    write_quality(lineage, output)?;
    let columns: Vec<&str> = lineage
        .schema
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    writeln!(output, "{} columns: {}", columns.len(), columns.join(", "))?;
    for note in &lineage.notes {
        writeln!(output, "note: {note}")?;
    }
    for change in in_force.iter().flat_map(|in_force| &in_force.changes) {
        let verb = if change.is_rollback {
            "rolled back to"
        } else {
            "put in force"
        };
        let reason = change
            .reason
            .as_ref()
            .map_or(String::new(), |reason| format!(": {reason}"));
        writeln!(output, "{} {verb} version {}{reason}", change.at, change.to)?;
    }
    Ok(())
}

/// Which rows were learned from and held out.
pub(super) fn write_parts(lineage: &Lineage, output: &mut dyn Write) -> std::io::Result<()> {
    for (what, part) in [("learned from", &lineage.training), ("held out", &lineage.held_out)] {
        let between = part.times.as_ref().or(part.lines.as_ref());
        let between = between.map_or(String::new(), |(first, last)| format!(", {first} to {last}"));
        let bad = match part.bad_rows {
            0 => String::new(),
            bad => format!(" and {bad} bad ones"),
        };
        writeln!(output, "{what} {} rows{bad}{between}", part.rows)?;
    }
    Ok(())
}

/// How good a version is, and how it was chosen.
pub(super) fn write_quality(lineage: &Lineage, output: &mut dyn Write) -> std::io::Result<()> {
    let Some(quality) = &lineage.quality else {
        return Ok(());
    };
    let parameters = &lineage.parameters;
    let chosen = match (parameters.parts, parameters.part_rows) {
        (Some(parts), Some(rows)) => format!("{parts} parts of {rows} rows"),
        _ => "the kind's own parameters".to_owned(),
    };
    writeln!(
        output,
        "{} on the rows held out; {chosen}, the best of {} candidates",
        quality_text(quality),
        lineage.trials.len()
    )?;
    if let Some(beside) = &lineage.beside {
        match (&beside.quality, &beside.problem) {
            (Some(other), _) => writeln!(
                output,
                "version {}: {} on the same rows",
                beside.version,
                quality_text(other)
            )?,
            (None, problem) => writeln!(
                output,
                "version {} can't judge these rows: {}",
                beside.version,
                problem.as_deref().unwrap_or_default()
            )?,
        }
    }
    for told in quality.calibration.iter().filter(|told| told.expected >= 10.0) {
        writeln!(
            output,
            "p up to {:e}: {} rows, {:.2} times as many as expected ({:.2} to {:.2})",
            told.nominal, told.told, told.ratio, told.interval.0, told.interval.1
        )?;
    }
    Ok(())
}

fn quality_text(quality: &Quality) -> String {
    format!(
        "{} {:.3} ± {:.3}",
        quality.criterion.name(),
        quality.value,
        quality.error
    )
}

/// Shows in what two versions differ.
///
/// # Errors
/// When one can't be read.
pub fn diff(
    models: &Path,
    left: &Reference,
    right: &Reference,
    is_json: bool,
    output: &mut dyn Write,
) -> anyhow::Result<()> {
    let flat = |reference: &Reference| {
        let saved = load(reference, models)?;
        let mut flat = BTreeMap::new();
        flatten(String::new(), &document(&saved, None)?, &mut flat);
        Ok::<_, anyhow::Error>(flat)
    };
    let (left, right) = (flat(left)?, flat(right)?);
    let mut differing = BTreeMap::new();
    for key in left.keys().chain(right.keys()) {
        let (one, other) = (left.get(key), right.get(key));
        if one != other {
            differing.insert(key.clone(), json!([one, other]));
        }
    }
    if is_json {
        return write_json(&json!(differing), output);
    }
    // People do not read the measurements of every candidate.
    let is_detail = |key: &str| {
        ["trials.", "beside.", "quality.calibration."]
            .iter()
            .any(|detail| key.starts_with(detail))
    };
    for (key, values) in differing.iter().filter(|(key, _)| !is_detail(key)) {
        let shown = |value: &Value| match value {
            Value::Null => "nothing".to_owned(),
            value => value.to_string().chars().take(80).collect(),
        };
        writeln!(output, "{key}: {} -> {}", shown(&values[0]), shown(&values[1]))?;
    }
    Ok(())
}

/// Puts every value of a document under its path; columns go by their names, so that a new one moves none.
fn flatten(path: String, value: &Value, flat: &mut BTreeMap<String, Value>) {
    let below = |part: &str| {
        if path.is_empty() {
            part.to_owned()
        } else {
            format!("{path}.{part}")
        }
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(below(key), value, flat)),
        Value::Array(values) if values.iter().any(Value::is_object) => {
            for (place, value) in values.iter().enumerate() {
                let place = place.to_string();
                flatten(below(value["name"].as_str().unwrap_or(&place)), value, flat);
            }
        }
        Value::Null => {}
        value => {
            flat.insert(path, value.clone());
        }
    }
}

/// Puts a version in force, unless it is worse than the one that is.
///
/// # Errors
/// When it can't be read, or something stands against it and nobody says why it shall be in force all the same.
pub fn promote(options: &PromoteOptions, output: &mut dyn Write) -> anyhow::Result<()> {
    let Reference::Named { name, version } = &options.reference else {
        bail!("name a version of the registry: NAME@VERSION");
    };
    let registry = Registry::new(&options.models);
    let held = registry.hold(name)?;
    let newest = registry.versions(name)?.last().copied();
    let version = version.or(newest).ok_or_else(|| registry.unknown(name))?;
    let candidate = read(&registry, name, version)?;
    let before = match (registry.in_force(name), &options.force) {
        (Ok(in_force), _) => in_force.version,
        // What is in force is not known: whoever forces this says so.
        (Err(_), Some(_)) => None,
        (Err(error), None) => return Err(error.into()),
    };
    if before == Some(version) {
        return say(options.json, name, version, before, "is in force already", output);
    }
    if let (Some(before), None) = (before, &options.force) {
        let objection = match read(&registry, name, before) {
            Err(error) => Some(format!(
                "the version in force can't be read ({error:#}): say why another shall be with --force REASON"
            )),
            Ok(in_force) if options.on.is_empty() => gate::objection(&candidate.lineage, before, &in_force.id),
            Ok(in_force) => {
                let (normal, bad) = rows_to_compare_on(options)?;
                gate::objection_on(&candidate, &in_force, &normal, &bad)?
            }
        };
        if let Some(objection) = objection {
            bail!("{name}@{version} is not put in force in place of {name}@{before}: {objection}");
        }
    }
    held.put_in_force(Change {
        at: jiff::Timestamp::now().to_string(),
        from: before,
        to: version,
        is_rollback: false,
        reason: options.force.clone(),
    })?;
    say(options.json, name, version, before, "is in force", output)
}

fn rows_to_compare_on(options: &PromoteOptions) -> anyhow::Result<(Table, Table)> {
    let files = Whole::read_all(&options.on)?;
    let wanted = Wanted {
        label: options.label.as_ref(),
        ..Wanted::default()
    };
    let rows = rows::read(&files, &wanted).context("reading the rows to compare on")?;
    let all = 0..rows.table.rows() as u32;
    let (usual, bad): (Vec<u32>, Vec<u32>) = match &options.label {
        None => (all.collect(), Vec::new()),
        Some(column) => {
            let normal = labels::of(&rows, column, &options.normal)?.normal;
            all.partition(|row| normal[*row as usize])
        }
    };
    Ok((rows.table.select(&usual), rows.table.select(&bad)))
}

/// Puts the version in force again that was before the one that is.
///
/// # Errors
/// When there was none before, or it can't be read.
pub fn rollback(
    models: &Path,
    name: &str,
    reason: Option<String>,
    is_json: bool,
    output: &mut dyn Write,
) -> anyhow::Result<()> {
    let registry = Registry::new(models);
    let held = registry.hold(name)?;
    let now = in_force(&registry, name)?;
    let Some(before) = before(&registry.in_force(name)?) else {
        bail!("{name}@{now} is the first version that was in force: there is none to go back to");
    };
    // What can't be read must not be in force.
    let (body, bytes) = registry.read(name, before)?;
    decode(&body, bytes).with_context(|| format!("{name}@{before}"))?;
    held.put_in_force(Change {
        at: jiff::Timestamp::now().to_string(),
        from: Some(now),
        to: before,
        is_rollback: true,
        reason,
    })?;
    say(is_json, name, before, Some(now), "is in force again", output)
}

/// The version before the one in force: promotions are laid on a pile, and going back takes the topmost away.
fn before(in_force: &InForce) -> Option<u32> {
    let mut pile = Vec::new();
    for change in &in_force.changes {
        if change.is_rollback {
            pile.pop();
        } else {
            pile.push(change.to);
        }
    }
    pile.pop();
    pile.pop()
}

fn say(
    is_json: bool,
    name: &str,
    version: u32,
    before: Option<u32>,
    what: &str,
    output: &mut dyn Write,
) -> anyhow::Result<()> {
    if is_json {
        return write_json(&json!({"name": name, "in_force": version, "before": before}), output);
    }
    writeln!(output, "{name}@{version} {what}").context("writing what was done")
}

fn write_json(value: &Value, output: &mut dyn Write) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(output, "{text}").context("writing JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_back_twice_goes_back_two_versions() {
        let mut in_force = InForce::default();
        let mut change = |to: u32, is_rollback: bool| {
            in_force.version = Some(to);
            in_force.changes.push(Change {
                at: String::new(),
                from: None,
                to,
                is_rollback,
                reason: None,
            });
            before(&in_force)
        };
        assert_eq!(change(1, false), None);
        assert_eq!(change(2, false), Some(1));
        assert_eq!(change(3, false), Some(2));
        assert_eq!(change(2, true), Some(1));
        assert_eq!(change(4, false), Some(2));
        assert_eq!(change(2, true), Some(1));
        assert_eq!(change(1, true), None);
    }

    #[test]
    fn documents_are_compared_by_path() {
        let mut flat = BTreeMap::new();
        let document = json!({"a": {"b": 1}, "columns": [{"name": "x", "range": [1, 2]}], "notes": ["one"]});
        flatten(String::new(), &document, &mut flat);
        let keys: Vec<&str> = flat.keys().map(String::as_str).collect();
        assert_eq!(keys, ["a.b", "columns.x.name", "columns.x.range", "notes"]);
    }
}
