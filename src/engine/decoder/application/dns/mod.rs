//! DNS messages (RFC 1035, 6891), as UDP carries them, and questions paired with their answers.
//!
//! A message is read without copying; only names are written out, lower case, in RFC 1035's presentation form: `.` and
//! `\` inside a label as `\.` and `\\`, other bytes outside printable ASCII as `\ddd`. Compression pointers may only point
//! backwards, so that a name always ends. Multicast DNS and LLMNR have the same form.

mod conversation;
mod names;

pub use conversation::{Conversation, Exchange};
pub use names::{class_name, opcode_name, rcode_name, type_name};

use super::bytes::{Bytes, push_hex};
use super::domain_name::describe_question;
use crate::domain::{Event, Field};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most answers that are written into an event; `dns.answers_count` tells how many there were.
pub const ANSWERS_DESCRIBED_MAX: usize = 32;
const RECORDS_MAX: usize = 4096;
const POINTERS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 255;
/// The longest text of one answer's data.
const DATA_TEXT_BYTES_MAX: usize = 1024;

/// Why bytes are no DNS message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Shorter than what its header announces.
    #[error("the message is shorter than its header says")]
    TooShort,
    /// A label or a name that is too long, or has an unknown form.
    #[error("a name has a label of an unknown form or is longer than 255 bytes")]
    BadName,
    /// A compression pointer that does not point backwards, or too many of them.
    #[error("a compression pointer does not point backwards")]
    BadPointer,
    /// More records than any sender puts into a message.
    #[error("more than 4096 records")]
    TooManyRecords,
}

impl Refusal {
    /// A word of a closed set, fit for a tally.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::TooShort => "dns_too_short",
            Refusal::BadName => "dns_bad_name",
            Refusal::BadPointer => "dns_bad_pointer",
            Refusal::TooManyRecords => "dns_too_many_records",
        }
    }
}

/// A message. Numbers are as they were sent; texts come from the methods.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// Matches an answer to its question.
    pub id: u16,
    /// The header's second word: QR, opcode, AA, TC, RD, RA, AD, CD, rcode.
    pub flags: u16,
    /// The response code with the bits that EDNS adds.
    pub rcode: u16,
    /// The first question.
    pub question: Option<Question>,
    /// How many answers the header announces.
    pub answers_count: u16,
    /// How many of the answers can be read.
    answers_readable: u16,
    answers_start: usize,
    /// Why the records after the question could not all be read.
    pub damage: Option<Refusal>,
    /// The message ends where its last record ends.
    pub exact: bool,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Lower case, presentation form, without the final dot; the root is `.`.
    pub name: String,
    /// The type's number; see [`type_name`].
    pub kind: u16,
    /// The class's number; see [`class_name`].
    pub class: u16,
}

