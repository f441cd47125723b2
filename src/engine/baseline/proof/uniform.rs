//! Randomised p-values are uniform after burn-in where traffic is of the law that a baseline assumes, for every kind, and
//! the test that says so has power. Kolmogorov and Smirnov's distance is held below what truly uniform numbers exceed
//! once in ten thousand, and two per cent for what is estimated.

use super::super::tail::NegativeBinomial;
use super::super::*;
use super::*;
use crate::engine::measure::Distinct;

const BURN_IN: usize = 2000;
const WINDOWS: usize = 4000;

/// Randomised p-values of the slow memory (two memories would be two tests) after a burn-in.
fn ps<B: Baseline>(
    seed: u64,
    prior: &B::Prior,
    mut draw: impl FnMut(&mut Random) -> B::Seen,
    judge: impl Fn(&B, &B::Prior, B::Seen) -> Judgement,
) -> Vec<f64> {
    let decay = decay(4000);
    let (mut random, mut baseline, mut ps) = (Random::new(seed), B::default(), Vec::new());
    for window in 0..BURN_IN + WINDOWS {
        let seen = draw(&mut random);
        if window >= BURN_IN {
            ps.push(judge(&baseline, prior, seen).randomised(random.uniform()));
        }
        baseline.learn(prior, Scale::ONE, seen, &decay);
    }
    ps
}

fn check(what: &str, mut ps: Vec<f64>) {
    let d = distance(&mut ps);
    assert!(d < 0.02 + distance_max(ps.len()), "{what}: {d}");
}

fn count_ps(seed: u64, draw: impl FnMut(&mut Random) -> u64) -> Vec<f64> {
    ps(seed, &count_prior(), draw, |count: &Count, prior, seen| {
        count.judge_slow(prior, Scale::ONE, seen, Tail::Upper)
    })
}

#[test]
fn of_counts() {
    for (seed, mean, dispersion) in [
        (1, 4.0, 0.5),
        (2, 0.3, 1.0),
        (3, 60.0, 0.2),
        (4, 5.0, 1e-3),
        (5, 1.0, 3.0),
    ] {
        let ps = count_ps(seed, |random| random.negative_binomial(mean, dispersion));
        check(&format!("mean {mean} dispersion {dispersion}"), ps);
    }
}

#[test]
fn of_distinct_values_counted_by_a_sketch() {
    let ps = count_ps(11, |random| {
        let mut distinct = Distinct::default();
        for _ in 0..random.negative_binomial(60.0, 0.2) {
            distinct.insert((random.uniform() * 1e18) as u64, 1.0);
        }
        distinct.count() as u64
    });
    check("distinct", ps);
}

#[test]
fn of_magnitudes() {
    for (seed, active, level, deviation) in [(21, 1.0, 9.0, 1.0), (22, 0.6, 12.0, 2.0), (23, 0.1, 6.0, 0.5)] {
        let prior = MagnitudePrior::new(1e4, 4.0, 10.0);
        let draw = |random: &mut Random| {
            if random.uniform() < active {
                (level + deviation * random.normal()).exp_m1().max(1e-9)
            } else {
                0.0
            }
        };
        let ps = ps(seed, &prior, draw, |magnitude: &Magnitude, prior, seen| {
            magnitude.judge_slow(prior, Scale::ONE, seen, Tail::Upper)
        });
        check(&format!("active {active} deviation {deviation}"), ps);
    }
}

#[test]
fn of_ratios() {
    for (seed, mean, correlation) in [(31, 0.05, 0.02), (32, 0.3, 0.1), (33, 0.9, 0.05)] {
        let prior = RatioPrior::new(0.1, 0.05, 20.0);
        let precision = 1.0 / correlation - 1.0;
        let draw = |random: &mut Random| {
            let total = 1 + random.poisson(20.0);
            let (yes, no) = (random.gamma(mean * precision), random.gamma((1.0 - mean) * precision));
            let share = yes / (yes + no);
            let failed = (0..total).filter(|_| random.uniform() < share).count() as u64;
            Attempts { failed, total }
        };
        let ps = ps(seed, &prior, draw, |ratio: &Ratio, prior, seen| {
            ratio.judge_slow(prior, seen, Tail::Upper)
        });
        check(&format!("mean {mean} correlation {correlation}"), ps);
    }
}

