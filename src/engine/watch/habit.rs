//! When an entity is usually heard, and how long it has been silent when it should have been heard.
//!
//! A silence is not measured by the clock but in hours in which the entity was to be expected. How likely it is heard in
//! an hour is the share of weeks in which that day was a working day of it, shrunk by one week, times the share of its
//! working days in which it was heard in that hour; or, if that is more, the share of days in which it was heard in the
//! quietest hour of the day, shrunk by one day: who never sleeps is expected from its first days on, who does only on
//! days of the week that were working days twice. With this share s an hour counts 2 s - 1, and nothing below a half: what is
//! heard now and then is not missed. So a night at the office counts nothing, and a Wednesday afternoon in full.
//!
//! How long such silences last is learned from the entity's own. Each window in which it was heard was a chance for one
//! of more than a window; beyond that window, lengths follow an exponential law of unknown rate, whose predictive law
//! is Lomax's: with k silences of n chances, and E hours of them together beyond their first window,
//!
//! P(longer than x) = (k + 1/2) / (n + 1) * (1 + (x - w) / (1 + E))^-(2 + k).
//!
//! The belief behind it, two silences of half an hour more each, is that of a machine that is restarted.
//! About 200 bytes, for detectors that look for silence alone.

use super::Plan;
use crate::engine::baseline::{power, weight_of};
use serde::{Deserialize, Serialize};

/// What is known of an entity's hours and silences. All sums are forgotten by the detector's half-life.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Habit {
    /// By hour of the week: weeks in which it was heard, in 1/64.
    heard: Vec<u8>,
    /// The hour, counted from 1970, in which it was first heard, and the one up to which hours are counted.
    first: i32,
    to: i32,
    /// The hour of the week of the latter.
    to_hour: u8,
    /// The last window in which it was heard.
    slot: i32,
    /// Windows in which it was heard.
    chances: f32,
    /// How often it was then silent for more than a window, for how long beyond it all together, and at most.
    silences: f32,
    excess_hours: f32,
    longest_hours: f32,
}

/// What the law says of silences, in hours in which the entity is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Silences {
    /// The longest that is remembered.
    pub(super) longest_hours: f64,
    /// The expected length of one, and its variance.
    pub(super) mean_hours: f64,
    pub(super) variance_hours: f64,
    /// How many chances stand behind that.
    pub(super) chances: f64,
    /// The share that rests on belief alone.
    pub(super) prior_weight: f64,
}

const WEEK: i32 = 168;
const DAY: usize = 24;
const DAYS: usize = 7;
/// A week in which an hour was heard.
const ONE: f32 = 64.0;
/// Nothing is said before an entity is known for so many hours, and was heard in so many windows.
const KNOWN_HOURS: i32 = 24;
const CHANCES_MIN: f32 = 12.0;
/// What is believed of silences before there were any.
const SILENCES: f64 = 2.0;
const EXCESS_HOURS: f64 = 1.0;

/// How much an hour of the week counts, 0 to 1.
pub(super) struct Profile([f64; WEEK as usize]);

impl Habit {
    /// The habit of an entity that is heard for the first time.
    pub(super) fn new(slot: i32, hour: u8, plan: &Plan) -> Self {
        let mut heard = vec![0; WEEK as usize];
        if let Some(hour) = heard.get_mut(usize::from(hour)) {
            *hour = ONE as u8;
        }
        let number = hour_number(slot, plan);
        Habit {
            heard,
            first: number,
            to: number,
            to_hour: hour,
            slot,
            chances: 1.0,
            silences: 0.0,
            excess_hours: 0.0,
            longest_hours: 0.0,
        }
    }

