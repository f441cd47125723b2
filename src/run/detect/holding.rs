//! A partition that this instance holds: what judges it, and how far it has come.

use super::Judging;
use crate::config::ClusterTopics;
use crate::domain::Passed;
use crate::edge::bus::wire::{
    EventRecord, FindingRecord, Unreadable, read_event, read_finding, write_finding, write_passed,
};
use crate::edge::bus::{Kept, Note, Output, Seat, Standing};
use crate::edge::sink::{Letterhead, Told};
use crate::engine::order::Stamped;
use crate::engine::pipeline::{Docket, Shard};
use crate::engine::population::{Summaries, write_summary};
use crate::engine::snapshot::SnapshotProblem;
use std::time::Instant;

/// Records that a partition takes while it waits for the population.
const WAITING_MAX: usize = 1 << 15;

/// What judges a partition.
pub(super) enum Work {
    /// A partition of events.
    Shard(Box<Shard>),
    /// The partition of findings.
    Docket(Box<Docket>),
}

/// A partition that is held.
pub(super) struct Holding {
    pub(super) seat: Seat,
    pub(super) work: Work,
    /// The offset of its next record.
    pub(super) next: i64,
    /// How many findings, or alerts, the records before it led to.
    pub(super) found: u64,
    /// How far it was committed, and how many findings its records led to until there: up to here everything was told
    /// already.
    pub(super) committed: i64,
    pub(super) committed_found: u64,
    /// Whether this instance has committed any position of it.
    pub(super) committed_at_all: bool,
    /// What is noted beside its position.
    pub(super) note: Note,
    /// How many chunks its newest state has.
    pub(super) chunks: u32,
    /// When its state is kept next.
    pub(super) keep_at: Instant,
    /// Whether it waits for the population.
    pub(super) is_waiting: bool,
    /// Whether nothing more comes until it has waited long enough.
    pub(super) is_paused: bool,
    /// What it told last of how far it has come.
    passed: Option<Passed>,
}

impl Holding {
    pub(super) fn new(seat: Seat, work: Work, next: i64, found: u64, note: Note, keep_at: Instant) -> Holding {
        Holding {
            seat,
            work,
            next,
            found,
            committed: next,
            committed_found: found,
            committed_at_all: false,
            note,
            chunks: 0,
            keep_at,
            is_waiting: false,
            is_paused: false,
            passed: None,
        }
    }

    /// The name under which its state is kept.
    pub(super) fn name(seat: &Seat, topics: &ClusterTopics) -> String {
        if seat.topic == topics.findings {
            "triage".to_owned()
        } else {
            format!("events-{}", seat.partition)
        }
    }

    /// Takes its next record.
    pub(super) fn take(&mut self, offset: i64, value: Option<&[u8]>, judging: &Judging) -> Result<bool, Unreadable> {
        self.next = offset + 1;
        match &mut self.work {
            Work::Shard(shard) => match read_event(value)? {
                EventRecord::Event {
                    stream,
                    at,
                    order,
                    input,
                    sequence,
                    event,
                } => Ok(shard.event(&stream, Stamped::known(event, at, order, input, sequence))),
                EventRecord::Mark { stream, mark } => {
                    shard.mark(&stream, mark);
                    Ok(true)
                }
            },
            Work::Docket(docket) => {
                match read_finding(value)? {
                    FindingRecord::Finding {
                        detector, mut finding, ..
                    } => {
                        let mut known = judging.program.definitions.iter();
                        let place = known.position(|definition| definition.id == detector);
                        finding.detector = place.ok_or(Unreadable::Impossible)? as u16;
                        docket.finding(*finding);
                    }
                    FindingRecord::Passed { partition, passed } => docket.partition_passed(partition, passed),
                }
                // Triage hears what has come together.
                Ok(false)
            }
        }
    }

    /// Does what can be done with what was taken. What that leads to, and was not told before, goes to `outputs`.
    pub(super) fn go_on(
        &mut self,
        summaries: &Summaries,
        judging: &Judging,
        topics: &ClusterTopics,
        outputs: &mut Vec<(Seat, Output)>,
    ) {
        loop {
            let done = match &mut self.work {
                Work::Shard(shard) => shard.work(),
                Work::Docket(_) => self.hear(judging, topics, outputs),
            };
            self.tell_found(judging, topics, outputs);
            let (awaited, is_waiting) = match &self.work {
                Work::Shard(shard) => (shard.awaited().next(), done.is_err()),
                Work::Docket(docket) => (docket.awaited().next(), done.is_err()),
            };
            self.is_waiting = is_waiting;
            let Some(whole) = awaited.and_then(|epoch| summaries.whole(epoch)) else {
                return;
            };
            match &mut self.work {
                Work::Shard(shard) => shard.absorb(whole),
                Work::Docket(docket) => docket.absorb(whole),
            }
        }
    }

