//! What a capture has missed. Loss is a record like any other, with event time, so that it changes alerts in the same way
//! wherever and whenever they are made.

use super::{Event, Field, Timestamp};

/// A sensor's report of the packets that it could not capture.
///
/// The event has this form, whoever makes it (Zeek's `capture_loss.log`, a live capture):
///
/// | field | what |
/// | --- | --- |
/// | the event's time | the end of the span that is reported on |
/// | `event.start` | the beginning of that span |
/// | `event.kind` | `metric` |
/// | `event.dataset` | who measured: `zeek.capture_loss`, `stakeout.capture_loss` |
/// | `stakeout.loss` | the share of packets on the wire in the span that were not captured, 0 to 1 |
/// | `observer.name` | the sensor |
/// | `observer.ingress.interface.name` | its interface, where it has several |
///
/// It holds for the sensor's events that follow, until its next report or until twice the span has passed, a minute at
/// least and an hour at most. A sensor that has reported loss may report 0 when there is none any more.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureLoss {
    /// The sensor; empty where it has no name.
    pub sensor: String,
    /// Its interface; empty where it has one.
    pub interface: String,
    /// The share of packets that were not captured, 0 to 1.
    pub share: f64,
    /// The beginning of the span.
    pub begin: Timestamp,
    /// Its end.
    pub end: Timestamp,
}

impl CaptureLoss {
    /// The dataset of reports that Stakeout's own capture makes.
    pub const DATASET: &str = "stakeout.capture_loss";

    /// The report that an event is; nothing for one without `stakeout.loss`.
    pub fn of(event: &Event) -> Option<CaptureLoss> {
        let share = event.number(Field::StakeoutLoss)?;
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        let text = |field| event.str(field).unwrap_or("").to_owned();
        Some(CaptureLoss {
            sensor: text(Field::ObserverName),
            interface: text(Field::ObserverIngressInterfaceName),
            share,
            begin: event.start().unwrap_or(event.time()).min(event.time()),
            end: event.time(),
        })
    }

    /// The event that tells it.
    pub fn event(&self) -> Event {
        let mut event = Event::new(self.end);
        event.set_start(self.begin);
        event.add_str(Field::EventKind, "metric");
        event.add_str(Field::EventDataset, Self::DATASET);
        event.add_f64(Field::StakeoutLoss, self.share.clamp(0.0, 1.0));
        event.add_str(Field::ObserverName, &self.sensor);
        event.add_str(Field::ObserverIngressInterfaceName, &self.interface);
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_the_same_after_it_was_an_event() {
        let report = CaptureLoss {
            sensor: "edge".into(),
            interface: "eth1".into(),
            share: 0.25,
            begin: Timestamp::from_seconds(100),
            end: Timestamp::from_seconds(160),
        };
        assert_eq!(CaptureLoss::of(&report.event()), Some(report.clone()));
        let nameless = CaptureLoss {
            sensor: String::new(),
            interface: String::new(),
            ..report
        };
        assert_eq!(CaptureLoss::of(&nameless.event()), Some(nameless));
        assert_eq!(CaptureLoss::of(&Event::new(Timestamp::from_seconds(1))), None);
    }
}
