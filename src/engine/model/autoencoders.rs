//! An ensemble of small autoencoders (after KitNET: Mirsky et al., "Kitsune", NDSS 2018): columns that go together are
//! squeezed through fewer numbers and made again; what can't be made again is strange.
//!
//! Unlike KitNET there is no second layer over the errors: a row's strangeness is the sum of each input's squared error
//! in units of what it usually is, which is also why a row is strange, each column's share of the sum. Learning is by
//! Adam (Kingma and Ba 2015) with a softsign between the layers, x / (1 + |x|), so that all of it is + - x / and square
//! root, the same on every CPU. Training rows are drawn with replacement from the seed.
//!
//! Size: groups of at most 10 inputs with 7 numbers between, 170 numbers of 4 bytes each; a row costs two
//! multiplications a number, about 0.3 microseconds for 20 columns.

use super::coder::Coder;
use super::random::Random;
use super::{Codes, Settings, Training};
use serde::{Deserialize, Serialize};

/// Inputs of a group at most.
const GROUP_MAX: usize = 10;
/// Numbers between the layers, of the inputs.
const SQUEEZE: f64 = 0.7;
/// Rows learned from at once.
const BATCH: usize = 32;
/// Steps of learning at most,
const STEPS_MAX: usize = 3000;
/// and how often a row is seen at most, so that few rows are not learned by heart.
const VISITS_MAX: usize = 40;
/// Adam's.
const RATE: f32 = 0.01;
const MOMENTUM: f32 = 0.9;
const SQUARES: f32 = 0.999;
/// Categories of a column with an input of their own at most; the others share one.
const CATEGORIES_MAX: usize = 16;
/// Rows that correlations and usual errors are taken from at most.
const MEASURED_ROWS_MAX: usize = 4096;
/// The least usual squared error, so that a column that is made again exactly does not decide alone.
const ERROR_MIN: f32 = 1e-2;

/// One row in so many is not learned from, where rows are normal: it tells what errors are usual.
const UNSEEN_EVERY: usize = 4;

/// Whether a row is not learned from, where rows are normal.
pub(super) fn is_unseen(place: usize) -> bool {
    place.is_multiple_of(UNSEEN_EVERY)
}

/// What an input looks at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum What {
    /// The score of a number.
    Score,
    /// Whether the column has this category.
    Category(u16),
    /// Whether it has none of those before this one.
    Rest(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Input {
    column: u16,
    what: What,
}

/// The ensemble.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Autoencoders {
    inputs: Vec<Input>,
    groups: Vec<Group>,
    /// By input, the squared error that is usual.
    usual: Vec<f32>,
}

/// Inputs that go together, and the net that makes them again.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Group {
    inputs: Vec<u16>,
    between: usize,
    /// By number between: a weight for each input, and a bias.
    encode: Vec<f32>,
    /// By input: a weight for each number between, and a bias.
    decode: Vec<f32>,
}

/// What learning keeps of a group beside its weights.
struct Momentum {
    first: Vec<f32>,
    second: Vec<f32>,
    /// MOMENTUM and SQUARES to the power of the steps so far.
    powers: (f32, f32),
}

impl Autoencoders {
    pub(super) fn learn(coder: &Coder, codes: &Codes, settings: &Settings) -> Autoencoders {
        let inputs = inputs_of(coder);
        let step = codes.len().div_ceil(MEASURED_ROWS_MAX);
        let leaves_out = settings.rows == Training::Apart;
        let is_seen = |place: &usize| !leaves_out || !is_unseen(*place);
        let learned: Vec<u32> = (0..codes.len()).filter(is_seen).map(|place| place as u32).collect();
        let mut measured: Vec<f32> = Vec::new();
        let of_measured = |place: &usize| !leaves_out || is_unseen(*place);
        for place in (0..codes.len()).filter(of_measured).step_by(step) {
            look_at(&inputs, codes.row(place), &mut measured);
        }
        let mut groups: Vec<Group> = Vec::new();
        for (number, members) in groups_of(&measured, inputs.len()).into_iter().enumerate() {
            let mut random = Random::part(settings.seed, number);
            let mut group = Group::new(members, &mut random);
            group.learn(&inputs, codes, &learned, &mut random);
            groups.push(group);
        }
        let mut model = Autoencoders {
            usual: vec![1.0; inputs.len()],
            inputs,
            groups,
        };
        model.usual = model.usual_errors(&measured);
        model
    }

    fn usual_errors(&self, measured: &[f32]) -> Vec<f32> {
        let width = self.inputs.len();
        let mut sums = vec![0.0f64; width];
        let mut errors = vec![0.0; width];
        for row in measured.chunks_exact(width.max(1)) {
            self.errors(row, &mut errors);
            for (sum, error) in sums.iter_mut().zip(&errors) {
                *sum += f64::from(*error);
            }
        }
        let rows = (measured.len() / width.max(1)).max(1) as f64;
        sums.iter().map(|sum| ((sum / rows) as f32).max(ERROR_MIN)).collect()
    }

