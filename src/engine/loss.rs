//! Which share of packets the sensors are losing, as their reports say (see [`CaptureLoss`]), and what that means for an
//! event and for a number that was measured.
//!
//! What was seen is a lower bound of what there was. So it is judged as it was seen, which can only make an alert rarer,
//! and learned as so much more as was lost, so that the return of a whole capture is no news.

use crate::domain::{CaptureLoss, Duration, Event, Field, Timestamp, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sensors and interfaces whose reports are kept; of those beyond, the report that ends first goes.
const SENSORS_MAX: usize = 256;
/// A report holds at least so long and at most so long.
const HOLDS_MIN: Duration = Duration::from_seconds(60);
const HOLDS_MAX: Duration = Duration::from_seconds(3600);
/// What was lost is made good up to this share: nothing can be told from less than a tenth.
const SHARE_MADE_GOOD_MAX: f64 = 0.9;

/// The reports that hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Losses {
    /// By sensor and interface: the share, and until when it holds.
    held: BTreeMap<(String, String), (f64, Timestamp)>,
}

impl Losses {
    /// Takes up a report.
    pub(super) fn take(&mut self, report: CaptureLoss) {
        let lasts = report.end.since(report.begin);
        let twice = Duration::from_nanos(lasts.nanos().saturating_mul(2));
        let until = report.end.plus(twice.max(HOLDS_MIN).min(HOLDS_MAX));
        let sensor = (report.sensor, report.interface);
        if report.share <= 0.0 {
            self.held.remove(&sensor);
            return;
        }
        self.held.insert(sensor, (report.share, until));
        if self.held.len() > SENSORS_MAX {
            let first = self.held.iter().min_by_key(|(_, (_, until))| *until);
            if let Some(sensor) = first.map(|(sensor, _)| sensor.clone()) {
                self.held.remove(&sensor);
            }
        }
    }

    /// The share that was lost around an event, 0 to 1: of its own sensor, or, for one that comes from the network and
    /// names none, of the sensor that loses most.
    pub(super) fn share(&mut self, event: &Event, now: Timestamp) -> f64 {
        if self.held.is_empty() {
            return 0.0;
        }
        self.held.retain(|_, (_, until)| *until >= now);
        let own = event.str(Field::ObserverName);
        let from_network = || {
            event
                .values(Field::EventCategory)
                .any(|category| matches!(category, Value::Str("network")))
        };
        if own.is_none() && !from_network() {
            return 0.0;
        }
        let concerns = |sensor: &str| own.is_none_or(|own| sensor.is_empty() || own == sensor);
        let shares = self.held.iter().filter(|((sensor, _), _)| concerns(sensor));
        shares.map(|(_, (share, _))| *share).fold(0.0, f64::max)
    }
}

/// A share in a byte, for the state of a window.
pub(in crate::engine) fn packed(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// What there was, when so much was seen of it and this share was lost.
pub(in crate::engine) fn made_good(seen: f64, packed: u8) -> f64 {
    seen / (1.0 - (f64::from(packed) / 255.0).min(SHARE_MADE_GOOD_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sensor: &str, share: f64, begin: i64, end: i64) -> CaptureLoss {
        CaptureLoss {
            sensor: sensor.into(),
            interface: String::new(),
            share,
            begin: Timestamp::from_seconds(begin),
            end: Timestamp::from_seconds(end),
        }
    }

    fn event(category: &str, sensor: &str) -> Event {
        let mut event = Event::new(Timestamp::from_seconds(0));
        event.add_str(Field::EventCategory, category);
        event.add_str(Field::ObserverName, sensor);
        event
    }

    #[test]
    fn a_report_holds_for_its_sensors_events_and_for_those_of_the_network_without_one() {
        let mut losses = Losses::default();
        losses.take(report("a", 0.5, 0, 900));
        losses.take(report("b", 0.25, 0, 900));
        let now = Timestamp::from_seconds(1000);
        for (category, sensor, share) in [
            ("network", "a", 0.5),
            ("network", "b", 0.25),
            ("network", "c", 0.0),
            ("network", "", 0.5),
            ("authentication", "", 0.0),
        ] {
            assert_eq!(
                losses.share(&event(category, sensor), now),
                share,
                "{category} {sensor}"
            );
        }
    }

    #[test]
    fn a_report_ends_with_the_next_or_with_time() {
        let mut losses = Losses::default();
        let (of_a, at) = (event("network", "a"), Timestamp::from_seconds);
        losses.take(report("a", 0.5, 0, 900));
        assert_eq!(losses.share(&of_a, at(2700)), 0.5);
        assert_eq!(losses.share(&of_a, at(2701)), 0.0);
        losses.take(report("a", 0.5, 0, 900));
        losses.take(report("a", 0.0, 900, 1800));
        assert_eq!(losses, Losses::default());
        for number in 0..1000 {
            losses.take(report(&format!("s{number}"), 0.1, 0, number));
        }
        assert_eq!(losses.held.len(), SENSORS_MAX);
    }

    #[test]
    fn what_was_lost_is_made_good_as_far_as_can_be_told() {
        assert_eq!(made_good(100.0, packed(0.0)), 100.0);
        assert!((made_good(100.0, packed(0.5)) - 200.0).abs() < 1.0);
        assert!((made_good(100.0, packed(1.0)) - 1000.0).abs() < 1e-9);
    }
}
