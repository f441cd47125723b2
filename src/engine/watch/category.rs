//! Which values an entity has: ports, processes, paths, networks. Each different value of a window is judged once, as
//! soon as it has been seen often enough, against what was known before the window. How many of a window's values are new
//! to the entity is judged too, as a measure that grows: one judgement a window, on the ladder of surprise while it is open.

use super::{
    Ballot, Moment, Notes, Outcome, Peers, Plan, Raised, Sight, expected, memory_name, rung_begin, rung_of, step_of,
    told,
};
use crate::domain::earlier;
use crate::domain::{NormalIf, Timestamp};
use crate::engine::baseline::{
    Baseline, Category, CategoryPrior, CategorySummary, Judgement, Memory, News, Novelty, Scale, print,
};
use crate::engine::calibration::{CalibrationVote, Class, INCIDENT_SURPRISE};
use crate::engine::population::{epoch_of, span_of};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// The state of a category.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CategoryWatch {
    baseline: Category,
    /// The values of the open window.
    open: SmallVec<[Open; 4]>,
    /// What is new in it.
    #[serde(deserialize_with = "earlier::later")]
    fresh: Option<Box<Fresh>>,
    slot: i32,
    voted: i32,
    poll: Poll,
}

/// What the open window says of calibration: eight bytes, so that a watch has room.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(from = "SavedPoll", into = "SavedPoll")]
struct Poll {
    /// Whether a window of the open one's epoch has voted on calibration.
    drawn: bool,
    /// Values judged in the open window, and the vote of the one of them that a hash has chosen so far: whose it is, and its
    /// raw surprise.
    judged: u16,
    chosen: Option<Chosen>,
    raw: f32,
}

/// A value that votes on calibration.
#[derive(Clone, Copy, Debug)]
enum Chosen {
    Known,
    KnownIncident,
    Newcomer,
    NewcomerIncident,
}

/// A poll as it is saved.
#[derive(Serialize, Deserialize)]
struct SavedPoll {
    drawn: bool,
    judged: u16,
    /// Raw surprise, whether of a newcomer, whether an incident's.
    chosen: Option<(f32, bool, bool)>,
}

impl From<SavedPoll> for Poll {
    fn from(saved: SavedPoll) -> Self {
        Poll {
            drawn: saved.drawn,
            judged: saved.judged,
            chosen: saved
                .chosen
                .map(|(_, newcomer, incident)| Chosen::new(newcomer, incident)),
            raw: saved.chosen.map_or(0.0, |(raw, _, _)| raw),
        }
    }
}

impl From<Poll> for SavedPoll {
    fn from(poll: Poll) -> Self {
        let chosen = poll
            .chosen
            .map(|chosen| (poll.raw, chosen.is_newcomer(), chosen.is_incident()));
        SavedPoll {
            drawn: poll.drawn,
            judged: poll.judged,
            chosen,
        }
    }
}

impl Chosen {
    fn new(newcomer: bool, incident: bool) -> Self {
        match (newcomer, incident) {
            (false, false) => Chosen::Known,
            (false, true) => Chosen::KnownIncident,
            (true, false) => Chosen::Newcomer,
            (true, true) => Chosen::NewcomerIncident,
        }
    }

    fn is_newcomer(self) -> bool {
        matches!(self, Chosen::Newcomer | Chosen::NewcomerIncident)
    }

    fn is_incident(self) -> bool {
        matches!(self, Chosen::KnownIncident | Chosen::NewcomerIncident)
    }
}

/// What is new to the entity in the open window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Fresh {
    /// How many values.
    values: u16,
    /// The same, each counted as far as it is rare in the group.
    rare: f32,
    /// The step of the ladder that their number has reached.
    step: u8,
    notes: Notes,
}

impl Fresh {
    fn count(&self) -> u32 {
        self.rare.round() as u32
    }
}

