//! An event: one thing that happened, as values under interned ECS field names.
//!
//! Sketch: a connection event holds about 25 values; a value is 24 bytes, its text lies in one shared buffer, so an
//! event costs two allocations and under 1 KB. Asking for a field that is absent, which is what most detectors do
//! most of the time, costs one bit test.

use super::{Duration, Field, Timestamp};
use std::net::IpAddr;

/// One value of a field. Text is borrowed from the event that holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text: ECS keyword or wildcard.
    Str(&'a str),
    /// A whole number, never negative: ports, sizes, counts.
    U64(u64),
    /// A whole number below zero, or one that may be.
    I64(i64),
    /// A number with a fraction; finite.
    F64(f64),
    /// An address.
    Ip(IpAddr),
    /// Yes or no.
    Bool(bool),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stored {
    Str { start: u32, len: u32 },
    U64(u64),
    I64(i64),
    F64(f64),
    Ip(IpAddr),
    Bool(bool),
}

/// One thing that happened. Its time is when the thing was complete: a flow's or request's end.
///
/// A field may hold several values (DNS answers, `event.category`); they keep the order in which they were added.
/// At most [`Event::VALUES_MAX`] values and [`Event::TEXT_BYTES_MAX`] bytes of text are held; what is over is cut and
/// [`Event::cut`] tells so.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    time: Timestamp,
    start: Option<Timestamp>,
    present: [u64; Field::WORDS],
    slots: Vec<(Field, Stored)>,
    text: String,
    cut: bool,
}

impl Event {
    /// The largest number of values that an event holds.
    pub const VALUES_MAX: usize = 256;
    /// The largest number of bytes of text that an event holds, over all of its values.
    pub const TEXT_BYTES_MAX: usize = 64 * 1024;

    /// An event without fields that was complete at `time`.
    pub fn new(time: Timestamp) -> Self {
        Event {
            time,
            start: None,
            present: [0; Field::WORDS],
            slots: Vec::with_capacity(24),
            text: String::with_capacity(192),
            cut: false,
        }
    }

    /// When the thing was complete.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Moves the moment of completion, for an owner that learns it late.
    pub fn set_time(&mut self, time: Timestamp) {
        self.time = time;
    }

    /// When the thing began (`event.start`), where that is known and differs from its time.
    pub fn start(&self) -> Option<Timestamp> {
        self.start
    }

    /// Sets when the thing began.
    pub fn set_start(&mut self, start: Timestamp) {
        self.start = Some(start);
    }

    /// From its beginning to its completion; nothing when the beginning is not known.
    pub fn duration(&self) -> Option<Duration> {
        self.start.map(|start| self.time.since(start))
    }

    /// Whether values or text were cut to stay inside the event's bounds.
    pub fn cut(&self) -> bool {
        self.cut
    }

    /// Adds text. Empty text is not a value and is left out.
    pub fn add_str(&mut self, field: Field, text: &str) {
        if text.is_empty() {
            return;
        }
        let room = Self::TEXT_BYTES_MAX - self.text.len();
        let kept = if text.len() <= room {
            text
        } else {
            self.cut = true;
            &text[..text.floor_char_boundary(room)]
        };
        if kept.is_empty() {
            return;
        }
        let start = self.text.len() as u32;
        self.text.push_str(kept);
        self.add(
            field,
            Stored::Str {
                start,
                len: kept.len() as u32,
            },
        );
    }

    /// Adds text that is meant to be UTF-8; broken sequences are replaced by U+FFFD.
    pub fn add_bytes(&mut self, field: Field, text: &[u8]) {
        let bounded = &text[..text.len().min(Self::TEXT_BYTES_MAX)];
        match std::str::from_utf8(bounded) {
            Ok(text) => self.add_str(field, text),
            Err(_) => self.add_str(field, &String::from_utf8_lossy(bounded)),
        }
        self.cut |= bounded.len() < text.len();
    }

    /// Adds a whole number.
    pub fn add_u64(&mut self, field: Field, number: u64) {
        self.add(field, Stored::U64(number));
    }

    /// Adds a whole number that may be below zero.
    pub fn add_i64(&mut self, field: Field, number: i64) {
        match u64::try_from(number) {
            Ok(number) => self.add(field, Stored::U64(number)),
            Err(_) => self.add(field, Stored::I64(number)),
        }
    }

    /// Adds a number with a fraction. What is not finite is not a value and is left out.
    pub fn add_f64(&mut self, field: Field, number: f64) {
        if number.is_finite() {
            self.add(field, Stored::F64(number));
        }
    }

    /// Adds an address. An IPv4 address inside IPv6 (`::ffff:10.0.0.1`) becomes the IPv4 address that it stands for.
    pub fn add_ip(&mut self, field: Field, address: IpAddr) {
        self.add(field, Stored::Ip(address.to_canonical()));
    }

    /// Adds yes or no.
    pub fn add_bool(&mut self, field: Field, yes: bool) {
        self.add(field, Stored::Bool(yes));
    }

    /// Adds a value of any kind.
    pub fn add_value(&mut self, field: Field, value: Value<'_>) {
        match value {
            Value::Str(text) => self.add_str(field, text),
            Value::U64(number) => self.add_u64(field, number),
            Value::I64(number) => self.add_i64(field, number),
            Value::F64(number) => self.add_f64(field, number),
            Value::Ip(address) => self.add_ip(field, address),
            Value::Bool(yes) => self.add_bool(field, yes),
        }
    }

