//! Records of the topic of events: an event with its place and the kinds of entities that it is there for, or a mark.

use super::{Unreadable, VERSION, put_text};
use crate::domain::{Event, Field, FieldKind, Mark, Timestamp, Value};
use hashbrown::HashMap;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::LazyLock;
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// Fields by name, for the hot path.
static FIELDS: LazyLock<HashMap<&'static str, Field, Xxh3DefaultBuilder>> =
    LazyLock::new(|| Field::ALL.iter().map(|field| (field.name(), *field)).collect());

/// A record of the topic of events.
#[derive(Clone, Debug, PartialEq)]
pub enum EventRecord<'a> {
    /// An event of a stream.
    Event {
        /// The stream.
        stream: Cow<'a, str>,
        /// Engine time.
        at: Timestamp,
        /// What orders it among others of its time.
        order: u64,
        /// The number of its input within the stream.
        input: u16,
        /// Its number within its input.
        sequence: u64,
        /// The event.
        event: Event,
    },
    /// A mark of a stream.
    Mark {
        /// The stream.
        stream: Cow<'a, str>,
        /// The mark.
        mark: Mark,
    },
}

/// Writes an event in place of what `line` holds. `entities` are the kinds of entities that it is there for, each as the
/// names of its fields joined by commas.
#[allow(clippy::too_many_arguments, reason = "the parts of one record, in their order")]
pub fn write_event<'e>(
    stream: &str,
    at: Timestamp,
    order: u64,
    input: u16,
    sequence: u64,
    entities: impl Iterator<Item = &'e str>,
    event: &Event,
    line: &mut Vec<u8>,
) {
    line.clear();
    // Writing to memory can't fail.
    let _ = write!(line, "{{\"v\":{VERSION},\"stream\":");
    put_text(stream, line);
    let _ = write!(
        line,
        ",\"at\":{},\"order\":{order},\"input\":{input},\"sequence\":{sequence},\"time\":{}",
        at.nanos(),
        event.time().nanos()
    );
    if let Some(start) = event.start() {
        let _ = write!(line, ",\"start\":{}", start.nanos());
    }
    if event.cut() {
        line.extend_from_slice(b",\"cut\":true");
    }
    line.extend_from_slice(b",\"for\":[");
    for (place, names) in entities.enumerate() {
        if place > 0 {
            line.push(b',');
        }
        put_text(names, line);
    }
    line.extend_from_slice(b"],\"event\":{");
    let mut seen = [0u64; Field::WORDS];
    let mut is_first = true;
    for (field, value) in event.fields() {
        let (word, bit) = (field as usize / 64, 1 << (field as usize % 64));
        if seen[word] & bit != 0 {
            continue;
        }
        seen[word] |= bit;
        if !is_first {
            line.push(b',');
        }
        is_first = false;
        put_text(field.name(), line);
        line.push(b':');
        if event.values(field).nth(1).is_none() {
            put_value(value, line);
            continue;
        }
        for (place, value) in event.values(field).enumerate() {
            line.push(if place == 0 { b'[' } else { b',' });
            put_value(value, line);
        }
        line.push(b']');
    }
    line.extend_from_slice(b"}}");
}

fn put_value(value: Value<'_>, line: &mut Vec<u8>) {
    let _ = match value {
        Value::Str(text) => {
            put_text(text, line);
            Ok(())
        }
        Value::U64(number) => write!(line, "{number}"),
        Value::I64(number) => write!(line, "{number}"),
        // The shortest digits that give the same number, never without a point or an exponent.
        Value::F64(number) => write!(line, "{number:?}"),
        Value::Ip(address) => write!(line, "\"{address}\""),
        Value::Bool(yes) => write!(line, "{yes}"),
    };
}

/// A mark as a record.
pub fn write_mark(stream: &str, mark: &Mark) -> Vec<u8> {
    let mut line = Vec::with_capacity(128);
    let _ = write!(line, "{{\"v\":{VERSION},\"stream\":");
    put_text(stream, &mut line);
    line.extend_from_slice(b",\"mark\":");
    // Numbers and yes or no: nothing that could not be written.
    line.extend_from_slice(&serde_json::to_vec(mark).unwrap_or_default());
    line.push(b'}');
    line
}

/// Reads a record. A field that this version does not know is left out.
pub fn read_event(value: Option<&[u8]>) -> Result<EventRecord<'_>, Unreadable> {
    let value = value.filter(|value| !value.is_empty()).ok_or(Unreadable::NoValue)?;
    let line: Line<'_> = serde_json::from_slice(value).map_err(|_| version_of(value))?;
    if line.v != VERSION {
        return Err(Unreadable::UnknownVersion);
    }
    let stream = line.stream;
    if let Some(mark) = line.mark {
        return Ok(EventRecord::Mark { stream, mark });
    }
    let (Some(at), Some(time), Some(Fields(mut event))) = (line.at, line.time, line.event) else {
        return Err(Unreadable::BadJson);
    };
    event.set_time(time);
    if let Some(start) = line.start {
        event.set_start(start);
    }
    if line.cut {
        event.set_cut();
    }
    Ok(EventRecord::Event {
        stream,
        at,
        order: line.order,
        input: line.input,
        sequence: line.sequence,
        event,
    })
}

