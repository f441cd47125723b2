//! How far out in its own past a non-negative quantity is: a generalised Pareto tail over everything seen so far.
//!
//! The past is kept as a histogram whose bins are the leading bits of the number itself (3 % wide), so that neither
//! learning nor the state needs a logarithm, and memory is bounded whatever the length: `BINS_MAX` bins of 24 bytes.
//! Learning costs a binary search; judging costs one pass over the bins of the tail.

/// Bins kept at most; past it the two lowest are joined, for only the upper tail is ever asked about.
const BINS_MAX: usize = 1024;
/// Values to be seen before a surprise is given.
const HISTORY_MIN: u64 = 60;
/// Share of the past that is modelled as the tail.
const TAIL_SHARE: f64 = 0.1;
/// Exceedances that the tail needs at least.
const EXCEEDANCES_MIN: u64 = 5;
/// Shape of the tail at most: heavier than this, no moment of the fit would mean anything.
const SHAPE_MAX: f64 = 0.5;
/// Surprise at most.
const SURPRISE_MAX: f64 = 50.0;
/// Bits of a number that are dropped to find its bin: 5 of the mantissa remain.
const BIN_SHIFT: u32 = 47;

/// The past of one non-negative quantity.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    bins: Vec<Bin>,
    seen: u64,
}

/// The values that share their leading bits. Their mean is kept because a sum could overflow.
#[derive(Clone, Copy, Debug)]
struct Bin {
    key: u64,
    count: u64,
    mean: f64,
}

impl Tail {
    /// The surprise, `-log10` of the probability of something at least as great as `value` (finite, not negative).
    /// 0 for what is not in the tail, and as long as too little is known.
    pub(super) fn surprise(&self, value: f64) -> f64 {
        if self.seen < HISTORY_MIN {
            return 0.0;
        }
        let (first, count) = self.first_of_tail();
        let tail = self.bins.get(first..).unwrap_or_default();
        let border = match (
            tail.first(),
            first.checked_sub(1).and_then(|below| self.bins.get(below)),
        ) {
            (Some(bin), _) => f64::from_bits(bin.key << BIN_SHIFT),
            (None, Some(below)) if below.key > 0 => f64::from_bits((below.key + 1) << BIN_SHIFT),
            (None, _) => 0.0,
        };
        let excess = value - border;
        if excess <= 0.0 {
            return 0.0;
        }
        let share = count.max(1) as f64 / (self.seen as f64 + 1.0);
        (-share.log10() + tail_surprise(excess, tail, border)).clamp(0.0, SURPRISE_MAX)
    }

    /// The bin that the tail begins with, and how many values it holds. Zeros are never in it.
    fn first_of_tail(&self) -> (usize, u64) {
        let wanted = ((self.seen as f64 * TAIL_SHARE) as u64).max(EXCEEDANCES_MIN);
        let mut count = 0;
        for (place, bin) in self.bins.iter().enumerate().rev() {
            if count >= wanted || bin.key == 0 {
                return (place + 1, count);
            }
            count += bin.count;
        }
        (0, count)
    }

    /// Learns `value` (finite, not negative).
    pub(super) fn learn(&mut self, value: f64) {
        let key = value.max(0.0).to_bits() >> BIN_SHIFT;
        self.seen += 1;
        match self.bins.binary_search_by_key(&key, |bin| bin.key) {
            Ok(place) => self.bins[place].add(value, 1),
            Err(place) => {
                let (count, mean) = (1, value);
                self.bins.insert(place, Bin { key, count, mean });
                if self.bins.len() > BINS_MAX {
                    let lowest = self.bins.remove(0);
                    if let Some(bin) = self.bins.first_mut() {
                        bin.add(lowest.mean, lowest.count);
                    }
                }
            }
        }
    }
}

impl Bin {
    fn add(&mut self, mean: f64, count: u64) {
        self.count += count;
        self.mean += (mean - self.mean) * (count as f64 / self.count as f64);
    }
}

/// What the excess over the tail's border adds: a generalised Pareto fitted by moments (Hosking and Wallis,
/// "Parameter and quantile estimation for the generalized Pareto distribution", 1987), its shape between the
/// exponential's and `SHAPE_MAX`. An excess where none was ever seen counts as one decade.
fn tail_surprise(excess: f64, tail: &[Bin], border: f64) -> f64 {
    let count: f64 = tail.iter().map(|bin| bin.count as f64).sum();
    let mean = tail
        .iter()
        .map(|bin| (bin.mean - border) * (bin.count as f64 / count))
        .sum::<f64>();
    if tail.is_empty() || mean <= 0.0 {
        return 1.0;
    }
    // The second moment in units of the mean squared, so that it can't overflow.
    let second: f64 = tail
        .iter()
        .map(|bin| (bin.mean - border) / mean)
        .zip(tail)
        .map(|(ratio, bin)| ratio * ratio * (bin.count as f64 / count))
        .sum();
    let variance = second - 1.0;
    let shape = if variance > 0.0 {
        (0.5 * (1.0 - 1.0 / variance)).clamp(0.0, SHAPE_MAX)
    } else {
        0.0
    };
    let means = excess / mean / (1.0 - shape);
    if shape > 1e-6 {
        (1.0 + shape * means).log10() / shape
    } else {
        means * std::f64::consts::LOG10_E
    }
}
