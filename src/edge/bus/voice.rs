//! What goes wrong with brokers, told once and counted every time: librdkafka tries again several times a second, and
//! says each time what it has said before.

use crate::edge::telemetry::KafkaMetrics;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};
use rdkafka::statistics::Statistics;
use rdkafka::{TopicPartitionList, message::Message as _};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the same trouble is not told again.
const AGAIN: Duration = Duration::from_secs(600);
/// How long a trouble with the way to the brokers explains that none is reached.
const RECENT: Duration = Duration::from_secs(30);

/// What goes wrong, as far as somebody would do something different about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// A broker refuses the password, or the way of proving one.
    Authentication,
    /// A broker does not allow what was asked.
    Authorization,
    /// No encrypted connection stands.
    Tls,
    /// No broker answers.
    Unreachable,
    /// There is no such topic.
    UnknownTopic,
    /// Another process has taken over.
    Fenced,
    /// A record is larger than what may be written.
    TooLarge,
    /// Something else.
    Other,
}

impl Trouble {
    /// The word in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Trouble::Authentication => "authentication",
            Trouble::Authorization => "authorization",
            Trouble::Tls => "tls",
            Trouble::Unreachable => "unreachable",
            Trouble::UnknownTopic => "unknown_topic",
            Trouble::Fenced => "fenced",
            Trouble::TooLarge => "too_large",
            Trouble::Other => "other",
        }
    }

    /// What an error is.
    pub fn of(error: &KafkaError) -> Trouble {
        error.rdkafka_error_code().map_or(Trouble::Other, Trouble::of_code)
    }

    /// What an error's code is.
    pub fn of_code(code: RDKafkaErrorCode) -> Trouble {
        use RDKafkaErrorCode as Code;
        match code {
            Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
                Trouble::Authentication
            }
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed => Trouble::Authorization,
            Code::SSL => Trouble::Tls,
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::MessageTimedOut => Trouble::Unreachable,
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => Trouble::UnknownTopic,
            Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced | Code::FencedInstanceId => {
                Trouble::Fenced
            }
            Code::MessageSizeTooLarge | Code::InvalidMessageSize => Trouble::TooLarge,
            _ => Trouble::Other,
        }
    }

    /// What to look at.
    const fn advice(self) -> &'static str {
        match self {
            Trouble::Authentication => "; look at sasl.mechanism, sasl.username and where the password is",
            Trouble::Authorization => "; look at the ACLs of this user",
            Trouble::Tls => {
                "; look at security.protocol, ssl.ca.location, ssl.certificate.location and the broker's certificate"
            }
            Trouble::Unreachable => "; look at `brokers`, at security.protocol, and at the brokers themselves",
            Trouble::UnknownTopic => "; `stakeout topics --create` makes those that are written",
            Trouble::Fenced => "; one of the two has to go, or to have another transactional.id or instance",
            Trouble::TooLarge | Trouble::Other => "",
        }
    }

    /// Whether it is the way to the brokers, so that none is reached.
    const fn is_way(self) -> bool {
        matches!(self, Trouble::Authentication | Trouble::Tls | Trouble::Unreachable)
    }
}

/// What is wrong with a topic, by what a broker says of it.
pub(in crate::edge) fn about_topic(code: RDKafkaErrorCode, topic: &str) -> String {
    match Trouble::of_code(code) {
        Trouble::UnknownTopic => format!("there is no topic `{topic}`"),
        Trouble::Authorization => format!("the brokers do not let this user describe the topic `{topic}`"),
        _ => format!("the topic `{topic}`: {code}"),
    }
}

