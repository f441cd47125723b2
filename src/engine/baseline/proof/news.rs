//! How many values of a window are new: p-values are uniform for entities that churn, in bursts of every law, and the test
//! that says so has power.

use super::super::*;
use super::*;

const BURN_IN: usize = 2000;
const WINDOWS: usize = 6000;

/// What an entity does: how often a burst begins, and how large it is.
struct Habit {
    begins: f64,
    size: fn(&mut Random) -> u32,
}

/// One p-value a window after a burn-in: of the law that is tested, and of one that takes new values for independent.
fn ps(seed: u64, habit: &Habit) -> [Vec<f64>; 2] {
    let (prior, decay) = (CategoryPrior::new(0.5, 5.0), decay(700));
    let mut random = Random::new(seed);
    let mut category = Category::default();
    let (mut next, mut ps) = (1000u64, [Vec::new(), Vec::new()]);
    let hash = |value: u64| value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for window in 0..BURN_IN + WINDOWS {
        let (mut new, mut known) = (0, std::collections::BTreeSet::new());
        // A burst may come before each known value, and after the last.
        let many = 1 + random.poisson(4.0).min(12) as usize;
        loop {
            while random.uniform() < habit.begins {
                new += (habit.size)(&mut random);
            }
            if known.len() == many {
                break;
            }
            while !known.insert((random.uniform() * random.uniform() * 20.0) as u64) {}
        }
        let known_count = known.len();
        let news = News {
            new: new.min(60),
            known: known_count as f64,
        };
        if window >= BURN_IN {
            let uniform = random.uniform();
            let judged = category.judge_news(&prior, news).expect("a history by now");
            ps[0].push(judged.randomised(uniform));
            let mut alone = category.clone();
            alone.forget_bursts();
            let judged = alone.judge_news(&prior, news).expect("a history by now");
            ps[1].push(judged.randomised(uniform));
        }
        category.age(1, &decay);
        if window > 0 {
            category.learn_news(&prior, news.new, known_count as u32);
        }
        for value in known.into_iter().chain((next..).take(news.new as usize)) {
            category.learn(&prior, Scale::ONE, hash(value + 1), &decay);
        }
        next += u64::from(news.new);
    }
    ps
}

fn share_below(ps: &[f64], bound: f64) -> f64 {
    ps.iter().filter(|p| **p <= bound).count() as f64 / ps.len() as f64
}

#[test]
fn the_number_of_new_values_has_uniform_p_values_whatever_the_law_of_bursts() {
    let one: fn(&mut Random) -> u32 = |_| 1;
    let geometric: fn(&mut Random) -> u32 = |random| 1 + (random.exponential() * 3.0) as u32;
    let heavy: fn(&mut Random) -> u32 = |random| (1.0 / random.uniform().max(1e-9)).min(40.0) as u32;
    let two_kinds: fn(&mut Random) -> u32 = |random| if random.uniform() < 0.8 { 1 } else { 12 };
    for (number, (what, begins, size, in_bursts)) in [
        ("single", 0.03, one, false),
        ("single, often", 0.2, one, false),
        ("geometric", 0.02, geometric, true),
        ("heavy", 0.02, heavy, true),
        ("of two kinds", 0.02, two_kinds, true),
    ]
    .into_iter()
    .enumerate()
    {
        let [mut ps, mut alone] = ps(91 + number as u64, &Habit { begins, size });
        let shares = [0.1, 0.01, 0.001].map(|bound| share_below(&ps, bound) / bound);
        let d = distance(&mut ps);
        let power = distance(&mut alone);
        let tail = share_below(&alone, 0.001) / 0.001;
        // Where most windows have several, they are taken for one larger burst, and only the tail is right.
        let far = if begins > 0.1 { 0.25 } else { 0.03 };
        assert!(d < far + distance_max(ps.len()), "{what}: {d}");
        assert!(shares[1] < 2.0 && shares[2] < 2.0, "{what}: {shares:?}");
        if in_bursts {
            assert!(
                power > 0.1 && tail > 10.0,
                "{what} passes as independent: {power} {tail}"
            );
        }
    }
}

#[test]
fn many_new_values_are_strange_where_one_is_not_and_less_where_everybody_has_them() {
    let (prior, decay) = (CategoryPrior::new(0.3, 5.0), decay(700));
    let hash = |value: u64| xxhash_rust::xxh3::xxh3_64(&value.to_le_bytes());
    let mut category = Category::default();
    for window in 0..200u64 {
        category.age(1, &decay);
        // Something new comes now and then, by itself.
        let new = u64::from(window % 20 == 10);
        category.learn_news(&prior, new as u32, 3);
        for value in [window % 3, 3 + window % 5, 8]
            .into_iter()
            .chain((0..new).map(|_| 100 + window))
        {
            category.learn(&prior, Scale::ONE, hash(value), &decay);
        }
    }
    let surprise = |new| {
        category
            .judge_news(&prior, News { new, known: 3.0 })
            .map_or(0.0, |judged| judged.surprise())
    };
    assert!(
        surprise(1) < 1.5 && surprise(5) > 2.0 && surprise(20) > 2.5,
        "{} {} {}",
        surprise(1),
        surprise(5),
        surprise(20)
    );
    assert!((1..60).all(|new| surprise(new + 1) >= surprise(new)));
    // Of twenty others, all have value 500 and nobody has 501.
    let mut summary = CategorySummary::default();
    for other in 0..20 {
        let mut others = Category::default();
        others.learn(&prior, Scale::ONE, hash(500), &decay);
        others.learn(&prior, Scale::ONE, hash(1000 + other), &decay);
        others.tell(&mut summary);
    }
    let taught = Category::prior(&prior, &summary);
    assert!(taught.rarity(hash(500)) < 0.01 && taught.rarity(hash(501)) > 0.9);
    assert!(
        (prior.rarity(hash(500)) - 1.0).abs() < 1e-12,
        "a small group does not tell what is rare"
    );
}

#[test]
fn a_new_entity_may_show_many_new_values_at_once() {
    let (prior, decay) = (CategoryPrior::new(0.3, 5.0), decay(700));
    let mut category = Category::default();
    assert!(category.judge_news(&prior, News { new: 30, known: 0.0 }).is_none());
    for value in 0..12u64 {
        category.age(u64::from(value % 4 == 0), &decay);
        category.learn(
            &prior,
            Scale::ONE,
            (value + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            &decay,
        );
    }
    let judged = category
        .judge_news(&prior, News { new: 4, known: 4.0 })
        .expect("a history");
    assert!(judged.surprise() < 1.3, "{}", judged.surprise());
}