    /// Triage.
    fn hear(
        &mut self,
        judging: &Judging,
        topics: &ClusterTopics,
        outputs: &mut Vec<(Seat, Output)>,
    ) -> Result<(), i64> {
        let Work::Docket(docket) = &mut self.work else {
            return Ok(());
        };
        let mut alerts = Vec::new();
        let done = docket.work(&mut alerts);
        let head = Letterhead {
            definitions: &judging.program.definitions,
            program: env!("CARGO_PKG_VERSION"),
            networks: &judging.program.networks,
            assets: &judging.site.config.assets,
        };
        for alert in alerts {
            if self.found >= self.committed_found {
                let told = Box::new(Told::of(&alert, &head));
                let topic = topics.alerts.clone();
                outputs.push((self.seat.clone(), Output::Alert { topic, told }));
            }
            self.found += 1;
        }
        done
    }

    /// What a shard has found and summed up.
    fn tell_found(&mut self, judging: &Judging, topics: &ClusterTopics, outputs: &mut Vec<(Seat, Output)>) {
        let Work::Shard(shard) = &mut self.work else { return };
        let partition = shard.share().place;
        for finding in shard.findings() {
            if self.found >= self.committed_found {
                let definition = judging.program.definitions.get(usize::from(finding.detector));
                let detector = definition.map_or("", |definition| definition.id.as_str());
                let output = Output::Record {
                    topic: topics.findings.clone(),
                    partition: 0,
                    key: None,
                    value: Some(write_finding(partition, detector, &finding)),
                };
                outputs.push((self.seat.clone(), output));
            }
            self.found += 1;
        }
        // One that was told before is told again: it is the same.
        for (epoch, summary) in shard.summaries() {
            match write_summary(&summary, &judging.program) {
                Ok(value) => {
                    let output = Output::Record {
                        topic: topics.population.clone(),
                        partition: 0,
                        key: Some(format!("{epoch}/{partition}").into_bytes()),
                        value: Some(value),
                    };
                    outputs.push((self.seat.clone(), output));
                }
                Err(problem) => tracing::error!(%problem, epoch, "a summary could not be written"),
            }
        }
    }

    /// How far a shard has come, if that was not told yet.
    pub(super) fn tell_passed(&mut self, topics: &ClusterTopics) -> Option<Output> {
        let Work::Shard(shard) = &mut self.work else {
            return None;
        };
        let passed = shard.passed();
        if passed.ended.is_empty() && self.passed.as_ref() == Some(&passed) {
            return None;
        }
        let value = Some(write_passed(shard.share().place, &passed));
        self.passed = Some(Passed {
            ended: Vec::new(),
            ..passed
        });
        Some(Output::Record {
            topic: topics.findings.clone(),
            partition: 0,
            key: None,
            value,
        })
    }

    /// How far it has come, where that is further than what was committed.
    pub(super) fn standing(&self) -> Option<Standing> {
        (self.next >= self.committed).then(|| Standing {
            seat: self.seat.clone(),
            next: self.next,
            note: serde_json::to_string(&Note {
                found: self.found.max(self.committed_found),
                ..self.note
            })
            .unwrap_or_default(),
        })
    }

    /// Its state now.
    pub(super) fn kept(&mut self) -> Result<Kept, SnapshotProblem> {
        let mut bytes = Vec::new();
        match &mut self.work {
            Work::Docket(docket) => put_piece(&docket.save()?, &mut bytes),
            Work::Shard(shard) => shard.save(|piece| {
                put_piece(piece, &mut bytes);
                Ok::<_, SnapshotProblem>(())
            })?,
        }
        Ok(Kept::new(bytes, self.next, self.found))
    }

    /// Whether it waits for the population and has taken as much as it should meanwhile. Pausing a partition throws away
    /// what librdkafka has fetched of it, so a short wait is not worth it.
    pub(super) fn is_full(&self) -> bool {
        self.is_waiting
            && match &self.work {
                Work::Shard(shard) => shard.waiting() >= WAITING_MAX,
                Work::Docket(docket) => docket.waiting() >= WAITING_MAX,
            }
    }

    /// The epoch in which it judges.
    pub(super) fn epoch(&self) -> Option<i64> {
        match &self.work {
            Work::Shard(shard) => shard.epoch(),
            Work::Docket(docket) => docket.epoch(),
        }
    }
}

/// Appends a piece with its length.
fn put_piece(piece: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend((piece.len() as u64).to_le_bytes());
    bytes.extend_from_slice(piece);
}

/// Splits off the next piece.
pub(super) fn take_piece<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (piece, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_in_order() {
        let mut bytes = Vec::new();
        for piece in [&b"one"[..], b"", b"three"] {
            put_piece(piece, &mut bytes);
        }
        let mut rest = &bytes[..];
        let read: Vec<_> = std::iter::from_fn(|| take_piece(&mut rest)).collect();
        assert_eq!(read, [&b"one"[..], b"", b"three"]);
        assert_eq!(take_piece(&mut &bytes[..9]), None);
    }
}
