//! A record as a member of a group gets it.

use super::Letter;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Message as _};

/// A record as it came.
pub struct Record<'a>(BorrowedMessage<'a>);

impl<'a> Record<'a> {
    pub(super) fn new(message: BorrowedMessage<'a>) -> Record<'a> {
        Record(message)
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        self.0.topic()
    }

    /// Its partition.
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Its offset.
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Its value.
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// When it was written, as its topic has it, in milliseconds since 1970.
    pub fn millis(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }

    /// Its headers.
    pub fn headers(&self) -> Option<&BorrowedHeaders> {
        self.0.headers()
    }

    /// A dead letter about it.
    pub fn letter(&self, reason: &'static str) -> Letter {
        Letter::about(&self.0, reason)
    }
}
