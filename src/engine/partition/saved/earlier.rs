//! The form of saved entities before it went by key groups: all of them in one piece.
// TODO: drop once states of format 8 are gone (0.3).

use super::{SavedEntities, SavedGroup, SavedKind, SavedTable, SavedWake};
use crate::domain::{EntityHash, KEY_GROUPS};
use crate::engine::population::EpochSummary;
use crate::engine::table::Row;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// All entities.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::engine) struct SavedEarlier {
    /// By kind.
    tables: Vec<Rows>,
    /// Of rows by their place in their table.
    wakes: Vec<SavedWake>,
    summary: EpochSummary,
    swept_day: i64,
    judgements: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Rows {
    /// By hash, then by entity.
    rows: Vec<Row>,
    /// By key group.
    contacts: Vec<(u16, Vec<u8>)>,
    contacts_day: i64,
    shared_visits: u64,
}

impl SavedEarlier {
    /// The same by key groups. Nothing when it contradicts itself.
    pub(in crate::engine) fn by_key_group(self) -> Option<(SavedEntities, impl Iterator<Item = SavedGroup<'static>>)> {
        let mut groups: Vec<SavedGroup<'static>> = (0..KEY_GROUPS as u16)
            .map(|group| SavedGroup {
                group,
                kinds: self.tables.iter().map(|_| SavedKind::default()).collect(),
                wakes: Vec::new(),
            })
            .collect();
        let mut tables = Vec::with_capacity(self.tables.len());
        let mut hashes: Vec<Vec<EntityHash>> = Vec::with_capacity(self.tables.len());
        for (kind, table) in self.tables.into_iter().enumerate() {
            tables.push(SavedTable {
                rows: table.rows.len() as u64,
                contacts_day: table.contacts_day,
                shared_visits: table.shared_visits,
            });
            for (group, cells) in table.contacts {
                groups.get_mut(usize::from(group))?.kinds[kind].contacts = Some(Cow::Owned(cells));
            }
            if !table.rows.is_sorted_by_key(|row| row.hash.0) {
                return None;
            }
            hashes.push(table.rows.iter().map(|row| row.hash).collect());
            for row in table.rows {
                groups[row.hash.key_group()].kinds[kind].rows.push(Cow::Owned(row));
            }
        }
        for wake in self.wakes {
            let hashes = hashes.get(usize::from(wake.kind))?;
            let group = hashes.get(wake.row as usize)?.key_group();
            let begin = hashes.partition_point(|hash| hash.key_group() < group);
            groups[group].wakes.push(SavedWake {
                row: wake.row - u32::try_from(begin).ok()?,
                ..wake
            });
        }
        let entities = SavedEntities {
            tables,
            groups: groups.len() as u64,
            summary: self.summary,
            swept_day: self.swept_day,
            judgements: self.judgements,
        };
        Some((entities, groups.into_iter()))
    }
}
