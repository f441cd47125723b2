//! Starts what reads topics, and makes the sink that writes one.

use super::collecting::{Collecting, StorePlaces};
use super::sinks::form;
use super::status::Status;
use crate::config::{self, DocumentFormat, Inputs, KafkaConnection};
use crate::edge::bus::Voice;
use crate::edge::collector::{KafkaCollector, KafkaSource, Origin, RecordCheck, Tolerance};
use crate::edge::sink::KafkaSink;
use crate::engine::decoder::Output;
use crate::engine::decoder::log::{Format, LineContext, LineDecoder, detect};
use crate::run::bus;
use anyhow::Context as _;

impl Collecting {
    /// Starts to read topics.
    pub(super) fn topics(&mut self, inputs: &Inputs) -> anyhow::Result<()> {
        for input in &inputs.kafka {
            self.status.collects(Origin::Kafka);
            if let Some(sharing) = &mut self.sharing
                && let Some(work) = sharing.work_of(input, &self.status, &self.ends)?
            {
                self.thread(&input.name, work)?;
                continue;
            }
            let source = KafkaSource {
                name: input.name.clone(),
                connection: bus::connection(&input.connection)
                    .with_context(|| format!("the input `{}`", input.name))?,
                topics: input.topics.clone(),
                group: input.group.clone(),
                tolerance: match input.tolerance {
                    config::Tolerance::All => Tolerance::All,
                    config::Tolerance::None => Tolerance::None,
                },
                dead_letters: input.dead_letters.as_ref().map(|topic| topic.name.clone()),
            };
            let metrics = self.status.metrics.clone();
            for topic in &input.topics {
                metrics.kafka.lost(topic);
                if source.dead_letters.is_some() {
                    metrics.kafka.dead_letters(topic, "failed");
                }
            }
            let collector = KafkaCollector::new(
                source,
                StorePlaces(self.store.clone()),
                DecoderCheck::default(),
                self.queue.clone(),
                (metrics.kafka.clone(), metrics.collectors.clone()),
                self.ends.flag().clone(),
            );
            self.thread(&input.name, move || collector.run())?;
        }
        Ok(())
    }
}

/// A sink that writes a topic.
pub(super) fn sink(
    name: &str,
    connection: &KafkaConnection,
    topic: &str,
    format: DocumentFormat,
    status: &Status,
) -> anyhow::Result<KafkaSink> {
    let voice = Voice::new(format!("the sink `{name}`"), "", status.metrics.kafka.clone());
    Ok(KafkaSink::new(bus::connection(connection)?, topic, form(format), voice))
}

/// Reads records as the engine will, to know which of them it would refuse.
#[derive(Default)]
pub(super) struct DecoderCheck {
    decoders: Vec<(Format, Box<dyn LineDecoder>)>,
    output: Output,
}

impl RecordCheck for DecoderCheck {
    fn check(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let format = detect(line).ok_or("unknown_format")?;
        let decoder = match self.decoders.iter().position(|(known, _)| *known == format) {
            Some(at) => self.decoders.get_mut(at),
            None => {
                let context = LineContext {
                    year: 1970,
                    offset_minutes: 0,
                };
                self.decoders.push((format, format.decoder(context)));
                self.decoders.last_mut()
            }
        };
        if let Some((_, decoder)) = decoder {
            decoder.line(line, &mut self.output);
        }
        self.output.events.clear();
        match std::mem::take(&mut self.output.tally).refused.into_keys().next() {
            Some(reason) => Err(reason),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_would_refuse_is_known_before() {
        let mut check = DecoderCheck::default();
        for (line, expected) in [
            (
                &br#"{"_path":"conn","ts":1772442761.0,"id.orig_h":"10.0.0.7","id.resp_h":"10.0.0.1"}"#[..],
                Ok(()),
            ),
            (b"<34>1 2026-03-02T09:12:41Z web su - - - hello", Ok(())),
            (b"\x00\x00\x00\x01\x7fbinary", Err("unknown_format")),
            (b"It was the best of times.", Err("unknown_format")),
        ] {
            assert_eq!(check.check(line), expected, "{}", String::from_utf8_lossy(line));
        }
        assert!(check.check(b"{\"a\":}").is_err());
        assert!(check.check(b"{\"ts\": \"yesterday\", \"_path\": \"conn\"}").is_err());
    }
}
