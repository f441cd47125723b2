//! What partitions have learned, as it outlives a process: by key group, not by partition, so that a run with another
//! number of partitions goes on from it.

mod earlier;

pub(in crate::engine) use earlier::SavedEarlier;

use super::{Partition, Wake};
use crate::domain::{EntityHash, KEY_GROUPS, Timestamp};
use crate::engine::pipeline::partition_of;
use crate::engine::population::EpochSummary;
use crate::engine::program::Program;
use crate::engine::succession::Succession;
use crate::engine::table::{Contacts, Row, Table};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Reverse;

/// What partitions keep beside their key groups.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::engine) struct SavedEntities {
    /// By kind.
    tables: Vec<SavedTable>,
    /// How many key groups follow.
    groups: u64,
    /// What was seen in the epoch so far.
    summary: EpochSummary,
    swept_day: i64,
    judgements: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedTable {
    /// How many entities follow.
    rows: u64,
    contacts_day: i64,
    shared_visits: u64,
}

/// The entities of a key group.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::engine) struct SavedGroup<'a> {
    group: u16,
    /// By kind.
    kinds: Vec<SavedKind<'a>>,
    /// In order.
    wakes: Vec<SavedWake>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct SavedKind<'a> {
    /// By hash, then by entity.
    rows: Vec<Cow<'a, Row>>,
    contacts: Option<Cow<'a, [u8]>>,
}

/// A moment at which a watch wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct SavedWake {
    at: Timestamp,
    kind: u8,
    /// The row's place among the key group's rows of its kind.
    row: u32,
    plan: u16,
    silence: bool,
}

/// What these partitions keep beside the key groups that are here. `blank` is a summary without anything.
pub(in crate::engine) fn save(
    partitions: &[Partition],
    is_here: impl Fn(usize) -> bool,
    blank: EpochSummary,
) -> SavedEntities {
    let kinds = partitions.first().map_or(0, |partition| partition.tables.len());
    let mut saved = SavedEntities {
        tables: Vec::with_capacity(kinds),
        groups: (0..KEY_GROUPS).filter(|group| is_here(*group)).count() as u64,
        summary: blank,
        swept_day: i64::MIN,
        judgements: 0,
    };
    for kind in 0..kinds {
        let tables = || partitions.iter().filter_map(|partition| partition.tables.get(kind));
        saved.tables.push(SavedTable {
            rows: tables().map(|table| table.len() as u64).sum(),
            contacts_day: contacts_day(partitions, kind),
            shared_visits: tables().map(Table::shared_visits).sum(),
        });
    }
    for partition in partitions {
        saved.summary.merge(&partition.summary);
        saved.swept_day = saved.swept_day.max(partition.swept_day);
        saved.judgements += partition.judgements;
    }
    saved
}

/// The day that contacts are of; those of an earlier day are forgotten at the next contact.
fn contacts_day(partitions: &[Partition], kind: usize) -> i64 {
    let tables = partitions.iter().filter_map(|partition| partition.tables.get(kind));
    tables.map(Table::contacts_day).max().unwrap_or(i64::MIN)
}

/// The key groups that are here, one after the other.
pub(in crate::engine) fn key_groups<'a>(
    partitions: &'a [Partition],
    is_here: impl Fn(usize) -> bool + Copy + 'a,
) -> impl Iterator<Item = SavedGroup<'a>> {
    let kinds = partitions.first().map_or(0, |partition| partition.tables.len());
    let days: Vec<i64> = (0..kinds).map(|kind| contacts_day(partitions, kind)).collect();
    let count = partitions.len();
    partitions.iter().enumerate().flat_map(move |(place, partition)| {
        let days = days.clone();
        let sorted = Sorted::of(partition);
        let own =
            move |group: &usize| is_here(*group) && partition_of(EntityHash((*group as u64) << 54), count) == place;
        (0..KEY_GROUPS)
            .filter(own)
            .map(move |group| sorted.key_group(group, &days))
    })
}

/// A partition's rows and wakes by key group.
struct Sorted<'a> {
    partition: &'a Partition,
    /// By kind: hash and number of each row, by hash, then by entity.
    rows: Vec<Vec<(u64, u32)>>,
    /// The places of wakes among the partition's, by key group.
    wakes: Vec<u32>,
    /// Where each key group's wakes begin, and where the last ones end.
    wakes_begin: Vec<u32>,
}

