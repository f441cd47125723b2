//! A topic of one partition that every instance reads whole, from its beginning: what all of them have to know.

use super::{Connection, Voice};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// A reader of such a topic.
pub struct Broadcast {
    reader: BaseConsumer<Voice>,
}

impl Broadcast {
    /// Reads committed records from the beginning.
    pub fn open(connection: &Connection, topic: &str, voice: Voice) -> Result<Broadcast, KafkaError> {
        let usual = [("receive.message.max.bytes", "1000000000"), ("fetch.wait.max.ms", "50")];
        // It is no member of a group; librdkafka wants a name.
        let config = connection.reader("stakeout-broadcast", &usual);
        let reader: BaseConsumer<Voice> = config.create_with_context(voice)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning)?;
        reader.assign(&list)?;
        Ok(Broadcast { reader })
    }

    /// The next record, as far as one has come: its key, and its value where it has one.
    pub fn take_next(&mut self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        loop {
            match self.reader.poll(Duration::ZERO)? {
                Ok(message) => {
                    let key = message.key().unwrap_or_default().to_vec();
                    return Some((key, message.payload().map(<[u8]>::to_vec)));
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => self.reader.client().context().tell_passing(&error),
            }
        }
    }
}
