//! An event: one thing that happened, as values under interned ECS field names.
//!
//! Sketch: a connection event holds about 28 values; a value with its field is 20 bytes, its text lies in one shared
//! buffer, so an event costs three allocations and some 1.3 KB. Asking for a field costs one bit test where it is absent,
//! which is what most detectors meet most of the time, and one more look-up where it is present.

use super::{Duration, Field, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// A field with one value, packed: `bits` holds a number, an address, or where the text stands.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    field: Field,
    kind: Kind,
    bits: [u32; 4],
}

/// What the bits of a slot mean.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Kind {
    /// Start and length in the event's text.
    Str,
    U64,
    I64,
    F64,
    V4,
    V6,
    Bool,
}

impl Slot {
    #[inline]
    fn new(field: Field, kind: Kind, bits: u64) -> Self {
        Slot {
            field,
            kind,
            bits: [bits as u32, (bits >> 32) as u32, 0, 0],
        }
    }

    #[inline]
    fn low(&self) -> u64 {
        u64::from(self.bits[0]) | u64::from(self.bits[1]) << 32
    }

    #[inline]
    fn wide(&self) -> u128 {
        u128::from(self.low()) | u128::from(self.bits[2]) << 64 | u128::from(self.bits[3]) << 96
    }
}

/// One thing that happened. Its time is when the thing was complete: a flow's or request's end.
///
/// A field may hold several values (DNS answers, `event.category`); they keep the order in which they were added.
/// At most [`Event::VALUES_MAX`] values and [`Event::TEXT_BYTES_MAX`] bytes of text are held; what is over is cut and
/// [`Event::cut`] tells so.
#[derive(Clone, Debug, PartialEq)]
pub struct Event(Box<Body>);

/// What an event holds. It lies behind a pointer, because an event passes through several queues on its way.
#[derive(Clone, Debug)]
struct Body {
    time: Timestamp,
    start: Option<Timestamp>,
    present: [u64; Field::WORDS],
    /// Of the fields that are present, those with more than one value.
    several: [u64; Field::WORDS],
    /// Where the first value of each field that is present stands among the slots.
    first: [u8; Field::ALL.len()],
    slots: Vec<Slot>,
    text: String,
    cut: bool,
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.time == other.time
            && self.start == other.start
            && self.slots == other.slots
            && self.text == other.text
            && self.cut == other.cut
    }
}

/// Room for the values of a usual event.
const SLOTS_USUAL: usize = 36;
/// Room for the text of a usual event.
const TEXT_BYTES_USUAL: usize = 192;

impl Event {
    /// The largest number of values that an event holds; the place of a value fits into a byte.
    pub const VALUES_MAX: usize = 256;
    /// The largest number of bytes of text that an event holds, over all of its values.
    pub const TEXT_BYTES_MAX: usize = 64 * 1024;

    /// An event without fields that was complete at `time`.
    pub fn new(time: Timestamp) -> Self {
        Event(Box::new(Body {
            time,
            start: None,
            present: [0; Field::WORDS],
            several: [0; Field::WORDS],
            first: [0; Field::ALL.len()],
            slots: Vec::with_capacity(SLOTS_USUAL),
            text: String::with_capacity(TEXT_BYTES_USUAL),
            cut: false,
        }))
    }

    /// An event that was complete at `time` and begins with the values of another. It has neither beginning nor cut.
    pub fn like(other: &Event, time: Timestamp) -> Self {
        let mut slots = Vec::with_capacity(SLOTS_USUAL.max(other.0.slots.len()));
        slots.extend_from_slice(&other.0.slots);
        let mut text = String::with_capacity(TEXT_BYTES_USUAL.max(other.0.text.len()));
        text.push_str(&other.0.text);
        Event(Box::new(Body {
            time,
            start: None,
            present: other.0.present,
            several: other.0.several,
            first: other.0.first,
            slots,
            text,
            cut: false,
        }))
    }

    /// When the thing was complete.
    pub fn time(&self) -> Timestamp {
        self.0.time
    }

    /// Moves the moment of completion, for an owner that learns it late.
    pub fn set_time(&mut self, time: Timestamp) {
        self.0.time = time;
    }

