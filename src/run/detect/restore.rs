//! A partition that was given is taken up on a thread of its own, while others go on: how far the group has come in it,
//! its state from the topic of state or from the copy here, and its place.

use super::Judging;
use super::holding::{Holding, Work, take_piece};
use crate::config::ClusterTopics;
use crate::edge::bus::{Connection, Kept, Note, Seat, Shelf, Voice};
use crate::engine::pipeline::{Docket, Shard, Share};
use crate::engine::snapshot::SnapshotProblem;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// What taking up needs.
#[derive(Clone)]
pub(super) struct Restorer {
    pub(super) judging: Arc<Judging>,
    pub(super) connection: Connection,
    pub(super) group: String,
    pub(super) topics: ClusterTopics,
    pub(super) snapshot_every: Duration,
    /// Where copies of committed states are.
    pub(super) folder: PathBuf,
    pub(super) voice: Voice,
    /// For questions about the topic of state.
    pub(super) shelf: Arc<Shelf>,
}

impl Restorer {
    /// Takes a partition up.
    pub(super) fn restore(&self, seat: &Seat, stop: &AtomicBool) -> anyhow::Result<Holding> {
        let begun = Instant::now();
        let name = Holding::name(seat, &self.topics);
        let shelf = Shelf::open(&self.connection, &self.group, self.voice.clone())?;
        let committed = shelf.committed(seat, stop)?;
        let bounds = shelf.bounds(seat)?;
        let (low, _) = bounds;
        let (from, wanted) = match committed {
            Some((_, Some(note))) => match note.chunks {
                Some(chunks) => (Some(chunks), Some(note.snapshot)),
                // It was begun with an empty state, and none was kept yet.
                None => return self.begin(seat, note.snapshot, bounds, committed),
            },
            _ => (None, None),
        };
        let local = wanted.and_then(|wanted| read_copy(&self.copy(&name), wanted));
        let is_local = local.is_some();
        let kept = match local {
            Some(kept) => Some(kept),
            None => shelf.state(&name, &self.shelf_of(seat), from, wanted, stop)?,
        };
        let Some(kept) = kept else {
            return self.begin(seat, low, bounds, committed);
        };
        let label = kept.label;
        let work = self
            .take_up(seat, &kept)
            .with_context(|| format!("the state `{name}`"))?;
        let mut holding = self.holding(seat, work, label.snapshot, label.found);
        holding.chunks = label.chunks;
        holding.note = Note {
            v: label.v,
            found: label.found,
            snapshot: label.snapshot,
            chunks: from.or(Some(0)),
        };
        match committed {
            Some((next, note)) => {
                holding.committed = next.max(label.snapshot);
                holding.committed_found = note.map_or(label.found, |note| note.found.max(label.found));
            }
            None => tracing::warn!(
                "the group has no position in {}/{}; it goes on from its state, at {}",
                seat.topic,
                seat.partition,
                label.snapshot
            ),
        }
        self.look_for_gap(&mut holding, bounds);
        tracing::info!(
            "{}/{} taken up: position {}, committed {}, {} bytes of state{}, {} ms",
            seat.topic,
            seat.partition,
            holding.next,
            holding.committed,
            label.bytes,
            if is_local { " from the copy here" } else { "" },
            begun.elapsed().as_millis()
        );
        Ok(holding)
    }

    /// A partition with an empty state.
    fn begin(
        &self,
        seat: &Seat,
        at: i64,
        bounds: (i64, i64),
        committed: Option<(i64, Option<Note>)>,
    ) -> anyhow::Result<Holding> {
        let work = self.work(seat)?;
        let mut holding = self.holding(seat, work, at, 0);
        holding.note.snapshot = at;
        if let Some((next, note)) = committed {
            holding.committed = next.max(at);
            holding.committed_found = note.map_or(0, |note| note.found);
        }
        self.look_for_gap(&mut holding, bounds);
        tracing::info!("{}/{} begins at {}", seat.topic, seat.partition, holding.next);
        Ok(holding)
    }

