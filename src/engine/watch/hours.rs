//! When in the week an entity is active: each session is judged by the hour at which it begins.

use super::{Ballot, Notes, Outcome, Peers, Plan, Raised, Sight, expected, memory_name, rung_of, told};
use crate::domain::{NormalIf, Timestamp};
use crate::engine::baseline::{Baseline, Memory, Scale, TimeOfWeek, TimeOfWeekPrior};
use crate::engine::calibration::{CalibrationVote, Class, INCIDENT_SURPRISE};
use serde::{Deserialize, Serialize};

/// The state of an hour-of-week profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HoursWatch {
    baseline: TimeOfWeek,
    /// The last event, which a session goes on from.
    last: Timestamp,
    slot: i32,
    /// The day of the last vote.
    voted: i32,
    /// The epoch of the last vote on calibration.
    drawn: i32,
    /// Sessions judged in the open window.
    sessions: u16,
}

/// Sessions that are judged in one window.
const SESSIONS_MAX: u16 = 8;
/// An entity has habits only after so many sessions.
const SESSIONS_KNOWN_MIN: f64 = 5.0;

impl HoursWatch {
    /// A watch whose first window holds `time`.
    pub fn new(plan: &Plan, time: Timestamp) -> Self {
        HoursWatch {
            baseline: TimeOfWeek::default(),
            last: Timestamp::MIN,
            slot: plan.slot(time),
            voted: i32::MIN,
            drawn: i32::MIN,
            sessions: 0,
        }
    }

    /// The number of the open window.
    pub fn slot(&self) -> i32 {
        self.slot
    }

    /// The baseline behind it.
    pub fn baseline(&self) -> &TimeOfWeek {
        &self.baseline
    }

    /// Takes an event in.
    pub fn observe(
        &mut self,
        sight: &Sight<'_>,
        plan: &Plan,
        peers: &Peers<'_, TimeOfWeekPrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        let prior = peers.prior;
        let time = sight.event.time();
        let gap = plan.session_gap.unwrap_or(plan.length);
        let goes_on = self.last > Timestamp::MIN && time <= self.last.plus(gap);
        self.last = self.last.max(time);
        if goes_on {
            return;
        }
        let slot = plan.slot(time);
        if let Ok(windows @ 1..) = u64::try_from(i64::from(slot) - i64::from(self.slot)) {
            self.baseline.age(windows, &plan.decay);
            self.slot = slot;
            self.sessions = 0;
        }
        self.sessions = self.sessions.saturating_add(1);
        if self.sessions > SESSIONS_MAX {
            return;
        }
        outcome.judgements += 1;
        let judgement = self.baseline.judge(prior, Scale::ONE, sight.hour_of_week, plan.tail);
        // One vote an entity and day: who is active at every hour is not to outvote who keeps office hours.
        let day = sight.now.seconds().div_euclid(86_400) as i32;
        if day != self.voted {
            self.voted = day;
            outcome.vote = true;
        }
        let newcomer = judgement.memory == Memory::Prior;
        let surprise = told(judgement.ln_p, peers.calibrations.of_entity(newcomer), plan);
        let rung = rung_of(surprise);
        let known = self.baseline.windows() >= SESSIONS_KNOWN_MIN;
        // A session's hour is final when it begins, and the sessions of a window share it.
        let epoch = plan.epoch_of_slot(slot);
        if self.drawn != epoch && plan.may_draw(sight.entity, slot) {
            self.drawn = epoch;
            let uniform = plan.uniform(sight.entity, slot);
            let incident = known && surprise >= INCIDENT_SURPRISE;
            ballot.calibration.vote(CalibrationVote::new(
                &judgement,
                sight.entity,
                Class::of(newcomer),
                incident,
                uniform,
            ));
        }
        if rung > 0 && known {
            let mut notes = Notes::default();
            notes.add(sight, plan, false);
            outcome.raised.push(Raised {
                at: sight.now,
                window_start: plan.begin(slot),
                surprise,
                rung,
                seen: f64::from(sight.hour_of_week % 24),
                expected: expected(
                    &self.baseline.expected(prior, Scale::ONE),
                    f64::from(sight.hour_of_week % 24),
                ),
                normal_if: NormalIf::UsualHour,
                memory: memory_name(judgement.memory),
                context: notes.context(),
                regime_change: false,
                by_model: None,
            });
        }
        self.baseline.learn(prior, Scale::ONE, sight.hour_of_week, &plan.decay);
    }
}
