//! What a replay did, for people and as JSON.

use crate::edge::sink::printable;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What was read, what was made of it, and what was told.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// The inputs that were read, with their formats.
    pub inputs: Vec<InputSummary>,
    /// Inputs that could not be read, or not to their end, and why.
    pub problems: Vec<String>,
    /// Records (frames, lines) read.
    pub records: u64,
    /// Records that became events, or a part of one.
    pub decoded: u64,
    /// Records that say nothing that is watched, by kind.
    pub ignored: BTreeMap<String, u64>,
    /// Records that could not be read, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Events.
    pub events: u64,
    /// Frames that a mirror port has shown twice.
    pub duplicate_frames: u64,
    /// Flows of which only one side was seen although there must have been another.
    pub one_way_flows: u64,
    /// Entities with state.
    pub entities: u64,
    /// Events of entities that share a baseline because a bound was reached.
    pub shared: u64,
    /// Windows and values judged.
    pub judgements: u64,
    /// Findings handed to triage.
    pub findings: u64,
    /// Alerts told.
    pub alerts: u64,
    /// Incidents that the budget withheld.
    pub withheld: u64,
    /// Alerts closed into one about their common target.
    pub folded: u64,
    /// Whether a signal ended the replay early.
    pub interrupted: bool,
    /// Whether the reader of standard output had closed it before everything was told.
    pub reader_gone: bool,
}

/// One input.
#[derive(Clone, Debug, Serialize)]
pub struct InputSummary {
    /// As it was named.
    pub path: String,
    /// What its content is.
    pub format: String,
    /// The number by which evidence names it.
    pub number: u16,
}

impl Summary {
    /// What is wrong, a line each.
    pub fn problems_text(&self) -> String {
        self.problems
            .iter()
            .map(|problem| format!("problem: {}\n", printable(problem)))
            .collect()
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let mut text = self.problems_text();
        for (name, count) in [
            ("records read", self.records),
            ("decoded", self.decoded),
            ("events", self.events),
            ("entities", self.entities),
            ("judgements", self.judgements),
            ("findings", self.findings),
            ("incidents withheld", self.withheld),
            ("alerts", self.alerts),
        ] {
            let _ = writeln!(text, "{name:>18}  {count}");
        }
        for (name, counts) in [("ignored", &self.ignored), ("refused", &self.refused)] {
            let mut counts: Vec<_> = counts.iter().collect();
            counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            for (kind, count) in counts {
                let _ = writeln!(text, "{name:>18}  {count} {kind}");
            }
        }
        for (name, count) in [
            ("duplicate frames", self.duplicate_frames),
            ("one-way flows", self.one_way_flows),
            ("shared baselines", self.shared),
            ("folded alerts", self.folded),
        ] {
            if count > 0 {
                let _ = writeln!(text, "{name:>18}  {count}");
            }
        }
        if self.reader_gone {
            let _ = writeln!(text, "ended early: the reader of standard output has closed it");
        }
        if self.interrupted {
            let _ = writeln!(text, "ended early by a signal; what had been read was judged");
        }
        text
    }
}