/// A resource record. Its data may hold names that point into the message.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    message: &'a [u8],
    name_start: usize,
    /// The type's number; see [`type_name`].
    pub kind: u16,
    /// The class's number; see [`class_name`].
    pub class: u16,
    /// How long the answer may be kept.
    pub ttl_seconds: u32,
    data_start: usize,
    /// The record's data as sent.
    pub data: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a message. It must have a header and, where one is announced, a question; what is wrong behind them is told
    /// in `damage`.
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, Refusal> {
        let mut header = Bytes::new(bytes);
        let (id, flags, questions, answers, authorities, additionals) = (|| {
            let word = &mut header;
            Some((
                word.u16()?,
                word.u16()?,
                word.u16()?,
                word.u16()?,
                word.u16()?,
                word.u16()?,
            ))
        })()
        .ok_or(Refusal::TooShort)?;
        let mut message = Message {
            bytes,
            id,
            flags,
            rcode: flags & 15,
            question: None,
            answers_count: answers,
            answers_readable: 0,
            answers_start: 12,
            damage: None,
            exact: false,
        };
        let mut at = 12;
        if questions > 0 {
            let mut name = String::with_capacity(64);
            at = read_name(bytes, at, Some(&mut name))?;
            let (kind, class) = two_words(bytes, at).ok_or(Refusal::TooShort)?;
            at += 4;
            message.question = Some(Question { name, kind, class });
        }
        let records = Records {
            questions: questions.saturating_sub(1),
            answers,
            others: u32::from(authorities) + u32::from(additionals),
        };
        if let Err(damage) = message.walk(at, records) {
            message.damage = Some(damage);
        }
        Ok(message)
    }

    /// A question of which only this is left.
    fn of_question(id: u16, flags: u16, question: Option<Question>) -> Message<'static> {
        Message {
            bytes: &[],
            id,
            flags,
            rcode: flags & 15,
            question,
            answers_count: 0,
            answers_readable: 0,
            answers_start: 0,
            damage: None,
            exact: true,
        }
    }

    /// Checks that everything behind the first question can be read, counts the answers and takes EDNS into account.
    fn walk(&mut self, start: usize, records: Records) -> Result<(), Refusal> {
        let mut at = start;
        if usize::from(records.questions) > RECORDS_MAX {
            return Err(Refusal::TooManyRecords);
        }
        for _ in 0..records.questions {
            at = read_name(self.bytes, at, None)?;
            two_words(self.bytes, at).ok_or(Refusal::TooShort)?;
            at += 4;
        }
        self.answers_start = at;
        for number in 0..u32::from(records.answers) + records.others {
            if number as usize >= RECORDS_MAX {
                return Err(Refusal::TooManyRecords);
            }
            let (record, end) = Record::parse(self.bytes, at)?;
            at = end;
            if number < u32::from(records.answers) {
                self.answers_readable += 1;
            } else if record.kind == 41 {
                // RFC 6891, 6.1.3: the upper eight bits of the response code are the first eight of the time to live.
                self.rcode |= ((record.ttl_seconds >> 24) as u16) << 4;
            }
        }
        self.exact = at == self.bytes.len();
        Ok(())
    }

    /// Whether this is an answer (QR).
    pub fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// The operation's number; see [`opcode_name`].
    pub fn opcode(&self) -> u8 {
        (self.flags >> 11 & 15) as u8
    }

    /// The answers that can be read, in their order.
    pub fn answers(&self) -> impl Iterator<Item = Record<'a>> {
        let mut at = self.answers_start;
        let bytes = self.bytes;
        (0..self.answers_readable).map_while(move |_| {
            let (record, end) = Record::parse(bytes, at).ok()?;
            at = end;
            Some(record)
        })
    }

    /// Writes what the message says into an event. Category, dataset and outcome too; not addresses, times, transport.
    pub fn describe(&self, event: &mut Event) {
        let mut scratch = String::with_capacity(64);
        event.add_str(Field::EventKind, "event");
        event.add_str(Field::EventCategory, "network");
        event.add_str(Field::EventType, "connection");
        event.add_str(Field::EventType, "protocol");
        event.add_str(Field::EventDataset, "dns");
        event.add_str(Field::NetworkProtocol, "dns");
        event.add_str(Field::DnsType, if self.is_response() { "answer" } else { "query" });
        let _ = write!(scratch, "{}", self.id);
        event.add_str(Field::DnsId, &scratch);
        add_name(
            event,
            Field::DnsOpCode,
            opcode_name(self.opcode()),
            self.opcode().into(),
        );
        for (bit, name) in FLAGS {
            if self.flags & bit != 0 {
                event.add_str(Field::DnsHeaderFlags, name);
            }
        }
        if let Some(question) = &self.question {
            describe_question(&question.name, event);
            add_name(event, Field::DnsQuestionType, type_name(question.kind), question.kind);
            add_name(
                event,
                Field::DnsQuestionClass,
                class_name(question.class),
                question.class,
            );
        }
        if !self.is_response() {
            return;
        }
        add_name(event, Field::DnsResponseCode, rcode_name(self.rcode), self.rcode);
        let outcome = if self.rcode == 0 { "success" } else { "failure" };
        event.add_str(Field::EventOutcome, outcome);
        event.add_u64(Field::DnsAnswersCount, self.answers_count.into());
        for answer in self.answers().take(ANSWERS_DESCRIBED_MAX) {
            answer.describe(event, &mut scratch);
        }
    }
}

struct Records {
    questions: u16,
    answers: u16,
    others: u32,
}

