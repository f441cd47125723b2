//! What baselines keep, and how they change: forgetting, bounded influence, ramps, migrations, and the interval that
//! people are told.

use super::super::*;
use super::*;

const HALF_LIFE: i64 = 400;

fn learned<B: Baseline>(baseline: &mut B, prior: &B::Prior, windows: usize, mut draw: impl FnMut(usize) -> B::Seen) {
    let decay = decay(HALF_LIFE);
    for window in 0..windows {
        baseline.learn(prior, Scale::ONE, draw(window), &decay);
    }
}

/// Twenty half-lives at one level and one at another: half way between them is expected. Levels lie so close that
/// neither is surprising.
fn half_way<B: Baseline>(prior: &B::Prior, low: impl Fn(usize) -> B::Seen, high: impl Fn(usize) -> B::Seen) -> f64 {
    let mean = |baseline: &B| baseline.expected(prior, Scale::ONE).mean;
    let mut baseline = B::default();
    learned(&mut baseline, prior, 20 * HALF_LIFE as usize, &low);
    let before = mean(&baseline);
    learned(&mut baseline, prior, HALF_LIFE as usize, &high);
    let between = mean(&baseline);
    learned(&mut baseline, prior, 20 * HALF_LIFE as usize, &high);
    (between - before) / (mean(&baseline) - before)
}

#[test]
fn after_a_half_life_half_of_a_new_level_is_expected() {
    let wave = |window: usize, low: u64| low + (window as u64 * 7) % 41;
    // A window of a ratio weighs the less, the more its attempts seem to resemble each other, as they do in a change.
    let close = |what: &str, found: f64| assert!((found - 0.5).abs() < 0.04, "{what}: {found}");
    close(
        "count",
        half_way::<Count>(&count_prior(), |w| wave(w, 100), |w| wave(w, 112)),
    );
    let magnitude = MagnitudePrior::new(100.0, 1.0, 4.0).active(0.9);
    close(
        "magnitude",
        half_way::<Magnitude>(&magnitude, |w| wave(w, 100) as f64, |w| wave(w, 108) as f64),
    );
    let attempts = |failed: u64| Attempts { failed, total: 60 };
    close(
        "ratio",
        half_way::<Ratio>(
            &RatioPrior::new(0.2, 0.05, 4.0),
            |w| attempts(10 + (w as u64 * 7) % 11),
            |w| attempts(14 + (w as u64 * 7) % 11),
        ),
    );
    close(
        "quantile",
        half_way::<Quantile>(
            &QuantilePrior::new(100.0, 20.0, 1.0),
            |w| wave(w, 100) as f64,
            |w| wave(w, 112) as f64,
        ),
    );
}

#[test]
fn after_a_half_life_a_value_or_an_hour_weighs_half() {
    let decay = decay(HALF_LIFE);
    let mut category = Category::default();
    let prior = CategoryPrior::new(0.3, 1.0);
    for _ in 0..64 {
        category.learn(&prior, Scale::ONE, 7, &decay);
    }
    let before = category.windows();
    category.age(HALF_LIFE as u64, &decay);
    assert!((category.windows() / before - 0.5).abs() < 1e-3);
    let mut hours = TimeOfWeek::default();
    let prior = TimeOfWeekPrior::default();
    for _ in 0..64 {
        hours.learn(&prior, Scale::ONE, 7, &decay);
    }
    let before = hours.windows();
    hours.age(HALF_LIFE as u64, &decay);
    assert!(
        (hours.windows() / before - 0.5).abs() < 0.02,
        "{}",
        hours.windows() / before
    );
}

