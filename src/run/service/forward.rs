//! Events that are judged elsewhere: what the core hands on in place of alerts.

use crate::domain::{Mark, Timestamp};
use crate::engine::pipeline::Departure;
use crate::engine::program::{Kind, Program};
use std::time::{Duration, Instant};

/// Events that are gathered before they are handed on at most.
const DEPARTURES_MAX: usize = 20_000;

/// Where departures go. Events are numbered in their order, from 0.
pub(super) trait Forward: Send {
    /// Events before this number were handed on, by this process or one before it.
    fn handed_on(&mut self) -> anyhow::Result<u64>;

    /// Hands events on, and a mark behind them; `next` is the number of the next event after them. Comes back when it is
    /// done, or when everything ends; gives whether it is done.
    fn hand_on(&mut self, departures: Vec<Departure>, mark: &Mark, next: u64, kinds: &[String])
    -> anyhow::Result<bool>;
}

/// What the core keeps of it.
pub(super) struct Forwarding {
    pub(super) to: Box<dyn Forward>,
    /// What has departed and was not handed on.
    pub(super) departures: Vec<Departure>,
    pub(super) mark: Mark,
    /// The names of the kinds of entities, each as the names of its fields joined by commas.
    pub(super) kinds: Vec<String>,
    pub(super) last: Instant,
    /// Everything ends: from now on nobody shall wait for this process.
    pub(super) closing: bool,
}

impl Forwarding {
    pub(super) fn new(to: Box<dyn Forward>) -> Forwarding {
        Forwarding {
            to,
            departures: Vec::new(),
            mark: Mark {
                watermark: Timestamp::MIN,
                ..Mark::default()
            },
            kinds: Vec::new(),
            last: Instant::now(),
            closing: false,
        }
    }

    /// Nobody shall wait for this process while it is not there.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.mark.quiet = true;
    }

    /// Whether it is time to hand on, when that shall be done so often.
    pub(super) fn is_due(&self, every: Duration) -> bool {
        self.departures.len() >= DEPARTURES_MAX || self.last.elapsed() >= every
    }
}

/// The names of a program's kinds of entities, each as the names of its fields joined by commas.
pub(super) fn kinds(program: &Program) -> Vec<String> {
    let names = |kind: &Kind| {
        let names: Vec<&str> = kind.fields.iter().map(|field| field.name()).collect();
        names.join(",")
    };
    program.kinds.iter().map(names).collect()
}