    /// The entity is heard in a window, at this hour of the week.
    pub(super) fn hear(&mut self, slot: i32, hour: u8, plan: &Plan) {
        let Ok(windows @ 1..) = u64::try_from(i64::from(slot) - i64::from(self.slot)) else {
            return;
        };
        let silent = if windows > 1 {
            self.expected_hours(self.slot.saturating_add(1), slot, &self.profile(plan), plan)
        } else {
            0.0
        };
        let kept = power(plan.decay.slow(), windows) as f32;
        self.chances = self.chances * kept + 1.0;
        self.silences *= kept;
        self.excess_hours *= kept;
        self.longest_hours *= kept;
        let floor = window_hours(plan);
        if silent > floor {
            self.silences += 1.0;
            self.excess_hours += (silent - floor) as f32;
            self.longest_hours = self.longest_hours.max(silent as f32);
        }
        self.slot = slot;
        self.pass_to(hour_number(slot, plan), hour, plan);
    }

    /// Counts the hours up to this one, of which only the last was heard.
    fn pass_to(&mut self, number: i32, hour: u8, plan: &Plan) {
        let ahead = number.saturating_sub(self.to);
        if ahead <= 0 {
            return;
        }
        let kept = week_kept(plan);
        for back in 0..ahead.min(WEEK) {
            let times = (ahead - back + WEEK - 1) / WEEK;
            let place = (i32::from(hour) - back).rem_euclid(WEEK) as usize;
            if let Some(heard) = self.heard.get_mut(place) {
                let left = f32::from(*heard) * power(kept, times as u64) as f32;
                let now = if back == 0 { ONE } else { 0.0 };
                *heard = (left + now).round() as u8;
            }
        }
        self.to = number;
        self.to_hour = hour;
    }

    /// Whether the entity is known well enough to miss it.
    pub(super) fn is_known(&self) -> bool {
        self.to.saturating_sub(self.first) >= KNOWN_HOURS && self.chances >= CHANCES_MIN
    }

    /// When the entity is expected.
    pub(super) fn profile(&self, plan: &Plan) -> Profile {
        let kept = week_kept(plan);
        let known = self.to.saturating_sub(self.first);
        let (mut heard, mut weeks) = ([[0.0; DAY]; DAYS], [[0.0; DAY]; DAYS]);
        for back in (0..WEEK).take_while(|back| *back <= known) {
            let place = (i32::from(self.to_hour) - back).rem_euclid(WEEK) as usize;
            weeks[place / DAY][place % DAY] = weight_of(kept, ((known - back) / WEEK + 1) as u64);
            let units = self.heard.get(place).copied().unwrap_or(0);
            heard[place / DAY][place % DAY] = f64::from(units) / f64::from(ONE);
        }
        let sum = |of: &[[f64; DAY]; DAYS], hour: usize| of.iter().map(|day| day[hour]).sum::<f64>();
        let most = |hours: &[f64; DAY]| hours.iter().copied().fold(0.0, f64::max);
        let working: f64 = heard.iter().map(most).sum();
        let quietest = (0..DAY)
            .map(|hour| sum(&heard, hour) / (sum(&weeks, hour) + 1.0))
            .fold(1.0, f64::min);
        Profile(std::array::from_fn(|place| {
            let (day, hour) = (place / DAY, place % DAY);
            let of_day = most(&heard[day]) / (most(&weeks[day]) + 1.0);
            let of_hour = sum(&heard, hour) / working.max(f64::MIN_POSITIVE);
            let share = (of_day * of_hour).max(quietest);
            (2.0 * share - 1.0).clamp(0.0, 1.0)
        }))
    }

    /// The hours in which the entity is expected from the beginning of one window to that of another.
    pub(super) fn expected_hours(&self, from: i32, to: i32, profile: &Profile, plan: &Plan) -> f64 {
        let (begin, end) = (plan.begin(from).seconds(), plan.begin(to).seconds());
        let place = |number: i64| (i64::from(self.to_hour) + number - i64::from(self.to)).rem_euclid(WEEK.into());
        let whole_weeks = (end - begin).div_euclid(i64::from(WEEK) * 3600).max(0);
        let mut hours = whole_weeks as f64 * profile.0.iter().sum::<f64>();
        let mut at = begin + whole_weeks * i64::from(WEEK) * 3600;
        while at < end {
            let number = at.div_euclid(3600);
            let next = ((number + 1) * 3600).min(end);
            let share = profile.0.get(place(number) as usize).copied().unwrap_or(0.0);
            hours += share * (next - at) as f64 / 3600.0;
            at = next;
        }
        hours
    }

