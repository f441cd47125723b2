//! Dead letters: records that could not be read, with why and whence, in a topic of their own.
//!
//! A letter is delivered before the position passes its record, so none is lost to a kill; one that was delivered just
//! before it is delivered again, with the same headers. A dead-letter topic that can't be written holds nobody up: the
//! record is still where it came from, and the log says where.

use super::publisher::wait_until_sent;
use super::{Connection, Trouble, Voice};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, PurgeConfig, ThreadedProducer};
use std::time::{Duration, Instant};

/// Bytes of a value that a letter repeats. What is longer is cut, and a header says so.
const VALUE_BYTES_MAX: usize = 512 * 1024;
/// Bytes of headers that a letter repeats. Those that are beyond it are left out.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// How long letters may take to be delivered.
const DELIVERED_WITHIN: Duration = Duration::from_secs(5);
/// How long a topic that took no letter is not tried.
const AGAIN: Duration = Duration::from_secs(30);
/// Letters that are named at each try that fails.
const NAMED_MAX: usize = 3;

/// A record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value, or the beginning of it.
    pub value: Vec<u8>,
    /// The bytes of the whole value.
    pub value_bytes: usize,
    /// Where it stands.
    pub topic: String,
    /// Where it stands.
    pub partition: i32,
    /// Where it stands.
    pub offset: i64,
    /// Why it could not be read; a word of a closed set.
    pub reason: &'static str,
    /// The headers that it had.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Letter {
    /// A letter about a record, with as much of it as letters repeat; `reason` is a word of a closed set.
    pub(in crate::edge) fn about<M: Message>(record: &M, reason: &'static str) -> Letter {
        let value = record.payload().unwrap_or_default();
        Letter {
            key: record.key().map(cut),
            value: cut(value),
            value_bytes: value.len(),
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            reason,
            headers: Letter::headers_of(record.headers()),
        }
    }

    /// The headers of a record, as far as letters repeat them.
    fn headers_of<H: Headers>(headers: Option<&H>) -> Vec<(String, Option<Vec<u8>>)> {
        let mut left = HEADER_BYTES_MAX;
        let mut kept = Vec::new();
        for header in headers.into_iter().flat_map(Headers::iter) {
            let bytes = header.key.len() + header.value.map_or(0, <[u8]>::len);
            if let Some(rest) = left.checked_sub(bytes) {
                left = rest;
                kept.push((header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
            }
        }
        kept
    }

    fn headers(&self) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &self.headers {
            headers = headers.insert(Header {
                key,
                value: value.as_ref(),
            });
        }
        for (key, value) in [
            ("stakeout.reason", self.reason.to_owned()),
            ("stakeout.topic", self.topic.clone()),
            ("stakeout.partition", self.partition.to_string()),
            ("stakeout.offset", self.offset.to_string()),
            ("stakeout.value_bytes", self.value_bytes.to_string()),
        ] {
            headers = headers.insert(Header {
                key,
                value: Some(&value),
            });
        }
        headers
    }
}

fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes.get(..VALUE_BYTES_MAX).unwrap_or(bytes).to_vec()
}

/// A topic of dead letters.
pub struct DeadLetters {
    topic: String,
    producer: ThreadedProducer<Voice>,
    failed: Option<Instant>,
}

impl DeadLetters {
    /// Letters go to `topic`.
    pub fn open(connection: &Connection, topic: &str, voice: Voice) -> KafkaResult<DeadLetters> {
        let usual = [("linger.ms", "5"), ("compression.type", "zstd")];
        // A transaction is the alerts' business.
        let mut config = connection.client(&usual, &[("enable.idempotence", "true"), ("acks", "all")]);
        config.remove("transactional.id");
        let within = DELIVERED_WITHIN.as_millis().to_string();
        config.set("message.timeout.ms", within);
        Ok(DeadLetters {
            topic: topic.to_owned(),
            producer: config.create_with_context(voice)?,
            failed: None,
        })
    }

    /// Delivers letters, for some seconds at most. Those that could not be delivered are counted and named.
    pub fn deliver(&mut self, letters: &[Letter]) {
        if letters.is_empty() {
            return;
        }
        let voice = self.producer.context().clone();
        let delivered = if self.failed.is_some_and(|at| at.elapsed() < AGAIN) {
            Err(None)
        } else {
            self.send(letters, &voice).map_err(Some)
        };
        let outcome = if delivered.is_ok() { "delivered" } else { "failed" };
        for letter in letters {
            voice.metrics().dead_letters(&letter.topic, outcome).inc();
        }
        match delivered {
            Ok(()) => {
                self.failed = None;
                voice.is_well(&self.topic);
            }
            Err(error) => {
                if let Some(error) = error {
                    let (trouble, problem) = voice.reason(&error);
                    let problem = format!("dead letters could not be delivered to `{}`: {problem}", self.topic);
                    voice.tell(trouble, &self.topic, &problem);
                    self.failed = Some(Instant::now());
                    for letter in letters.iter().take(NAMED_MAX) {
                        let (topic, partition, offset) = (&letter.topic, letter.partition, letter.offset);
                        let reason = letter.reason;
                        tracing::warn!(topic, partition, offset, reason, "a refused record has no dead letter");
                    }
                }
            }
        }
    }

    fn send(&self, letters: &[Letter], voice: &Voice) -> Result<(), KafkaError> {
        voice.take_undelivered();
        for letter in letters {
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic)
                .payload(&letter.value)
                .headers(letter.headers());
            if let Some(key) = &letter.key {
                record = record.key(key);
            }
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        wait_until_sent(&self.producer, DELIVERED_WITHIN);
        let flushed = self.producer.flush(DELIVERED_WITHIN);
        let undelivered = voice.take_undelivered();
        if flushed.is_err() {
            self.producer.purge(PurgeConfig::default().queue().inflight());
        }
        match undelivered.into_iter().next() {
            Some(error) => Err(error),
            None => flushed,
        }
    }
}

impl Trouble {
    /// Whether another try of the same record may help.
    pub(in crate::edge) const fn may_pass(self) -> bool {
        !matches!(self, Trouble::TooLarge)
    }
}
