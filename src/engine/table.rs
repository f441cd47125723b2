//! The entities of one kind in one partition, with their watches.
//!
//! Bounds belong to key groups, so that the number of partitions can't show in a result: past its bound a key group's
//! entities share a few hashed baselines, and a pair gets state of its own at its third contact.

mod saving;

use self::saving::Saving;
use super::snapshot::SnapshotProblem;
use super::watch::Watch;
use crate::domain::{Entity, EntityHash, KEY_GROUPS, Timestamp, earlier};
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

/// Hashed baselines that the entities of a full key group share: one for so many that have their own. One that is full of
/// the values of all who share it takes 2.5 kB, which is then 10 bytes for each entity of 400 to 600,
const OWN_FOR_A_SHARED: u32 = 256;
/// and so many at most.
const SHARED_MAX: u32 = 16;
/// Cells of a key group's sketch of contacts, in each of its two rows.
const CONTACT_CELLS: usize = 512;
/// Contacts after which a pair has state of its own.
const CONTACTS_MIN: u8 = 3;

/// An entity and its watches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The entity's hash.
    pub hash: EntityHash,
    /// The entity.
    pub entity: Entity,
    /// When it was last seen, by engine time.
    pub last: Timestamp,
    /// The group that it shares priors with.
    pub group: u8,
    /// Whether several entities beyond the bound share it.
    pub shared: bool,
    /// Whether some of its watches have not had their say in what is usual yet.
    pub newborn: bool,
    /// How many events it has had; goes no further than 255.
    #[serde(deserialize_with = "earlier::vectors")]
    pub events: u8,
    /// By plan, in the order in which they were first needed. They lie together and have no room for more: their number
    /// hardly changes after the first event.
    pub watches: Box<[Posted]>,
}

/// A watch with its plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Posted {
    /// The number of its plan.
    pub plan: u16,
    /// Whether it has had its say in what is usual, after its first window at the latest.
    pub settled: bool,
    /// The watch.
    pub watch: Watch,
}

/// The entities of one kind.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Option<Row>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    /// Rows that are newborn, each once.
    newborn: Vec<u32>,
    counts: Vec<u32>,
    contacts: Vec<Option<Box<Contacts>>>,
    contacts_day: i64,
    shared_visits: u64,
    saving: Option<Box<Saving>>,
}

/// A key group's sketch of the contacts of pairs without state.
pub(super) type Contacts = [u8; 2 * CONTACT_CELLS];

/// What an entity's visit finds.
pub enum Found {
    /// The row of this number.
    Row(u32),
    /// A pair that has not been seen often enough to have state.
    TooEarly,
}

impl Table {
    /// A table without entities.
    pub fn new() -> Self {
        Table {
            counts: vec![0; KEY_GROUPS],
            contacts: (0..KEY_GROUPS).map(|_| None).collect(),
            contacts_day: i64::MIN,
            ..Table::default()
        }
    }

    /// How many entities have state.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no entity has state.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Visits by entities that share a baseline because their key group is full.
    pub fn shared_visits(&self) -> u64 {
        self.shared_visits
    }

    /// The row of an entity, made if it is new. `pair` asks for a third contact first; `per_group_max` bounds a key
    /// group; `group` tells which priors a new entity shares.
    pub fn visit(
        &mut self,
        hash: EntityHash,
        bytes: &[u8],
        now: Timestamp,
        bounds: &Bounds,
        group: impl FnOnce() -> u8,
    ) -> Found {
        if let Some(row) = self.find(hash, bytes) {
            return Found::Row(row);
        }
        if bounds.pair && !self.contact(hash, now) {
            return Found::TooEarly;
        }
        let key_group = hash.key_group();
        if self.counts[key_group] < bounds.entities_per_key_group_max {
            self.counts[key_group] += 1;
            return Found::Row(self.insert(Row {
                hash,
                entity: Entity::from_bytes(bytes),
                last: now,
                group: group(),
                shared: false,
                newborn: false,
                events: 0,
                watches: Box::default(),
            }));
        }
        self.shared_visits += 1;
        let place = hash.0 % u64::from(bounds.shared());
        let name = format!("\u{1}\u{6}shared{place}");
        // The key group stays the entity's own, so that the shared state moves with it.
        let shared_hash = EntityHash((hash.0 & !0x003f_ffff_ffff_ffff) | place);
        if let Some(row) = self.find(shared_hash, name.as_bytes()) {
            return Found::Row(row);
        }
        Found::Row(self.insert(Row {
            hash: shared_hash,
            entity: Entity::from_bytes(name.as_bytes()),
            last: now,
            group: group(),
            shared: true,
            newborn: false,
            events: 0,
            watches: Box::default(),
        }))
    }

