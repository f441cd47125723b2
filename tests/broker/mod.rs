//! A real broker for tests: Apache Kafka, started once for a test program and ended with it.

#![allow(dead_code, reason = "each test file uses its own part")]

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker at work. It ends when its standard input does, so with this program, however that ends.
pub(crate) struct Broker {
    _child: Child,
    _stdin: ChildStdin,
    /// `host:port` without a password; with one it is the next port, and with TLS the third next, and with TLS and a
    /// certificate the fourth.
    pub(crate) address: String,
    pub(crate) port: u16,
    /// What signs its certificate.
    pub(crate) ca_file: String,
}

/// The broker of this program. Nothing, and a word about it, where Kafka can't be had.
pub(crate) fn broker() -> Option<&'static Broker> {
    static BROKER: OnceLock<Option<Broker>> = OnceLock::new();
    BROKER.get_or_init(start).as_ref()
}

fn start() -> Option<Broker> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kafka/broker");
    let fetched = Command::new(&script)
        .arg("fetch")
        .output()
        .expect("the script is there");
    if !fetched.status.success() {
        let said = String::from_utf8_lossy(&fetched.stderr).into_owned();
        super::serving::left_out(&format!("Apache Kafka can't be had: {said}"));
        return None;
    }
    let port = free_ports();
    let mut child = Command::new(&script)
        .args(["run", "--until-eof", "--port", &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the script starts");
    let stdin = child.stdin.take().expect("piped");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    stdout.read_line(&mut line).expect("what it says");
    let told = line.trim().strip_prefix("ready ").and_then(|told| told.split_once(' '));
    let (address, ca_file) = told.unwrap_or_else(|| panic!("{line:?}"));
    Some(Broker {
        address: address.to_owned(),
        ca_file: ca_file.to_owned(),
        port,
        _child: child,
        _stdin: stdin,
    })
}

/// The first of five ports in a row that nobody listens on.
fn free_ports() -> u16 {
    let mut tried = 0;
    loop {
        let first = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = first.local_addr().expect("an address").port();
        let others: Vec<_> = (1..5)
            .filter_map(|next| TcpListener::bind(("127.0.0.1", port.checked_add(next)?)).ok())
            .collect();
        if others.len() == 4 {
            return port;
        }
        tried += 1;
        assert!(tried < 100, "no five free ports in a row");
    }
}

/// A record as a test reads it.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) key: Option<String>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Read {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}

/// A record as a test writes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written<'a> {
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a str>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) millis: Option<i64>,
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

impl Broker {
    fn client<T: FromClientConfig>(&self, properties: &[(&str, &str)]) -> T {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        for (name, value) in properties {
            config.set(*name, *value);
        }
        config.create().expect("a client")
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client(&[])
    }

