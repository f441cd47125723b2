//! A partition that was given is taken up on a thread of its own, while others go on: how far the group has come in it, and
//! what its inputs had open.

use super::super::core::Judging;
use super::raw::{Place, Raw};
use crate::config::ClusterTopics;
use crate::edge::bus::{Connection, Seat, Shelf, Voice};
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// What taking up needs.
#[derive(Clone)]
pub(super) struct Restorer {
    pub(super) judging: Arc<Judging>,
    pub(super) connection: Connection,
    pub(super) group: String,
    /// Whether a partition that nobody has read begins at its end.
    pub(super) is_latest: bool,
    pub(super) topics: ClusterTopics,
    /// Partitions of the topic of state.
    pub(super) partitions: u32,
    pub(super) snapshot_every: Duration,
    pub(super) voice: Voice,
    /// For questions.
    pub(super) shelf: Arc<Shelf>,
}

impl Restorer {
    /// The name under which the state of a partition's inputs is kept.
    pub(super) fn name(&self, seat: &Seat) -> String {
        format!("collect/{}/{}/{}", self.group, seat.topic, seat.partition)
    }

    /// Where it is kept.
    pub(super) fn shelf_of(&self, seat: &Seat) -> Seat {
        let partitions = i32::try_from(self.partitions).unwrap_or(i32::MAX).max(1);
        Seat {
            topic: self.topics.state.clone(),
            partition: seat.partition.rem_euclid(partitions),
        }
    }

    /// Takes a partition up.
    pub(super) fn restore(&self, seat: &Seat, stop: &AtomicBool) -> anyhow::Result<Raw> {
        let begun = Instant::now();
        let shelf = Shelf::open(&self.connection, &self.group, self.voice.clone())?;
        let committed = shelf.committed(seat, stop)?;
        let (low, high) = shelf.bounds(seat)?;
        let Some((committed, note)) = committed else {
            let next = if self.is_latest { high } else { low };
            tracing::info!("{}/{} begins at {next}", seat.topic, seat.partition);
            return self.begin(seat, next, 0);
        };
        let Some(note) = note else {
            // Told by somebody who kept nothing with it.
            return self.begin(seat, committed.max(low), 0);
        };
        if committed > high {
            self.voice.metrics().gaps(&seat.topic, "other_log").inc();
            tracing::error!(
                "`{}/{}` ends at {high}, and the group had come to {committed}: the topic was made anew, and is read from its \
                 beginning",
                seat.topic,
                seat.partition
            );
            return self.begin(seat, low, note.found);
        }
        let Some(chunks_at) = note.chunks else {
            return self.begin(seat, committed.max(low), note.found);
        };
        let kept = shelf.state(
            &self.name(seat),
            &self.shelf_of(seat),
            Some(chunks_at),
            Some(note.snapshot),
            stop,
        )?;
        let kept = kept.context("there is no state")?;
        if note.snapshot < low {
            return self.begin_behind_gap(seat, committed, low, note.found);
        }
        let place = Place {
            next: kept.label.snapshot,
            found: kept.label.found,
            committed,
            committed_found: note.found,
            chunks_at: Some(chunks_at),
            chunks: kept.label.chunks,
        };
        let keep_at = Instant::now() + self.snapshot_every;
        let raw = Raw::new(
            seat.clone(),
            &self.group,
            &self.judging,
            &place,
            Some(&kept.bytes),
            keep_at,
        )?;
        tracing::info!(
            "{}/{} taken up: position {}, committed {committed}, {} bytes of state, {} ms",
            seat.topic,
            seat.partition,
            place.next,
            kept.label.bytes,
            begun.elapsed().as_millis()
        );
        Ok(raw)
    }

    /// A partition whose inputs have nothing open.
    fn begin(&self, seat: &Seat, next: i64, found: u64) -> anyhow::Result<Raw> {
        let place = Place {
            next,
            found,
            committed: next,
            committed_found: found,
            chunks_at: None,
            chunks: 0,
        };
        // What was published without a state behind it could not be told apart from what was not.
        Raw::new(seat.clone(), &self.group, &self.judging, &place, None, Instant::now())
    }

    /// Records that retention has taken can't be read again: that is told, and it goes on behind them. What its inputs had
    /// open is gone with them, because what was published of it can't be told apart from what was not.
    fn begin_behind_gap(&self, seat: &Seat, committed: i64, low: i64, found: u64) -> anyhow::Result<Raw> {
        let lost = (low - committed).max(0);
        self.voice.metrics().gaps(&seat.topic, "retention").inc();
        self.voice.metrics().lost(&seat.topic).inc_by(lost as u64);
        tracing::error!(
            "`{}/{}` begins at {low}, and the group had come to {committed}: {lost} records were deleted before they were \
             read, and what the records before them had open is lost; lengthen the topic's retention",
            seat.topic,
            seat.partition
        );
        self.begin(seat, committed.max(low), found)
    }
}