/// Tells what goes wrong with one client of brokers.
#[derive(Clone, Debug)]
pub struct Voice {
    what: Arc<str>,
    /// The group of the client, or its transactional id.
    group: Arc<str>,
    metrics: KafkaMetrics,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    /// When each trouble with each topic was told last; topics are configured, so there are few.
    told: BTreeMap<(Trouble, String), Instant>,
    /// The last trouble with the way to the brokers.
    way: Option<(Instant, Trouble, String)>,
    /// The end of each partition, as far as it is known.
    ends: BTreeMap<(String, i32), i64>,
    /// Records that could not be delivered since somebody has asked.
    undelivered: Vec<KafkaError>,
}

impl Voice {
    /// The voice of a client; `what` names it as the configuration does. `group` is empty where it has none.
    pub fn new(what: impl Into<Arc<str>>, group: &str, metrics: KafkaMetrics) -> Voice {
        Voice {
            what: what.into(),
            group: group.into(),
            metrics,
            heard: Arc::default(),
        }
    }

    /// The voice of the same client, once its transactional id is known.
    pub(in crate::edge) fn under(&self, id: &str) -> Voice {
        Voice {
            group: id.into(),
            ..self.clone()
        }
    }

    /// What is counted.
    pub fn metrics(&self) -> &KafkaMetrics {
        &self.metrics
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a trouble, and tells it unless that was done lately. `topic` is empty where it is about none.
    pub fn tell(&self, trouble: Trouble, topic: &str, problem: &str) {
        self.metrics.errors(trouble.word()).inc();
        let mut heard = self.heard();
        if trouble.is_way() {
            heard.way = Some((Instant::now(), trouble, problem.to_owned()));
        }
        let key = (trouble, topic.to_owned());
        let is_new = heard.told.get(&key).is_none_or(|at| at.elapsed() >= AGAIN);
        drop(heard);
        if is_new {
            self.heard().told.insert(key, Instant::now());
            tracing::error!("{}: {problem}{}", self.what, trouble.advice());
        } else {
            tracing::debug!("{}: {problem}", self.what);
        }
    }

    /// Brokers answer: what was wrong with the way to them is over.
    pub fn is_reached(&self) {
        let mut heard = self.heard();
        heard.way = None;
        let before = heard.told.len();
        heard.told.retain(|(trouble, _), _| !trouble.is_way());
        if heard.told.len() < before {
            tracing::info!("{}: brokers answer again", self.what);
        }
    }

    /// What is wrong with a topic is over.
    pub fn is_well(&self, topic: &str) {
        let mut heard = self.heard();
        let before = heard.told.len();
        heard.told.retain(|(_, about), _| about != topic);
        if heard.told.len() < before {
            tracing::info!("{}: `{topic}` is well again", self.what);
        }
    }

    /// Tells an error of something that is tried again.
    pub(super) fn tell_passing(&self, error: &KafkaError) {
        let (trouble, problem) = self.reason(error);
        self.tell(trouble, "", &problem);
    }

    /// What an error means, in words: where no broker was reached, why.
    pub fn reason(&self, error: &KafkaError) -> (Trouble, String) {
        let trouble = Trouble::of(error);
        if let (true, Some((at, trouble, problem))) = (trouble.is_way(), &self.heard().way)
            && at.elapsed() < RECENT
        {
            return (*trouble, problem.clone());
        }
        let problem = match trouble {
            Trouble::Unreachable => "no broker answers".to_owned(),
            _ => error.to_string(),
        };
        (trouble, problem)
    }

    /// The end of a partition, as far as it is known.
    pub fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.heard().ends.get(&(topic.to_owned(), partition)).copied()
    }

    /// Why records could not be delivered since this was asked last.
    pub fn take_undelivered(&self) -> Vec<KafkaError> {
        std::mem::take(&mut self.heard().undelivered)
    }
}