    /// When the thing began (`event.start`), where that is known and differs from its time.
    pub fn start(&self) -> Option<Timestamp> {
        self.0.start
    }

    /// Sets when the thing began.
    pub fn set_start(&mut self, start: Timestamp) {
        self.0.start = Some(start);
    }

    /// From its beginning to its completion; nothing when the beginning is not known.
    pub fn duration(&self) -> Option<Duration> {
        self.0.start.map(|start| self.0.time.since(start))
    }

    /// Whether values or text were cut to stay inside the event's bounds.
    pub fn cut(&self) -> bool {
        self.0.cut
    }

    /// Says that values or text were cut before they came here.
    pub fn set_cut(&mut self) {
        self.0.cut = true;
    }

    /// Adds text. Empty text is not a value and is left out.
    pub fn add_str(&mut self, field: Field, text: &str) {
        if text.is_empty() {
            return;
        }
        let room = Self::TEXT_BYTES_MAX - self.0.text.len();
        let kept = if text.len() <= room {
            text
        } else {
            self.0.cut = true;
            &text[..text.floor_char_boundary(room)]
        };
        if kept.is_empty() {
            return;
        }
        let start = self.0.text.len() as u64;
        self.0.text.push_str(kept);
        self.add(Slot::new(field, Kind::Str, start | (kept.len() as u64) << 32));
    }

    /// Adds text that is meant to be UTF-8; broken sequences are replaced by U+FFFD.
    pub fn add_bytes(&mut self, field: Field, text: &[u8]) {
        let bounded = &text[..text.len().min(Self::TEXT_BYTES_MAX)];
        match std::str::from_utf8(bounded) {
            Ok(text) => self.add_str(field, text),
            Err(_) => self.add_str(field, &String::from_utf8_lossy(bounded)),
        }
        self.0.cut |= bounded.len() < text.len();
    }

    /// Adds a whole number.
    pub fn add_u64(&mut self, field: Field, number: u64) {
        self.add(Slot::new(field, Kind::U64, number));
    }

    /// Adds a whole number that may be below zero.
    pub fn add_i64(&mut self, field: Field, number: i64) {
        match u64::try_from(number) {
            Ok(number) => self.add(Slot::new(field, Kind::U64, number)),
            Err(_) => self.add(Slot::new(field, Kind::I64, number as u64)),
        }
    }

    /// Adds a number with a fraction. What is not finite is not a value and is left out.
    pub fn add_f64(&mut self, field: Field, number: f64) {
        if number.is_finite() {
            self.add(Slot::new(field, Kind::F64, number.to_bits()));
        }
    }

