//! Which detectors select an event, remembered by the event's shape: which fields it has, and what stands in those that
//! have few values. Most of a condition is decided by that alone; what is left is kept ready for the next event.
//!
//! Sketch: a busy site has some hundred shapes, an event costs one hash over 100 bytes, and the few tests that no shape
//! decides (a list of ports, a network).

use super::program::Program;
use super::select::{Given, Matcher};
use crate::domain::{Event, Field};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Fields with few values. Together with which fields are there at all they are an event's shape.
const SHAPE: [Field; 14] = [
    Field::EventKind,
    Field::EventCategory,
    Field::EventType,
    Field::EventAction,
    Field::EventOutcome,
    Field::EventDataset,
    Field::EventCode,
    Field::NetworkDirection,
    Field::NetworkTransport,
    Field::NetworkProtocol,
    Field::ZeekConnectionState,
    Field::HttpRequestMethod,
    Field::DnsQuestionType,
    Field::DnsResponseCode,
];

/// Whether a field is one of [`SHAPE`], by its number.
const IN_SHAPE: [bool; Field::ALL.len()] = {
    let mut found = [false; Field::ALL.len()];
    let mut at = 0;
    while at < SHAPE.len() {
        found[SHAPE[at] as usize] = true;
        at += 1;
    }
    found
};

/// Shapes that are remembered at once. Beyond it all are forgotten and learned anew.
const SHAPES_MAX: usize = 2048;

/// The detectors that select events, by shape.
#[derive(Default)]
pub(super) struct Selection {
    by_shape: HashTable<Shape>,
    bytes: Vec<u8>,
}

struct Shape {
    bytes: Box<[u8]>,
    /// The detectors that select every event of this shape, a bit each.
    always: u128,
    /// The detectors that select those events of this shape that meet this.
    open: Box<[(u8, Matcher)]>,
}

impl Selection {
    /// The detectors that select the event, a bit each.
    pub(super) fn of(&mut self, event: &Event, program: &Program) -> u128 {
        self.bytes.clear();
        for word in event.present() {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        event.write_fields(&IN_SHAPE, &mut self.bytes);
        let hash = xxh3_64(&self.bytes);
        let known = |shape: &Shape| *shape.bytes == *self.bytes;
        if let Some(shape) = self.by_shape.find(hash, known) {
            return shape.selects(event);
        }
        if self.by_shape.len() >= SHAPES_MAX {
            self.by_shape.clear();
        }
        let shape = Shape::of(event, &self.bytes, program);
        let selected = shape.selects(event);
        self.by_shape.insert_unique(hash, shape, |shape| xxh3_64(&shape.bytes));
        selected
    }
}

impl Shape {
    fn of(event: &Event, bytes: &[u8], program: &Program) -> Shape {
        let (mut always, mut open) = (0u128, Vec::new());
        for (number, detector) in program.detectors.iter().enumerate() {
            match detector.selects.given(event, &IN_SHAPE) {
                Given::Decided(selects) => always |= u128::from(selects) << number,
                Given::Open(matcher) => open.push((number as u8, matcher)),
            }
        }
        Shape {
            bytes: bytes.into(),
            always,
            open: open.into_boxed_slice(),
        }
    }

    fn selects(&self, event: &Event) -> u128 {
        let mut selected = self.always;
        for (number, matcher) in &self.open {
            selected |= u128::from(matcher.matches(event)) << number;
        }
        selected
    }
}
