//! Company: several detectors that find the same entity strange within an hour, each too little to be told alone.
//!
//! A detector *speaks* with a finding, a p of at most 1e-2. Detectors of one kind of entity look at the same life, so that
//! several speak together more often than chance would have it, and the more so the louder one of them is. A rule that
//! holds under every dependence (Bonferroni, harmonic mean, Cauchy) gives away nearly all that company says; one for
//! independent p-values (Fisher) invents it. So what company is worth is learned: of the episodes in which somebody spoke
//! at least so loudly, in what share did so many others speak too? With `u` the surprise of the loudest,
//!
//! ```text
//! t = u - log10 P(so many others or more | one speaks as loudly as u)
//! ```
//!
//! is how strange that is: P(A and B) = P(A) P(B | A), whatever the dependence. What is told is the probability of a `t` as
//! large with any number of others, times the number of detectors of this kind of entity, each of which could have been
//! the loudest. The shares are counted here, by levels of loudness, each step from one other
//! to one more a beta-Bernoulli that begins at one half; an entity's episode has one vote however long it lasts.
//!
//! Judgements that nobody is told of have their part: a detector that judged and did not speak is one that could have.
//! State is kept for entities of which a detector has spoken within the hour.

use super::{Cause, Desk, Fate, Triage, actor, supporting};
use crate::domain::{Alert, Definition, Duration, Entity, Field, Timestamp, Together};
use crate::engine::succession::Succession;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who speaks within this time of each other speaks together.
const TOGETHER: Duration = Duration::from_seconds(3600);
/// Lower bounds of the levels of loudness.
const LEVELS: [f64; 3] = [2.0, 3.0, 4.0];
/// So many others are told from fewer.
const OTHERS_MAX: usize = 6;
/// How many episodes one half is worth.
const HALF_EPISODES: f64 = 4.0;
/// What an episode leaves of what was counted before it: half is forgotten after some seven hundred.
const KEPT: f64 = 0.999;
/// Entities followed at once. Beyond it the one longest quiet is let go.
const OPEN_MAX: usize = 100_000;

/// A kind of entity: the numbers of its fields.
type Kind = Vec<u16>;

/// Who has spoken of whom, and what that is worth.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Company {
    /// By kind of entity and entity.
    open: BTreeMap<(Kind, Entity), Episode>,
    /// By kind of entity.
    shares: BTreeMap<Kind, Shares>,
    next_sweep: Timestamp,
}

/// An entity of which somebody has spoken.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Episode {
    /// The detectors that spoke within the last hour: when last, and how loudly at most.
    voices: Vec<Voice>,
    last: Timestamp,
    /// The most others that spoke together with one, and the loudest.
    others_most: u8,
    loudest: f64,
}

/// A detector that speaks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Voice {
    detector: u16,
    surprise: f64,
    at: Timestamp,
}

/// How many episodes had at least so many others, by level of loudness.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Shares {
    reached: [[f64; OTHERS_MAX + 1]; LEVELS.len()],
}

impl Company {
    /// Somebody speaks of an entity of a kind. Gives all that have spoken of it within the hour, when it is not alone.
    fn hear(&mut self, kind: &[u16], entity: &Entity, voice: Voice) -> Vec<Voice> {
        let at = voice.at;
        self.sweep(at);
        let key = (kind.to_vec(), entity.clone());
        if self.open.get(&key).is_some_and(|episode| episode.is_over(at)) {
            self.close(&key);
        }
        let episode = self.open.entry(key).or_default();
        episode.last = at;
        episode.loudest = episode.loudest.max(voice.surprise);
        episode.voices.retain(|held| at <= held.at.plus(TOGETHER));
        match episode.voices.iter_mut().find(|held| held.detector == voice.detector) {
            Some(held) => {
                held.at = at;
                held.surprise = held.surprise.max(voice.surprise);
            }
            None => episode.voices.push(voice),
        }
        let others = episode.voices.len() - 1;
        episode.others_most = episode.others_most.max(others.min(OTHERS_MAX) as u8);
        if others == 0 {
            Vec::new()
        } else {
            episode.voices.clone()
        }
    }