    /// Adds an address. An IPv4 address inside IPv6 (`::ffff:10.0.0.1`) becomes the IPv4 address that it stands for.
    pub fn add_ip(&mut self, field: Field, address: IpAddr) {
        match address.to_canonical() {
            IpAddr::V4(address) => self.add(Slot::new(field, Kind::V4, u64::from(address.to_bits()))),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let mut slot = Slot::new(field, Kind::V6, bits as u64);
                slot.bits[2] = (bits >> 64) as u32;
                slot.bits[3] = (bits >> 96) as u32;
                self.add(slot);
            }
        }
    }

    /// Adds an address as text.
    pub fn add_ip_text(&mut self, field: Field, address: IpAddr) {
        let IpAddr::V4(address) = address else {
            return self.add_str(field, &address.to_string());
        };
        let (mut text, mut length) = ([b'.'; 15], 0);
        for (place, octet) in address.octets().into_iter().enumerate() {
            length += usize::from(place > 0);
            for (digit, least) in [(octet / 100, 100), (octet / 10 % 10, 10), (octet % 10, 0)] {
                if octet >= least {
                    text[length] = b'0' + digit;
                    length += 1;
                }
            }
        }
        self.add_str(field, std::str::from_utf8(&text[..length]).unwrap_or_default());
    }

    /// Adds yes or no.
    pub fn add_bool(&mut self, field: Field, yes: bool) {
        self.add(Slot::new(field, Kind::Bool, u64::from(yes)));
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

    #[inline]
    fn add(&mut self, slot: Slot) {
        if self.0.slots.len() >= Self::VALUES_MAX {
            self.0.cut = true;
            return;
        }
        let body = &mut *self.0;
        let index = slot.field as usize;
        let (word, bit) = (index / 64, 1 << (index % 64));
        if body.present[word] & bit == 0 {
            body.present[word] |= bit;
            body.first[index] = body.slots.len() as u8;
        } else {
            body.several[word] |= bit;
        }
        body.slots.push(slot);
    }

    /// Whether the field has a value.
    pub fn has(&self, field: Field) -> bool {
        let index = field as usize;
        self.0.present[index / 64] & (1 << (index % 64)) != 0
    }

    /// Whether the field has more than one value.
    pub fn has_several(&self, field: Field) -> bool {
        let index = field as usize;
        self.0.several[index / 64] & (1 << (index % 64)) != 0
    }

    /// The bits of the fields that have a value; bit `field as usize`.
    pub fn present(&self) -> &[u64; Field::WORDS] {
        &self.0.present
    }

    /// The field's first value.
    pub fn get(&self, field: Field) -> Option<Value<'_>> {
        if !self.has(field) {
            return None;
        }
        let slot = &self.0.slots[usize::from(self.0.first[field as usize])];
        Some(self.value(slot))
    }

    /// All of the field's values in the order in which they were added.
    pub fn values(&self, field: Field) -> impl Iterator<Item = Value<'_>> {
        let index = field as usize;
        let first = usize::from(self.0.first[index]);
        let slots = if !self.has(field) {
            &[]
        } else if !self.has_several(field) {
            &self.0.slots[first..=first]
        } else {
            &self.0.slots[first..]
        };
        slots
            .iter()
            .filter(move |slot| slot.field == field)
            .map(|slot| self.value(slot))
    }

    /// Every field with its value, in the order in which they were added.
    pub fn fields(&self) -> impl Iterator<Item = (Field, Value<'_>)> {
        self.0.slots.iter().map(|slot| (slot.field, self.value(slot)))
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

    /// Appends what stands in those fields that are `wanted` by their number, in the order in which it was added: the
    /// same bytes for the same values, and other bytes for others. A long text is bounded as [`super::write_value`] has it.
    pub fn write_fields(&self, wanted: &[bool; Field::ALL.len()], bytes: &mut Vec<u8>) {
        const SHORT_MAX: usize = 64;
        for slot in self.0.slots.iter().filter(|slot| wanted[slot.field as usize]) {
            let number = slot.field as u16;
            bytes.extend_from_slice(&number.to_le_bytes());
            match self.value(slot) {
                Value::Str(text) if text.len() <= SHORT_MAX => {
                    bytes.push(text.len() as u8);
                    bytes.extend_from_slice(text.as_bytes());
                }
                value => {
                    bytes.push(u8::MAX);
                    super::write_value(value, bytes);
                }
            }
        }
    }

    /// A hash of everything that the event says, the same on every machine. It orders events of equal time.
    pub fn content_hash(&self) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        hasher.update(&self.0.time.nanos().to_le_bytes());
        hasher.update(self.0.text.as_bytes());
        let mut words = [0u8; 256];
        let mut used = 0;
        for slot in &self.0.slots {
            let word = match slot.kind {
                Kind::Str => slot.low() >> 32,
                Kind::V6 => {
                    let bits = slot.wide();
                    (bits as u64) ^ ((bits >> 64) as u64).rotate_left(32)
                }
                Kind::U64 | Kind::I64 | Kind::F64 | Kind::V4 | Kind::Bool => slot.low(),
            };
            let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (slot.field as u64);
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

    #[inline]
    fn value(&self, slot: &Slot) -> Value<'_> {
        match slot.kind {
            Kind::Str => {
                let (start, length) = (slot.bits[0] as usize, slot.bits[1] as usize);
                Value::Str(&self.0.text[start..start + length])
            }
            Kind::U64 => Value::U64(slot.low()),
            Kind::I64 => Value::I64(slot.low() as i64),
            Kind::F64 => Value::F64(f64::from_bits(slot.low())),
            Kind::V4 => Value::Ip(IpAddr::V4(Ipv4Addr::from_bits(slot.bits[0]))),
            Kind::V6 => Value::Ip(IpAddr::V6(Ipv6Addr::from_bits(slot.wide()))),
            Kind::Bool => Value::Bool(slot.bits[0] != 0),
        }
    }
}

