//! What labels mean: which words for a row say that it is normal.

use super::rows::Rows;
use crate::engine::model::Labels;
use anyhow::bail;

/// What the label of a normal row is when nobody says, in letters of either case.
const NORMAL: [&str; 9] = ["normal", "norm", "benign", "legit", "good", "ham", "0", "false", "-"];
/// Labels that a message lists.
const LISTED_MAX: usize = 12;

/// Whether each row is normal by its label in the column `column`; `normal` names the labels of normal rows, or else
/// [`NORMAL`] does. Every row has to have a label, and some row a normal one.
pub(in crate::run) fn of(rows: &Rows, column: &str, normal: &[String]) -> anyhow::Result<Labels> {
    let names = &rows.labels.names;
    let by_place: Vec<bool> = names.iter().map(|name| is_normal(name, normal)).collect();
    let places = &rows.labels.places;
    if let Some(row) = places.iter().position(|place| names[*place as usize].is_empty()) {
        bail!("line {}, column {column}: the row has no label", rows.lines[row].1);
    }
    let labels = Labels {
        normal: places.iter().map(|place| by_place[*place as usize]).collect(),
    };
    if labels.normal_rows() == 0 && !places.is_empty() {
        return Err(none_is_normal(column, names, normal));
    }
    Ok(labels)
}

/// Whether a row with this label is normal.
pub(in crate::run) fn is_normal(label: &str, normal: &[String]) -> bool {
    match normal {
        [] => NORMAL.iter().any(|known| known.eq_ignore_ascii_case(label)),
        named => named.iter().any(|name| name == label),
    }
}

/// The error of labels of which none is that of a normal row.
pub(in crate::run) fn none_is_normal(column: &str, names: &[String], normal: &[String]) -> anyhow::Error {
    let named = names.iter().map(String::as_str).filter(|name| !name.is_empty());
    let mut seen: Vec<&str> = named.collect();
    seen.sort_unstable();
    let more = if seen.len() > LISTED_MAX { ", ..." } else { "" };
    seen.truncate(LISTED_MAX);
    anyhow::anyhow!(
        "column {column}: no row is labelled {}; the labels are {}{more}: --normal names those of normal rows",
        if normal.is_empty() {
            NORMAL.join(", ")
        } else {
            normal.join(", ")
        },
        seen.join(", ")
    )
}
