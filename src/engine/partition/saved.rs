//! What partitions have learned, as it outlives a process: by entity, not by partition, so that a run with another number
//! of partitions goes on from it.

use super::{Partition, Wake};
use crate::domain::Timestamp;
use crate::engine::pipeline::partition_of;
use crate::engine::population::EpochSummary;
use crate::engine::program::Program;
use crate::engine::succession::Succession;
use crate::engine::table::{Contacts, Row, Table};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Reverse;

/// The entities of all partitions, in one order whatever partitions they came from.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::engine) struct SavedEntities<'a> {
    /// By kind.
    tables: Vec<SavedTable<'a>>,
    wakes: Vec<SavedWake>,
    /// What was seen in the epoch so far.
    summary: EpochSummary,
    swept_day: i64,
    judgements: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct SavedTable<'a> {
    /// By hash, then by entity.
    rows: Vec<Cow<'a, Row>>,
    /// By key group.
    contacts: Vec<(u16, Vec<u8>)>,
    contacts_day: i64,
    shared_visits: u64,
}

/// A moment at which a watch wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct SavedWake {
    at: Timestamp,
    kind: u8,
    /// The row's place in its saved table.
    row: u32,
    plan: u16,
    silence: bool,
}

/// What these partitions have learned. `blank` is a summary without anything.
pub(in crate::engine) fn save(partitions: &[Partition], blank: EpochSummary) -> SavedEntities<'_> {
    let kinds = partitions.first().map_or(0, |partition| partition.tables.len());
    let mut saved = SavedEntities {
        tables: Vec::with_capacity(kinds),
        wakes: Vec::new(),
        summary: blank,
        swept_day: i64::MIN,
        judgements: 0,
    };
    for kind in 0..kinds {
        let places = save_rows(partitions, kind, &mut saved);
        let tables = || partitions.iter().filter_map(|partition| partition.tables.get(kind));
        let day = tables().map(|table| table.contacts().0).max().unwrap_or(i64::MIN);
        let table = &mut saved.tables[kind];
        table.contacts_day = day;
        table.shared_visits = tables().map(Table::shared_visits).sum();
        // Contacts of an earlier day are forgotten at the next contact.
        for (_, contacts) in tables().map(Table::contacts).filter(|(own_day, _)| *own_day == day) {
            table
                .contacts
                .extend(contacts.map(|(group, cells)| (group, cells.to_vec())));
        }
        table.contacts.sort_unstable();
        for (partition, places) in partitions.iter().zip(&places) {
            saved.wakes.extend(saved_wakes(partition, kind, places));
        }
    }
    saved.wakes.sort_unstable();
    saved.wakes.dedup();
    for partition in partitions {
        saved.summary.merge(&partition.summary);
        saved.swept_day = saved.swept_day.max(partition.swept_day);
        saved.judgements += partition.judgements;
    }
    saved
}

/// Saves the rows of a kind and gives, for each partition, the place of each of its rows among them.
fn save_rows<'a>(partitions: &'a [Partition], kind: usize, saved: &mut SavedEntities<'a>) -> Vec<Vec<u32>> {
    let mut rows: Vec<(usize, u32, &Row)> = Vec::new();
    for (place, partition) in partitions.iter().enumerate() {
        let own = partition.tables.get(kind).into_iter().flat_map(Table::rows);
        rows.extend(own.map(|(number, row)| (place, number, row)));
    }
    rows.sort_unstable_by(|(_, _, a), (_, _, b)| (a.hash, &a.entity).cmp(&(b.hash, &b.entity)));
    let mut places = vec![Vec::new(); partitions.len()];
    for ((partition, number, _), place) in rows.iter().zip(0u32..) {
        let places: &mut Vec<u32> = &mut places[*partition];
        if places.len() <= *number as usize {
            places.resize(*number as usize + 1, u32::MAX);
        }
        places[*number as usize] = place;
    }
    saved.tables.push(SavedTable {
        rows: rows.into_iter().map(|(_, _, row)| Cow::Borrowed(row)).collect(),
        ..SavedTable::default()
    });
    places
}

