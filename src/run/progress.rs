//! Progress of long work on a terminal, twice a second: how much, how fast, and how far.

use crate::edge::sink::amount;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(500);
/// Events between two looks at the clock.
const EVENTS: u32 = 1024;

/// One line that is written over again and again.
pub(super) struct Progress {
    shown: bool,
    ticks: u32,
    last: Instant,
    begun: Instant,
    /// Characters on the line now.
    width: usize,
}

impl Progress {
    /// Shows itself only on a terminal.
    pub(super) fn new(quiet: bool) -> Self {
        let now = Instant::now();
        Progress {
            shown: !quiet && std::io::stderr().is_terminal(),
            ticks: 0,
            last: now,
            begun: now,
            width: 0,
        }
    }

    /// Whether it is time to be shown again; to be asked once an event.
    pub(super) fn is_due(&mut self) -> bool {
        if !self.shown {
            return false;
        }
        self.ticks += 1;
        if self.ticks < EVENTS {
            return false;
        }
        self.ticks = 0;
        if self.last.elapsed() < EVERY {
            return false;
        }
        self.last = Instant::now();
        true
    }

    /// Writes the line anew. `bytes` are those read and those there are, where that is known.
    pub(super) fn show(&mut self, events: u64, bytes: Option<(u64, u64)>, stderr: &mut dyn Write) {
        let line = line(events, self.begun.elapsed(), bytes);
        let _ = write!(stderr, "\r{line:width$}", width = self.width);
        let _ = stderr.flush();
        self.width = line.chars().count();
    }

    /// Takes the line away.
    pub(super) fn clear(&self, stderr: &mut dyn Write) {
        if self.width > 0 {
            let _ = write!(stderr, "\r{:width$}\r", "", width = self.width);
        }
    }
}

fn line(events: u64, elapsed: Duration, bytes: Option<(u64, u64)>) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = events as f64 / seconds.max(0.001);
    let line = format!("{events} events in {seconds:.0} s, {rate:.0} a second");
    match bytes {
        Some((read, length)) => {
            let share = 100.0 * read as f64 / length.max(1) as f64;
            format!("{line}, {share:.0} % of {}", amount(length as f64))
        }
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_much_how_fast_and_how_far() {
        let elapsed = Duration::from_secs(4);
        assert_eq!(line(800, elapsed, None), "800 events in 4 s, 200 a second");
        assert_eq!(
            line(800, elapsed, Some((250_000, 1_000_000))),
            "800 events in 4 s, 200 a second, 25 % of 1.0 MB"
        );
    }

    #[test]
    fn nothing_is_shown_without_a_terminal() {
        let mut quiet = Progress::new(true);
        assert!((0..10_000).all(|_| !quiet.is_due()));
        let mut written = Vec::new();
        quiet.clear(&mut written);
        assert!(written.is_empty());
    }
}
