//! The forms of saved entities before this one: all of them in one piece (format 8), and a piece for each key group
//! (format 9).
// TODO: drop once states of formats 8 and 9 are gone (0.3).

use super::{Restoring, SavedEntities, SavedTable, Wake, handed_on};
use crate::domain::{EntityHash, KEY_GROUPS, Timestamp};
use crate::engine::population::EpochSummary;
use crate::engine::table::{Contacts, Row};
use serde::Deserialize;
use std::cmp::Reverse;

/// All entities.
#[derive(Debug, Deserialize)]
pub(in crate::engine) struct SavedEarlier {
    /// By kind.
    tables: Vec<Rows>,
    /// Of rows by their place in their table.
    wakes: Vec<SavedWake>,
    summary: EpochSummary,
    swept_day: i64,
    judgements: u64,
}

#[derive(Debug, Deserialize)]
struct Rows {
    /// By hash, then by entity.
    rows: Vec<Row>,
    /// By key group.
    contacts: Vec<(u16, Vec<u8>)>,
    contacts_day: i64,
    shared_visits: u64,
}

/// The entities of a key group.
#[derive(Debug, Deserialize)]
pub(in crate::engine) struct SavedGroup {
    group: u16,
    /// By kind.
    kinds: Vec<SavedKind>,
    /// In order.
    wakes: Vec<SavedWake>,
}

#[derive(Debug, Default, Deserialize)]
struct SavedKind {
    /// By hash, then by entity.
    rows: Vec<Row>,
    contacts: Option<Vec<u8>>,
}

/// A moment at which a watch wants to be woken.
#[derive(Clone, Copy, Debug, Deserialize)]
struct SavedWake {
    at: Timestamp,
    kind: u8,
    /// The row's place among the key group's rows of its kind.
    row: u32,
    plan: u16,
    silence: bool,
}

impl SavedEarlier {
    /// The same by key groups. Nothing when it contradicts itself.
    pub(in crate::engine) fn by_key_group(self) -> Option<(SavedEntities, impl Iterator<Item = SavedGroup>)> {
        let mut groups: Vec<SavedGroup> = (0..KEY_GROUPS as u16)
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
                groups.get_mut(usize::from(group))?.kinds[kind].contacts = Some(cells);
            }
            if !table.rows.is_sorted_by_key(|row| row.hash.0) {
                return None;
            }
            hashes.push(table.rows.iter().map(|row| row.hash).collect());
            for row in table.rows {
                groups[row.hash.key_group()].kinds[kind].rows.push(row);
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

impl Restoring {
    /// Takes up a key group. Nothing when it contradicts itself.
    pub(in crate::engine) fn take_up_group(&mut self, saved: SavedGroup) -> Option<()> {
        self.groups_left = self.groups_left.checked_sub(1)?;
        let (group, succession) = (usize::from(saved.group), &self.succession);
        let count = self.partitions.len();
        if group >= KEY_GROUPS || saved.kinds.len() != self.contacts_days.len() {
            return None;
        }
        let partition = self.partitions.get_mut(group * count / KEY_GROUPS)?;
        // The number and hash of each row, by saved kind; nothing where nobody is left to watch it.
        let mut rows: Vec<Vec<Option<(u32, EntityHash)>>> = Vec::with_capacity(saved.kinds.len());
        for (number, kind) in saved.kinds.into_iter().enumerate() {
            let Some(heir) = succession.kind(number) else {
                rows.push(vec![None; kind.rows.len()]);
                continue;
            };
            let table = partition.tables.get_mut(heir)?;
            if let Some(cells) = kind.contacts {
                let cells: Contacts = cells.try_into().ok()?;
                table.take_up_contacts(self.contacts_days[number], saved.group, &cells)?;
            }
            let mut own = Vec::with_capacity(kind.rows.len());
            for row in kind.rows {
                let hash = row.hash;
                if hash.key_group() != group {
                    return None;
                }
                let row = handed_on(row, succession)?;
                own.push(row.map(|row| (table.take_up(row), hash)));
            }
            rows.push(own);
        }
        for wake in saved.wakes {
            if usize::from(wake.plan) >= succession.plans_saved() {
                return None;
            }
            let row = *rows.get(usize::from(wake.kind))?.get(wake.row as usize)?;
            let (Some((row, hash)), Some(plan)) = (row, succession.plan(wake.plan)) else {
                continue;
            };
            partition.wakes.push(Reverse(Wake {
                at: wake.at,
                kind: succession.kind(usize::from(wake.kind))? as u8,
                hash,
                plan,
                row,
                silence: wake.silence,
            }));
        }
        Some(())
    }
}