    fn add(&mut self, field: Field, value: Stored) {
        if self.slots.len() >= Self::VALUES_MAX {
            self.cut = true;
            return;
        }
        let index = field as usize;
        self.present[index / 64] |= 1 << (index % 64);
        self.slots.push((field, value));
    }

    /// Whether the field has a value.
    pub fn has(&self, field: Field) -> bool {
        let index = field as usize;
        self.present[index / 64] & (1 << (index % 64)) != 0
    }

    /// The bits of the fields that have a value; bit `field as usize`.
    pub fn present(&self) -> &[u64; Field::WORDS] {
        &self.present
    }

    /// The field's first value.
    pub fn get(&self, field: Field) -> Option<Value<'_>> {
        if !self.has(field) {
            return None;
        }
        let (_, value) = self.slots.iter().find(|(held, _)| *held == field)?;
        Some(self.value(value))
    }

    /// All of the field's values in the order in which they were added.
    pub fn values(&self, field: Field) -> impl Iterator<Item = Value<'_>> {
        let slots: &[(Field, Stored)] = if self.has(field) { &self.slots } else { &[] };
        slots
            .iter()
            .filter(move |(held, _)| *held == field)
            .map(|(_, value)| self.value(value))
    }

    /// Every field with its value, in the order in which they were added.
    pub fn fields(&self) -> impl Iterator<Item = (Field, Value<'_>)> {
        self.slots.iter().map(|(field, value)| (*field, self.value(value)))
    }

    /// The field's first value, if it is text.
    pub fn str(&self, field: Field) -> Option<&str> {
        match self.get(field)? {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The field's first value, if it is a whole number that is not negative.
    pub fn u64(&self, field: Field) -> Option<u64> {
        match self.get(field)? {
            Value::U64(number) => Some(number),
            _ => None,
        }
    }

    /// The field's first value as a number, if it is one.
    pub fn number(&self, field: Field) -> Option<f64> {
        match self.get(field)? {
            Value::U64(number) => Some(number as f64),
            Value::I64(number) => Some(number as f64),
            Value::F64(number) => Some(number),
            _ => None,
        }
    }

    /// The field's first value, if it is an address.
    pub fn ip(&self, field: Field) -> Option<IpAddr> {
        match self.get(field)? {
            Value::Ip(address) => Some(address),
            _ => None,
        }
    }

    /// A hash of everything that the event says, the same on every machine. It orders events of equal time.
    pub fn content_hash(&self) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        hasher.update(&self.time.nanos().to_le_bytes());
        hasher.update(self.text.as_bytes());
        let mut words = [0u8; 256];
        let mut used = 0;
        for (field, value) in &self.slots {
            let word = match *value {
                Stored::Str { len, .. } => u64::from(len),
                Stored::U64(number) => number,
                Stored::I64(number) => number as u64,
                Stored::F64(number) => number.to_bits(),
                Stored::Bool(yes) => u64::from(yes),
                Stored::Ip(IpAddr::V4(address)) => u64::from(address.to_bits()),
                Stored::Ip(IpAddr::V6(address)) => {
                    let bits = address.to_bits();
                    (bits as u64) ^ ((bits >> 64) as u64).rotate_left(32)
                }
            };
            let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (*field as u64);
            words[used..used + 8].copy_from_slice(&mixed.to_le_bytes());
            used += 8;
            if used == words.len() {
                hasher.update(&words);
                used = 0;
            }
        }
        hasher.update(&words[..used]);
        hasher.digest()
    }

    fn value(&self, stored: &Stored) -> Value<'_> {
        match *stored {
            Stored::Str { start, len } => Value::Str(&self.text[start as usize..(start + len) as usize]),
            Stored::U64(number) => Value::U64(number),
            Stored::I64(number) => Value::I64(number),
            Stored::F64(number) => Value::F64(number),
            Stored::Ip(address) => Value::Ip(address),
            Stored::Bool(yes) => Value::Bool(yes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_order_and_absent_fields_are_absent() {
        let mut event = Event::new(Timestamp::from_seconds(5));
        event.add_str(Field::EventCategory, "network");
        event.add_str(Field::EventCategory, "");
        event.add_str(Field::EventCategory, "session");
        event.add_u64(Field::SourcePort, 443);
        event.add_ip(Field::SourceIp, "::ffff:10.0.0.1".parse().expect("an address"));
        assert_eq!(
            event.values(Field::EventCategory).collect::<Vec<_>>(),
            [Value::Str("network"), Value::Str("session")]
        );
        assert_eq!(event.u64(Field::SourcePort), Some(443));
        assert_eq!(event.ip(Field::SourceIp), "10.0.0.1".parse().ok());
        assert_eq!(event.get(Field::UserName), None);
    }

    #[test]
    fn an_event_stays_inside_its_bounds_and_says_so() {
        let mut event = Event::new(Timestamp::from_seconds(5));
        event.add_str(Field::Message, &"é".repeat(Event::TEXT_BYTES_MAX));
        assert!(event.cut());
        assert_eq!(event.str(Field::Message).map(str::len), Some(Event::TEXT_BYTES_MAX));
        for _ in 0..2 * Event::VALUES_MAX {
            event.add_u64(Field::SourcePort, 1);
        }
        assert_eq!(event.fields().count(), Event::VALUES_MAX);
    }
}
