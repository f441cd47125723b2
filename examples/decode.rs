//! Prints the events of captures and logs as JSON lines, field name to value, and the account of their records at the end.
//!
//! `decode [--quiet] FILE...`: each file is decoded on its own. With `--quiet` only the account is printed, with
//! the CPU time that it took.

use anyhow::{Context, Result};
use serde_json::{Map, json};
use stakeout::domain::{Event, Value};
use stakeout::edge::source::{Capture, Opened, Stop, is_capture, open};
use stakeout::engine::decoder::Output;
use stakeout::engine::decoder::log::lines::{LINE_BYTES_MAX, LINE_TOO_LONG, Line, LineSplitter};
use stakeout::engine::decoder::log::{LineContext, LineDecoder, detect};
use stakeout::engine::decoder::packet::{LinkType, PacketDecoder, PacketOptions};
use std::io::{BufWriter, Read, Write};
use std::path::Path;

fn main() -> Result<()> {
    let mut is_quiet = false;
    let mut writer = BufWriter::new(std::io::stdout().lock());
    for argument in std::env::args().skip(1) {
        if argument == "--quiet" {
            is_quiet = true;
            continue;
        }
        decode(&argument, is_quiet, &mut writer).with_context(|| format!("decoding {argument}"))?;
    }
    writer.flush()?;
    Ok(())
}

fn decode(path: &str, is_quiet: bool, writer: &mut impl Write) -> Result<()> {
    let path_name = Path::new(path);
    let opened = open(path_name, &Stop::default())?;
    if !is_capture(&opened.head) {
        return decode_log(path, opened, is_quiet, writer);
    }
    let mut capture = Capture::open(path_name, opened)?;
    let mut decoder = PacketDecoder::new(PacketOptions::default());
    let mut output = Output::default();
    let mut events = 0u64;
    let began = std::time::Instant::now();
    let mut cut = None;
    loop {
        let frame = match capture.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(failure) => {
                cut = Some(failure.to_string());
                break;
            }
        };
        let number = frame.link_number;
        let link = LinkType::from_number(number).with_context(|| format!("link type {number} is not read"))?;
        decoder.frame(link, frame.time, frame.original_length, frame.bytes, &mut output);
        if output.events.len() >= 1024 {
            events += output.events.len() as u64;
            drain(&mut output, is_quiet, writer)?;
        }
    }
    decoder.finish(&mut output);
    events += output.events.len() as u64;
    drain(&mut output, is_quiet, writer)?;
    let account = json!({
        "capture": path,
        "cut": cut,
        "events": events,
        "records": output.tally.records,
        "decoded": output.tally.decoded,
        "ignored": output.tally.ignored,
        "refused": output.tally.refused,
        "counters": format!("{:?}", decoder.counters()),
        "application_refused": decoder.application_refusals(),
        "seconds": began.elapsed().as_secs_f64(),
    });
    writeln!(writer, "{account}")?;
    Ok(())
}

/// Reads a log. Where its format leaves year and zone out, it is 2026 and UTC.
fn decode_log(path: &str, mut opened: Opened, is_quiet: bool, writer: &mut impl Write) -> Result<()> {
    let format = detect(&opened.head).context("no format that is known")?;
    let mut decoder = format.decoder(LineContext {
        year: 2026,
        offset_minutes: 0,
    });
    let mut splitter = LineSplitter::new(LINE_BYTES_MAX);
    let mut output = Output::default();
    let mut piece = vec![0; 64 * 1024];
    let mut events = 0u64;
    let began = std::time::Instant::now();
    loop {
        let count = opened.bytes.read(&mut piece)?;
        let read = piece.get(..count).unwrap_or_default();
        splitter.feed(read, |line| take(line, decoder.as_mut(), &mut output));
        if count == 0 {
            splitter.finish(|line| take(line, decoder.as_mut(), &mut output));
            decoder.finish(&mut output);
        }
        events += output.events.len() as u64;
        drain(&mut output, is_quiet, writer)?;
        if count == 0 {
            break;
        }
    }
    let account = json!({
        "log": path,
        "format": format.name(),
        "events": events,
        "records": output.tally.records,
        "decoded": output.tally.decoded,
        "ignored": output.tally.ignored,
        "refused": output.tally.refused,
        "seconds": began.elapsed().as_secs_f64(),
    });
    writeln!(writer, "{account}")?;
    Ok(())
}

fn take(line: Line<'_>, decoder: &mut dyn LineDecoder, output: &mut Output) {
    match line {
        Line::Whole(line) => decoder.line(line, output),
        Line::TooLong => {
            output.tally.records += 1;
            output.tally.refuse(LINE_TOO_LONG);
        }
    }
}

fn drain(output: &mut Output, is_quiet: bool, writer: &mut impl Write) -> Result<()> {
    for event in output.events.drain(..) {
        if !is_quiet {
            serde_json::to_writer(&mut *writer, &object(&event))?;
            writer.write_all(b"\n")?;
        }
    }
    Ok(())
}

fn object(event: &Event) -> Map<String, serde_json::Value> {
    let mut object = Map::new();
    object.insert("@timestamp".to_owned(), json!(event.time().nanos()));
    if let Some(start) = event.start() {
        object.insert("event.start".to_owned(), json!(start.nanos()));
    }
    for (field, value) in event.fields() {
        let value = match value {
            Value::Str(text) => json!(text),
            Value::U64(number) => json!(number),
            Value::I64(number) => json!(number),
            Value::F64(number) => json!(number),
            Value::Ip(address) => json!(address.to_string()),
            Value::Bool(yes) => json!(yes),
        };
        match object.get_mut(field.name()) {
            Some(serde_json::Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
            None => {
                object.insert(field.name().to_owned(), value);
            }
        }
    }
    object
}
