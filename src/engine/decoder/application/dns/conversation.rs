//! Questions paired with their answers, over datagrams or over a TCP stream with its two-byte lengths.

use super::{Message, Question, Refusal};
use crate::domain::{Duration, Event, Timestamp};
use crate::engine::decoder::application::{Piece, Side};
use std::collections::VecDeque;

/// A question with its answer, a question that got none, or an answer whose question was not seen.
#[derive(Clone, Debug)]
pub struct Exchange<'a> {
    /// When it was asked, if that was seen.
    pub asked: Option<Timestamp>,
    /// When the answer came, or when waiting for it ended.
    pub end: Timestamp,
    /// The answer; without one, the question.
    pub message: Message<'a>,
}

impl Exchange<'_> {
    /// Writes what was said into an event, with its beginning and end; not addresses and transport.
    pub fn describe(&self, event: &mut Event) {
        event.set_time(self.end);
        if let Some(asked) = self.asked {
            event.set_start(asked);
        }
        self.message.describe(event);
    }
}

/// The DNS messages of one flow. A question that is sent again before its answer comes is told once.
#[derive(Debug, Default)]
pub struct Conversation {
    pending: VecDeque<Pending>,
    originator: Frames,
    responder: Frames,
}

#[derive(Debug)]
struct Pending {
    asked: Timestamp,
    id: u16,
    flags: u16,
    question: Option<Question>,
}

/// A direction of TCP: what of a message has come so far.
#[derive(Debug, Default)]
struct Frames {
    partial: Vec<u8>,
    lost: bool,
}

impl Conversation {
    /// How long an answer is waited for, as long as Zeek waits.
    pub const ANSWER_WAIT: Duration = Duration::from_seconds(10);
    /// The most questions of one flow that wait for their answers; beyond, the oldest is told without.
    pub const PENDING_MAX: usize = 256;

    /// A flow in which nothing was said yet.
    pub fn new() -> Self {
        Conversation::default()
    }

    /// The next moment at which a question has waited long enough, if one waits.
    pub fn deadline(&self) -> Option<Timestamp> {
        Some(self.pending.front()?.asked.plus(Self::ANSWER_WAIT))
    }

