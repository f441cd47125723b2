//! Frames whose time jumps wait until others agree with it.
//!
//! One frame from 1970 or 2099 must neither end all flows nor stop time for those that follow. A frame that lies more
//! than a day ahead of the input's time or more than an hour behind it, and the first of an input, is kept aside; it is
//! taken as it is with the next that agrees with it, and refused when one agrees with the known time or with another
//! that is kept aside.

use super::link::LinkType;

const HOUR_NANOS: i64 = 3_600_000_000_000;
const AHEAD_MAX_NANOS: i64 = 24 * HOUR_NANOS;
const BEHIND_MAX_NANOS: i64 = HOUR_NANOS;
/// Frames that are kept aside at once. Beyond it the oldest is refused.
const HELD_MAX: usize = 8;

/// A frame kept aside.
#[derive(Debug)]
pub(crate) struct HeldFrame {
    pub(crate) link: LinkType,
    pub(crate) time: i64,
    pub(crate) original_length: u32,
    pub(crate) bytes: Vec<u8>,
}

/// What to do with what was kept aside.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How many frames nothing has confirmed.
    pub(crate) refused: usize,
    /// Frames to be decoded, in their order.
    pub(crate) confirmed: Vec<HeldFrame>,
    /// Whether these lie before what was decoded so far, so that time begins anew.
    pub(crate) is_behind: bool,
}

/// The time of an input, and the frames that doubt it.
#[derive(Debug, Default)]
pub(crate) struct TimeGate {
    clock: Option<i64>,
    held: Vec<HeldFrame>,
}

impl TimeGate {
    /// Whether a frame of this time may be decoded at once, as nearly every one may.
    #[inline]
    pub(crate) fn admits(&mut self, time: i64) -> bool {
        match self.clock {
            Some(clock) if self.held.is_empty() && agrees(clock, time) => {
                self.clock = Some(clock.max(time));
                true
            }
            _ => false,
        }
    }

    /// Takes a frame that was not admitted. What is to be decoded comes back, this frame included.
    pub(crate) fn consider(&mut self, frame: HeldFrame) -> Verdict {
        let time = frame.time;
        if self.clock.is_some_and(|clock| agrees(clock, time)) {
            // Back to the time that was known: the doubtful ones were wrong.
            let refused = self.held.len();
            self.held.clear();
            self.clock = self.clock.max(Some(time));
            return Verdict {
                refused,
                confirmed: vec![frame],
                is_behind: false,
            };
        }
        let (mut confirmed, others): (Vec<_>, Vec<_>) = self.held.drain(..).partition(|held| agrees(held.time, time));
        if confirmed.is_empty() {
            self.held = others;
            self.held.push(frame);
            let refused = self.held.len().saturating_sub(HELD_MAX);
            self.held.drain(..refused);
            return Verdict {
                refused,
                ..Verdict::default()
            };
        }
        confirmed.push(frame);
        let is_behind = self.clock.is_some_and(|clock| time < clock);
        self.clock = confirmed.iter().map(|frame| frame.time).max();
        Verdict {
            refused: others.len(),
            confirmed,
            is_behind,
        }
    }

    /// The input has ended: of a short one all frames are taken, of a longer one nothing confirms what is left.
    pub(crate) fn finish(&mut self) -> Verdict {
        let held = std::mem::take(&mut self.held);
        if self.clock.is_some() {
            return Verdict {
                refused: held.len(),
                ..Verdict::default()
            };
        }
        Verdict {
            confirmed: held,
            ..Verdict::default()
        }
    }
}

#[inline]
fn agrees(before: i64, after: i64) -> bool {
    let step = after.saturating_sub(before);
    (-BEHIND_MAX_NANOS..=AHEAD_MAX_NANOS).contains(&step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times in hours; what was decoded in which order, and how many were refused.
    fn check(hours: &[i64], decoded: &[i64], refused: usize) {
        let mut gate = TimeGate::default();
        let mut seen = Vec::new();
        let mut refusals = 0;
        let mut take = |verdict: Verdict| {
            seen.extend(verdict.confirmed.iter().map(|frame| frame.time / HOUR_NANOS));
            refusals += verdict.refused;
        };
        for hour in hours {
            let time = hour * HOUR_NANOS;
            let frame = HeldFrame {
                link: LinkType::RawIp,
                time,
                original_length: 0,
                bytes: Vec::new(),
            };
            if gate.admits(time) {
                take(Verdict {
                    confirmed: vec![frame],
                    ..Verdict::default()
                });
            } else {
                take(gate.consider(frame));
            }
        }
        take(gate.finish());
        assert_eq!((seen.as_slice(), refusals), (decoded, refused), "{hours:?}");
    }

    #[test]
    fn a_lone_jump_is_refused_and_a_confirmed_one_is_taken() {
        check(&[], &[], 0);
        check(&[5], &[5], 0);
        check(&[5, 5, 6, 7], &[5, 5, 6, 7], 0);
        check(&[5, 5, 5, 9000, 6], &[5, 5, 5, 6], 1);
        check(&[9000, 5, 5, 5, 6], &[5, 5, 5, 6], 1);
        check(&[5, 9000, 5, 5, 6], &[5, 5, 5, 6], 1);
        check(&[5, 9000, 200, 400, 6, 7], &[5, 6, 7], 3);
        check(&[5, 5, 900, 300, 901], &[5, 5, 900, 901], 1);
        let sparse: Vec<_> = (0..20).map(|count| count * 48).collect();
        check(&sparse, &sparse[20 - HELD_MAX..], 20 - HELD_MAX);
        check(&[5, 5, 5, 900, 900, 901, 902], &[5, 5, 5, 900, 900, 901, 902], 0);
        check(&[900, 900, 900, 5, 5, 5], &[900, 900, 900, 5, 5, 5], 0);
        check(&[5, 5, 5, 9000], &[5, 5, 5], 1);
        check(&[5, 9000, 9001, 9001], &[9000, 9001, 9001], 1);
        check(&[5, 5, 5, 28, 50], &[5, 5, 5, 28, 50], 0);
    }
}
