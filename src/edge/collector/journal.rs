//! The system journal, as `journalctl -o json --follow` tells it, from behind the entry that was made durable last. The
//! first time it is told from its beginning.
//!
//! The program is our child and ends with us. When it ends by itself it is started again.

use super::lines::Cutter;
use super::{Content, Delivery, Gone, Origin, PIECE_BYTES, Queue, now};
use crate::edge::source::{Piped, Stop};
use crate::edge::telemetry::CollectorMetrics;
use serde::Deserialize;
use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the program is left alone after it has ended.
const AGAIN: Duration = Duration::from_secs(5);
/// How often the wish to stop is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Follows the journal.
#[derive(Debug)]
pub struct JournalCollector {
    program: OsString,
    input: u16,
    cursor: Option<String>,
    queue: Queue,
    metrics: CollectorMetrics,
    stop: Stop,
}

/// The part of an entry that says where it stands.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "__CURSOR", borrow)]
    cursor: Cow<'a, str>,
}

/// The child, which is ended with its guard.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl JournalCollector {
    /// A collector that hands entries to `queue` until it is told to stop. `position` is what it gave with the last
    /// durable delivery.
    pub fn new(
        input: u16,
        position: Option<Vec<u8>>,
        queue: Queue,
        metrics: CollectorMetrics,
        stop: Stop,
    ) -> JournalCollector {
        JournalCollector {
            program: OsString::from("journalctl"),
            input,
            cursor: position.and_then(|bytes| String::from_utf8(bytes).ok()),
            queue,
            metrics,
            stop,
        }
    }

    /// Follows until it is told to stop.
    pub fn run(mut self) {
        while !self.stop.is_asked() {
            match self.follow() {
                Ok(Ok(())) if self.stop.is_asked() => return,
                Ok(Ok(())) => tracing::warn!("journalctl has ended; it is started again"),
                Ok(Err(Gone)) => return,
                Err(error) => tracing::error!(%error, "the journal can't be read; is journalctl there?"),
            }
            self.metrics.refused(Origin::Journal, "ended").inc();
            let ended = Instant::now();
            while ended.elapsed() < AGAIN && !self.stop.is_asked() {
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    fn follow(&mut self) -> io::Result<Result<(), Gone>> {
        let mut command = Command::new(&self.program);
        command.args(["--output=json", "--follow", "--no-tail", "--all", "--quiet"]);
        if let Some(cursor) = &self.cursor {
            command.arg(format!("--after-cursor={cursor}"));
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take();
        let _running = Running(child);
        let output = output.ok_or(io::ErrorKind::BrokenPipe)?;
        let mut output = Piped::start(move || Ok(Box::new(output)), self.stop.clone())?;
        let mut cutter = Cutter::default();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = output.read(&mut piece)?;
            if count == 0 {
                // Half an entry is told again behind the cursor.
                return Ok(Ok(()));
            }
            let lines = cutter.take(piece.get(..count).unwrap_or_default());
            self.metrics
                .refused(Origin::Journal, "too_long")
                .inc_by(cutter.take_over());
            if !lines.is_empty() && self.hand_on(lines).is_err() {
                return Ok(Err(Gone));
            }
        }
    }

    fn hand_on(&mut self, lines: Vec<u8>) -> Result<(), Gone> {
        let entries = memchr::memchr_iter(b'\n', &lines).count() as u64;
        self.metrics.messages(Origin::Journal).inc_by(entries);
        let last = lines.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
        if let Some(Ok(entry)) = last.map(serde_json::from_slice::<Entry<'_>>) {
            self.cursor = Some(entry.cursor.into_owned());
        }
        self.queue.deliver(Delivery {
            input: self.input,
            origin: Origin::Journal,
            received: now(),
            content: Content::Lines(lines),
            position: self.cursor.clone().map(String::into_bytes),
            receipt: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::collector::queue;
    use crate::edge::telemetry::Metrics;
    use std::os::unix::fs::PermissionsExt;

    /// A program in journalctl's stead: tells what it was asked, two entries, and then nothing for ever.
    const STAND_IN: &str = r#"#!/bin/sh
case "$*" in
    *--after-cursor=s=7*) echo '{"__CURSOR":"s=8","MESSAGE":"more"}' ;;
    *) printf '{"__CURSOR":"s=6","MESSAGE":"a"}\n{"MESSAGE":"b","__CURSOR":"s=7"}\n{"__CURSOR":"s=8","MESS' ;;
esac
exec sleep 600
"#;

    #[test]
    fn entries_come_with_the_cursor_behind_them_and_the_child_ends_with_us() {
        let path = std::env::temp_dir().join(format!("stakeout-journalctl-{}", std::process::id()));
        std::fs::write(&path, STAND_IN).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        let mut position = None;
        for expected in [
            "{\"__CURSOR\":\"s=6\",\"MESSAGE\":\"a\"}\n{\"MESSAGE\":\"b\",\"__CURSOR\":\"s=7\"}\n",
            "{\"__CURSOR\":\"s=8\",\"MESSAGE\":\"more\"}\n",
        ] {
            let (queue, mut deliveries) = queue();
            let metrics = Metrics::new().expect("metrics").collectors;
            let stop = Stop::default();
            let mut collector = JournalCollector::new(0, position.clone(), queue, metrics, stop.clone());
            collector.program = path.clone().into_os_string();
            let running = std::thread::spawn(move || collector.run());
            let mut told = Vec::new();
            while told.len() < expected.len() {
                let Some(delivery) = deliveries.take_waiting() else {
                    std::thread::yield_now();
                    continue;
                };
                let Content::Lines(lines) = delivery.content else {
                    panic!("lines")
                };
                told.extend(lines);
                position = delivery.position;
            }
            assert_eq!(String::from_utf8(told).expect("text"), expected);
            let begun = Instant::now();
            stop.ask();
            running.join().expect("no panic");
            assert!(begun.elapsed() < Duration::from_secs(5), "it ends soon");
        }
        assert_eq!(position, Some(b"s=8".to_vec()));
        let _ = std::fs::remove_file(&path);
    }
}
