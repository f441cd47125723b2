//! The least that a consumer of a topic through `rdkafka` does: it takes every committed record from the beginning to the
//! end, and looks at nothing in it. `benches/kafka.py` measures `detect` beside it.
//!
//! `bare_consumer BROKERS TOPIC` prints how many records and bytes there were, and in how many seconds they came, from
//! the first on.

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::io::Write as _;
use std::time::{Duration, Instant};

/// How long an answer or a record may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(brokers), Some(topic)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: bare_consumer BROKERS TOPIC");
    };
    // What a member of `detect` has, so that the same is fetched at once.
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bare-consumer")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", "65536")
        .set("fetch.max.bytes", "16777216")
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE)?;
    let partitions = metadata.topics().first().map_or(0, |about| about.partitions().len());
    anyhow::ensure!(partitions > 0, "there is no topic `{topic}`");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(&topic, i32::try_from(partition)?, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut records, mut bytes, mut ended) = (0u64, 0u64, 0);
    let mut begun = None;
    while ended < partitions {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => {
                begun.get_or_insert_with(Instant::now);
                records += 1;
                bytes += message.payload_len() as u64;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error.into()),
            None => anyhow::bail!("nothing came for {} s", PATIENCE.as_secs()),
        }
    }
    let seconds = begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
    writeln!(std::io::stdout(), "{records} {bytes} {seconds:.3}")?;
    Ok(())
}