#[test]
fn one_poisoned_update_moves_the_mean_by_no_more_than_its_bound() {
    let mut random = Random::new(5);
    // Five predictive deviations by the value's share of the memory: 1 in 577 at a half-life of 400.
    let share = 1.0 / 577.0;
    let mut count = Count::default();
    learned(&mut count, &count_prior(), 8000, |_| {
        random.negative_binomial(40.0, 0.1)
    });
    let before = count.expected(&count_prior(), Scale::ONE);
    learned(&mut count, &count_prior(), 1, |_| 1_000_000_000);
    let after = count.expected(&count_prior(), Scale::ONE);
    let moved = (after.mean - before.mean) / before.variance.sqrt();
    assert!(moved > 0.0 && moved < 1.05 * 5.0 * share, "count: {moved}");
    let prior = MagnitudePrior::new(1e3, 1.0, 4.0).active(0.99);
    let mut magnitude = Magnitude::default();
    learned(&mut magnitude, &prior, 8000, |_| (7.0 + random.normal()).exp());
    let before = magnitude.expected(&prior, Scale::ONE).typical.ln();
    learned(&mut magnitude, &prior, 1, |_| 1e15);
    let after = magnitude.expected(&prior, Scale::ONE).typical.ln();
    assert!(
        after > before && after - before < 1.1 * 5.0 * share,
        "magnitude: {}",
        after - before
    );
    let prior = RatioPrior::new(0.1, 0.02, 20.0);
    let mut ratio = Ratio::default();
    learned(&mut ratio, &prior, 8000, |_| Attempts {
        failed: random.poisson(2.0).min(40),
        total: 40,
    });
    let before = ratio.expected(&prior, Scale::ONE);
    learned(&mut ratio, &prior, 1, |_| Attempts {
        failed: 1_000_000,
        total: 1_000_000,
    });
    let after = ratio.expected(&prior, Scale::ONE);
    assert!(
        after.mean > before.mean && after.mean - before.mean < 0.05,
        "ratio: {before:?} {after:?}"
    );
    let prior = QuantilePrior::new(100.0, 20.0, 1.0);
    let mut quantile = Quantile::default();
    learned(&mut quantile, &prior, 8000, |_| 100.0 + 10.0 * random.normal());
    let before = quantile.expected(&prior, Scale::ONE);
    learned(&mut quantile, &prior, 1, |_| 1e15);
    let after = quantile.expected(&prior, Scale::ONE);
    // Ten spreads beyond the outer percentile, by the value's share.
    assert!(
        after.mean > before.mean && after.mean - before.mean < 1.3 * 113.0 * share,
        "{before:?} {after:?}"
    );
    assert!((after.high - before.high).abs() < 1.0, "{before:?} {after:?}");
}

#[test]
fn a_slow_ramp_breaks_the_slow_memory() {
    // Half a per cent more each window; the fast memory follows it with a half-life of 25 windows.
    let (prior, decay) = (count_prior(), decay(HALF_LIFE));
    let mut random = Random::new(9);
    let mut count = Count::default();
    learned(&mut count, &prior, 4000, |_| random.negative_binomial(50.0, 0.02));
    let mut found = None;
    for window in 0..400 {
        let mean = 50.0 * 1.005f64.powi(window);
        let seen = random.negative_binomial(mean, 0.02);
        let judgement = count.judge(&prior, Scale::ONE, seen, Tail::Upper);
        if judgement.surprise() >= 4.0 {
            found = Some((mean, judgement.memory));
            break;
        }
        count.learn(&prior, Scale::ONE, seen, &decay);
    }
    let (mean, memory) = found.expect("the ramp is found");
    assert!(mean < 150.0 && memory == Memory::Slow, "{mean} {memory:?}");
}

/// How often a jump to a new level is surprising, and how often it is said to be one: in the first fifty windows, and in
/// the thousand after them.
fn migration<B: Baseline>(
    prior: &B::Prior,
    old: impl Fn(&mut Random) -> B::Seen,
    new: impl Fn(&mut Random) -> B::Seen,
) -> [(usize, usize); 2] {
    let decay = decay(HALF_LIFE);
    let mut random = Random::new(13);
    let mut baseline = B::default();
    for _ in 0..3000 {
        baseline.learn(prior, Scale::ONE, old(&mut random), &decay);
    }
    [50, 1000].map(|windows| {
        let (mut surprising, mut changes) = (0, 0);
        for _ in 0..windows {
            let seen = new(&mut random);
            let judgement = baseline.judge(prior, Scale::ONE, seen, Tail::Upper);
            surprising += usize::from(judgement.surprise() >= 3.0);
            changes += usize::from(baseline.learn(prior, Scale::ONE, seen, &decay) == Learned::RegimeChange);
        }
        (surprising, changes)
    })
}

