//! May a version take the place of the one in force? Only if it is not worse on the same rows, or somebody says why.

use super::lineage::Beside;
use super::{Lineage, Saved};
use crate::engine::model::Table;
use crate::engine::model::quality::{Quality, Yardstick};

/// What stands between a version and its being in force; nothing when nothing does.
pub(super) fn objection(candidate: &Lineage, in_force: u32, in_force_id: &str) -> Option<String> {
    let how = "compare them on rows that you name with --on FILE, or say why it shall be in force with --force REASON";
    match &candidate.beside {
        Some(beside) if beside.version == in_force && beside.id == in_force_id => {
            match (&candidate.quality, &beside.quality) {
                (Some(own), Some(other)) => own.worse_than(other),
                (None, _) => Some(format!(
                    "too few rows were held out to compare it with version {in_force}: {how}"
                )),
                (_, None) => {
                    let problem = beside.problem.as_deref().unwrap_or("it was not measured");
                    Some(format!(
                        "version {in_force} can't judge the rows held out ({problem}): {how}"
                    ))
                }
            }
        }
        Some(beside) => Some(format!(
            "it was compared with version {}, and version {in_force} is in force: {how}",
            beside.version
        )),
        None => Some(format!(
            "it was not compared with version {in_force}, which is in force: {how}"
        )),
    }
}

/// The same from two measurements on rows that were named.
pub(super) fn objection_on(
    candidate: &Saved,
    in_force: &Saved,
    normal: &Table,
    bad: &Table,
) -> anyhow::Result<Option<String>> {
    let yardstick = Yardstick::new(normal, bad, candidate.lineage.seed);
    let yardstick =
        yardstick.ok_or_else(|| anyhow::anyhow!("{} normal rows are too few to compare models by", normal.rows()))?;
    let own = yardstick.measure(&candidate.model)?;
    let other = yardstick.measure(&in_force.model)?;
    Ok(own.worse_than(&other))
}

/// Measures the version in force.
pub(super) fn beside(saved: &Saved, version: u32, yardstick: &Yardstick) -> Beside {
    let measured = yardstick.measure(&saved.model);
    let (quality, problem): (Option<Quality>, Option<String>) = match measured {
        Ok(quality) => (Some(quality), None),
        Err(mismatch) => (None, Some(mismatch.to_string())),
    };
    Beside {
        version,
        id: saved.id.clone(),
        quality,
        problem,
    }
}