    /// How strange a silence of so many expected hours is, as `-log10 p`.
    pub(super) fn surprise(&self, hours: f64, plan: &Plan) -> f64 {
        let beyond = hours - window_hours(plan);
        if beyond <= 0.0 {
            return 0.0;
        }
        self.surprise_of_any() + self.shape() * (beyond / self.scale_hours()).ln_1p() / std::f64::consts::LN_10
    }

    /// The expected hours of silence from which its surprise is `wanted`.
    pub(super) fn hours_until(&self, wanted: f64, plan: &Plan) -> f64 {
        let more = (wanted - self.surprise_of_any()).max(0.0);
        let beyond = self.scale_hours() * (10f64.powf(more / self.shape()) - 1.0);
        window_hours(plan) + beyond.max(1.0 / 3600.0)
    }

    /// After how many empty windows behind this one their surprise is `wanted`; nothing when that is more than
    /// `windows_max`.
    pub(super) fn windows_until(&self, wanted: f64, slot: i32, windows_max: i32, plan: &Plan) -> Option<i32> {
        let (hours, profile) = (self.hours_until(wanted, plan), self.profile(plan));
        let first = slot.saturating_add(1);
        let reached = |windows: i32| {
            let to = first.saturating_add(windows);
            self.expected_hours(first, to, &profile, plan) >= hours
        };
        let (mut below, mut above) = (0, 1);
        while !reached(above) {
            if above >= windows_max {
                return None;
            }
            below = above;
            above = above.saturating_mul(2).min(windows_max);
        }
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            if reached(middle) {
                above = middle;
            } else {
                below = middle;
            }
        }
        Some(above)
    }

    /// What people read of it.
    pub(super) fn silences(&self, plan: &Plan) -> Silences {
        let (shape, scale) = (self.shape(), self.scale_hours());
        // The law's own variance begins to exist with a shape above 2; this is that of an exponential law of known rate.
        let beyond = scale / (shape - 1.0);
        Silences {
            longest_hours: self.longest_hours.into(),
            mean_hours: window_hours(plan) + beyond,
            variance_hours: beyond * beyond,
            chances: self.chances.into(),
            prior_weight: SILENCES / self.shape(),
        }
    }

    /// The surprise of a silence of more than a window.
    fn surprise_of_any(&self) -> f64 {
        ((f64::from(self.chances) + 1.0) / (f64::from(self.silences) + 0.5))
            .log10()
            .max(0.0)
    }

    fn shape(&self) -> f64 {
        SILENCES + f64::from(self.silences)
    }

    fn scale_hours(&self) -> f64 {
        EXCESS_HOURS + f64::from(self.excess_hours)
    }
}

/// What a week leaves of what was known.
fn week_kept(plan: &Plan) -> f64 {
    power(plan.decay.slow(), (1.0 / plan.window_weeks).round().max(1.0) as u64)
}

fn window_hours(plan: &Plan) -> f64 {
    plan.length.as_seconds() / 3600.0
}