/// A value on its own, for what outlives a process. Fields go by their number in this version of the program.
#[derive(Serialize, Deserialize)]
enum OwnedValue<'a> {
    Str(std::borrow::Cow<'a, str>),
    U64(u64),
    I64(i64),
    F64(f64),
    Ip(IpAddr),
    Bool(bool),
}

impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values: Vec<(u16, OwnedValue<'_>)> = self
            .fields()
            .map(|(field, value)| (field as u16, OwnedValue::from(value)))
            .collect();
        (self.time(), self.start(), self.cut(), values).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Form<'a> = (Timestamp, Option<Timestamp>, bool, Vec<(u16, OwnedValue<'a>)>);
        let (time, start, cut, values) = Form::deserialize(deserializer)?;
        let mut event = Event::new(time);
        for (number, value) in values {
            let field = Field::ALL.get(usize::from(number)).copied();
            let field = field.ok_or_else(|| serde::de::Error::custom("a field that this version does not know"))?;
            match value {
                OwnedValue::Str(text) => event.add_str(field, &text),
                OwnedValue::U64(number) => event.add_u64(field, number),
                OwnedValue::I64(number) => event.add_i64(field, number),
                OwnedValue::F64(number) => event.add_f64(field, number),
                OwnedValue::Ip(address) => event.add_ip(field, address),
                OwnedValue::Bool(yes) => event.add_bool(field, yes),
            }
        }
        event.0.start = start;
        event.0.cut |= cut;
        Ok(event)
    }
}

impl<'a> From<Value<'a>> for OwnedValue<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::Str(text) => OwnedValue::Str(text.into()),
            Value::U64(number) => OwnedValue::U64(number),
            Value::I64(number) => OwnedValue::I64(number),
            Value::F64(number) => OwnedValue::F64(number),
            Value::Ip(address) => OwnedValue::Ip(address),
            Value::Bool(yes) => OwnedValue::Bool(yes),
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
        event.add_ip(
            Field::DestinationIp,
            "2001:db8:1:2:3:4:5:6".parse().expect("an address"),
        );
        event.add_i64(Field::DestinationBytes, -5);
        event.add_u64(Field::SourceBytes, u64::MAX);
        event.add_f64(Field::StakeoutLoss, -0.25);
        event.add_bool(Field::TlsEstablished, true);
        assert_eq!(event.ip(Field::DestinationIp), "2001:db8:1:2:3:4:5:6".parse().ok());
        assert_eq!(event.get(Field::DestinationBytes), Some(Value::I64(-5)));
        assert_eq!(event.get(Field::SourceBytes), Some(Value::U64(u64::MAX)));
        assert_eq!(event.get(Field::StakeoutLoss), Some(Value::F64(-0.25)));
        assert_eq!(event.get(Field::TlsEstablished), Some(Value::Bool(true)));
        let bytes = postcard::to_allocvec(&event).expect("bytes");
        let again: Event = postcard::from_bytes(&bytes).expect("an event");
        assert_eq!(again, event);
        assert_eq!(again.content_hash(), event.content_hash());
        assert_eq!(
            Event::like(&event, event.time()).fields().collect::<Vec<_>>(),
            event.fields().collect::<Vec<_>>()
        );
        assert_eq!(
            event.values(Field::EventCategory).collect::<Vec<_>>(),
            [Value::Str("network"), Value::Str("session")]
        );
        assert_eq!(event.u64(Field::SourcePort), Some(443));
        assert_eq!(event.ip(Field::SourceIp), "10.0.0.1".parse().ok());
        assert_eq!(event.get(Field::UserName), None);
    }

    #[test]
    fn an_address_as_text_is_written_as_it_is_shown() {
        let v4 = (0..=255).map(|octet: u8| IpAddr::from([octet, 10, 255 - octet, 7]));
        for address in v4.chain(["2001:db8::5".parse().expect("an address")]) {
            let mut event = Event::new(Timestamp::from_seconds(5));
            event.add_ip_text(Field::ServerAddress, address);
            assert_eq!(event.str(Field::ServerAddress), Some(address.to_string().as_str()));
        }
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