    /// The row of a number.
    pub fn row(&self, number: u32) -> Option<&Row> {
        self.rows.get(number as usize)?.as_ref()
    }

    /// The row of a number, to be changed.
    pub fn row_mut(&mut self, number: u32) -> Option<&mut Row> {
        if let Some(saving) = &mut self.saving {
            saving.save(number, self.rows.get(number as usize).and_then(Option::as_ref));
        }
        self.rows.get_mut(number as usize)?.as_mut()
    }

    /// Every row that is newborn, to be seen to; those stay that `see` leaves so.
    pub fn see_to_newborn(&mut self, mut see: impl FnMut(&mut Row)) {
        let (rows, saving) = (&mut self.rows, &mut self.saving);
        self.newborn.retain(|number| {
            if let Some(saving) = saving {
                saving.save(*number, rows.get(*number as usize).and_then(Option::as_ref));
            }
            let Some(row) = rows.get_mut(*number as usize).and_then(Option::as_mut) else {
                return false;
            };
            see(row);
            row.newborn
        });
        // A flood of new entities leaves no list of their number behind.
        self.newborn.shrink_to(2 * self.newborn.len());
    }

    /// A row has a new watch.
    pub fn bear(&mut self, number: u32) {
        if let Some(row) = self.row_mut(number)
            && !row.newborn
        {
            row.newborn = true;
            self.newborn.push(number);
        }
    }

    /// The day that the sketches of contacts are of.
    pub(super) fn contacts_day(&self) -> i64 {
        self.contacts_day
    }

    /// The sketch of a key group's contacts, if it has had any.
    pub(super) fn contacts(&self, key_group: usize) -> Option<&Contacts> {
        self.contacts.get(key_group)?.as_deref()
    }

