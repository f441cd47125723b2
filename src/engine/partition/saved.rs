//! What partitions have learned, as it outlives a process: wakes, contacts and rows in pieces of their own. Rows come in
//! any order and name the partition and the place that they had, so that a run with another number of partitions goes on
//! from them.

mod earlier;
mod learned;

pub(in crate::engine) use earlier::{SavedEarlier, SavedGroup};
pub use learned::Learned;

use super::{Partition, Wake};
use crate::domain::KEY_GROUPS;
use crate::engine::population::EpochSummary;
use crate::engine::program::Program;
use crate::engine::snapshot::{self, SnapshotProblem};
use crate::engine::succession::Succession;
use crate::engine::table::{Contacts, Row, Table};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Wakes in a piece.
const WAKES_TOGETHER: usize = 1 << 15;
/// Places in a table: room for far more than fit into memory.
const PLACES_MAX: u32 = 1 << 28;

/// What partitions keep beside what comes in pieces.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::engine) struct SavedEntities {
    /// By kind.
    tables: Vec<SavedTable>,
    /// How many key groups follow; none since format 10.
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

/// What a piece holds.
#[derive(Debug, Serialize, Deserialize)]
enum SavedPiece<'a> {
    /// Moments at which watches want to be woken, with the places of their rows in this partition's tables.
    Wakes {
        partition: u32,
        wakes: Cow<'a, [Reverse<Wake>]>,
    },
    /// The sketch of a key group's contacts.
    Contacts { kind: u8, group: u16, cells: Cow<'a, [u8]> },
    /// Rows of a partition's table: up to the piece's end, each row behind its place.
    Rows { partition: u32, kind: u8 },
    /// The end, and how many rows there were.
    End { rows: u64 },
}