#[test]
fn of_categories() {
    let prior = CategoryPrior::new(0.3, 2.0);
    // Twelve values, each two thirds as likely as the one before.
    let draw = |random: &mut Random| {
        let mut value = 0u64;
        while value < 11 && random.uniform() > 1.0 / 3.0 {
            value += 1;
        }
        (value + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    let ps = ps(41, &prior, draw, |category: &Category, prior, seen| {
        category.judge(prior, Scale::ONE, seen, Tail::Upper)
    });
    check("category", ps);
}

#[test]
fn of_hours_of_the_week() {
    // Every day alike, most around noon: what the kernel is for.
    let draw = |random: &mut Random| loop {
        let hour = (random.uniform() * 168.0) as u8;
        let noon = 0.5 - 0.45 * (std::f64::consts::TAU * f64::from(hour % 24) / 24.0).cos();
        if random.uniform() < noon {
            return hour;
        }
    };
    let ps = ps(
        51,
        &TimeOfWeekPrior::default(),
        draw,
        |hours: &TimeOfWeek, prior, seen| hours.judge(prior, Scale::ONE, seen, Tail::Upper),
    );
    check("time of week", ps);
}

#[test]
fn of_rhythms_against_the_pairs_of_the_population() {
    let mut random = Random::new(61);
    let prior = IntervalPrior::new(5.0);
    let decay = decay(4000);
    let contact = |gap_seconds: f64| Contact {
        gap_seconds,
        standing: Standing::default(),
    };
    // Pairs of all kinds: the standard deviation of a gap's logarithm is from 0.01 to 1.
    let pair = |random: &mut Random| {
        let deviation = 10f64.powf(-2.0 * random.uniform());
        let mut pair = Interval::default();
        let gap = |random: &mut Random| 60.0 * (deviation * random.normal()).exp();
        for _ in 0..15 {
            pair.learn(&prior, Scale::ONE, contact(gap(random)), &decay);
        }
        let last = gap(random);
        (pair, last)
    };
    let mut summary = IntervalSummary::default();
    for _ in 0..4000 {
        let (mut pair, last) = pair(&mut random);
        pair.learn(&prior, Scale::ONE, contact(last), &decay);
        pair.vote(&mut summary);
    }
    let taught = Interval::prior(&prior, &summary);
    let mut ps = Vec::new();
    for _ in 0..WINDOWS {
        let (pair, last) = pair(&mut random);
        let judged = pair.judge(&taught, Scale::ONE, contact(last), Tail::Upper);
        ps.push(judged.randomised(random.uniform()));
    }
    // Between the edges of the histogram shares are taken to be straight.
    let d = distance(&mut ps);
    assert!(d < 0.04 + distance_max(WINDOWS), "interval: {d}");
}

#[test]
fn of_any_other_number() {
    let prior = QuantilePrior::new(10.0, 5.0, 4.0);
    let laws: [fn(&mut Random) -> f64; 4] = [
        |random| 100.0 + 5.0 * random.normal(),
        |random| (random.normal()).exp(),
        |random| 3.0 * random.exponential(),
        |random| 40.0 + random.uniform(),
    ];
    for (number, law) in laws.into_iter().enumerate() {
        for tail in [Tail::Upper, Tail::Lower, Tail::Both] {
            let ps = ps(71, &prior, law, |quantile: &Quantile, prior, seen| {
                quantile.judge(prior, Scale::ONE, seen, tail)
            });
            check(&format!("law {number} {tail:?}"), ps);
        }
    }
}

/// What a negative binomial without a hurdle says, with the true moments over all windows.
fn without_hurdle(seen: u64, mean: f64, variance: f64, uniform: f64) -> f64 {
    let law = NegativeBinomial {
        mean,
        dispersion: ((variance - mean) / (mean * mean)).max(1e-9),
    };
    let judgement = Judgement {
        ln_p: law.ln_tails(seen as f64).0,
        ln_p_beyond: law.ln_tails(seen as f64 + 1.0).0,
        memory: Memory::Slow,
    };
    judgement.randomised(uniform)
}

#[test]
fn the_test_has_power_zero_inflated_and_clumped_counts_fail_it_without_the_hurdle_and_pass_with_it() {
    // Seven windows of ten are empty, the others have twenty; or a window has some clumps of nine.
    let inflated: fn(&mut Random) -> u64 = |random| {
        if random.uniform() < 0.7 {
            0
        } else {
            random.poisson(20.0).max(1)
        }
    };
    let clumped: fn(&mut Random) -> u64 = |random| {
        if random.uniform() < 0.8 {
            0
        } else {
            1 + random.negative_binomial(9.0, 0.3)
        }
    };
    for (what, law) in [("zero-inflated", inflated), ("clumped", clumped)] {
        let mut random = Random::new(81);
        let seen: Vec<f64> = (0..20_000).map(|_| law(&mut random) as f64).collect();
        let mean = seen.iter().sum::<f64>() / seen.len() as f64;
        let variance = seen.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / seen.len() as f64;
        let mut without: Vec<f64> = (0..WINDOWS)
            .map(|_| without_hurdle(law(&mut random), mean, variance, random.uniform()))
            .collect();
        let d = distance(&mut without);
        assert!(d > 0.05 + distance_max(WINDOWS), "{what} without the hurdle: {d}");
        check(what, count_ps(82, law));
    }
    // And it tells a law that is only twice too wide.
    let mut random = Random::new(83);
    let mut wide: Vec<f64> = (0..WINDOWS)
        .map(|_| without_hurdle(random.negative_binomial(10.0, 0.3), 10.0, 10.0 + 90.0, random.uniform()))
        .collect();
    let d = distance(&mut wide);
    assert!(d > 0.02 + distance_max(WINDOWS), "too wide: {d}");
}