    /// Makes a topic whose records are kept whatever their time.
    pub(crate) fn make_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1))
            .set("retention.ms", "-1")
            .set("max.message.bytes", "115343360");
        let admin = self.admin();
        let begun = Instant::now();
        // One that was deleted just now goes in its own time.
        loop {
            let made = wait(admin.create_topics([&topic], &AdminOptions::new())).expect("an answer");
            match made.into_iter().next().expect("one answer") {
                Ok(_) => return,
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(failure) => panic!("{failure:?}"),
            }
        }
    }

    pub(crate) fn delete_topic(&self, name: &str) {
        wait(self.admin().delete_topics(&[name], &AdminOptions::new())).expect("an answer");
    }

    /// Deletes the records before an offset, as retention does.
    pub(crate) fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .expect("an offset");
        wait(self.admin().delete_records(&before, &AdminOptions::new())).expect("an answer");
    }

    pub(crate) fn write<'a>(&self, topic: &str, records: impl IntoIterator<Item = Written<'a>>) {
        let producer: BaseProducer = self.client(&[
            ("message.max.bytes", "115343360"),
            ("queue.buffering.max.kbytes", "262144"),
            ("linger.ms", "20"),
        ]);
        for record in records {
            loop {
                let mut next: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic).partition(record.partition);
                next.key = record.key;
                next.payload = record.value;
                next.timestamp = record.millis;
                if !record.headers.is_empty() {
                    let headers = record
                        .headers
                        .iter()
                        .fold(OwnedHeaders::new(), |headers, (key, value)| {
                            headers.insert(Header {
                                key,
                                value: Some(*value),
                            })
                        });
                    next = next.headers(headers);
                }
                match producer.send(next) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                        producer.poll(Duration::from_millis(10));
                    }
                    Err((error, _)) => panic!("{error}"),
                }
            }
        }
        producer.flush(PATIENCE).expect("everything is delivered");
    }

    /// What a reader with `isolation.level=read_committed` sees of a topic, up to its present end.
    pub(crate) fn read_committed(&self, topic: &str) -> Vec<Read> {
        let consumer: BaseConsumer = self.client(&[
            ("group.id", "test-reader"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("receive.message.max.bytes", "1000000000"),
        ]);
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
        let partitions = metadata.topics()[0].partitions().len();
        let mut assigned = TopicPartitionList::new();
        for partition in 0..partitions {
            assigned
                .add_partition_offset(topic, partition as i32, Offset::Beginning)
                .expect("a partition");
        }
        consumer.assign(&assigned).expect("assigned");
        // A topic may grow faster than its end can be met: what was there at the beginning is enough.
        let mut ends: BTreeMap<i32, i64> = (0..partitions as i32)
            .map(|partition| {
                let bounds = consumer.fetch_watermarks(topic, partition, PATIENCE);
                (partition, bounds.expect("bounds").1)
            })
            .collect();
        let (mut found, begun) = (Vec::new(), Instant::now());
        while !ends.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "the end of `{topic}` does not come");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    found.push(Read {
                        key: message.key().map(|key| String::from_utf8_lossy(key).into_owned()),
                        value: message.payload().unwrap_or_default().to_vec(),
                        headers: message.headers().map(headers).unwrap_or_default(),
                    });
                    ends.retain(|partition, end| *partition != message.partition() || message.offset() + 1 < *end);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ends.remove(&partition);
                }
                Some(Err(error)) => panic!("{error}"),
                None => {}
            }
        }
        found
    }

    /// What a group was told of a partition.
    pub(crate) fn group_position(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = self.client(&[("group.id", group)]);
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let answer = consumer.committed_offsets(asked, PATIENCE).ok()?;
        answer.find_partition(topic, partition)?.offset().to_raw()
    }
}

fn headers(headers: &rdkafka::message::BorrowedHeaders) -> Vec<(String, String)> {
    let owned: OwnedHeaders = headers.detach();
    owned
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned();
            (header.key.to_owned(), value)
        })
        .collect()
}

fn wait<T>(answer: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(answer)
}

/// What a right is about, as Kafka's protocol numbers it.
#[derive(Clone, Copy)]
pub(crate) enum Resource {
    Topic = 2,
    Group = 3,
    TransactionalId = 5,
}

/// What may be done, as Kafka's protocol numbers it.
#[derive(Clone, Copy)]
pub(crate) enum Operation {
    Read = 3,
    Write = 4,
    Describe = 8,
}

impl Broker {
    /// Lets a user do something. The client that tests use does not know such requests, so this is one of the protocol
    /// (CreateAcls, version 1).
    pub(crate) fn allow(&self, user: &str, rights: &[(Resource, &str, Operation)]) {
        fn text(request: &mut Vec<u8>, text: &str) {
            request.extend((text.len() as i16).to_be_bytes());
            request.extend(text.as_bytes());
        }
        let mut request = vec![0, 30, 0, 1, 0, 0, 0, 7];
        text(&mut request, "test");
        request.extend((rights.len() as i32).to_be_bytes());
        for (resource, name, operation) in rights {
            request.push(*resource as u8);
            text(&mut request, name);
            // This name and no other.
            request.push(3);
            text(&mut request, &format!("User:{user}"));
            text(&mut request, "*");
            // Allowed.
            request.extend([*operation as u8, 3]);
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the broker");
        stream
            .write_all(&[&(request.len() as i32).to_be_bytes()[..], &request].concat())
            .expect("a request");
        let mut length = [0; 4];
        stream.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer).expect("an answer");
        // Correlation, throttling and count; then a code and an empty message for each.
        let codes: Vec<_> = answer.get(12..).expect("a whole answer").chunks(4).collect();
        assert_eq!(codes.len(), rights.len(), "{answer:?}");
        assert!(codes.iter().all(|code| code.starts_with(&[0, 0])), "{answer:?}");
    }
}