    /// The surprise of one that speaks so loudly in the company of so many others, of as many detectors that could.
    fn together(&self, kind: &[u16], loudest: f64, others: usize, detectors: usize) -> f64 {
        let shares = self.shares.get(kind);
        let level = LEVELS.iter().rposition(|level| loudest >= *level).unwrap_or(0);
        let reached = |others: usize| shares.map_or(0.0, |shares| shares.reached[level][others]);
        // The share of episodes with 0, 1, 2 ... others or more, and none with more than are counted.
        let mut at_least = [1.0; OTHERS_MAX + 2];
        for others in 1..=OTHERS_MAX {
            let goes_on = (0.5 * HALF_EPISODES + reached(others)) / (HALF_EPISODES + reached(others - 1));
            at_least[others] = at_least[others - 1] * goes_on.min(1.0);
        }
        at_least[OTHERS_MAX + 1] = 0.0;
        let loud = 10f64.powf(-loudest) * at_least[others.min(OTHERS_MAX)];
        // As strange is whoever speaks more loudly in less company or less loudly in more.
        let as_strange = (1..=OTHERS_MAX).map(|others| {
            let quieter = (loud / at_least[others]).min(10f64.powf(-LEVELS[0]));
            (at_least[others] - at_least[others + 1]) * quieter
        });
        let p = as_strange.sum::<f64>() * detectors.max(1) as f64;
        (-p.min(1.0).log10() * 1e6).round() / 1e6
    }

    /// Counts an episode that is over.
    fn close(&mut self, key: &(Kind, Entity)) {
        let Some(episode) = self.open.remove(key) else { return };
        let shares = self.shares.entry(key.0.clone()).or_default();
        for (level, reached) in LEVELS.iter().zip(&mut shares.reached) {
            if episode.loudest >= *level {
                for (others, held) in reached.iter_mut().enumerate() {
                    *held = *held * KEPT + f64::from(u8::from(usize::from(episode.others_most) >= others));
                }
            }
        }
    }

    /// Closes what is over, once an hour of engine time.
    fn sweep(&mut self, now: Timestamp) {
        let full = self.open.len() >= OPEN_MAX;
        if now < self.next_sweep && !full {
            return;
        }
        self.next_sweep = now.plus(TOGETHER);
        let over = self.open.iter().filter(|(_, episode)| episode.is_over(now));
        for key in over.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.close(&key);
        }
        while self.open.len() >= OPEN_MAX {
            let quiet = self.open.iter().min_by_key(|(_, episode)| episode.last);
            let Some(key) = quiet.map(|(key, _)| key.clone()) else {
                return;
            };
            self.close(&key);
        }
    }
}

impl Triage {
    /// A detector has spoken. Tells the incidents of all that speak of the entity as one alert, if none of them is told
    /// alone and together they are improbable enough.
    pub(super) fn meet(
        &mut self,
        key: &(u16, Entity),
        voice: (f64, Timestamp),
        desk: &Desk<'_>,
        alerts: &mut Vec<Alert>,
    ) {
        let Some(definition) = desk.definitions.get(usize::from(key.0)) else {
            return;
        };
        let (surprise, at) = voice;
        let kind: Kind = definition.entity.iter().map(|field| *field as u16).collect();
        let detector = key.0;
        let voices = self.company.hear(&kind, &key.1, Voice { detector, surprise, at });
        let incident = |voice: &Voice| self.incidents.get(&(voice.detector, key.1.clone()));
        let all_silent = voices
            .iter()
            .all(|voice| incident(voice).is_some_and(|held| held.fate == Fate::Silent));
        let above_bar = |voice: &Voice| voice.surprise - self.bar(voice.detector, desk);
        let lead = voices.iter().max_by(|a, b| above_bar(a).total_cmp(&above_bar(b)));
        let Some(lead) = lead.copied().filter(|_| all_silent && voices.len() > 1) else {
            return;
        };
        let others = voices.len() - 1;
        let detectors = like(desk.definitions, &definition.entity);
        let together = self.company.together(&kind, lead.surprise, others, detectors);
        if together < self.bar(lead.detector, desk) {
            return;
        }
        let lead_key = (lead.detector, key.1.clone());
        let others: Vec<_> = voices.iter().filter(|voice| voice.detector != lead.detector).collect();
        for other in &others {
            let other_key = (other.detector, key.1.clone());
            let Some(incident) = self.incidents.get_mut(&other_key) else {
                continue;
            };
            incident.fate = Fate::Supports(lead_key.clone());
            let support = supporting(&incident.alert.peak);
            self.support(&lead_key, support, alerts);
        }
        let Some(incident) = self.incidents.get_mut(&lead_key) else {
            return;
        };
        incident.fate = Fate::Told;
        incident.last = incident.last.max(at);
        incident.alert.first = incident.alert.peak.clone();
        incident.alert.together = Some(Together {
            surprise: together,
            others: others.len() as u32,
        });
        incident.joined = true;
        alerts.extend(incident.last_form());
        self.told_today += 1;
        self.counters.told += 1;
        self.causes.entry(actor(&key.1)).or_default().push(Cause {
            key: lead_key,
            last: at,
        });
    }
}

