//! Events that go to partitions elsewhere: who needs each, and what all of them are told.

use super::shard::Activity;
use super::site::enrich;
use crate::domain::{CaptureLoss, EntityHash, Field, KEY_GROUPS, Mark, Timestamp, write_entity};
use crate::engine::order::Stamped;
use crate::engine::program::Program;
use crate::engine::selection::Selection;
use crate::engine::template::Templates;

/// An event, and the partitions that need it.
#[derive(Debug)]
pub struct Departure {
    /// How many events were pushed before it. That does not hang on which of them somebody needs, so it is the same
    /// whatever detectors there are.
    pub number: u64,
    /// The event at its place.
    pub stamped: Stamped,
    /// Each partition with the kinds of entities that the event is there for, in order; no kind where every partition
    /// gets it because it tells what holds for all: who holds an address, what a sensor loses.
    pub to: Vec<(u16, Vec<u8>)>,
}

/// Events in order in, departures out.
pub struct Departures {
    partitions: u16,
    selection: Selection,
    templates: Templates,
    pushed: u64,
    departed: Vec<Departure>,
    activity: Activity,
    watermark: Timestamp,
    bytes: Vec<u8>,
}

impl Departures {
    /// To so many partitions.
    pub(super) fn new(partitions: u16) -> Departures {
        Departures {
            partitions: partitions.clamp(1, KEY_GROUPS as u16),
            selection: Selection::default(),
            templates: Templates::default(),
            pushed: 0,
            departed: Vec::new(),
            activity: Activity::default(),
            watermark: Timestamp::MIN,
            bytes: Vec::new(),
        }
    }

    /// Takes the next event, in the order of engine time.
    pub(super) fn push(&mut self, mut stamped: Stamped, program: &Program) {
        self.activity.add(stamped.engine_time);
        let number = self.pushed;
        self.pushed += 1;
        // What orders it among other streams is what was decoded, not what is added here.
        stamped.content();
        let event = &mut stamped.event;
        enrich(event, program, &mut self.templates);
        let selected = self.selection.of(event, program);
        let mut to: Vec<(u16, Vec<u8>)> = Vec::new();
        if event.has(Field::DhcpAssignedIp) || CaptureLoss::of(event).is_some() {
            to.extend((0..self.partitions).map(|partition| (partition, Vec::new())));
        }
        for (kind, entities) in program.kinds.iter().enumerate() {
            if entities.detectors & selected == 0 {
                continue;
            }
            let Some(hash) = write_entity(event, &entities.fields, &mut self.bytes) else {
                continue;
            };
            let partition = self.partition(hash);
            match to.binary_search_by_key(&partition, |(partition, _)| *partition) {
                Ok(place) => to[place].1.push(kind as u8),
                Err(place) => to.insert(place, (partition, vec![kind as u8])),
            }
        }
        if !to.is_empty() {
            self.departed.push(Departure { number, stamped, to });
        }
    }

    /// Every event before it has been pushed.
    pub(super) fn advance(&mut self, watermark: Timestamp) {
        self.watermark = self.watermark.max(watermark);
    }

    /// How many events were pushed.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// What has departed since this was asked last.
    pub fn take(&mut self) -> Vec<Departure> {
        std::mem::take(&mut self.departed)
    }

    /// What all partitions are told behind what has departed.
    pub fn mark(&mut self, quiet: bool) -> Mark {
        Mark {
            watermark: self.watermark,
            active: self.activity.take(),
            quiet,
            ..Mark::default()
        }
    }

    fn partition(&self, hash: EntityHash) -> u16 {
        (hash.key_group() * usize::from(self.partitions) / KEY_GROUPS) as u16
    }
}
