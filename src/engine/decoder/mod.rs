//! Bytes of one format to events. Bytes from outside meet only decoders, which neither panic, nor loop, nor allocate
//! without a limit: no indexing, no `unwrap`, no unchecked arithmetic, and a bound on every length.
//!
//! Three families: `packet` takes frames of a capture and gives flows and what was said in them (`application` parses
//! that), `export` takes datagrams in which others tell of flows, `log` takes lines. All account for every record as decoded, ignored or refused with a reason.

pub mod application;
pub mod export;
pub mod log;
pub mod packet;

use crate::domain::Event;
use std::collections::BTreeMap;

/// What decoders have made of their records so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records (frames, lines) that were given to the decoder.
    pub records: u64,
    /// Records that became events, or a part of one.
    pub decoded: u64,
    /// Records that are well formed and say nothing that is watched, by kind: `comment`, `arp`, `cron` ...
    pub ignored: BTreeMap<&'static str, u64>,
    /// Records that could not be read, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Adds what another decoder has made of its records.
    pub fn merge(&mut self, other: &Tally) {
        self.records += other.records;
        self.decoded += other.decoded;
        for (kind, count) in &other.ignored {
            *self.ignored.entry(kind).or_default() += count;
        }
        for (reason, count) in &other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
    }

    /// Counts one ignored record. `kind` is one of a closed set of words.
    pub fn ignore(&mut self, kind: &'static str) {
        *self.ignored.entry(kind).or_default() += 1;
    }

    /// Counts one refused record. `reason` is one of a closed set of words, fit for a metric's label.
    pub fn refuse(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }
}

/// Where decoders put what they read: events in the order in which they were complete, and the account of records.
#[derive(Debug, Default)]
pub struct Output {
    /// Events that are complete. The caller takes them out after each batch.
    pub events: Vec<Event>,
    /// The account of the records.
    pub tally: Tally,
}
