//! The body of Elasticsearch's bulk API: an action a line, with the document behind it where it has one. Documents of
//! `create` and `index` are taken; nothing is kept that could be deleted or updated, so these get an error each.

use crate::edge::collector::LINE_BYTES_MAX;
use serde::Deserialize;
use serde::de::{IgnoredAny, Visitor};
use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was read from a body.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    /// The documents, a line each.
    pub(super) lines: Vec<u8>,
    /// What becomes of each action, in order, as JSON with commas between them.
    items: Vec<u8>,
    /// Documents taken.
    pub(super) taken: u64,
    /// Actions refused.
    pub(super) refused: u64,
    /// Actions without an id.
    nameless: u64,
}

/// Why a whole body can't be read; nothing of it is taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum BulkProblem {
    /// The last line has no end, so it may be half of one.
    #[error("The bulk request must be terminated by a newline [\\n]")]
    NoLineEnd,
    /// A line that should say what to do does not.
    #[error("Malformed action/metadata line [{line}]: {problem}")]
    Action {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// An action stands without its document.
    #[error("Malformed action/metadata line [{line}]: the document that follows it is missing")]
    NoDocument {
        /// Its number, from 1.
        line: usize,
    },
    /// Neither the path nor the action names an index.
    #[error("Validation Failed: {line}: index is missing;")]
    NoIndex {
        /// The line's number, from 1.
        line: usize,
    },
}

/// The line of an action.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionLine {
    create: Option<Target>,
    index: Option<Target>,
    update: Option<Target>,
    delete: Option<Target>,
}

/// What an action is about. Other keys (`routing`, `pipeline`, `_type`) say nothing here.
#[derive(Deserialize)]
struct Target {
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<Id>,
}

/// Ids may be numbers.
struct Id(String);

impl Bulk {
    /// Reads a body; `index` is the one of the path.
    pub(super) fn read(body: &[u8], index: Option<&str>, ids: &Ids) -> Result<Bulk, BulkProblem> {
        if !body.is_empty() && !body.ends_with(b"\n") {
            return Err(BulkProblem::NoLineEnd);
        }
        let mut bulk = Bulk::default();
        let mut lines = body.split(|byte| *byte == b'\n').enumerate();
        while let Some((number, line)) = lines.next() {
            let line_number = number + 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let action: ActionLine = serde_json::from_slice(line).map_err(|error| BulkProblem::Action {
                line: line_number,
                problem: error.to_string(),
            })?;
            let (name, target) = action.only(line_number)?;
            let Some(index) = target.index.as_deref().or(index).filter(|index| !index.is_empty()) else {
                return Err(BulkProblem::NoIndex { line: line_number });
            };
            let document = match name {
                "delete" => None,
                // The last piece stands behind the last line end, and is no line.
                _ => match lines.next() {
                    Some((_, document)) if !document.trim_ascii().is_empty() => Some(document),
                    _ => return Err(BulkProblem::NoDocument { line: line_number }),
                },
            };
            let problem = match (name, document) {
                ("create" | "index", Some(document)) => bulk.take(document),
                _ => Err("documents can't be changed here, only added".to_owned()),
            };
            bulk.nameless += u64::from(target.id.is_none());
            let id = target.id.map_or_else(|| ids.next(), |id| id.0);
            bulk.item(name, index, &id, problem);
        }
        Ok(bulk)
    }

    /// Takes a document if it is one.
    fn take(&mut self, document: &[u8]) -> Result<(), String> {
        let document = document.trim_ascii();
        check_document(document)?;
        self.lines.extend_from_slice(document);
        self.lines.push(b'\n');
        Ok(())
    }