    /// Makes room for so many rows more.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.rows.reserve_exact(rows);
        let held = &self.rows;
        self.index.reserve(rows, |number| {
            held[*number as usize].as_ref().map_or(0, |row| row.hash.0)
        });
    }

    /// Takes up a row that was saved. Gives its number.
    pub(super) fn take_up(&mut self, row: Row) -> u32 {
        if !row.shared {
            self.counts[row.hash.key_group()] += 1;
        }
        let is_newborn = row.newborn;
        let number = self.insert(row);
        if is_newborn {
            self.newborn.push(number);
        }
        number
    }

    /// Takes up the sketch of a key group's contacts. Nothing when there is no such key group.
    pub(super) fn take_up_contacts(&mut self, day: i64, group: u16, cells: &Contacts) -> Option<()> {
        self.contacts_day = day;
        *self.contacts.get_mut(usize::from(group))? = Some(Box::new(*cells));
        Some(())
    }

    /// Takes up how many visits there were by entities that share a baseline.
    pub(super) fn take_up_shared_visits(&mut self, visits: u64) {
        self.shared_visits += visits;
    }

    /// From now on rows are saved as they are at this moment.
    pub(super) fn begin_saving(&mut self) {
        self.saving = Some(Box::new(Saving::begin(self.rows.len())));
    }

    /// Saves up to so many rows whose turn it is. When all have had theirs, gives how many more there might have been.
    pub(super) fn go_on_saving(&mut self, most: usize) -> Option<usize> {
        match &mut self.saving {
            Some(saving) => saving.go_on(&self.rows, most),
            None => Some(most),
        }
    }

    /// Puts what was saved since it was last taken behind `piece`: rows with their numbers. Gives whether there is any.
    pub(super) fn take_saved(&mut self, piece: &mut Vec<u8>) -> Result<bool, SnapshotProblem> {
        self.saving.as_mut().map_or(Ok(false), |saving| saving.take(piece))
    }

    /// Nothing more is saved. Gives how many rows were.
    pub(super) fn stop_saving(&mut self) -> u64 {
        self.saving.take().map_or(0, |saving| saving.saved())
    }

    /// Drops every entity that `keep` does not keep.
    pub fn retain(&mut self, mut keep: impl FnMut(&Row) -> bool) {
        for number in 0..self.rows.len() {
            let Some(row) = &self.rows[number] else { continue };
            if keep(row) {
                continue;
            }
            if let Some(saving) = &mut self.saving {
                saving.save(number as u32, Some(row));
            }
            let hash = row.hash;
            if !row.shared {
                self.counts[hash.key_group()] -= 1;
            }
            if let Ok(entry) = self.index.find_entry(hash.0, |held| *held as usize == number) {
                entry.remove();
            }
            self.rows[number] = None;
            self.free.push(number as u32);
        }
        let rows = &self.rows;
        let is_there = |number: &u32| rows.get(*number as usize).is_some_and(Option::is_some);
        self.newborn.retain(is_there);
    }

    /// The number of the row that an entity of this hash most probably has, without looking at the row.
    pub(super) fn probable(&self, hash: EntityHash) -> Option<u32> {
        self.index.find(hash.0, |_| true).copied()
    }

    /// The row that an entity has of its own.
    pub(super) fn row_of(&self, hash: EntityHash, bytes: &[u8]) -> Option<&Row> {
        self.row(self.find(hash, bytes)?)
    }

    fn find(&self, hash: EntityHash, bytes: &[u8]) -> Option<u32> {
        let rows = &self.rows;
        self.index
            .find(hash.0, |number| {
                rows[*number as usize]
                    .as_ref()
                    .is_some_and(|row| row.hash == hash && row.entity.bytes() == bytes)
            })
            .copied()
    }

    fn insert(&mut self, row: Row) -> u32 {
        let hash = row.hash.0;
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(saving) = &mut self.saving {
                    saving.save(number, None);
                }
                self.rows[number as usize] = Some(row);
                number
            }
            None => {
                self.rows.push(Some(row));
                (self.rows.len() - 1) as u32
            }
        };
        let rows = &self.rows;
        self.index.insert_unique(hash, number, |number| {
            rows[*number as usize].as_ref().map_or(0, |row| row.hash.0)
        });
        number
    }

    /// Counts a contact of a pair without state. Gives whether it has had enough to get one. Counts live for a day.
    fn contact(&mut self, hash: EntityHash, now: Timestamp) -> bool {
        let day = now.seconds().div_euclid(86_400);
        if day != self.contacts_day {
            self.contacts_day = day;
            self.contacts.iter_mut().for_each(|cells| *cells = None);
        }
        let cells = self.contacts[hash.key_group()].get_or_insert_with(|| Box::new([0; 2 * CONTACT_CELLS]));
        let first = (hash.0 as usize) % CONTACT_CELLS;
        let second = CONTACT_CELLS + ((hash.0 >> 20) as usize) % CONTACT_CELLS;
        let seen = cells[first].min(cells[second]).saturating_add(1);
        cells[first] = cells[first].max(seen);
        cells[second] = cells[second].max(seen);
        seen >= CONTACTS_MIN
    }
}

/// The bounds of a table.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Whether an entity is a pair, which gets state at its third contact.
    pub pair: bool,
    /// Entities of one kind with state of their own in one key group.
    pub entities_per_key_group_max: u32,
}