    /// By input, its squared error in units of what is usual; missing has none.
    fn errors(&self, row: &[f32], errors: &mut [f32]) {
        let mut made = [0.0f32; GROUP_MAX];
        for group in &self.groups {
            let mut seen = [0.0f32; GROUP_MAX];
            for (seen, input) in seen.iter_mut().zip(&group.inputs) {
                *seen = row[usize::from(*input)];
            }
            let seen = &seen[..group.inputs.len()];
            group.make_again(seen, &mut [0.0; GROUP_MAX], &mut made);
            for ((input, seen), made) in group.inputs.iter().zip(seen).zip(&made) {
                let place = usize::from(*input);
                let error = if seen.is_nan() { 0.0 } else { seen - made };
                errors[place] = error * error / self.usual[place];
            }
        }
    }

    pub(super) fn strangeness(&self, codes: &Codes, raws: &mut [f64]) {
        let mut row_of_inputs = Vec::with_capacity(self.inputs.len());
        let mut errors = vec![0.0; self.inputs.len()];
        for (row, raw) in codes.rows().zip(raws) {
            row_of_inputs.clear();
            look_at(&self.inputs, row, &mut row_of_inputs);
            self.errors(&row_of_inputs, &mut errors);
            *raw = f64::from(errors.iter().sum::<f32>().sqrt());
        }
    }

    /// What each column adds to the errors, and what numbers were made again as.
    pub(super) fn blame(&self, row: &[f32], shares: &mut [f64], typical: &mut [f32]) {
        let mut seen = Vec::new();
        look_at(&self.inputs, row, &mut seen);
        let mut errors = vec![0.0; self.inputs.len()];
        self.errors(&seen, &mut errors);
        for (input, error) in self.inputs.iter().zip(&errors) {
            shares[usize::from(input.column)] += f64::from(*error);
        }
        let mut made = [0.0f32; GROUP_MAX];
        for group in &self.groups {
            let seen: Vec<f32> = group.inputs.iter().map(|input| seen[usize::from(*input)]).collect();
            group.make_again(&seen, &mut [0.0; GROUP_MAX], &mut made);
            for (input, made) in group.inputs.iter().zip(&made) {
                let input = self.inputs[usize::from(*input)];
                if input.what == What::Score {
                    typical[usize::from(input.column)] = *made;
                }
            }
        }
    }
}

fn inputs_of(coder: &Coder) -> Vec<Input> {
    let mut inputs = Vec::new();
    for (column, categories) in coder.categories().enumerate() {
        let mut add = |what| {
            inputs.push(Input {
                column: column as u16,
                what,
            });
        };
        match categories {
            None => add(What::Score),
            Some(known) => {
                let own = known.min(CATEGORIES_MAX) as u16;
                (0..own).for_each(|place| add(What::Category(place)));
                add(What::Rest(own));
            }
        }
    }
    inputs
}

/// Appends the inputs of a row; NaN where missing.
fn look_at(inputs: &[Input], row: &[f32], seen: &mut Vec<f32>) {
    seen.extend(inputs.iter().map(|input| {
        let code = row[usize::from(input.column)];
        let is = |yes: bool| if yes { 2.0 } else { 0.0 };
        match input.what {
            What::Score => code,
            _ if code.is_nan() => f32::NAN,
            What::Category(place) => is(code == f32::from(place)),
            What::Rest(first) => is(code >= f32::from(first)),
        }
    }));
}

/// Inputs by groups of those that go together: the two groups whose members are correlated most are joined, as long as
/// one of the joined has not too many.
fn groups_of(measured: &[f32], width: usize) -> Vec<Vec<u16>> {
    let mut groups: Vec<Vec<u16>> = (0..width as u16).map(|input| vec![input]).collect();
    let mut pairs: Vec<(f64, u16, u16)> = Vec::new();
    for one in 0..width {
        for other in 0..one {
            let strength = correlation(measured, width, one, other).abs();
            pairs.push((strength, other as u16, one as u16));
        }
    }
    // Strongest first; equal ones in the order of their places.
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut group_of: Vec<usize> = (0..width).collect();
    for (_, one, other) in pairs {
        let (into, from) = (group_of[usize::from(one)], group_of[usize::from(other)]);
        if into == from || groups[into].len() + groups[from].len() > GROUP_MAX {
            continue;
        }
        let moved = std::mem::take(&mut groups[from]);
        moved.iter().for_each(|input| group_of[usize::from(*input)] = into);
        groups[into].extend(moved);
    }
    groups.retain(|group| !group.is_empty());
    groups
}

