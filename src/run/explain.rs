//! `stakeout explain`: all the numbers behind an alert that was written earlier.

use crate::edge::sink::explanation;
use anyhow::{Context as _, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

/// Finds the last form of the alert whose id begins with `id` among ECS documents, and writes its numbers.
pub fn run(id: &str, alerts: &Path, stdout: &mut dyn Write) -> anyhow::Result<()> {
    let reader: Box<dyn Read> = if alerts == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(alerts).with_context(|| format!("opening {}", alerts.display()))?)
    };
    let mut found: Option<serde_json::Value> = None;
    for (number, line) in BufReader::new(reader).lines().enumerate() {
        let line = line.with_context(|| format!("reading {}", alerts.display()))?;
        if !line.contains(id) {
            continue;
        }
        let document: serde_json::Value = serde_json::from_str(&line)
            .with_context(|| format!("{}:{}: not an alert document", alerts.display(), number + 1))?;
        let held = document
            .pointer("/event/id")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        if !held.starts_with(id) {
            continue;
        }
        let other = found
            .as_ref()
            .and_then(|found| found.pointer("/event/id"))
            .and_then(serde_json::Value::as_str);
        if other.is_some_and(|other| other != held) {
            bail!("{id}: several alerts begin with this id; give more of it");
        }
        found = Some(document);
    }
    match found {
        Some(document) => Ok(stdout.write_all(explanation(&document).as_bytes())?),
        None => bail!(
            "{id}: no such alert in {}; `stakeout replay --format ecs` writes alerts with their ids",
            alerts.display()
        ),
    }
}