/// What these partitions keep beside what comes in pieces. `blank` is a summary without anything.
pub(in crate::engine) fn save(partitions: &[Partition], blank: EpochSummary) -> SavedEntities {
    let kinds = partitions.first().map_or(0, |partition| partition.tables.len());
    let mut saved = SavedEntities {
        tables: Vec::with_capacity(kinds),
        groups: 0,
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

/// From now on rows are saved as they are at this moment. What else there is goes to `put` at once.
pub(in crate::engine) fn begin_saving<E: From<SnapshotProblem>>(
    partitions: &mut [Partition],
    put: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let kinds = partitions.first().map_or(0, |partition| partition.tables.len());
    let days: Vec<i64> = (0..kinds).map(|kind| contacts_day(partitions, kind)).collect();
    let mut piece = Vec::new();
    for (number, partition) in (0u32..).zip(partitions) {
        for wakes in partition.wakes.as_slice().chunks(WAKES_TOGETHER) {
            let wakes = SavedPiece::Wakes {
                partition: number,
                wakes: Cow::Borrowed(wakes),
            };
            snapshot::write_piece(&wakes, &mut piece)?;
            put(&piece)?;
        }
        for (kind, table) in (0u8..).zip(&mut partition.tables) {
            let is_of_day = table.contacts_day() == days[usize::from(kind)];
            for group in (0..KEY_GROUPS as u16).filter(|_| is_of_day) {
                if let Some(cells) = table.contacts(usize::from(group)) {
                    let cells = Cow::Borrowed(cells.as_slice());
                    snapshot::write_piece(&SavedPiece::Contacts { kind, group, cells }, &mut piece)?;
                    put(&piece)?;
                }
            }
            table.begin_saving();
        }
    }
    Ok(())
}

/// Goes on with what [`begin_saving`] has begun: rows that have changed since, and up to so many others. Gives whether all
/// is saved.
pub(in crate::engine) fn go_on_saving<E: From<SnapshotProblem>>(
    partitions: &mut [Partition],
    rows: usize,
    put: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<bool, E> {
    let mut tables = partitions.iter_mut().flat_map(|partition| &mut partition.tables);
    let is_whole = tables.try_fold(rows, |left, table| table.go_on_saving(left)).is_some();
    let mut piece = Vec::new();
    for (partition, held) in (0u32..).zip(&mut *partitions) {
        for (kind, table) in (0u8..).zip(&mut held.tables) {
            snapshot::write_piece(&SavedPiece::Rows { partition, kind }, &mut piece)?;
            if table.take_saved(&mut piece)? {
                put(&piece)?;
            }
        }
    }
    if is_whole {
        let rows = stop_saving(partitions);
        snapshot::write_piece(&SavedPiece::End { rows }, &mut piece)?;
        put(&piece)?;
    }
    Ok(is_whole)
}

/// Nothing more is saved. Gives how many rows were.
pub(in crate::engine) fn stop_saving(partitions: &mut [Partition]) -> u64 {
    let tables = partitions.iter_mut().flat_map(|partition| &mut partition.tables);
    tables.map(Table::stop_saving).sum()
}

/// Partitions that take up what was saved of the detectors that go on.
pub(in crate::engine) struct Restoring {
    succession: Succession,
    partitions: Vec<Partition>,
    /// By saved kind.
    contacts_days: Vec<i64>,
    /// Key groups that are still to come, where the state goes by them.
    groups_left: u64,
    /// By saved partition and kind: the number of each row that was saved at a place, and [`NOBODY`] where none was or
    /// nobody is left to watch it.
    places: BTreeMap<(u32, u8), Vec<u32>>,
    /// By saved partition.
    wakes: Vec<(u32, Vec<Reverse<Wake>>)>,
    rows: u64,
    has_ended: bool,
}

/// No row.
const NOBODY: u32 = u32::MAX;

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
            places: BTreeMap::new(),
            wakes: Vec::new(),
            rows: 0,
            // A state that goes by key groups ends with the last of them.
            has_ended: saved.groups > 0,
        })
    }

    /// Takes up a piece.
    pub(in crate::engine) fn take_up(&mut self, piece: &[u8]) -> Result<(), SnapshotProblem> {
        if self.has_ended {
            return Err(SnapshotProblem::contradiction());
        }
        let (held, rows) = snapshot::begin(piece)?;
        if !rows.is_empty() && !matches!(held, SavedPiece::Rows { .. }) {
            return Err(SnapshotProblem::contradiction());
        }
        match held {
            SavedPiece::Wakes { partition, wakes } => self.wakes.push((partition, wakes.into_owned())),
            SavedPiece::Contacts { kind, group, cells } => self
                .take_up_contacts(kind, group, &cells)
                .ok_or_else(SnapshotProblem::contradiction)?,
            SavedPiece::Rows { partition, kind } => self.take_up_rows(partition, kind, rows)?,
            SavedPiece::End { rows } if rows == self.rows => self.has_ended = true,
            SavedPiece::End { .. } => return Err(SnapshotProblem::contradiction()),
        }
        Ok(())
    }

    fn take_up_contacts(&mut self, kind: u8, group: u16, cells: &[u8]) -> Option<()> {
        let day = *self.contacts_days.get(usize::from(kind))?;
        let Some(heir) = self.succession.kind(usize::from(kind)) else {
            return Some(());
        };
        let cells: Contacts = cells.try_into().ok()?;
        let partition = partition_of(&mut self.partitions, usize::from(group))?;
        partition.tables.get_mut(heir)?.take_up_contacts(day, group, &cells)
    }

    fn take_up_rows(&mut self, partition: u32, kind: u8, mut rest: &[u8]) -> Result<(), SnapshotProblem> {
        if usize::from(kind) >= self.contacts_days.len() {
            return Err(SnapshotProblem::contradiction());
        }
        let heir = self.succession.kind(usize::from(kind));
        let places = self.places.entry((partition, kind)).or_default();
        while !rest.is_empty() {
            let ((place, row), behind): ((u32, Row), _) = snapshot::begin(rest)?;
            rest = behind;
            self.rows += 1;
            let taken = take_up_row(&mut self.partitions, heir, row, &self.succession);
            let number = taken.ok_or_else(SnapshotProblem::contradiction)?;
            if place >= PLACES_MAX {
                return Err(SnapshotProblem::contradiction());
            }
            if places.len() <= place as usize {
                places.resize(place as usize + 1, NOBODY);
            }
            places[place as usize] = number;
        }
        Ok(())
    }

    /// The rows are there: finds those that want to be woken. Nothing when that contradicts itself.
    fn take_up_wakes(&mut self) -> Option<()> {
        let mut heaps: Vec<Vec<Reverse<Wake>>> = self.partitions.iter().map(|_| Vec::new()).collect();
        for (partition, wakes) in std::mem::take(&mut self.wakes) {
            for Reverse(wake) in wakes {
                if usize::from(wake.plan) >= self.succession.plans_saved()
                    || usize::from(wake.kind) >= self.contacts_days.len()
                {
                    return None;
                }
                let row = self
                    .places
                    .get(&(partition, wake.kind))
                    .and_then(|places| places.get(wake.row as usize));
                let kind = self.succession.kind(usize::from(wake.kind));
                let plan = self.succession.plan(wake.plan);
                let (Some(row), Some(kind), Some(plan)) = (row, kind, plan) else {
                    continue;
                };
                let heir = wake.hash.key_group() * self.partitions.len() / KEY_GROUPS;
                // Those of entities that were forgotten since wake nobody.
                let held = self.partitions[heir].tables.get(kind)?.row(*row);
                if held.is_some_and(|held| held.hash == wake.hash) {
                    let (kind, row) = (kind as u8, *row);
                    heaps[heir].push(Reverse(Wake {
                        kind,
                        plan,
                        row,
                        ..wake
                    }));
                }
            }
        }
        for (partition, wakes) in self.partitions.iter_mut().zip(heaps) {
            partition.wakes = BinaryHeap::from(wakes);
        }
        Some(())
    }

    /// The partitions, and who goes on. Nothing when pieces are missing.
    pub(in crate::engine) fn finish(mut self) -> Option<(Vec<Partition>, Succession)> {
        if self.groups_left > 0 || !self.has_ended {
            return None;
        }
        if !self.wakes.is_empty() {
            self.take_up_wakes()?;
        }
        Some((self.partitions, self.succession))
    }
}

fn partition_of(partitions: &mut [Partition], group: usize) -> Option<&mut Partition> {
    let count = partitions.len();
    partitions
        .get_mut(group * count / KEY_GROUPS)
        .filter(|_| group < KEY_GROUPS)
}

/// Takes up a row as one of this kind, if somebody is left to watch it. Gives its number, or [`NOBODY`]; nothing when it
/// contradicts itself.
fn take_up_row(partitions: &mut [Partition], kind: Option<usize>, row: Row, succession: &Succession) -> Option<u32> {
    let group = row.hash.key_group();
    let (row, kind) = (handed_on(row, succession)?, kind);
    let (Some(row), Some(kind)) = (row, kind) else {
        return Some(NOBODY);
    };
    Some(partition_of(partitions, group)?.tables.get_mut(kind)?.take_up(row))
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
