//! The topics that are written: made, or compared with what they should be.

use super::{Connection, Trouble, Voice};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::future::Future;
use std::time::{Duration, Instant};

/// How long a request may take.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How often it is looked whether a new topic is there.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The property of a topic that says what becomes of its old records.
const CLEANUP: &str = "cleanup.policy";

/// What a topic should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicForm {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: Partitions,
    /// Copies of each partition; the brokers' own number without it.
    pub replication: Option<u32>,
    /// `delete`, or `compact`.
    pub cleanup: &'static str,
}

/// How many partitions a topic should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// As many, or more.
    AtLeast(u32),
    /// As many: what is in it is dealt out by their number.
    Exactly {
        /// Their number.
        count: u32,
        /// What to do where there are others.
        remedy: String,
    },
}

impl Partitions {
    const fn count(&self) -> u32 {
        match self {
            Partitions::AtLeast(count) | Partitions::Exactly { count, .. } => *count,
        }
    }

    /// How a number of partitions differs, if it does.
    fn difference(&self, name: &str, found: u32) -> Option<String> {
        let differs = |count| format!("`{name}` has {found} partitions instead of {count}");
        match self {
            Partitions::AtLeast(count) => (found < *count).then(|| differs(count)),
            Partitions::Exactly { count, remedy } => (found != *count).then(|| format!("{}; {remedy}", differs(count))),
        }
    }
}

/// Why topics could not be made or looked at.
#[derive(Debug, thiserror::Error)]
#[error("{brokers}: {problem}")]
pub struct TopicProblem {
    brokers: String,
    problem: String,
}

/// The topics of one cluster.
pub struct Topics {
    client: AdminClient<Voice>,
    brokers: String,
}

impl Topics {
    /// Speaks to a cluster.
    pub fn open(connection: &Connection, voice: Voice) -> Result<Topics, TopicProblem> {
        let mut config = connection.client(&[], &[("allow.auto.create.topics", "false")]);
        config.remove("transactional.id");
        let client = config.create_with_context(voice).map_err(|error| TopicProblem {
            brokers: connection.brokers.clone(),
            problem: error.to_string(),
        })?;
        Ok(Topics {
            client,
            brokers: connection.brokers.clone(),
        })
    }

    fn problem(&self, error: &KafkaError) -> TopicProblem {
        let (_, problem) = self.client.inner().context().reason(error);
        TopicProblem {
            brokers: self.brokers.clone(),
            problem,
        }
    }

    /// Makes the topics that are not there. Gives the names of those that were made.
    pub fn create(&self, forms: &[TopicForm]) -> Result<Vec<String>, TopicProblem> {
        let mut made = Vec::new();
        for form in forms {
            if self.about(&form.name)?.is_some() {
                continue;
            }
            let partitions = i32::try_from(form.partitions.count()).unwrap_or(i32::MAX);
            let copies = form.replication.and_then(|copies| i32::try_from(copies).ok());
            let topic = NewTopic::new(&form.name, partitions, TopicReplication::Fixed(copies.unwrap_or(-1)))
                .set(CLEANUP, form.cleanup);
            let answers =
                wait(self.client.create_topics(&[topic], &options())).map_err(|error| self.problem(&error))?;
            for answer in answers {
                match answer {
                    Ok(name) => {
                        self.wait_for(&name)?;
                        made.push(name);
                    }
                    // Somebody else was as quick.
                    Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                    Err((name, code)) => {
                        return Err(TopicProblem {
                            brokers: self.brokers.clone(),
                            problem: format!("the topic `{name}` could not be made: {code}"),
                        });
                    }
                }
            }
        }
        Ok(made)
    }

    /// Brokers learn of a new topic one after the other.
    fn wait_for(&self, name: &str) -> Result<(), TopicProblem> {
        let begun = Instant::now();
        while self.about(name)?.is_none() && begun.elapsed() < ANSWER_MAX {
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// What differs from what topics should be, a sentence each.
    pub fn differences(&self, forms: &[TopicForm]) -> Result<Vec<String>, TopicProblem> {
        let mut found = Vec::new();
        for form in forms {
            let name = &form.name;
            let Some((partitions, replication)) = self.about(name)? else {
                found.push(format!("`{name}` is not there"));
                continue;
            };
            found.extend(form.partitions.difference(name, partitions));
            if let Some(wanted) = form.replication
                && wanted != replication
            {
                found.push(format!(
                    "`{name}` has a replication factor of {replication} instead of {wanted}"
                ));
            }
            let cleanup = self.cleanup(name)?;
            if cleanup != form.cleanup {
                found.push(format!("`{name}` has {CLEANUP} {cleanup} instead of {}", form.cleanup));
            }
        }
        Ok(found)
    }

    /// The partitions of a topic and the copies of each; nothing where there is no such topic.
    fn about(&self, name: &str) -> Result<Option<(u32, u32)>, TopicProblem> {
        let metadata = self.client.inner().fetch_metadata(Some(name), ANSWER_MAX);
        let metadata = metadata.map_err(|error| self.problem(&error))?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
            return Ok(None);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(code) if Trouble::of_code(code) == Trouble::UnknownTopic => return Ok(None),
            Some(code) => {
                return Err(TopicProblem {
                    brokers: self.brokers.clone(),
                    problem: format!("the topic `{name}`: {code}"),
                });
            }
        }
        let copies = topic
            .partitions()
            .iter()
            .map(|partition| partition.replicas().len())
            .min();
        Ok(Some((topic.partitions().len() as u32, copies.unwrap_or(0) as u32)))
    }

    fn cleanup(&self, name: &str) -> Result<String, TopicProblem> {
        let asked = [ResourceSpecifier::Topic(name)];
        let answers = wait(self.client.describe_configs(&asked, &options())).map_err(|error| self.problem(&error))?;
        let mut cleanup = String::new();
        for answer in answers {
            let config = answer.map_err(|code| self.problem(&KafkaError::AdminOp(code)))?;
            if let Some(entry) = config.get(CLEANUP) {
                cleanup = entry.value.clone().unwrap_or_default();
            }
        }
        Ok(cleanup)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ANSWER_MAX))
        .operation_timeout(Some(ANSWER_MAX))
}

/// Waits for an answer on this thread.
fn wait<T>(answer: impl Future<Output = Result<T, KafkaError>>) -> Result<T, KafkaError> {
    match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime.block_on(answer),
        Err(error) => Err(KafkaError::AdminOpCreation(error.to_string())),
    }
}
