//! What the fuzz targets of all log formats share.

use stakeout::domain::Timestamp;
use stakeout::engine::decoder::Output;
use stakeout::engine::decoder::log::{Format, LineContext};

/// Reads the bytes line by line as this format; every line must be decoded, ignored or refused, and be so once.
pub fn lines(format: Format, data: &[u8]) {
    let mut decoder = format.decoder(LineContext {
        year: 2026,
        offset_minutes: 60,
    });
    let mut output = Output::default();
    for (number, line) in data.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            // An empty line stands for time that passes.
            decoder.advance(Timestamp::from_seconds(1_700_000_000 + 10 * number as i64), &mut output);
            continue;
        }
        decoder.line(line, &mut output);
    }
    decoder.finish(&mut output);
    let tally = &output.tally;
    let told = tally.decoded + tally.ignored.values().sum::<u64>() + tally.refused.values().sum::<u64>();
    assert_eq!(tally.records, told, "{tally:?}");
}