/// How many detectors are about entities of these fields.
fn like(definitions: &[Definition], entity: &[Field]) -> usize {
    definitions.iter().filter(|other| other.entity == entity).count()
}

/// How many kinds of entity have several detectors, of which each may be told for its company.
pub(in crate::engine) fn kinds_with_company(definitions: &[Definition]) -> usize {
    let first = |place: usize, definition: &Definition| {
        definitions.iter().position(|other| other.entity == definition.entity) == Some(place)
    };
    let kinds = definitions
        .iter()
        .enumerate()
        .filter(|(place, definition)| first(*place, definition));
    kinds
        .filter(|(_, definition)| like(definitions, &definition.entity) > 1)
        .count()
}

impl Company {
    /// Who has spoken of whom, for a catalog in which detectors came, went or changed.
    pub(super) fn handed_on(mut self, succession: &Succession) -> Company {
        for episode in self.open.values_mut() {
            let held = std::mem::take(&mut episode.voices).into_iter();
            let voices = held.filter_map(|voice| {
                let detector = succession.detector(voice.detector)?;
                Some(Voice { detector, ..voice })
            });
            episode.voices = voices.collect();
        }
        self
    }
}

impl Episode {
    fn is_over(&self, now: Timestamp) -> bool {
        now > self.last.plus(TOGETHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Context, Expected, Finding, MemoryName, NormalIf};
    use crate::engine::triage::Budget;

    fn entity(number: u64) -> Entity {
        let mut bytes = Vec::new();
        crate::domain::write_value(crate::domain::Value::Str(&format!("user{number}")), &mut bytes);
        Entity::from_bytes(&bytes)
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_seconds(1_780_000_000 + 3600 * hours)
    }

    fn voice(detector: u16, surprise: f64, at: Timestamp) -> Voice {
        Voice { detector, surprise, at }
    }

    /// Company among so many episodes, of which every `often`-th has a second voice.
    fn heard(episodes: i64, often: i64) -> Company {
        let mut company = Company::default();
        for episode in 0..episodes {
            let (who, when) = (entity(episode as u64), at(3 * episode));
            company.hear(&[0], &who, voice(1, 2.5, when));
            if episode % often == 0 {
                company.hear(&[0], &who, voice(2, 2.1, when.plus(Duration::from_seconds(600))));
            }
        }
        company.hear(&[0], &entity(1_000_000), voice(1, 2.0, at(3 * episodes + 10)));
        company
    }

    #[test]
    fn what_company_is_worth_is_how_rare_it_has_been() {
        let together =
            |company: &Company, loudest: f64, detectors: usize| company.together(&[0], loudest, 1, detectors);
        let (seldom, often, unknown) = (heard(500, 100), heard(500, 2), Company::default());
        assert!(together(&seldom, 2.5, 1) > 3.4, "{}", together(&seldom, 2.5, 1));
        assert!(together(&often, 2.5, 1) < 2.9, "{}", together(&often, 2.5, 1));
        assert!(together(&unknown, 2.5, 1) < 2.9, "{}", together(&unknown, 2.5, 1));
        let louder = together(&seldom, 3.5, 1);
        assert!(louder < 3.9, "nobody has been that loud before: {louder}");
        let of_ten = together(&seldom, 2.5, 10);
        assert!(
            (of_ten - together(&seldom, 2.5, 1) + 1.0).abs() < 1e-5,
            "any of ten may be the loudest: {of_ten}"
        );
    }

    fn finding(detector: u16, who: &Entity, surprise: f64, at: Timestamp) -> Finding {
        Finding {
            at,
            detector,
            entity: who.clone(),
            window: 0,
            window_start: at,
            rung: 1,
            p: 10f64.powf(-surprise),
            surprise,
            seen: 1.0,
            seen_text: None,
            expected: Expected::default(),
            normal_if: NormalIf::SeenBefore,
            memory: MemoryName::Slow,
            target: None,
            context: Context::default(),
            shared: false,
            regime_change: false,
            population: 0,
            by_model: None,
        }
    }

    /// What is told of an account of whom two detectors speak below their bars, after so many episodes of one voice.
    fn told_after(episodes: i64, budget: Budget) -> Vec<Alert> {
        let catalog = crate::engine::catalog::embedded::catalog().expect("no mistakes");
        let definitions: Vec<Definition> = catalog.detectors().iter().map(|held| held.definition.clone()).collect();
        let about_users: Vec<u16> = (0..definitions.len() as u16)
            .filter(|number| definitions[usize::from(*number)].entity == [Field::UserName])
            .collect();
        let bars = vec![4.0; definitions.len()];
        let desk = Desk {
            definitions: &definitions,
            bars: &bars,
        };
        let (mut triage, mut alerts) = (Triage::new(budget), Vec::new());
        for episode in 0..episodes {
            let who = entity(episode as u64);
            triage.push(finding(about_users[0], &who, 3.3, at(3 * episode)), &desk, &mut alerts);
        }
        alerts.clear();
        let (who, when) = (entity(1_000_000), at(3 * episodes));
        for (place, surprise) in [(0, 3.2), (1, 3.5), (1, 3.5)] {
            triage.push(finding(about_users[place], &who, surprise, when), &desk, &mut alerts);
        }
        triage.finish(&mut alerts);
        alerts
    }

    #[test]
    fn two_detectors_below_their_bars_are_one_alert_where_company_is_rare() {
        let budget = Budget::AlertsPerDay(20.0);
        assert!(told_after(0, budget).is_empty(), "nobody knows what company is worth");
        let told = told_after(300, budget);
        let first = told.first().expect("an alert");
        let together = first.together.expect("for its company");
        assert!(
            together.others == 1 && together.surprise > 4.0 && first.first.surprise == 3.5,
            "{together:?}"
        );
        assert_eq!(first.findings.len(), 1, "the other stands in support");
        assert!(told.iter().all(|form| form.id == first.id), "told once");
        let all = told_after(300, Budget::Unlimited);
        assert!(
            all.iter().all(|form| form.together.is_none()),
            "who is told alone needs no company"
        );
        assert!(all.iter().any(|form| form.id == first.id));
    }

    #[test]
    fn voices_an_hour_apart_are_not_together_and_an_episode_has_one_vote() {
        let mut company = Company::default();
        assert!(company.hear(&[0], &entity(1), voice(1, 2.5, at(0))).is_empty());
        assert!(
            company.hear(&[0], &entity(1), voice(1, 2.9, at(0))).is_empty(),
            "one voice alone"
        );
        assert!(
            company.hear(&[0], &entity(2), voice(2, 2.5, at(0))).is_empty(),
            "another entity"
        );
        assert!(
            company.hear(&[7], &entity(1), voice(2, 2.5, at(0))).is_empty(),
            "another kind of entity"
        );
        let voices = company.hear(&[0], &entity(1), voice(2, 2.2, at(1)));
        assert_eq!(
            voices
                .iter()
                .map(|voice| (voice.detector, voice.surprise))
                .collect::<Vec<_>>(),
            [(1, 2.9), (2, 2.2)]
        );
        assert!(company.hear(&[0], &entity(1), voice(1, 2.5, at(3))).is_empty());
        company.hear(&[0], &entity(9), voice(1, 2.0, at(9)));
        let shares = &company.shares[&vec![0]];
        assert!((shares.reached[0][0] - 3.0).abs() < 0.01 && (shares.reached[0][1] - 1.0).abs() < 0.01);
    }

    /// Of entities whose detectors are of one mind in half of the episodes, company is told no more often than it should.
    #[test]
    fn dependent_detectors_make_no_more_alarms_than_independent_ones() {
        use crate::engine::baseline::Random;
        for together in [0.0, 0.05, 0.5] {
            let (mut random, mut company) = (Random::new(5), Company::default());
            let (mut told, mut episodes) = (0, 0);
            for hour in 0..200_000i64 {
                let who = entity(hour as u64 % 64);
                let (mut shared, mut is_told) = (0.0, false);
                for detector in 0..5 {
                    if detector == 0 || random.uniform() > together {
                        shared = -random.uniform().max(1e-300).log10();
                    }
                    if shared < 2.0 {
                        continue;
                    }
                    let when = at(2 * hour).plus(Duration::from_seconds(detector.into()));
                    let voices = company.hear(&[0], &who, voice(detector, shared, when));
                    let loudest = voices.iter().map(|voice| voice.surprise).fold(0.0, f64::max);
                    if voices.len() > 1 {
                        let surprise = company.together(&[0], loudest, voices.len() - 1, 5);
                        is_told |= surprise >= 3.0;
                    }
                }
                told += u32::from(is_told && hour > 100_000);
                episodes += i64::from(hour > 100_000);
            }
            let nominal = episodes as f64 * 1e-3;
            assert!(f64::from(told) < 1.5 * nominal, "{together}: {told} of {nominal}");
        }
    }
}