impl<'a> Record<'a> {
    fn parse(message: &'a [u8], start: usize) -> Result<(Record<'a>, usize), Refusal> {
        let at = read_name(message, start, None)?;
        let mut fields = Bytes::new(message.get(at..).ok_or(Refusal::TooShort)?);
        let (kind, class, ttl_seconds, data) = (|| {
            let word = &mut fields;
            Some((word.u16()?, word.u16()?, word.u32()?, word.block16()?.rest()))
        })()
        .ok_or(Refusal::TooShort)?;
        let record = Record {
            message,
            name_start: start,
            kind,
            class,
            ttl_seconds,
            data_start: at + 10,
            data,
        };
        Ok((record, at + 10 + data.len()))
    }

    /// Appends the name that the record is about.
    pub fn write_name(&self, text: &mut String) {
        let _ = read_name(self.message, self.name_start, Some(text));
    }

    /// The address of an A or AAAA record.
    pub fn address(&self) -> Option<IpAddr> {
        match self.kind {
            1 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(self.data).ok()?).into()),
            28 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(self.data).ok()?).into()),
            _ => None,
        }
    }

    /// Appends the data as text: addresses, names and numbers as in a zone file, names in lower case without final dot,
    /// strings of TXT joined with a blank, what has no known form as `\# length hex` (RFC 3597), cut at 1,024 bytes.
    pub fn write_data(&self, text: &mut String) {
        let start = text.len();
        if self.write_known(text).is_none() {
            text.truncate(start);
            let _ = write!(text, "\\# {} ", self.data.len());
            push_hex(text, self.data.get(..256).unwrap_or(self.data));
        }
        let end = text.floor_char_boundary(start + DATA_TEXT_BYTES_MAX);
        text.truncate(end);
    }

    fn write_known(&self, text: &mut String) -> Option<()> {
        let mut data = Bytes::new(self.data);
        match self.kind {
            1 | 28 => write!(text, "{}", self.address()?).ok()?,
            // NS, CNAME, PTR, DNAME.
            2 | 5 | 12 | 39 => {
                self.write_name_at(0, text)?;
            }
            // SOA.
            6 => {
                let at = self.write_name_at(0, text)?;
                text.push(' ');
                let at = self.write_name_at(at, text)?;
                let mut numbers = Bytes::new(self.data.get(at..)?);
                for _ in 0..5 {
                    write!(text, " {}", numbers.u32()?).ok()?;
                }
            }
            // MX.
            15 => {
                write!(text, "{} ", data.u16()?).ok()?;
                self.write_name_at(2, text)?;
            }
            // TXT, SPF.
            16 | 99 => {
                push_text(text, data.block8()?.rest());
                while let Some(string) = data.block8() {
                    text.push(' ');
                    push_text(text, string.rest());
                }
                data.is_empty().then_some(())?;
            }
            // SRV.
            33 => {
                write!(text, "{} {} {} ", data.u16()?, data.u16()?, data.u16()?).ok()?;
                self.write_name_at(6, text)?;
            }
            // NAPTR.
            35 => {
                write!(text, "{} {}", data.u16()?, data.u16()?).ok()?;
                for _ in 0..3 {
                    text.push_str(" \"");
                    push_text(text, data.block8()?.rest());
                    text.push('"');
                }
                text.push(' ');
                self.write_name_at(self.data.len().checked_sub(data.rest().len())?, text)?;
            }
            // SVCB, HTTPS: the priority and the target; parameters are left out.
            64 | 65 => {
                write!(text, "{} ", data.u16()?).ok()?;
                self.write_name_at(2, text)?;
            }
            // CAA.
            257 => {
                let flags = data.u8()?;
                let tag = data.block8()?.rest();
                write!(text, "{flags} {} \"", String::from_utf8_lossy(tag)).ok()?;
                push_text(text, data.rest());
                text.push('"');
            }
            _ => return None,
        }
        Some(())
    }

    /// Appends the name that begins at this place of the data; gives the place behind it.
    fn write_name_at(&self, place: usize, text: &mut String) -> Option<usize> {
        let end = read_name(self.message, self.data_start + place, Some(text)).ok()?;
        let place = end.checked_sub(self.data_start)?;
        (place <= self.data.len()).then_some(place)
    }

    fn describe(&self, event: &mut Event, scratch: &mut String) {
        scratch.clear();
        self.write_name(scratch);
        event.add_str(Field::DnsAnswersName, scratch);
        add_name(event, Field::DnsAnswersType, type_name(self.kind), self.kind);
        event.add_u64(Field::DnsAnswersTtl, self.ttl_seconds.into());
        scratch.clear();
        self.write_data(scratch);
        event.add_str(Field::DnsAnswersData, scratch);
        if let Some(address) = self.address() {
            event.add_ip(Field::DnsResolvedIp, address);
        }
    }
}