/// Why a value is not of this form: a later version may have another.
fn version_of(value: &[u8]) -> Unreadable {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    match serde_json::from_slice::<Versioned>(value) {
        Ok(line) if line.v != VERSION => Unreadable::UnknownVersion,
        _ => Unreadable::BadJson,
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    v: u64,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(default)]
    at: Option<Timestamp>,
    #[serde(default)]
    order: u64,
    #[serde(default)]
    input: u16,
    #[serde(default)]
    sequence: u64,
    #[serde(default)]
    time: Option<Timestamp>,
    #[serde(default)]
    start: Option<Timestamp>,
    #[serde(default)]
    cut: bool,
    #[serde(default)]
    event: Option<Fields>,
    #[serde(default)]
    mark: Option<Mark>,
}

/// An event's values; its times come beside them.
struct Fields(Event);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor).map(Fields)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Event;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of ECS fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let mut event = Event::new(Timestamp::MIN);
        while let Some(Name(field)) = map.next_key()? {
            match field {
                Some(field) => map.next_value_seed(Adding {
                    event: &mut event,
                    field,
                })?,
                None => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(event)
    }
}

/// A field by its name, without a copy of the name.
struct Name(Option<Field>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a field")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
                Ok(Name(FIELDS.get(name).copied()))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// Adds a value, or several, to a field of an event.
struct Adding<'e> {
    event: &'e mut Event,
    field: Field,
}

impl<'de> serde::de::DeserializeSeed<'de> for Adding<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Adding<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text, a number, yes or no, or a list of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind() {
            FieldKind::Ip => match text.parse::<IpAddr>() {
                Ok(address) => self.event.add_ip(self.field, address),
                Err(_) => return Err(E::custom("an address that is none")),
            },
            _ => self.event.add_str(self.field, text),
        }
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.event.add_u64(self.field, number);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.event.add_i64(self.field, number);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.event.add_f64(self.field, number);
        Ok(())
    }

    fn visit_bool<E>(self, yes: bool) -> Result<(), E> {
        self.event.add_bool(self.field, yes);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        for _ in 0..=Event::VALUES_MAX {
            let adding = Adding {
                event: &mut *self.event,
                field: self.field,
            };
            if values.next_element_seed(adding)?.is_none() {
                return Ok(());
            }
        }
        Err(A::Error::custom("too many values"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was() {
        let mut event = Event::new(Timestamp::from_nanos(1_780_000_000_123_456_789));
        event.set_start(Timestamp::from_nanos(1_780_000_000_000_000_001));
        event.add_str(Field::EventCategory, "network");
        event.add_str(Field::EventCategory, "session");
        event.add_ip(Field::SourceIp, "10.0.0.7".parse().expect("an address"));
        event.add_ip(Field::DestinationIp, "2001:db8::1".parse().expect("an address"));
        event.add_u64(Field::SourcePort, 443);
        event.add_u64(Field::NetworkBytes, u64::MAX);
        event.add_f64(Field::StakeoutFlowSizeMean, 0.1 + 0.2);
        event.add_f64(Field::StakeoutFlowSizeStddev, 5.0);
        event.add_bool(Field::ZeekConnectionLocalOrig, true);
        event.add_str(Field::Message, "quote \" back \\ line\n tab\t bell\u{7} ü \u{1f600}");
        let mut line = Vec::new();
        let at = Timestamp::from_nanos(1_780_000_000_123_456_790);
        let kinds = ["source.ip", "source.ip,destination.ip"];
        write_event("c \"1\"", at, u64::MAX, 3, 77, kinds.into_iter(), &event, &mut line);
        let parsed: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(
            parsed["event"]["event.category"],
            serde_json::json!(["network", "session"])
        );
        assert_eq!(parsed["for"][1], "source.ip,destination.ip");
        let expected = EventRecord::Event {
            stream: Cow::Borrowed("c \"1\""),
            at,
            order: u64::MAX,
            input: 3,
            sequence: 77,
            event: event.clone(),
        };
        assert_eq!(read_event(Some(&line)), Ok(expected));
        event.set_cut();
        write_event("c", at, 1, 3, 77, std::iter::empty(), &event, &mut line);
        let Ok(EventRecord::Event { event: read, .. }) = read_event(Some(&line)) else {
            panic!("{}", String::from_utf8_lossy(&line))
        };
        assert_eq!(read, event);
        for length in 0..line.len() {
            assert!(read_event(Some(&line[..length])).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_mark_comes_back_as_it_was() {
        let seconds = Timestamp::from_seconds;
        for (active, quiet) in [
            (Vec::new(), true),
            (vec![(seconds(5), seconds(9)), (seconds(9000), seconds(9001))], false),
        ] {
            let mark = Mark {
                watermark: seconds(9002),
                active,
                quiet,
                retired: false,
                announced: false,
            };
            let line = write_mark("c1", &mark);
            let stream = Cow::Borrowed("c1");
            assert_eq!(read_event(Some(&line)), Ok(EventRecord::Mark { stream, mark }));
        }
    }

    #[test]
    fn what_is_none_of_ours_is_refused_with_a_reason() {
        for (value, reason) in [
            (None, Unreadable::NoValue),
            (Some(&b""[..]), Unreadable::NoValue),
            (Some(b"{"), Unreadable::BadJson),
            (Some(b"\xff"), Unreadable::BadJson),
            (Some(br#"{"v":1,"stream":"c"}"#), Unreadable::BadJson),
            (Some(br#"{"v":2,"stream":"c","mark":3}"#), Unreadable::UnknownVersion),
            (Some(br#"{"v":2,"stream":"c"}"#), Unreadable::UnknownVersion),
            (
                Some(br#"{"v":1,"stream":"c","at":1,"time":1,"event":{"source.ip":"nobody"}}"#),
                Unreadable::BadJson,
            ),
        ] {
            assert_eq!(
                read_event(value),
                Err(reason),
                "{:?}",
                value.map(String::from_utf8_lossy)
            );
        }
    }
}
