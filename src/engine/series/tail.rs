//! How far out in its own past a non-negative quantity is: a generalised Pareto tail over everything seen so far.
//!
//! The past is kept as a histogram whose bins are the leading bits of the number itself (3 % wide), so that neither
//! learning nor the state needs a logarithm, and memory is bounded whatever the length: `BINS_MAX` bins of 32 bytes.
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

#[derive(Clone, Copy, Debug)]
struct Bin {
    key: u64,
    count: u64,
    sum: f64,
    square_sum: f64,
}

impl Tail {
    /// The surprise, `-log10` of the probability of something at least as great as `value` (finite, not negative).
    /// 0 for what is not in the tail, and as long as too little is known.
    pub(super) fn surprise(&self, value: f64) -> f64 {
        if self.seen < HISTORY_MIN {
            return 0.0;
        }
        let wanted = ((self.seen as f64 * TAIL_SHARE) as u64).max(EXCEEDANCES_MIN);
        let (mut count, mut sum, mut square_sum) = (0_u64, 0.0, 0.0);
        let mut border = 0.0;
        for bin in self.bins.iter().rev() {
            border = if bin.key == 0 {
                0.0
            } else {
                f64::from_bits((bin.key + 1) << BIN_SHIFT)
            };
            if count >= wanted || bin.key == 0 {
                break;
            }
            count += bin.count;
            sum += bin.sum;
            square_sum += bin.square_sum;
            border = f64::from_bits(bin.key << BIN_SHIFT);
        }
        let excess = value - border;
        if excess <= 0.0 {
            return 0.0;
        }
        let share = (count.max(1)) as f64 / (self.seen as f64 + 1.0);
        let surprise = -share.log10() + tail_surprise(excess, count as f64, sum, square_sum, border);
        surprise.clamp(0.0, SURPRISE_MAX)
    }

    /// Learns `value` (finite, not negative).
    pub(super) fn learn(&mut self, value: f64) {
        let key = value.max(0.0).to_bits() >> BIN_SHIFT;
        self.seen += 1;
        match self.bins.binary_search_by_key(&key, |bin| bin.key) {
            Ok(place) => self.bins[place].add(value),
            Err(place) => {
                let mut bin = Bin {
                    key,
                    count: 0,
                    sum: 0.0,
                    square_sum: 0.0,
                };
                bin.add(value);
                self.bins.insert(place, bin);
                if self.bins.len() > BINS_MAX {
                    self.join_lowest();
                }
            }
        }
    }

    fn join_lowest(&mut self) {
        let lowest = self.bins.remove(0);
        if let Some(bin) = self.bins.first_mut() {
            bin.count += lowest.count;
            bin.sum += lowest.sum;
            bin.square_sum += lowest.square_sum;
        }
    }
}

impl Bin {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.square_sum += value * value;
    }
}

/// What the excess over the tail's border adds: a generalised Pareto fitted by moments, its shape between the
/// exponential's and `SHAPE_MAX`. An excess where none was ever seen counts as one decade.
fn tail_surprise(excess: f64, count: f64, sum: f64, square_sum: f64, border: f64) -> f64 {
    let mean = sum / count.max(1.0) - border;
    if count == 0.0 || mean <= 0.0 || !mean.is_finite() {
        return 1.0;
    }
    let spread = square_sum / count - (sum / count) * (sum / count);
    let shape = if spread > 0.0 {
        (0.5 * (1.0 - mean * mean / spread)).clamp(0.0, SHAPE_MAX)
    } else {
        0.0
    };
    let scale = mean * (1.0 - shape);
    if shape > 1e-6 {
        (1.0 + shape * excess / scale).log10() / shape
    } else {
        excess / scale * std::f64::consts::LOG10_E
    }
}
