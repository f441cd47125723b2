//! What saved states say of each entity, however they are cut into partitions and pieces: two ways of sharing the work have
//! learned the same if and only if this is the same.

use super::SavedPiece;
use crate::domain::EntityHash;
use crate::engine::snapshot::{self, SnapshotProblem};
use crate::engine::table::Row;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What was learned, from one state or from several that share the key groups.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// By kind, hash and entity: its row.
    pub rows: BTreeMap<(u8, EntityHash, Vec<u8>), Vec<u8>>,
    /// By kind and key group: the sketch of its contacts.
    pub contacts: BTreeMap<(u8, u16), Vec<u8>>,
    /// When watches want to be woken, each with the kind, hash and entity of its row.
    pub wakes: BTreeSet<Vec<u8>>,
}

impl Learned {
    /// Adds the pieces of a state behind its head.
    pub fn add<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), SnapshotProblem> {
        let mut places = BTreeMap::new();
        let mut sleeping = Vec::new();
        let mut count = 0;
        let mut end = None;
        for piece in pieces {
            let (held, mut rest) = snapshot::begin(piece)?;
            match held {
                SavedPiece::Wakes { partition, wakes } => {
                    sleeping.extend(wakes.iter().map(|wake| (partition, wake.0)));
                }
                SavedPiece::Contacts { kind, group, cells } => {
                    put(&mut self.contacts, (kind, group), cells.into_owned())?
                }
                SavedPiece::Rows { partition, kind } => {
                    while !rest.is_empty() {
                        let ((place, row), behind): ((u32, Row), _) = snapshot::begin(rest)?;
                        rest = behind;
                        count += 1;
                        let key = (kind, row.hash, bytes(&row.entity)?);
                        put(&mut places, (partition, kind, place), key.clone())?;
                        put(&mut self.rows, key, bytes(&row)?)?;
                    }
                }
                SavedPiece::End { rows } => end = Some(rows),
            }
        }
        if end != Some(count) {
            return Err(SnapshotProblem::contradiction());
        }
        for (partition, wake) in sleeping {
            let row = places.get(&(partition, wake.kind, wake.row));
            // Those of entities that were forgotten since wake nobody.
            if let Some(row) = row.filter(|(_, hash, _)| *hash == wake.hash) {
                self.wakes.insert(bytes(&(row, wake.at, wake.plan, wake.silence))?);
            }
        }
        Ok(())
    }
}

fn put<K: Ord, V>(held: &mut BTreeMap<K, V>, key: K, value: V) -> Result<(), SnapshotProblem> {
    match held.insert(key, value) {
        Some(_) => Err(SnapshotProblem::contradiction()),
        None => Ok(()),
    }
}

fn bytes(value: &impl Serialize) -> Result<Vec<u8>, SnapshotProblem> {
    let mut bytes = Vec::new();
    snapshot::append(value, &mut bytes)?;
    Ok(bytes)
}