/// The hour, counted from 1970, in which a window begins.
fn hour_number(slot: i32, plan: &Plan) -> i32 {
    let number = plan.begin(slot).seconds().div_euclid(3600);
    number.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::catalog::embedded;

    fn plan() -> Plan {
        let catalog = embedded::catalog().expect("no mistakes");
        let detector = catalog
            .detectors()
            .iter()
            .find(|detector| detector.definition.id == "host_silence");
        Plan::new(0, 0, &detector.expect("the detector").definition)
    }

    /// The habit of who is heard in each quarter of an hour for which `is_heard` holds, for so many days from a Monday on.
    fn habit(days: i32, is_heard: impl Fn(i32, i32) -> bool) -> (Habit, Plan) {
        let plan = plan();
        let monday = plan.slot(crate::domain::Timestamp::from_seconds(1_772_409_600));
        let mut habit: Option<Habit> = None;
        for quarter in 0..days * 96 {
            let (day, hour) = (quarter / 96, quarter % 96 / 4);
            if is_heard(day, hour) {
                let of_week = (day % 7 * 24 + hour) as u8;
                match &mut habit {
                    Some(habit) => habit.hear(monday + quarter, of_week, &plan),
                    none => *none = Some(Habit::new(monday + quarter, of_week, &plan)),
                }
            }
        }
        (habit.expect("heard"), plan)
    }

    #[test]
    fn an_hour_counts_as_surely_as_somebody_is_heard_in_it() {
        let (office, plan) = habit(21, |day, hour| day % 7 < 5 && (8..17).contains(&hour));
        let profile = office.profile(&plan);
        assert!(profile.0[2 * 24 + 10] > 0.3, "Wednesday at ten: {}", profile.0[58]);
        for (place, what) in [(2 * 24 + 20, "an evening"), (5 * 24 + 10, "a Saturday")] {
            assert_eq!(profile.0[place], 0.0, "{what}");
        }
        assert_eq!(office.silences, 0.0, "neither nights nor weekends are silences");
    }

    #[test]
    fn who_never_sleeps_is_expected_on_days_of_the_week_that_were_never_seen() {
        let (server, plan) = habit(5, |_, _| true);
        assert!(server.profile(&plan).0[6 * 24 + 3] > 0.5);
        let (office, plan) = habit(5, |_, hour| (8..17).contains(&hour));
        assert_eq!(office.profile(&plan).0[6 * 24 + 10], 0.0);
    }

    #[test]
    fn one_worked_saturday_makes_no_habit() {
        let (office, plan) = habit(8, |day, hour| day < 6 && (8..17).contains(&hour));
        assert_eq!(office.profile(&plan).0[5 * 24 + 10], 0.0);
    }

    #[test]
    fn longer_is_stranger_and_less_so_for_who_was_silent_before() {
        let (steady, plan) = habit(14, |_, _| true);
        let (restless, _) = habit(14, |day, hour| (day * 24 + hour) % 20 > 1);
        let mut last = 0.0;
        for hours in [0.1, 0.3, 1.0, 4.0, 24.0] {
            let surprise = steady.surprise(hours, &plan);
            assert!(surprise >= last, "{hours}");
            last = surprise;
        }
        assert_eq!(steady.surprise(0.25, &plan), 0.0, "one window is no silence");
        // An hour is usual for the one and 1 in 5,000 for the other.
        let (one, other) = (restless.surprise(1.0, &plan), steady.surprise(1.0, &plan));
        assert!(other > 3.5 && one < other - 1.0, "{one} {other}");
    }

    #[test]
    fn the_window_that_is_waited_for_is_the_first_that_is_strange_enough() {
        for (habit, plan) in [
            habit(14, |_, _| true),
            habit(30, |day, hour| day % 7 < 5 && (8..17).contains(&hour)),
        ] {
            let profile = habit.profile(&plan);
            for wanted in [1.0, 3.0, 3.7, 5.0, 8.0] {
                let windows = habit.windows_until(wanted, habit.slot, 100_000, &plan);
                let windows = windows.expect("within three years");
                let surprise = |windows: i32| {
                    let first = habit.slot + 1;
                    habit.surprise(habit.expected_hours(first, first + windows, &profile, &plan), &plan)
                };
                assert!(surprise(windows) >= wanted - 1e-9, "{wanted}: {}", surprise(windows));
                assert!(windows == 1 || surprise(windows - 1) < wanted, "{wanted}: {windows}");
            }
        }
    }

    #[test]
    fn what_was_known_is_halved_in_a_half_life() {
        let (mut habit, plan) = habit(28, |_, hour| hour != 3);
        let (before, chances) = (habit.heard[10], habit.chances);
        let fortnight = 14 * 96;
        habit.hear(habit.slot + fortnight, habit.to_hour, &plan);
        assert!((i32::from(habit.heard[10]) - i32::from(before) / 2).abs() <= 1);
        assert!((habit.chances - 1.0 - chances / 2.0).abs() < 0.01 * chances);
    }
}