fn two_words(bytes: &[u8], at: usize) -> Option<(u16, u16)> {
    let mut words = Bytes::new(bytes.get(at..)?);
    Some((words.u16()?, words.u16()?))
}

/// Reads the name that begins at `start` and gives the place behind it; appends the name to `text`, where one is given.
fn read_name(message: &[u8], start: usize, mut text: Option<&mut String>) -> Result<usize, Refusal> {
    let mut at = start;
    // A pointer must lead to before the part of the name that holds it, so that places sink and reading ends.
    let mut part_start = start;
    let mut end = None;
    let mut pointers = 0;
    let mut name_bytes = 0;
    let mut first = true;
    loop {
        let length = *message.get(at).ok_or(Refusal::TooShort)?;
        match length {
            0 => {
                if first && let Some(text) = &mut text {
                    text.push('.');
                }
                return Ok(end.unwrap_or(at + 1));
            }
            1..=63 => {
                let label = message
                    .get(at + 1..at + 1 + usize::from(length))
                    .ok_or(Refusal::TooShort)?;
                name_bytes += 1 + label.len();
                if name_bytes >= NAME_BYTES_MAX {
                    return Err(Refusal::BadName);
                }
                if let Some(text) = &mut text {
                    if !first {
                        text.push('.');
                    }
                    push_label(text, label);
                }
                first = false;
                at += 1 + label.len();
            }
            192.. => {
                let low = *message.get(at + 1).ok_or(Refusal::TooShort)?;
                end = end.or(Some(at + 2));
                if text.is_none() {
                    // Whoever only wants to pass the name need not follow it; it is checked when it is written.
                    return Ok(at + 2);
                }
                let target = usize::from(length & 63) << 8 | usize::from(low);
                pointers += 1;
                if target >= part_start || pointers > POINTERS_MAX {
                    return Err(Refusal::BadPointer);
                }
                (at, part_start) = (target, target);
            }
            _ => return Err(Refusal::BadName),
        }
    }
}

fn push_label(text: &mut String, label: &[u8]) {
    // What nearly every label is made of goes through as one piece.
    let mut lower = [0; 63];
    if let Some(lower) = lower.get_mut(..label.len())
        && label
            .iter()
            .all(|byte| matches!(byte, b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'))
    {
        lower.copy_from_slice(label);
        lower.make_ascii_lowercase();
        text.push_str(std::str::from_utf8(lower).unwrap_or_default());
        return;
    }
    for byte in label {
        match byte {
            b'.' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            0x21..=0x7e => text.push(char::from(byte.to_ascii_lowercase())),
            _ => push_decimal_escape(text, *byte),
        }
    }
}

/// A character string: printable ASCII with blanks as it is, the rest escaped.
fn push_text(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(char::from(*byte)),
            _ => push_decimal_escape(text, *byte),
        }
    }
}

fn push_decimal_escape(text: &mut String, byte: u8) {
    text.push('\\');
    for digit in [byte / 100, byte / 10 % 10, byte % 10] {
        text.push(char::from(b'0' + digit));
    }
}

const FLAGS: [(u16, &str); 6] = [
    (0x0400, "AA"),
    (0x0200, "TC"),
    (0x0100, "RD"),
    (0x0080, "RA"),
    (0x0020, "AD"),
    (0x0010, "CD"),
];

/// Adds the name of a number, or the number itself where it has none.
fn add_name(event: &mut Event, field: Field, name: Option<&'static str>, number: u16) {
    match name {
        Some(name) => event.add_str(field, name),
        None => {
            let mut digits = [b'0'; 5];
            let mut rest = number;
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            let zeros = digits.iter().take(4).take_while(|digit| **digit == b'0').count();
            event.add_bytes(field, digits.get(zeros..).unwrap_or(&digits));
        }
    }
}

#[cfg(test)]
mod tests;
