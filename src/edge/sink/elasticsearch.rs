//! Elasticsearch and OpenSearch: the bulk interface. Each form of an alert is a document of its own, created under the id
//! of the alert and its count, so that what is sent again is there once.

use super::endpoint::Endpoint;
use super::{DocumentForm, Sink, SinkFailure, Told};
use serde_json::{Value, json};

/// An index or data stream.
#[derive(Debug)]
pub struct ElasticsearchSink {
    endpoint: Endpoint,
    index: String,
    form: DocumentForm,
}

impl ElasticsearchSink {
    /// An index or data stream that documents are created in.
    pub fn new(endpoint: Endpoint, index: &str, form: DocumentForm) -> ElasticsearchSink {
        ElasticsearchSink {
            endpoint,
            index: index.to_owned(),
            form,
        }
    }

    fn body(&self, told: &[Told]) -> String {
        let mut body = String::new();
        for told in told {
            let (id, count) = told.key();
            let action = json!({ "create": { "_index": self.index, "_id": format!("{id}-{count}") } });
            body.push_str(&action.to_string());
            body.push('\n');
            body.push_str(told.document(self.form));
            body.push('\n');
        }
        body
    }
}

impl Sink for ElasticsearchSink {
    fn deliver(&mut self, told: &[Told]) -> Result<(), SinkFailure> {
        let body = self.body(told);
        let answer = self
            .endpoint
            .post("/_bulk", "application/x-ndjson", &[], body.as_bytes())?;
        check(&answer).map_err(|mut failure| {
            failure.problem = format!("{}: {}", self.endpoint.url(), failure.problem);
            failure
        })
    }
}

/// What the answer says about each document. One that is there already (409) has arrived before.
fn check(answer: &str) -> Result<(), SinkFailure> {
    let answer: Value = serde_json::from_str(answer)
        .map_err(|error| SinkFailure::new(format!("the answer to a bulk request is not JSON: {error}")))?;
    let mut refused = None;
    for item in answer["items"].as_array().into_iter().flatten() {
        let result = &item["create"];
        let failure = |word: &str| {
            let reason = &result["error"]["reason"];
            SinkFailure::new(format!("a document was {word} ({}): {reason}", result["status"]))
        };
        match result["status"].as_u64() {
            Some(200..=299 | 409) => {}
            Some(400..=428 | 430..=499) => refused = Some(failure("refused")),
            _ => return Err(failure("not taken")),
        }
    }
    match refused {
        None => Ok(()),
        Some(mut failure) => {
            failure.refused = true;
            Err(failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(statuses: &[u64]) -> String {
        let items: Vec<Value> = statuses
            .iter()
            .map(|status| json!({ "create": { "status": status, "error": { "reason": "why" } } }))
            .collect();
        json!({ "errors": true, "items": items }).to_string()
    }

    #[test]
    fn what_has_arrived_before_has_arrived() {
        assert!(check(&answer(&[201, 409, 201])).is_ok());
    }

    #[test]
    fn a_document_that_can_not_be_taken_is_told_from_a_server_that_is_busy() {
        let failure = check(&answer(&[201, 400])).expect_err("refused");
        assert!(failure.refused && failure.problem.contains("400"), "{failure:?}");
        let failure = check(&answer(&[400, 429])).expect_err("busy");
        assert!(!failure.refused, "{failure:?}");
        assert!(!check("<html>").expect_err("no JSON").refused);
    }
}