impl<'a> Sorted<'a> {
    fn of(partition: &'a Partition) -> Sorted<'a> {
        let rows = partition.tables.iter().map(|table| {
            let mut rows = Vec::with_capacity(table.len());
            rows.extend(table.rows().map(|(number, row)| (row.hash.0, number)));
            let entity = |number| table.row(number).map(|row| &row.entity);
            rows.sort_unstable_by(|(hash, number), (other_hash, other)| {
                hash.cmp(other_hash).then_with(|| entity(*number).cmp(&entity(*other)))
            });
            rows
        });
        let rows = rows.collect();
        let hashes = || partition.wakes.iter().map(|Reverse(wake)| wake.hash.key_group());
        let mut wakes_begin = vec![0; KEY_GROUPS + 1];
        hashes().for_each(|group| wakes_begin[group + 1] += 1);
        for group in 0..KEY_GROUPS {
            wakes_begin[group + 1] += wakes_begin[group];
        }
        let (mut next, mut wakes) = (wakes_begin.clone(), vec![0; partition.wakes.len()]);
        for (group, place) in hashes().zip(0u32..) {
            wakes[next[group] as usize] = place;
            next[group] += 1;
        }
        Sorted {
            partition,
            rows,
            wakes,
            wakes_begin,
        }
    }

    fn key_group(&self, group: usize, days: &[i64]) -> SavedGroup<'a> {
        let rows = |kind: usize| {
            let rows = &self.rows[kind];
            let begin = rows.partition_point(|(hash, _)| EntityHash(*hash).key_group() < group);
            let length = rows[begin..].partition_point(|(hash, _)| EntityHash(*hash).key_group() == group);
            &rows[begin..begin + length]
        };
        let kinds = self.partition.tables.iter().enumerate().map(|(kind, table)| SavedKind {
            rows: rows(kind)
                .iter()
                .filter_map(|(_, number)| table.row(*number).map(Cow::Borrowed))
                .collect(),
            contacts: table
                .contacts(group)
                .filter(|_| table.contacts_day() == days[kind])
                .map(|cells| Cow::Borrowed(cells.as_slice())),
        });
        let kinds = kinds.collect();
        let wakes = &self.wakes[self.wakes_begin[group] as usize..self.wakes_begin[group + 1] as usize];
        let all = self.partition.wakes.as_slice();
        // Those of entities that were forgotten since wake nobody.
        let mut wakes: Vec<SavedWake> = wakes
            .iter()
            .filter_map(|place| {
                let Reverse(wake) = all.get(*place as usize)?;
                let rows = rows(usize::from(wake.kind));
                let begin = rows.partition_point(|(hash, _)| *hash < wake.hash.0);
                let of_hash = rows[begin..].iter().take_while(|(hash, _)| *hash == wake.hash.0);
                let place = of_hash.zip(begin..).find(|((_, number), _)| *number == wake.row)?.1;
                Some(SavedWake {
                    at: wake.at,
                    kind: wake.kind,
                    row: u32::try_from(place).ok()?,
                    plan: wake.plan,
                    silence: wake.silence,
                })
            })
            .collect();
        wakes.sort_unstable();
        wakes.dedup();
        SavedGroup {
            group: group as u16,
            kinds,
            wakes,
        }
    }
}

/// Partitions that take up what was saved of the detectors that go on.
pub(in crate::engine) struct Restoring {
    succession: Succession,
    partitions: Vec<Partition>,
    /// By saved kind.
    contacts_days: Vec<i64>,
    /// Key groups that are still to come.
    groups_left: u64,
}

impl Restoring {
    /// So many partitions that go on from what was saved. Nothing when that contradicts itself.
    pub(in crate::engine) fn begin(
        saved: SavedEntities,
        succession: Succession,
        program: &Program,
        count: usize,
        blank: &EpochSummary,
    ) -> Option<Restoring> {
        if saved.tables.len() != succession.kinds_saved() || !saved.summary.fits(&succession) {
            return None;
        }
        let mut partitions: Vec<Partition> = (0..count)
            .map(|_| Partition {
                swept_day: saved.swept_day,
                ..Partition::new(program, blank.clone())
            })
            .collect();
        let rows_max = (KEY_GROUPS as u64).saturating_mul(program.bounds.entities_per_key_group_max.into());
        for (kind, saved) in saved.tables.iter().enumerate() {
            let Some(kind) = succession.kind(kind) else { continue };
            for partition in &mut partitions {
                // Rows are dealt out evenly, but for a few more or less.
                let rows = saved.rows.min(rows_max) / count as u64;
                partition.tables.get_mut(kind)?.reserve(rows as usize);
            }
            let first = partitions.first_mut()?.tables.get_mut(kind)?;
            first.take_up_shared_visits(saved.shared_visits);
        }
        let first = partitions.first_mut()?;
        first.judgements = saved.judgements;
        first.summary = saved.summary.handed_on(&succession, blank.clone());
        Some(Restoring {
            succession,
            partitions,
            contacts_days: saved.tables.iter().map(|table| table.contacts_day).collect(),
            groups_left: saved.groups,
        })
    }

    /// Takes up a key group. Nothing when it contradicts itself.
    pub(in crate::engine) fn take_up(&mut self, saved: SavedGroup<'_>) -> Option<()> {
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
                let cells: Contacts = cells.as_ref().try_into().ok()?;
                table.take_up_contacts(self.contacts_days[number], saved.group, &cells)?;
            }
            let mut own = Vec::with_capacity(kind.rows.len());
            for row in kind.rows {
                let hash = row.hash;
                if hash.key_group() != group {
                    return None;
                }
                let row = handed_on(row.into_owned(), succession)?;
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

    /// The partitions, and who goes on. Nothing when key groups are missing.
    pub(in crate::engine) fn finish(self) -> Option<(Vec<Partition>, Succession)> {
        (self.groups_left == 0).then_some((self.partitions, self.succession))
    }
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