/// A value of the open window: its print, and in the ten bits that prints leave free how often it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SavedOpen", into = "SavedOpen")]
struct Open(u32);

/// A value of the open window as it is saved.
#[derive(Serialize, Deserialize)]
struct SavedOpen {
    print: u32,
    times: u32,
}

impl Open {
    /// More is not told apart.
    const TIMES_MAX: u32 = 0x3ff;

    fn new(print: u32, times: u32) -> Open {
        let times = times.min(Open::TIMES_MAX);
        Open(print | (times & 0x1f) << 11 | times >> 5 << 27)
    }

    fn print(self) -> u32 {
        print(self.0.into())
    }

    fn times(self) -> u32 {
        self.0 >> 11 & 0x1f | self.0 >> 27 << 5
    }
}

impl From<SavedOpen> for Open {
    fn from(saved: SavedOpen) -> Self {
        Open::new(print(saved.print.into()), saved.times)
    }
}

impl From<Open> for SavedOpen {
    fn from(open: Open) -> Self {
        SavedOpen {
            print: open.print(),
            times: open.times(),
        }
    }
}

/// How often a value has to be seen in a window to be judged.
fn at_least(plan: &Plan) -> f64 {
    plan.at_least.clamp(1.0, f64::from(CategoryWatch::AT_LEAST_MAX))
}

/// From so many on, new values of a window are more than one value that is new.
const NEWS_MIN: u32 = 2;

impl CategoryWatch {
    /// Different values of one window that are judged and learned. What is beyond has company enough.
    pub const OPEN_VALUES_MAX: usize = 64;
    /// A value that was seen this often is judged whatever `at_least` asks for.
    pub const AT_LEAST_MAX: u32 = 1000;

    /// A watch whose first window holds `time`.
    pub fn new(plan: &Plan, time: Timestamp) -> Self {
        CategoryWatch {
            baseline: Category::default(),
            open: SmallVec::new(),
            fresh: None,
            slot: plan.slot(time),
            voted: i32::MIN,
            poll: Poll::default(),
        }
    }

    /// The entity's vote: how fond of new values it is, and those of its values that the group has not been told of.
    pub fn vote(&mut self, votes: &mut CategorySummary) {
        self.baseline.vote(votes);
        self.baseline.tell(votes);
    }

    /// The number of the open window.
    pub fn slot(&self) -> i32 {
        self.slot
    }

    /// Takes an event in.
    pub fn observe(
        &mut self,
        sight: &Sight<'_>,
        plan: &Plan,
        peers: &Peers<'_, CategoryPrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        let prior = peers.prior;
        let slot = plan.slot(sight.event.time());
        if slot > self.slot {
            self.roll(slot, sight.moment(), peers, plan, ballot);
        }
        let Some(times) = self.count(sight.value) else { return };
        if f64::from(times) != at_least(plan).ceil() {
            return;
        }
        // One judgement of the value; and one of the window, as soon as several values may be new.
        outcome.judgements += 1 + u64::from(self.poll.judged == 1);
        let judgement = self.baseline.judge(prior, Scale::ONE, sight.value, plan.tail);
        let epoch = epoch_of(sight.now) as i32;
        if epoch != self.voted {
            if span_of(epoch.into()) != span_of(self.voted.into()) {
                self.baseline.tell_all_again();
            }
            self.voted = epoch;
            outcome.vote = true;
        }
        let newcomer = judgement.memory == Memory::Prior;
        let surprise = told(judgement.ln_p, peers.calibrations.of_entity(newcomer), plan);
        self.choose(&judgement, newcomer, surprise, sight, plan);
        let late = slot < self.slot;
        let news = self.judge_news(late, sight, plan, peers);
        let rung = rung_of(surprise);
        if let Some(mut news) = news.filter(|news| news.surprise > surprise) {
            // Where the value alone would be told, fewer others would change nothing.
            if surprise >= sight.bar {
                news.seen = f64::from(times);
                news.expected = expected(&self.baseline.expected(prior, Scale::ONE), news.seen);
                news.normal_if = Self::normal_if(plan);
            }
            outcome.raised.push(news);
        } else if rung > 0 {
            let mut notes = Notes::default();
            notes.add(sight, plan, late);
            outcome.raised.push(Raised {
                at: sight.now,
                window_start: plan.begin(self.slot),
                surprise,
                rung,
                seen: f64::from(times),
                expected: expected(&self.baseline.expected(prior, Scale::ONE), f64::from(times)),
                normal_if: Self::normal_if(plan),
                memory: memory_name(judgement.memory),
                context: notes.context(),
                regime_change: false,
                by_model: None,
            });
        }
    }