    /// Records that retention has taken can't be judged: that is told, and it goes on behind them. So is a topic that was
    /// made anew: what was learned goes on with the new one from its beginning.
    fn look_for_gap(&self, holding: &mut Holding, (low, high): (i64, i64)) {
        if holding.next.max(holding.committed) > high {
            let Seat { topic, partition } = &holding.seat;
            self.voice.metrics().gaps(topic, "other_log").inc();
            tracing::error!(
                "{topic}/{partition} ends at {high}, and its state stands at {}: the topic was made anew, and is judged from \
                 its beginning by what was learned",
                holding.next
            );
            holding.next = low;
            holding.committed = low;
            holding.found = holding.found.max(holding.committed_found);
            holding.committed_found = holding.found;
            // The state stands for a place that is not there any more.
            holding.keep_at = Instant::now();
            return;
        }
        if holding.next >= low {
            return;
        }
        let lost = low - holding.next;
        let Seat { topic, partition } = &holding.seat;
        self.voice.metrics().gaps(topic, "retention").inc();
        self.voice.metrics().lost(topic).inc_by(lost as u64);
        tracing::error!(
            "{topic}/{partition} begins at {low}, and its state stands at {}: up to {lost} records were deleted before they \
             were judged; lengthen the topic's retention",
            holding.next
        );
        holding.next = low;
        holding.committed = holding.committed.max(low);
    }

    fn holding(&self, seat: &Seat, work: Work, next: i64, found: u64) -> Holding {
        let note = Note {
            v: crate::edge::bus::wire::VERSION,
            found,
            snapshot: next,
            chunks: None,
        };
        // Not all at once.
        let share = f64::from(seat.partition + 1) / f64::from(self.judging.partitions.max(1));
        let keep_at = Instant::now() + self.snapshot_every.mul_f64(share.clamp(0.0, 1.0));
        Holding::new(seat.clone(), work, next, found, note, keep_at)
    }

    fn work(&self, seat: &Seat) -> anyhow::Result<Work> {
        let Judging {
            program,
            budget,
            partitions,
            site,
        } = &*self.judging;
        if seat.topic == self.topics.findings {
            return Ok(Work::Docket(Box::new(Docket::new(
                program.clone(),
                *budget,
                *partitions,
            ))));
        }
        let place = u16::try_from(seat.partition).unwrap_or(u16::MAX);
        anyhow::ensure!(
            place < *partitions,
            "`{}` has more partitions than the configuration says ({partitions}); key groups are dealt out over them",
            seat.topic
        );
        let share = Share { place, of: *partitions };
        let zone = site.config.timezone.clone();
        Ok(Work::Shard(Box::new(Shard::new(program.clone(), *budget, share, zone))))
    }

    fn take_up(&self, seat: &Seat, kept: &Kept) -> anyhow::Result<Work> {
        let mut work = self.work(seat)?;
        let mut rest = &kept.bytes[..];
        let first = take_piece(&mut rest).context("it is cut")?;
        let restored = match &mut work {
            Work::Docket(docket) => docket.restore(first)?,
            Work::Shard(shard) => shard.restore(first, |piece| {
                Ok::<_, SnapshotProblem>(match take_piece(&mut rest) {
                    Some(next) => {
                        piece.clear();
                        piece.extend_from_slice(next);
                        true
                    }
                    None => false,
                })
            })?,
        };
        if let Some(changes) = crate::run::state::changes(&restored) {
            tracing::info!("learned state: {changes}");
        }
        Ok(work)
    }

    /// Where the state of a partition is kept.
    pub(super) fn shelf_of(&self, seat: &Seat) -> Seat {
        let is_triage = seat.topic == self.topics.findings;
        Seat {
            topic: self.topics.state.clone(),
            partition: if is_triage { 0 } else { seat.partition },
        }
    }

    /// The end of a partition of the topic of state: what is written from now on stands behind it.
    pub(super) fn shelf_end(&self, seat: &Seat) -> anyhow::Result<i64> {
        Ok(self.shelf.bounds(seat)?.1)
    }

    fn copy(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.state"))
    }

    /// Keeps a copy of a committed state here.
    pub(super) fn write_copy(&self, name: &str, kept: &Kept) {
        let write = || -> std::io::Result<()> {
            let path = self.copy(name);
            let new = path.with_extension("new");
            let label = serde_json::to_vec(&kept.label)?;
            let mut bytes = (label.len() as u64).to_le_bytes().to_vec();
            bytes.extend(label);
            bytes.extend_from_slice(&kept.bytes);
            std::fs::write(&new, bytes)?;
            std::fs::rename(&new, &path)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "no copy of the state `{name}` could be kept in {}", self.folder.display());
        }
    }
}

/// The copy here, if it is of this position and whole.
fn read_copy(path: &Path, wanted: i64) -> Option<Kept> {
    let bytes = std::fs::read(path).ok()?;
    let mut rest = &bytes[..];
    let label = serde_json::from_slice(take_piece(&mut rest)?).ok()?;
    let kept = Kept::new(rest.to_vec(), wanted, 0);
    let expected = crate::edge::bus::Label {
        found: kept.label.found,
        ..label
    };
    (kept.label == expected).then_some(Kept { label, ..kept })
}