/// The wakes of a partition for a kind; those of entities that were forgotten since wake nobody.
fn saved_wakes<'a>(
    partition: &'a Partition,
    kind: usize,
    places: &'a [u32],
) -> impl Iterator<Item = SavedWake> + use<'a> {
    partition.wakes.iter().filter_map(move |Reverse(wake)| {
        let table = partition.tables.get(kind).filter(|_| usize::from(wake.kind) == kind)?;
        table.row(wake.row).filter(|row| row.hash == wake.hash)?;
        Some(SavedWake {
            at: wake.at,
            kind: wake.kind,
            row: *places.get(wake.row as usize)?,
            plan: wake.plan,
            silence: wake.silence,
        })
    })
}

/// So many partitions that go on from what was saved of the detectors that go on. Nothing when it contradicts itself.
pub(in crate::engine) fn restore(
    saved: SavedEntities<'_>,
    succession: &Succession,
    program: &Program,
    count: usize,
    blank: &EpochSummary,
) -> Option<Vec<Partition>> {
    if saved.tables.len() != succession.kinds_saved() || !saved.summary.fits(succession) {
        return None;
    }
    let mut partitions: Vec<Partition> = (0..count)
        .map(|_| Partition {
            swept_day: saved.swept_day,
            ..Partition::new(program, blank.clone())
        })
        .collect();
    let first = partitions.first_mut()?;
    first.judgements = saved.judgements;
    first.summary = saved.summary.handed_on(succession, blank.clone());
    // Where each saved row has gone to, by saved kind; nowhere where nobody is left to watch it.
    let mut places: Vec<Vec<Option<(usize, u32)>>> = Vec::with_capacity(saved.tables.len());
    for (kind, table) in saved.tables.into_iter().enumerate() {
        let Some(kind) = succession.kind(kind) else {
            places.push(vec![None; table.rows.len()]);
            continue;
        };
        for (group, cells) in table.contacts {
            let cells: Contacts = cells.try_into().ok()?;
            let partition = usize::from(group) * count / crate::domain::KEY_GROUPS;
            let table_of = partitions.get_mut(partition)?.tables.get_mut(kind)?;
            table_of.take_up_contacts(table.contacts_day, group, &cells)?;
        }
        let first = partitions.first_mut()?.tables.get_mut(kind)?;
        first.take_up_shared_visits(table.shared_visits);
        let mut own = Vec::with_capacity(table.rows.len());
        for row in table.rows {
            let Some(row) = handed_on(row.into_owned(), succession)? else {
                own.push(None);
                continue;
            };
            let partition = partition_of(row.hash, count);
            let number = partitions.get_mut(partition)?.tables.get_mut(kind)?.take_up(row);
            own.push(Some((partition, number)));
        }
        places.push(own);
    }
    for wake in saved.wakes {
        if usize::from(wake.plan) >= succession.plans_saved() {
            return None;
        }
        let place = *places.get(usize::from(wake.kind))?.get(wake.row as usize)?;
        let (Some((partition, row)), Some(plan)) = (place, succession.plan(wake.plan)) else {
            continue;
        };
        let kind = succession.kind(usize::from(wake.kind))?;
        let partition = partitions.get_mut(partition)?;
        let hash = partition.tables.get(kind)?.row(row)?.hash;
        partition.wakes.push(Reverse(Wake {
            at: wake.at,
            kind: kind as u8,
            hash,
            plan,
            row,
            silence: wake.silence,
        }));
    }
    Some(partitions)
}

/// A row with the watches of detectors that go on: nothing within when none of its watches does, nothing at all when it
/// contradicts itself.
fn handed_on(mut row: Row, succession: &Succession) -> Option<Option<Row>> {
    let plans = succession.plans_saved();
    if row.watches.iter().any(|posted| usize::from(posted.plan) >= plans) {
        return None;
    }
    let was_watched = !row.watches.is_empty();
    let watches = std::mem::take(&mut row.watches).into_vec().into_iter();
    row.watches = watches
        .filter_map(|mut posted| {
            posted.plan = succession.plan(posted.plan)?;
            if succession.is_tuned(posted.plan) {
                posted.watch.reconsider();
            }
            Some(posted)
        })
        .collect();
    if was_watched && row.watches.is_empty() {
        return Some(None);
    }
    row.newborn &= row.watches.iter().any(|posted| !posted.settled);
    Some(Some(row))
}