    /// What would have been normal of one value.
    fn normal_if(plan: &Plan) -> NormalIf {
        if plan.at_least > 1.0 {
            NormalIf::AtMost(at_least(plan) - 1.0)
        } else {
            NormalIf::SeenBefore
        }
    }

    /// Counts a value that is new to the entity, and judges how many the window has so far if that reaches a step.
    fn judge_news(
        &mut self,
        late: bool,
        sight: &Sight<'_>,
        plan: &Plan,
        peers: &Peers<'_, CategoryPrior>,
    ) -> Option<Raised> {
        let prior = peers.prior;
        if self.baseline.novelty(sight.value) != Novelty::New || !self.baseline.is_known(prior) {
            return None;
        }
        let fresh = self.fresh.get_or_insert_default();
        fresh.values = fresh.values.saturating_add(1);
        fresh.rare += prior.rarity(sight.value) as f32;
        fresh.notes.add(sight, plan, late);
        let new = fresh.count();
        if new < NEWS_MIN {
            return None;
        }
        // Known values may still come, as many as usual.
        let known = f64::from(self.poll.judged.saturating_sub(fresh.values));
        let news = News {
            new,
            known: known.max(self.baseline.known_usually()),
        };
        let judgement = self.baseline.judge_news(prior, news)?;
        let surprise = told(judgement.ln_p, peers.calibrations.of_class(Class::News), plan);
        let step = step_of(surprise, sight.bar) as u8;
        if step <= fresh.step {
            return None;
        }
        fresh.step = step;
        let bar = sight.bar.max(rung_begin(1)) + plan.windows_log10;
        let bar = peers.calibrations.of_class(Class::News).raw(bar);
        let (usual, most) = self.baseline.news_expected(prior, news, bar);
        Some(Raised {
            at: sight.now,
            window_start: plan.begin(self.slot),
            surprise,
            rung: step.into(),
            seen: f64::from(fresh.values),
            expected: expected(&usual, f64::from(fresh.values)),
            normal_if: NormalIf::NewAtMost(most),
            memory: memory_name(judgement.memory),
            context: fresh.notes.context(),
            regime_change: false,
            by_model: None,
        })
    }

    /// Closes a first window that is over, so that an entity that never comes back has its say in what is usual. Gives
    /// whether nothing is left to do.
    pub fn settle_first(
        &mut self,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, CategoryPrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        if moment.now < plan.close(self.slot) {
            return false;
        }
        if self.baseline.values() == 0 {
            let open = plan
                .slot(moment.now.minus(plan.lateness))
                .max(self.slot.saturating_add(1));
            self.roll(open, moment, peers, plan, ballot);
            outcome.vote = true;
        }
        true
    }

    /// Of the values that are judged in a window one votes on calibration, each as likely as another.
    fn choose(&mut self, judgement: &Judgement, newcomer: bool, surprise: f64, sight: &Sight<'_>, plan: &Plan) {
        self.poll.judged = self.poll.judged.saturating_add(1);
        let chance = plan.uniform(sight.entity ^ sight.value, self.slot);
        if chance * f64::from(self.poll.judged) < 1.0 {
            let uniform = plan.uniform(sight.entity, self.slot);
            let vote = CalibrationVote::new(
                judgement,
                sight.entity,
                Class::of(newcomer),
                surprise >= INCIDENT_SURPRISE,
                uniform,
            );
            self.poll.chosen = Some(Chosen::new(newcomer, vote.incident));
            self.poll.raw = vote.raw as f32;
        }
    }