#[test]
fn a_migration_is_told_once_and_learned() {
    let check = |what: &str, [first, later]: [(usize, usize); 2]| {
        assert!((1..=8).contains(&first.0) && first.1 == 1, "{what}: {first:?}");
        assert!(later.0 <= 5 && later.1 == 0, "{what} later: {later:?}");
    };
    check(
        "count",
        migration::<Count>(
            &count_prior(),
            |random| random.negative_binomial(20.0, 0.1),
            |random| random.negative_binomial(200.0, 0.05),
        ),
    );
    check(
        "magnitude",
        migration::<Magnitude>(
            &MagnitudePrior::new(1e4, 1.0, 4.0).active(0.9),
            |random| (9.0 + 0.5 * random.normal()).exp(),
            |random| (15.0 + 0.5 * random.normal()).exp(),
        ),
    );
    check(
        "ratio",
        migration::<Ratio>(
            &RatioPrior::new(0.05, 0.02, 20.0),
            |random| Attempts {
                failed: random.poisson(3.0).min(60),
                total: 60,
            },
            |random| Attempts {
                failed: 25 + random.poisson(5.0).min(30),
                total: 60,
            },
        ),
    );
    check(
        "quantile",
        migration::<Quantile>(
            &QuantilePrior::new(100.0, 50.0, 1.0),
            |random| 100.0 + 5.0 * random.normal(),
            |random| 300.0 + 5.0 * random.normal(),
        ),
    );
}

/// The share of windows that lie below, within and above the interval that is told.
fn coverage<B: Baseline>(
    prior: &B::Prior,
    draw: impl Fn(&mut Random) -> B::Seen,
    number: impl Fn(B::Seen) -> f64,
) -> [f64; 3] {
    let decay = decay(4000);
    let mut random = Random::new(17);
    let mut baseline = B::default();
    for _ in 0..2000 {
        baseline.learn(prior, Scale::ONE, draw(&mut random), &decay);
    }
    let expected = baseline.expected(prior, Scale::ONE);
    let mut shares = [0.0; 3];
    for _ in 0..20_000 {
        let seen = number(draw(&mut random));
        let place = 1 + usize::from(seen > expected.high) - usize::from(seen < expected.low);
        shares[place] += 1.0 / 20_000.0;
    }
    shares
}

#[test]
fn nine_windows_of_ten_lie_in_the_interval_that_people_are_told() {
    // A discrete interval holds nine tenths or more, and its complement is no tail of more than a twentieth.
    let [below, within, above] = coverage::<Count>(&count_prior(), |r| r.negative_binomial(30.0, 0.3), |x| x as f64);
    assert!(
        below < 0.065 && above < 0.065 && (0.88..0.95).contains(&within),
        "{below} {within} {above}"
    );
    let prior = MagnitudePrior::new(1e4, 1.0, 4.0).active(0.95);
    let [below, within, above] = coverage::<Magnitude>(&prior, |r| (9.0 + r.normal()).exp(), |x| x);
    assert!(
        below < 0.065 && above < 0.065 && (0.88..0.95).contains(&within),
        "{below} {within} {above}"
    );
    let prior = QuantilePrior::new(100.0, 50.0, 1.0);
    let [below, within, above] = coverage::<Quantile>(&prior, |r| 100.0 + 5.0 * r.normal(), |x| x);
    assert!(
        (below - 0.05).abs() < 0.015 && (above - 0.05).abs() < 0.015,
        "{below} {within} {above}"
    );
    let share = |seen: Attempts| seen.failed as f64 / seen.total as f64;
    let draw = |random: &mut Random| {
        let (yes, no) = (random.gamma(0.2 * 19.0), random.gamma(0.8 * 19.0));
        let total = 2000;
        let failed = (yes / (yes + no) * total as f64).round() as u64;
        Attempts { failed, total }
    };
    let [below, within, above] = coverage::<Ratio>(&RatioPrior::new(0.2, 0.05, 20.0), draw, share);
    assert!(
        (below - 0.05).abs() < 0.02 && (above - 0.05).abs() < 0.02,
        "{below} {within} {above}"
    );
}