    fn item(&mut self, name: &str, index: &str, id: &str, outcome: Result<(), String>) {
        if !self.items.is_empty() {
            self.items.push(b',');
        }
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let (index, id) = (text(index), text(id));
        let about = format!(r#"{{"{name}":{{"_index":{index},"_id":{id},"#);
        self.items.extend_from_slice(about.as_bytes());
        match outcome {
            Ok(()) => {
                self.taken += 1;
                let rest = br#""_version":1,"result":"created","_shards":{"total":1,"successful":1,"failed":0},"status":201}}"#;
                self.items.extend_from_slice(rest);
            }
            Err(problem) => {
                self.refused += 1;
                let kind = match name {
                    "create" | "index" => "document_parsing_exception",
                    _ => "illegal_argument_exception",
                };
                let problem = text(&problem);
                let rest = format!(r#""status":400,"error":{{"type":"{kind}","reason":{problem}}}}}}}"#);
                self.items.extend_from_slice(rest.as_bytes());
            }
        }
    }

    /// Whether each action has an id of its own.
    pub(super) fn is_named(&self) -> bool {
        self.nameless == 0
    }

    /// The answer.
    pub(super) fn answer(&self, took_millis: u128) -> Vec<u8> {
        let mut answer = Vec::with_capacity(self.items.len() + 64);
        // Writing into memory does not fail.
        let _ = write!(
            answer,
            r#"{{"took":{took_millis},"errors":{},"items":["#,
            self.refused > 0
        );
        answer.extend_from_slice(&self.items);
        answer.extend_from_slice(b"]}");
        answer
    }
}

impl ActionLine {
    fn only(self, line: usize) -> Result<(&'static str, Target), BulkProblem> {
        let mut named = [
            ("create", self.create),
            ("index", self.index),
            ("update", self.update),
            ("delete", self.delete),
        ]
        .into_iter()
        .filter_map(|(name, target)| target.map(|target| (name, target)));
        match (named.next(), named.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(BulkProblem::Action {
                line,
                problem: "one of create, index, update and delete is expected".to_owned(),
            }),
        }
    }
}

/// Whether a line is one document, and of a length that decoders take.
pub(super) fn check_document(document: &[u8]) -> Result<(), String> {
    if document.len() > LINE_BYTES_MAX {
        return Err(format!(
            "a document of {} bytes is over line_bytes_max ({LINE_BYTES_MAX})",
            document.len()
        ));
    }
    if document.first() != Some(&b'{') {
        return Err("a document must be a JSON object".to_owned());
    }
    serde_json::from_slice::<IgnoredAny>(document)
        .map(|_| ())
        .map_err(|error| format!("a document is not JSON: {error}"))
}

/// Ids for documents that came without one.
#[derive(Debug)]
pub(super) struct Ids(AtomicU64);

impl Ids {
    /// Ids that begin behind `seed`, such as the nanoseconds of the clock, so that no other process gave the same.
    pub(super) fn new(seed: u64) -> Ids {
        Ids(AtomicU64::new(seed))
    }

    fn next(&self) -> String {
        format!("{:016x}", self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Id;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text or a number")
            }

            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(Id(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Bulk, String> {
        Bulk::read(body.as_bytes(), None, &Ids::new(10)).map_err(|problem| problem.to_string())
    }

    #[test]
    fn each_action_has_its_item_and_documents_become_lines() {
        let body = concat!(
            "{\"index\":{\"_index\":\"a\",\"_id\":7}}\n{\"x\":1}\n",
            "\r\n",
            "{\"create\":{\"_index\":\"b\\\"\",\"_id\":\"n\",\"_type\":\"_doc\"}}\r\n {\"x\":2} \r\n",
            "{\"delete\":{\"_index\":\"a\",\"_id\":\"7\"}}\n",
            "{\"update\":{\"_index\":\"a\",\"_id\":\"7\"}}\n{\"doc\":{}}\n",
            "{\"create\":{\"_index\":\"a\"}}\n{\"x\":\n",
            "{\"create\":{\"_index\":\"a\"}}\n[1]\n",
            "{\"create\":{\"_index\":\"a\"}}\n{}\n",
        );
        let bulk = read(body).expect("a body");
        assert_eq!(bulk.lines, b"{\"x\":1}\n{\"x\":2}\n{}\n");
        assert_eq!((bulk.taken, bulk.refused), (3, 4));
        let answer: serde_json::Value = serde_json::from_slice(&bulk.answer(3)).expect("JSON");
        assert_eq!((&answer["took"], &answer["errors"]), (&3.into(), &true.into()));
        let items: Vec<String> = answer["items"]
            .as_array()
            .expect("a list")
            .iter()
            .flat_map(|item| item.as_object().expect("an object"))
            .map(|(name, item)| {
                format!(
                    "{name} {} {} {} {}",
                    item["_index"], item["_id"], item["status"], item["error"]["reason"]
                )
            })
            .collect();
        assert_eq!(
            items,
            [
                r#"index "a" "7" 201 null"#,
                r#"create "b\"" "n" 201 null"#,
                r#"delete "a" "7" 400 "documents can't be changed here, only added""#,
                r#"update "a" "7" 400 "documents can't be changed here, only added""#,
                r#"create "a" "000000000000000a" 400 "a document is not JSON: EOF while parsing a value at line 1 column 5""#,
                r#"create "a" "000000000000000b" 400 "a document must be a JSON object""#,
                r#"create "a" "000000000000000c" 201 null"#,
            ]
        );
    }

    #[test]
    fn a_body_that_is_none_is_refused_whole() {
        let good = "{\"index\":{\"_index\":\"a\"}}\n{}\n";
        for (body, expected) in [
            (
                "{\"index\":{\"_index\":\"a\"}}\n{\"x\":",
                "must be terminated by a newline",
            ),
            ("{\"index\":{\"_index\":\"a\"}}\n", "line [3]: the document"),
            ("{\"index\":{\"_index\":\"a\"}}\n\n", "line [3]: the document"),
            ("{\"index\":{}}\n{}\n", "Validation Failed: 3: index is missing;"),
            ("{\"remove\":{}}\n{}\n", "line [3]: unknown field `remove`"),
            ("{}\n{}\n", "line [3]: one of create, index"),
            ("{\"index\":{},\"create\":{}}\n{}\n", "line [3]: one of create, index"),
            ("text\n", "line [3]: expected"),
        ] {
            let problem = read(&format!("{good}{body}")).expect_err(body);
            assert!(problem.contains(expected), "{body}: {problem}");
        }
    }

    #[test]
    fn the_index_of_the_path_stands_in_for_one_that_is_missing() {
        let body = b"{\"index\":{}}\n{}\n{\"index\":{\"_index\":\"mine\"}}\n{}\n";
        let bulk = Bulk::read(body, Some("path"), &Ids::new(0)).expect("a body");
        let answer: serde_json::Value = serde_json::from_slice(&bulk.answer(0)).expect("JSON");
        assert_eq!(answer["items"][0]["index"]["_index"], "path");
        assert_eq!(answer["items"][1]["index"]["_index"], "mine");
        assert_eq!(answer["errors"], false);
    }

    #[test]
    fn a_document_over_its_bound_is_refused_alone() {
        let long = "x".repeat(LINE_BYTES_MAX);
        let body = format!(
            "{{\"index\":{{\"_index\":\"a\"}}}}\n{{\"x\":\"{long}\"}}\n{{\"index\":{{\"_index\":\"a\"}}}}\n{{}}\n"
        );
        let bulk = read(&body).expect("a body");
        assert_eq!((bulk.taken, bulk.refused), (1, 1));
    }
}