fn correlation(measured: &[f32], width: usize, one: usize, other: usize) -> f64 {
    let (mut count, mut a, mut b, mut aa, mut bb, mut ab) = (0.0f64, 0.0, 0.0, 0.0, 0.0, 0.0);
    for row in measured.chunks_exact(width) {
        let (x, y) = (f64::from(row[one]), f64::from(row[other]));
        if x.is_nan() || y.is_nan() {
            continue;
        }
        count += 1.0;
        a += x;
        b += y;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    let variances = (aa - a * a / count) * (bb - b * b / count);
    if count < 2.0 || variances <= 1e-12 {
        0.0
    } else {
        (ab - a * b / count) / variances.sqrt()
    }
}

fn softsign(x: f32) -> f32 {
    x / (1.0 + x.abs())
}

impl Group {
    fn new(inputs: Vec<u16>, random: &mut Random) -> Group {
        let width = inputs.len();
        let between = ((width as f64 * SQUEEZE) as usize).max(1);
        let mut weights = |count: usize, breadth: f64| -> Vec<f32> {
            (0..count)
                .map(|_| ((2.0 * random.uniform() - 1.0) * breadth) as f32)
                .collect()
        };
        let breadth = (6.0 / (width + between) as f64).sqrt();
        Group {
            encode: weights(between * (width + 1), breadth),
            decode: weights(width * (between + 1), breadth),
            between,
            inputs,
        }
    }

    /// Makes inputs again, of which missing ones count as 0; leaves what was between.
    fn make_again(&self, seen: &[f32], between: &mut [f32; GROUP_MAX], made: &mut [f32; GROUP_MAX]) {
        let width = seen.len();
        for (number, weights) in between.iter_mut().zip(self.encode.chunks_exact(width + 1)) {
            let mut sum = weights[width];
            for (weight, seen) in weights.iter().zip(seen) {
                sum += weight * if seen.is_nan() { 0.0 } else { *seen };
            }
            *number = softsign(sum);
        }
        for (made, weights) in made.iter_mut().zip(self.decode.chunks_exact(self.between + 1)) {
            let mut sum = weights[self.between];
            for (weight, number) in weights.iter().zip(&between[..self.between]) {
                sum += weight * number;
            }
            *made = sum;
        }
    }

    fn learn(&mut self, inputs: &[Input], codes: &Codes, learned: &[u32], random: &mut Random) {
        let count = self.encode.len() + self.decode.len();
        let mut momentum = Momentum {
            first: vec![0.0; count],
            second: vec![0.0; count],
            powers: (1.0, 1.0),
        };
        let own: Vec<Input> = self.inputs.iter().map(|input| inputs[usize::from(*input)]).collect();
        let mut slopes = vec![0.0f32; count];
        let mut seen = Vec::with_capacity(own.len());
        let steps = (learned.len() * VISITS_MAX).div_ceil(BATCH).min(STEPS_MAX);
        for _ in 0..steps {
            slopes.fill(0.0);
            for _ in 0..BATCH {
                seen.clear();
                let place = learned[random.below(learned.len())];
                look_at(&own, codes.row(place as usize), &mut seen);
                self.add_slopes(&seen, &mut slopes);
            }
            self.step(&slopes, &mut momentum);
        }
    }

    /// Adds the slopes of a row's squared error, of inputs that are not missing.
    fn add_slopes(&self, seen: &[f32], slopes: &mut [f32]) {
        let (mut between, mut made) = ([0.0f32; GROUP_MAX], [0.0f32; GROUP_MAX]);
        self.make_again(seen, &mut between, &mut made);
        let (of_encode, of_decode) = slopes.split_at_mut(self.encode.len());
        let mut of_between = [0.0f32; GROUP_MAX];
        let rows = self.decode.chunks_exact(self.between + 1);
        for ((slopes, weights), (seen, made)) in of_decode
            .chunks_exact_mut(self.between + 1)
            .zip(rows)
            .zip(seen.iter().zip(&made))
        {
            // Far outliers don't bend it: the slope of Huber's loss.
            let error = if seen.is_nan() {
                0.0
            } else {
                (made - seen).clamp(-2.0, 2.0)
            };
            for place in 0..self.between {
                slopes[place] += error * between[place];
                of_between[place] += error * weights[place];
            }
            slopes[self.between] += error;
        }
        for ((slopes, number), slope) in of_encode
            .chunks_exact_mut(seen.len() + 1)
            .zip(&between)
            .zip(&of_between)
        {
            let steepness = 1.0 - number.abs();
            let slope = slope * steepness * steepness;
            for (held, seen) in slopes.iter_mut().zip(seen) {
                *held += slope * if seen.is_nan() { 0.0 } else { *seen };
            }
            slopes[seen.len()] += slope;
        }
    }

    fn step(&mut self, slopes: &[f32], momentum: &mut Momentum) {
        momentum.powers.0 *= MOMENTUM;
        momentum.powers.1 *= SQUARES;
        let (whole_first, whole_second) = (1.0 - momentum.powers.0, 1.0 - momentum.powers.1);
        let weights = self.encode.iter_mut().chain(&mut self.decode);
        let kept = momentum.first.iter_mut().zip(&mut momentum.second);
        for ((weight, slope), (first, second)) in weights.zip(slopes).zip(kept) {
            let slope = slope / BATCH as f32;
            *first = MOMENTUM * *first + (1.0 - MOMENTUM) * slope;
            *second = SQUARES * *second + (1.0 - SQUARES) * slope * slope;
            *weight -= RATE * (*first / whole_first) / ((*second / whole_second).sqrt() + 1e-8);
        }
    }
}
