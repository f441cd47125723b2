//! An alert as a record of a topic. Its key is the entity, so that all forms of an alert stand in one partition in their
//! order. Its value is the document; beside an ECS document the OCSF document is a header, so that whoever delivers the
//! alert further has both.

use crate::edge::sink::{DocumentForm, Told};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use serde_json::Value;

/// The header that holds the OCSF document.
const OCSF: &str = "stakeout.ocsf";
/// The header by which a record that comes again is known: `event.id:count`.
const IDEMPOTENCY: &str = "idempotency-key";
/// Bytes of a document that is taken for one.
const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// An alert that is written to a topic.
#[derive(Clone, Debug)]
pub struct AlertRecord<'a> {
    told: &'a Told,
    form: DocumentForm,
    /// The values of its entity's fields, joined by commas.
    entity: String,
    idempotency_key: String,
}

impl<'a> AlertRecord<'a> {
    /// A form of an alert, whose value is a document of this form.
    pub fn new(told: &'a Told, form: DocumentForm) -> AlertRecord<'a> {
        let document: Value = serde_json::from_str(&told.ecs).unwrap_or_default();
        let id = document["event"]["id"].as_str().unwrap_or_default();
        let count = document["stakeout"]["count"].as_u64().unwrap_or_default();
        AlertRecord {
            told,
            form,
            entity: entity(&document),
            idempotency_key: format!("{id}:{count}"),
        }
    }

    /// The record, for a topic.
    pub fn to(&'a self, topic: &'a str) -> BaseRecord<'a, str, str> {
        let mut headers = OwnedHeaders::new();
        let ocsf = (self.form == DocumentForm::Ecs && !self.told.ocsf.is_empty()).then_some(&self.told.ocsf);
        for (key, value) in [
            (IDEMPOTENCY, Some(&self.idempotency_key)),
            ("content-type", Some(&"application/json".to_owned())),
            (OCSF, ocsf),
        ] {
            if value.is_some() {
                headers = headers.insert(Header { key, value });
            }
        }
        BaseRecord::to(topic)
            .key(self.entity.as_str())
            .payload(self.told.document(self.form))
            .headers(headers)
    }
}

/// Reads the value and the headers of a record that holds an alert as an ECS document. Where no header has it, the OCSF
/// document is empty. Gives why it is no alert, a word of a closed set.
pub fn read_alert<H: Headers>(value: Option<&[u8]>, headers: Option<&H>) -> Result<Told, &'static str> {
    let value = value.filter(|value| !value.is_empty()).ok_or("no_value")?;
    if value.len() > DOCUMENT_BYTES_MAX {
        return Err("too_large");
    }
    let text = std::str::from_utf8(value).map_err(|_| "no_json")?;
    let document: Value = serde_json::from_str(text).map_err(|_| "no_json")?;
    let has_id = document["event"]["id"].as_str().is_some_and(|id| !id.is_empty());
    if !has_id || document["stakeout"]["count"].as_u64().is_none() {
        return Err("no_alert");
    }
    // Sinks write a document a line.
    let ecs = if text.contains(['\n', '\r']) {
        document.to_string()
    } else {
        text.to_owned()
    };
    let ocsf = headers.and_then(|headers| headers.iter().find(|header| header.key == OCSF)?.value);
    let ocsf = ocsf.filter(|ocsf| ocsf.len() <= DOCUMENT_BYTES_MAX);
    let ocsf = ocsf.and_then(|ocsf| std::str::from_utf8(ocsf).ok());
    let is_document = |ocsf: &&str| serde_json::from_str::<Value>(ocsf).is_ok() && !ocsf.contains(['\n', '\r']);
    Ok(Told {
        ecs,
        ocsf: ocsf.filter(is_document).unwrap_or_default().to_owned(),
    })
}

fn entity(document: &Value) -> String {
    let values: Vec<String> = document["stakeout"]["entity"]
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.values())
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect();
    values.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ecs: &str, ocsf: &str) -> Told {
        Told {
            ecs: ecs.to_owned(),
            ocsf: ocsf.to_owned(),
        }
    }

    const PAIR: &str =
        r#"{"event":{"id":"3f2a"},"stakeout":{"count":2,"entity":{"destination.port":443,"source.ip":"10.0.0.7"}}}"#;

    #[test]
    fn what_is_written_is_read_again_and_its_key_is_the_entity() {
        for ocsf in ["", r#"{"finding_info":{}}"#] {
            let told = told(PAIR, ocsf);
            let alert = AlertRecord::new(&told, DocumentForm::Ecs);
            let record = alert.to("alerts");
            assert_eq!((record.topic, record.key), ("alerts", Some("443,10.0.0.7")));
            let headers = record.headers.expect("headers");
            assert_eq!(headers.get_as::<str>(0).expect("a header").value, Some("3f2a:2"));
            let read = read_alert(record.payload.map(str::as_bytes), Some(&headers));
            assert_eq!(read, Ok(told.clone()));
        }
        let told = told(PAIR, "{}");
        let alert = AlertRecord::new(&told, DocumentForm::Ocsf);
        let record = alert.to("alerts");
        assert_eq!(
            (record.payload, record.headers.expect("headers").count()),
            (Some("{}"), 2)
        );
        assert_eq!(entity(&Value::Null), "");
    }

    #[test]
    fn what_is_no_alert_is_told_by_its_reason() {
        let many = "1".repeat(DOCUMENT_BYTES_MAX + 1);
        let latin: &[u8] = b"{\"event\":{\"id\":\"\xe4\"},\"stakeout\":{\"count\":1}}";
        for (value, expected) in [
            (None, "no_value"),
            (Some(&b""[..]), "no_value"),
            (Some(many.as_bytes()), "too_large"),
            (Some(b"{"), "no_json"),
            (Some(latin), "no_json"),
            (Some(b"17"), "no_alert"),
            (
                Some(b"{\"event\":{\"id\":\"\"},\"stakeout\":{\"count\":1}}"),
                "no_alert",
            ),
            (
                Some(b"{\"event\":{\"id\":\"a\"},\"stakeout\":{\"count\":-1}}"),
                "no_alert",
            ),
        ] {
            assert_eq!(read_alert(value, None::<&OwnedHeaders>), Err(expected), "{value:?}");
        }
        // Somebody printed it for people, or lost the header's end.
        let wide = "{\n\"event\": {\"id\": \"a\"},\r\n\"stakeout\": {\"count\": 1}}";
        let headers = OwnedHeaders::new().insert(Header {
            key: OCSF,
            value: Some("{\"finding_info\":"),
        });
        let read = read_alert(Some(wide.as_bytes()), Some(&headers)).expect("an alert");
        assert_eq!(read.ecs, r#"{"event":{"id":"a"},"stakeout":{"count":1}}"#);
        assert_eq!(read.ocsf, "");
    }
}