    /// How often the value has been seen in the open window; nothing when the window has too many values.
    fn count(&mut self, value: u64) -> Option<u32> {
        let print = print(value);
        if let Some(held) = self.open.iter_mut().find(|held| held.print() == print) {
            *held = Open::new(print, held.times() + 1);
            return Some(held.times());
        }
        if self.open.len() >= Self::OPEN_VALUES_MAX {
            return None;
        }
        self.open.push(Open::new(print, 1));
        Some(1)
    }

    /// Learns the values of the window that is over, and forgets for as long as has passed.
    fn roll(
        &mut self,
        slot: i32,
        moment: Moment,
        peers: &Peers<'_, CategoryPrior>,
        plan: &Plan,
        ballot: &mut Ballot<'_>,
    ) {
        let prior = peers.prior;
        let fresh = self.fresh.take();
        let (new, values) = fresh.map_or((0, 0), |fresh| (fresh.count(), fresh.values));
        let known = self.poll.judged.saturating_sub(values);
        if let Some(chosen) = self.poll.chosen.take()
            && (chosen.is_newcomer() || plan.draws(&mut self.poll.drawn, moment.entity, self.slot))
        {
            ballot.calibration.vote(CalibrationVote {
                entity: moment.entity,
                class: Class::of(chosen.is_newcomer()),
                raw: self.poll.raw.into(),
                incident: chosen.is_incident(),
            });
            let known = f64::from(known);
            let several = self.poll.judged > 1;
            if let Some(vote) = self
                .news_vote(News { new, known }, moment, peers, plan)
                .filter(|_| several)
            {
                ballot.calibration.vote(vote);
            }
        }
        if let Ok(windows @ 1..) = u64::try_from(i64::from(slot) - i64::from(self.slot)) {
            self.baseline.age(windows, &plan.decay);
        }
        if self.poll.judged > 0 {
            self.baseline.learn_news(prior, new, known.into());
        }
        self.poll.judged = 0;
        for held in self.open.drain(..) {
            self.baseline.learn(prior, Scale::ONE, held.print().into(), &plan.decay);
        }
        self.open.shrink_to_fit();
        plan.pass_on(&mut self.poll.drawn, self.slot, slot);
        self.slot = slot;
    }

    /// What the window that is over says of how many new values come.
    fn news_vote(
        &self,
        news: News,
        moment: Moment,
        peers: &Peers<'_, CategoryPrior>,
        plan: &Plan,
    ) -> Option<CalibrationVote> {
        let judgement = self.baseline.judge_news(peers.prior, news)?;
        let surprise = told(judgement.ln_p, peers.calibrations.of_class(Class::News), plan);
        let incident = surprise >= INCIDENT_SURPRISE;
        let uniform = plan.uniform(!moment.entity, self.slot);
        Some(CalibrationVote::new(
            &judgement,
            moment.entity,
            Class::News,
            incident,
            uniform,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_value_counts_up_to_its_bound_and_is_saved_as_it_is() {
        for hash in [0, 1, 0x7ff, 0xffff_ffff, 0x1234_5678_9abc_def0, u64::MAX] {
            let mut open = Open::new(print(hash), 1);
            for times in 1..2000 {
                assert_eq!((open.print(), open.times()), (print(hash), times.min(Open::TIMES_MAX)));
                assert_eq!(Open::from(SavedOpen::from(open)), open);
                open = Open::new(print(hash), open.times() + 1);
            }
        }
        const { assert!(CategoryWatch::AT_LEAST_MAX < Open::TIMES_MAX) }
        assert_eq!(size_of::<SmallVec<[Open; 4]>>(), 24);
    }
}