    /// A datagram with one message.
    pub fn datagram(
        &mut self,
        bytes: &[u8],
        time: Timestamp,
        mut tell: impl FnMut(Exchange<'_>),
    ) -> Result<(), Refusal> {
        self.expire(time, &mut tell);
        self.message(bytes, time, &mut tell)
    }

    /// The next piece of a TCP stream. A refusal ends this direction: what follows in it is not looked at.
    pub fn piece(
        &mut self,
        side: Side,
        piece: Piece<'_>,
        time: Timestamp,
        mut tell: impl FnMut(Exchange<'_>),
    ) -> Result<(), Refusal> {
        self.expire(time, &mut tell);
        let frames = match side {
            Side::Originator => &mut self.originator,
            Side::Responder => &mut self.responder,
        };
        if frames.lost {
            return Ok(());
        }
        let Piece::Data(data) = piece else {
            // The place of the next length is not known any more.
            frames.lost = true;
            frames.partial = Vec::new();
            return Ok(());
        };
        let mut partial = std::mem::take(&mut frames.partial);
        let mut result = Ok(());
        if partial.is_empty() {
            let rest = self.messages(data, time, &mut result, &mut tell);
            partial.extend_from_slice(rest);
        } else {
            partial.extend_from_slice(data);
            let rest_bytes = self.messages(&partial, time, &mut result, &mut tell).len();
            partial.drain(..partial.len() - rest_bytes);
        }
        let frames = match side {
            Side::Originator => &mut self.originator,
            Side::Responder => &mut self.responder,
        };
        frames.lost = result.is_err();
        if result.is_ok() {
            frames.partial = partial;
        }
        result
    }

    /// Tells the questions that have waited for longer than [`Conversation::ANSWER_WAIT`] at `time`.
    pub fn expire(&mut self, time: Timestamp, mut tell: impl FnMut(Exchange<'_>)) {
        while let Some(first) = self.pending.front() {
            if time.since(first.asked) <= Self::ANSWER_WAIT {
                break;
            }
            self.give_up_first(time, &mut tell);
        }
    }

    /// The flow has ended at `time`: tells the questions that got no answer.
    pub fn finish(&mut self, time: Timestamp, mut tell: impl FnMut(Exchange<'_>)) {
        while !self.pending.is_empty() {
            self.give_up_first(time, &mut tell);
        }
    }

    /// Reads the whole messages at the front, and gives what is left.
    fn messages<'b>(
        &mut self,
        data: &'b [u8],
        time: Timestamp,
        result: &mut Result<(), Refusal>,
        tell: &mut impl FnMut(Exchange<'_>),
    ) -> &'b [u8] {
        let mut rest = data;
        while let Some((length, behind)) = rest.split_first_chunk::<2>() {
            let Some((bytes, behind)) = behind.split_at_checked(u16::from_be_bytes(*length).into()) else {
                break;
            };
            rest = behind;
            *result = self.message(bytes, time, tell);
            if result.is_err() {
                break;
            }
        }
        rest
    }

    fn message(&mut self, bytes: &[u8], time: Timestamp, tell: &mut impl FnMut(Exchange<'_>)) -> Result<(), Refusal> {
        let mut message = Message::parse(bytes)?;
        if !message.is_response() {
            self.ask(message, time, tell);
            return Ok(());
        }
        let asked = self.pending.iter().position(|pending| pending.answers_to(&message));
        let pending = asked.and_then(|place| self.pending.remove(place));
        let asked = pending.as_ref().map(|pending| pending.asked);
        if message.question.is_none() {
            message.question = pending.and_then(|pending| pending.question);
        }
        tell(Exchange {
            asked,
            end: time,
            message,
        });
        Ok(())
    }

    fn ask(&mut self, message: Message<'_>, time: Timestamp, tell: &mut impl FnMut(Exchange<'_>)) {
        let again = self
            .pending
            .iter()
            .any(|pending| pending.id == message.id && pending.question == message.question);
        if again {
            return;
        }
        if self.pending.len() >= Self::PENDING_MAX {
            self.give_up_first(time, tell);
        }
        self.pending.push_back(Pending {
            asked: time,
            id: message.id,
            flags: message.flags,
            question: message.question,
        });
    }

    fn give_up_first(&mut self, time: Timestamp, tell: &mut impl FnMut(Exchange<'_>)) {
        if let Some(pending) = self.pending.pop_front() {
            tell(Exchange {
                asked: Some(pending.asked),
                end: time,
                message: Message::of_question(pending.id, pending.flags, pending.question),
            });
        }
    }
}

impl Pending {
    fn answers_to(&self, answer: &Message<'_>) -> bool {
        self.id == answer.id && (answer.question.is_none() || self.question == answer.question)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ANSWER;
    use super::*;

    fn query(id: u8) -> Vec<u8> {
        let mut bytes = ANSWER[..35].to_vec();
        bytes[1] = id;
        bytes[2] = 1;
        bytes[3] = 0;
        for count in [7, 11] {
            bytes[count] = 0;
        }
        bytes
    }

    fn answer(id: u8) -> Vec<u8> {
        let mut bytes = ANSWER.to_vec();
        bytes[1] = id;
        bytes
    }

    /// `asked-end`, `?` for what was not seen, then how many answers.
    fn show(told: &mut Vec<String>, exchange: &Exchange<'_>) {
        let asked = exchange.asked.map_or("?".into(), |asked| asked.seconds().to_string());
        assert_eq!(
            exchange
                .message
                .question
                .as_ref()
                .map(|question| question.name.as_str()),
            Some("www.example.co.uk")
        );
        told.push(format!(
            "{asked}-{} {}",
            exchange.end.seconds(),
            exchange.message.answers_count
        ));
    }

    #[test]
    fn an_answer_is_paired_with_its_question() {
        let mut told = Vec::new();
        let mut conversation = Conversation::new();
        for (seconds, bytes) in [
            (1, query(1)),
            (2, query(2)),
            (3, query(1)),
            (4, answer(1)),
            (5, answer(9)),
            (14, answer(3)),
            (15, query(4)),
        ] {
            conversation
                .datagram(&bytes, Timestamp::from_seconds(seconds), |exchange| {
                    show(&mut told, &exchange);
                })
                .expect("a message");
        }
        conversation.finish(Timestamp::from_seconds(20), |exchange| show(&mut told, &exchange));
        assert_eq!(told, ["1-4 2", "?-5 2", "2-14 0", "?-14 2", "15-20 0"]);
    }

    #[test]
    fn messages_are_cut_out_of_a_stream_wherever_its_segments_end() {
        let mut stream = Vec::new();
        for bytes in [answer(1), answer(2)] {
            stream.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            stream.extend_from_slice(&bytes);
        }
        for size in 1..stream.len() {
            let mut told = Vec::new();
            let mut conversation = Conversation::new();
            for segment in stream.chunks(size) {
                conversation
                    .piece(
                        Side::Responder,
                        Piece::Data(segment),
                        Timestamp::from_seconds(1),
                        |exchange| show(&mut told, &exchange),
                    )
                    .expect("messages");
            }
            assert_eq!(told, ["?-1 2", "?-1 2"], "segments of {size}");
        }
    }

    #[test]
    fn questions_without_answers_stay_inside_the_bound() {
        let mut conversation = Conversation::new();
        let mut told = 0;
        for number in 0..1000u16 {
            let mut bytes = query(0);
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            conversation
                .datagram(&bytes, Timestamp::from_seconds(1), |_| told += 1)
                .expect("a message");
            assert!(conversation.pending.len() <= Conversation::PENDING_MAX);
        }
        assert_eq!(told, 1000 - Conversation::PENDING_MAX);
    }
}