impl Bounds {
    /// Baselines that the entities beyond the bound of a key group share.
    fn shared(&self) -> u32 {
        (self.entities_per_key_group_max / OWN_FOR_A_SHARED).clamp(1, SHARED_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::baseline::{Category, Count, Magnitude, Quantile};
    use crate::engine::measure::Distinct;
    use crate::engine::watch::{CategoryWatch, Growing, HoursWatch, IntervalWatch, RatioWatch, VectorWatch};

    fn see(table: &mut Table, name: u64, at: i64) -> u32 {
        let bounds = Bounds {
            pair: false,
            entities_per_key_group_max: 100,
        };
        let bytes = format!("\u{1}\u{8}{name:08}");
        let (hash, now) = (EntityHash(name << 50), Timestamp::from_seconds(at));
        let Found::Row(number) = table.visit(hash, bytes.as_bytes(), now, &bounds, || 0) else {
            panic!("no pair");
        };
        table.row_mut(number).expect("a row").last = now;
        number
    }

    #[test]
    fn what_is_shared_is_a_small_part_of_what_is_not() {
        for (most, shared) in [(1, 1), (100, 1), (1000, 3), (4096, 16), (1_000_000, 16)] {
            let bounds = Bounds {
                pair: false,
                entities_per_key_group_max: most,
            };
            assert_eq!(bounds.shared(), shared, "of {most}");
        }
    }

    #[test]
    fn rows_are_saved_as_they_were_when_that_began() {
        let mut table = Table::new();
        let numbers: Vec<u32> = (0..100).map(|name| see(&mut table, name, 1)).collect();
        table.retain(|row| row.hash.0 >> 50 != 7);
        table.begin_saving();
        let mut piece = Vec::new();
        // One is seen again, one goes, and two come: in the place of one that was gone, and of the one that goes.
        see(&mut table, 3, 2);
        assert!(table.go_on_saving(10).is_none());
        assert!(table.take_saved(&mut piece).expect("memory"));
        table.retain(|row| row.hash.0 >> 50 != 90);
        let come = [
            see(&mut table, 200, 2),
            see(&mut table, 201, 2),
            see(&mut table, 202, 2),
        ];
        assert_eq!(come, [numbers[90], numbers[7], 100]);
        table.see_to_newborn(|_| panic!("nobody is"));
        table.bear(numbers[50]);
        assert!(table.go_on_saving(1000).is_some());
        assert!(table.take_saved(&mut piece).expect("memory"));
        assert_eq!(table.stop_saving(), 99);

        let (mut rest, mut found) = (&piece[..], Vec::new());
        while !rest.is_empty() {
            let ((number, row), behind): ((u32, Row), _) = crate::engine::snapshot::begin(rest).expect("a row");
            assert_eq!((row.last, row.newborn), (Timestamp::from_seconds(1), false));
            assert_eq!(number, numbers[(row.hash.0 >> 50) as usize]);
            found.push(number);
            rest = behind;
        }
        found.sort_unstable();
        let expected: Vec<u32> = numbers.into_iter().filter(|number| *number != 7).collect();
        assert_eq!(found, expected);
    }

    /// Whoever makes one of these larger sees here what it costs: a million entities of three watches each take a
    /// megabyte more for each byte of a row and three for each byte of a watch.
    #[test]
    fn an_entity_takes_no_more_memory_than_is_written_here() {
        for (name, size, bytes) in [
            ("row", size_of::<Option<Row>>(), 64),
            ("posted watch", size_of::<Posted>(), 104),
            ("watch", size_of::<Watch>(), 96),
            ("count", size_of::<Growing<Count>>(), 88),
            ("magnitude", size_of::<Growing<Magnitude>>(), 96),
            ("quantile, behind a pointer", size_of::<Growing<Quantile>>(), 104),
            ("category", size_of::<CategoryWatch>(), 88),
            ("ratio", size_of::<RatioWatch>(), 72),
            ("interval", size_of::<IntervalWatch>(), 80),
            ("hours", size_of::<HoursWatch>(), 56),
            ("vector, behind a pointer", size_of::<VectorWatch>(), 96),
            ("distinct values", size_of::<Distinct>(), 64),
            ("count's baseline", size_of::<Count>(), 36),
            ("magnitude's baseline", size_of::<Magnitude>(), 48),
            ("category's baseline", size_of::<Category>(), 40),
            ("quantile's baseline", size_of::<Quantile>(), 56),
        ] {
            assert_eq!(size, bytes, "{name}");
        }
    }
}
