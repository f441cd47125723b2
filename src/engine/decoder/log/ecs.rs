//! JSON lines that already speak ECS, with nested or dotted keys: every field that `Field` knows is taken by its name
//! and kind, and brought into the form in which detectors compare it.

use super::json::Read;
use super::scanner::{Broken, Items, Json, Pairs};
use super::values::{add_question_name, address, decimal_nanos, host_name, moment, whole};
use crate::domain::{Event, Field, FieldKind, Timestamp};

/// How many objects inside each other are walked.
const LEVELS_MAX: usize = 8;
/// How many bytes of a dotted name are looked at.
const NAME_BYTES_MAX: usize = 128;
/// How many bytes of one text are taken.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// Reads one ECS document.
pub(super) fn read(text: &str) -> Read {
    let mut document = Document {
        event: Event::new(Timestamp::from_nanos(0)),
        timestamp: None,
        start: None,
        end: None,
        fields: 0,
    };
    if let Err(broken) = document.object(text, &mut String::new(), 0) {
        return broken.into();
    }
    let Some(timestamp) = document.timestamp else {
        return Read::Other;
    };
    let Ok(timestamp) = timestamp else {
        return Read::Refused("ecs_bad_time");
    };
    if document.fields == 0 {
        return Read::Refused("unknown_json");
    }
    let mut event = document.event;
    event.set_time(document.end.unwrap_or(timestamp));
    if let Some(start) = document.start
        && start < event.time()
    {
        event.set_start(start);
    }
    Read::Event(event)
}

struct Document {
    event: Event,
    timestamp: Option<Result<Timestamp, ()>>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    fields: usize,
}

impl Document {
    fn object(&mut self, text: &str, name: &mut String, level: usize) -> Result<(), Broken> {
        let mut pairs = Pairs::of(text)?;
        let length = name.len();
        while let Some((key, value)) = pairs.next()? {
            if length + key.len() < NAME_BYTES_MAX {
                name.push_str(key);
                self.value(value, name, level)?;
                name.truncate(length);
            }
        }
        Ok(())
    }

    fn value(&mut self, value: Json<'_>, name: &mut String, level: usize) -> Result<(), Broken> {
        match value {
            Json::Object(text) if level < LEVELS_MAX => {
                let length = name.len();
                name.push('.');
                self.object(text, name, level + 1)?;
                name.truncate(length);
            }
            Json::Array(text) if level < LEVELS_MAX => {
                let mut items = Items::of(text)?;
                while let Some(item) = items.next()? {
                    self.value(item, name, level + 1)?;
                }
            }
            Json::Null | Json::Object(_) | Json::Array(_) => {}
            scalar => self.scalar(scalar, name),
        }
        Ok(())
    }

    fn scalar(&mut self, value: Json<'_>, name: &str) {
        let Some(text) = value.text() else { return };
        let text = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or("");
        match name {
            "@timestamp" => self.timestamp = Some(moment(text).ok_or(())),
            "event.start" => self.start = moment(text),
            "event.end" => self.end = moment(text),
            _ => {
                if let Some(field) = Field::from_name(name) {
                    self.field(field, text);
                }
            }
        }
    }

    fn field(&mut self, field: Field, text: &str) {
        let event = &mut self.event;
        let before = event.has(field);
        match (field, field.kind()) {
            (Field::HostName, _) => event.add_str(field, &host_name(text)),
            (Field::DnsQuestionName, _) => add_question_name(event, text),
            // They follow from the name, by one list for every source.
            (
                Field::DnsQuestionRegisteredDomain | Field::DnsQuestionSubdomain | Field::DnsQuestionTopLevelDomain,
                _,
            ) => {}
            (_, FieldKind::Keyword) => event.add_str(field, text),
            (_, FieldKind::Long) => match (whole(text), decimal_nanos(text)) {
                (Some(number), _) => event.add_u64(field, number),
                (None, Some(nanos)) => event.add_i64(field, nanos / 1_000_000_000),
                _ => {}
            },
            (_, FieldKind::Float) => {
                if let Ok(number) = text.parse() {
                    event.add_f64(field, number);
                }
            }
            (_, FieldKind::Ip) => {
                if let Some(address) = address(text) {
                    event.add_ip(field, address);
                }
            }
            (_, FieldKind::Bool) => match text {
                "true" => event.add_bool(field, true),
                "false" => event.add_bool(field, false),
                _ => {}
            },
        }
        if !before && event.has(field) {
            self.fields += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        match read(text) {
            Read::Event(event) => event,
            Read::Refused(reason) | Read::Ignored(reason) => panic!("{reason}"),
            Read::Other | Read::Envelope(_) => panic!("not ECS"),
        }
    }

    #[test]
    fn nested_and_dotted_keys_give_the_same_event() {
        let nested = event(
            r#"{"@timestamp":"2026-03-02T09:12:41.5Z","event":{"category":["authentication"],"outcome":"failure","start":"2026-03-02T09:12:41Z"},
            "source":{"ip":"::ffff:10.0.0.7","port":"40000"},"user":{"name":"root"},"host":{"name":"Web1.Example.com"},
            "dns":{"question":{"name":"A.b.example.co.uk."},"answers":[{"data":"1.2.3.4","ttl":60},{"data":"1.2.3.5"}]},
            "tls":{"established":true},"network":{"bytes":12},"unknown":{"deep":[1,2]}}"#,
        );
        let dotted = event(
            r#"{"@timestamp":1772442761.5,"event.category":"authentication","event.outcome":"failure",
            "event.start":"2026-03-02T09:12:41Z","source.ip":"10.0.0.7","source.port":40000,"user.name":"root","host.name":"web1",
            "dns.question":{"name":"a.b.example.co.uk"},"dns.answers.data":["1.2.3.4","1.2.3.5"],"dns.answers.ttl":60,
            "tls.established":"true","network.bytes":12.0}"#,
        );
        for field in Field::ALL {
            assert!(nested.values(*field).eq(dotted.values(*field)), "{}", field.name());
        }
        assert_eq!((nested.time(), nested.start()), (dotted.time(), dotted.start()));
        assert_eq!(nested.ip(Field::SourceIp), "10.0.0.7".parse().ok());
        assert_eq!(nested.str(Field::DnsQuestionRegisteredDomain), Some("example.co.uk"));
        assert_eq!(nested.duration().map(|length| length.as_seconds()), Some(0.5));
    }

    #[test]
    fn a_document_without_a_known_field_or_a_time_is_refused() {
        assert!(matches!(
            read(r#"{"@timestamp":"2026-03-02T09:12:41Z","x":1}"#),
            Read::Refused("unknown_json")
        ));
        assert!(matches!(
            read(r#"{"@timestamp":"soon","user":{"name":"x"}}"#),
            Read::Refused("ecs_bad_time")
        ));
        assert!(matches!(read(r#"{"user":{"name":"x"}}"#), Read::Other));
    }
}