impl ClientContext for Voice {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters of it comes as an error too.
        tracing::debug!("{}: librdkafka: {facility}: {message}", self.what);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        if code == RDKafkaErrorCode::PartitionEOF {
            return;
        }
        let trouble = match Trouble::of_code(code) {
            // A broker that wants a certificate says so after the handshake, when all that is left is to hang up.
            Trouble::Unreachable if reason.contains("SSL routines") => Trouble::Tls,
            trouble => trouble,
        };
        // That all brokers are down is said behind each single failure, and hides its reason.
        let is_explained = code == RDKafkaErrorCode::AllBrokersDown && self.heard().way.is_some();
        let denied = match code {
            RDKafkaErrorCode::GroupAuthorizationFailed => Some("group"),
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed => Some("transactional.id"),
            _ => None,
        };
        if let Some(what) = denied {
            let problem = format!("the brokers do not let this user use the {what} `{}`", self.group);
            self.tell(trouble, &self.group, &problem);
        } else if code == RDKafkaErrorCode::TopicAuthorizationFailed {
            // It comes with the partition or the record too, and by the topic's name.
            tracing::debug!("{}: {reason}", self.what);
        } else if !is_explained {
            self.tell(trouble, "", reason);
        }
    }

    fn stats(&self, statistics: Statistics) {
        let mut heard = self.heard();
        for (name, topic) in &statistics.topics {
            for (number, partition) in &topic.partitions {
                if partition.ls_offset < 0 {
                    continue;
                }
                // The last of a log may be the mark of a transaction, which nobody is ever given: where everything was
                // given, the log ends behind the last that was.
                let is_given = partition.fetchq_cnt == 0 && partition.next_offset >= partition.ls_offset;
                let end = match is_given {
                    true => partition.app_offset.clamp(0, partition.ls_offset),
                    false => partition.ls_offset,
                };
                heard.ends.insert((name.clone(), *number), end);
            }
        }
    }
}

impl ConsumerContext for Voice {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let Err(error) = result else { return };
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) {
            return;
        }
        let problem = format!(
            "positions could not be told to the group `{}` ({error}); they are safe in the store",
            self.group
        );
        self.tell(Trouble::of(&error), &self.group, &problem);
    }
}

impl ProducerContext<NoCustomPartitioner> for Voice {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            tracing::debug!("{}: a record to `{}`: {error}", self.what, message.topic());
            self.heard().undelivered.push(error.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::telemetry::Metrics;

    fn global(code: RDKafkaErrorCode) -> KafkaError {
        KafkaError::Global(code)
    }

    #[test]
    fn why_no_broker_is_reached_is_told_by_its_reason() {
        let metrics = Metrics::new().expect("metrics").kafka;
        let voice = Voice::new("the input `kafka`", "soc", metrics.clone());
        let unreachable = global(RDKafkaErrorCode::OperationTimedOut);
        assert_eq!(voice.reason(&unreachable).1, "no broker answers");
        voice.error(global(RDKafkaErrorCode::Authentication), "a:1: wrong password");
        voice.error(global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        let expected = (Trouble::Authentication, "a:1: wrong password".to_owned());
        assert_eq!(voice.reason(&unreachable), expected);
        assert_eq!(metrics.errors("authentication").get(), 1);
        assert_eq!(metrics.errors("unreachable").get(), 0, "it is explained");
        voice.is_reached();
        assert_eq!(voice.reason(&unreachable).0, Trouble::Unreachable);
        let refused = "a:1: Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate";
        voice.error(global(RDKafkaErrorCode::BrokerTransportFailure), refused);
        assert_eq!(voice.reason(&unreachable), (Trouble::Tls, refused.to_owned()));
    }

    #[test]
    fn the_same_trouble_is_counted_each_time_and_told_once() {
        let metrics = Metrics::new().expect("metrics").kafka;
        let voice = Voice::new("the input `kafka`", "soc", metrics.clone());
        for _ in 0..5 {
            voice.tell(Trouble::UnknownTopic, "zeek", "there is no topic `zeek`");
        }
        assert_eq!(metrics.errors("unknown_topic").get(), 5);
        assert_eq!(voice.heard().told.len(), 1);
        voice.is_well("zeek");
        assert!(voice.heard().told.is_empty());
    }
}
