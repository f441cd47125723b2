//! Triage: the findings of all partitions to alerts. It groups what has one cause, decides what the budget tells, and
//! emits each alert when it is first told, again when it has risen or lasted twice as long, and a last time when it is
//! over and something has joined it since.
//!
//! Three steps, each independent of the next, so that a budget changes only what is told:
//! 1. *Incidents*: findings of one detector about one entity that follow each other within an hour or a window.
//! 2. *Causes*: an incident about an actor of whom an alert with the same tactic is open supports that alert. From the
//!    fourth actor with the same detector and target within an hour, one alert about the target takes them in.
//! 3. *Budget*: an incident is told once its surprise passes the detector's bar, or once several detectors together are
//!    surprised enough by one entity (see `company.rs`).

mod company;
mod saved;

pub(super) use company::kinds_with_company;

use crate::domain::{Actor, Alert, Definition, Duration, Entity, Field, Finding, Supporting, Timestamp, earlier};
use company::Company;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Findings join an incident that had its last one within this time, or within their window if that is longer.
const QUIET: Duration = Duration::from_seconds(3600);
/// An incident takes in findings for so long; what goes on after it is a new one.
const INCIDENT_MAX: Duration = Duration::from_seconds(24 * 3600);
/// Up to so many actors with the same detector and target are told singly.
const SINGLE_ACTORS: usize = 3;
/// Only incidents of this surprise count as actors of one cause, whatever the budget.
const ACTOR_SURPRISE: f64 = 4.0;
/// Told even when the day's budget is spent.
const OVERWHELMING: f64 = 12.0;
/// No incident is formed below this surprise (p of 1e-2).
pub const FORMING_SURPRISE: f64 = 2.0;
/// What joins an alert without raising it is told once the alert has lasted twice as long as in its latest form, and this
/// at least.
const LATER_FORM_AFTER: Duration = Duration::from_seconds(300);
/// Open incidents, and open groups, kept at once. Beyond it the one longest quiet is closed.
const OPEN_MAX: usize = 100_000;

/// What decides which alerts are told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Budget {
    /// So many alerts a day of event time (UTC) on traffic without incidents, at most.
    AlertsPerDay(f64),
    /// Every alert that triage forms.
    Unlimited,
}

/// Findings in order in, alerts out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Triage {
    budget: Budget,
    incidents: BTreeMap<(u16, Entity), Incident>,
    groups: BTreeMap<(u16, Entity), Group>,
    /// The told alert that is open about an actor, by actor.
    causes: BTreeMap<Entity, Vec<Cause>>,
    #[serde(deserialize_with = "earlier::later")]
    company: Company,
    day: i64,
    told_today: u64,
    next_sweep: Timestamp,
    counters: Counters,
}

/// What triage has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Findings taken in.
    pub findings: u64,
    /// Alerts told; later forms of an alert do not count again.
    pub told: u64,
    /// Incidents that ended without having been told.
    pub withheld: u64,
    /// Alerts closed into one about their common target.
    pub folded: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Incident {
    opened: Timestamp,
    last: Timestamp,
    alert: Alert,
    fate: Fate,
    /// When its latest form was told.
    told_at: Timestamp,
    /// Whether findings have joined since.
    joined: bool,
}

/// What has become of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Fate {
    /// Not told yet.
    Silent,
    /// Told as an alert of its own.
    Told,
    /// Supports the told incident of this key.
    Supports((u16, Entity)),
    /// Part of the group of this target.
    Folded(Entity),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cause {
    key: (u16, Entity),
    last: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Group {
    last: Timestamp,
    /// Actors before the group's alert opens, with their last times.
    pending: Vec<(Entity, Timestamp)>,
    alert: Option<Alert>,
    told: bool,
    opened: Timestamp,
    /// Whether anything has joined since its latest form was told.
    joined: bool,
}

impl Incident {
    /// The alert in its present form, to be told.
    fn form(&mut self) -> Alert {
        self.joined = false;
        self.told_at = self.last;
        self.alert.count += 1;
        self.alert.at = self.last;
        self.alert.clone()
    }

    /// The present form, if the alert was told and something has joined it since.
    fn last_form(&mut self) -> Option<Alert> {
        (self.fate == Fate::Told && self.joined).then(|| self.form())
    }
}

impl Group {
    /// The present form of the group's alert, if it was told and something has joined it since.
    fn last_form(&mut self) -> Option<Alert> {
        let alert = self.alert.as_mut().filter(|_| self.told && self.joined)?;
        self.joined = false;
        alert.count += 1;
        alert.at = self.last;
        Some(alert.clone())
    }
}

/// What triage asks of the rest of the engine.
pub struct Desk<'a> {
    /// The catalog's definitions, by detector number.
    pub definitions: &'a [Definition],
    /// The surprise from which each detector's alerts are told under the budget, by detector number.
    pub bars: &'a [f64],
}

impl Triage {
    /// Triage with nothing open.
    pub fn new(budget: Budget) -> Self {
        Triage {
            budget,
            incidents: BTreeMap::new(),
            groups: BTreeMap::new(),
            causes: BTreeMap::new(),
            company: Company::default(),
            day: i64::MIN,
            told_today: 0,
            next_sweep: Timestamp::MIN,
            counters: Counters::default(),
        }
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        let open = self
            .incidents
            .values()
            .filter(|incident| incident.fate == Fate::Silent)
            .count() as u64;
        Counters {
            withheld: self.counters.withheld + open,
            ..self.counters
        }
    }

    /// Alerts told on the day of the latest finding.
    pub fn told_today(&self) -> u64 {
        self.told_today
    }

    /// What decides which alerts are told.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// Changes the budget, for a run that goes on from saved state.
    pub fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Takes the next finding, in the order (engine time, detector, entity, window, rung).
    pub fn push(&mut self, finding: Finding, desk: &Desk<'_>, alerts: &mut Vec<Alert>) {
        self.counters.findings += 1;
        if finding.surprise < FORMING_SURPRISE {
            return;
        }
        self.sweep(finding.at, desk, alerts);
        let Some(definition) = desk.definitions.get(usize::from(finding.detector)) else {
            return;
        };
        let day = finding.at.seconds().div_euclid(86_400);
        if day != self.day {
            self.day = day;
            self.told_today = 0;
        }
        let key = (finding.detector, finding.entity.clone());
        let voice = (!finding.regime_change).then_some((finding.surprise, finding.at));
        let risen = self.join(&key, finding, definition, alerts);
        if risen {
            self.fold(&key, definition, desk, alerts);
            self.tell(&key, definition, desk, alerts);
        } else {
            self.go_on(&key, alerts);
        }
        if let Some(voice) = voice {
            self.meet(&key, voice, desk, alerts);
        }
    }

    /// The input has ended: alerts that something has joined since their latest form are told a last time.
    pub fn finish(&mut self, alerts: &mut Vec<Alert>) {
        self.incidents
            .values_mut()
            .filter_map(Incident::last_form)
            .chain(self.groups.values_mut().filter_map(Group::last_form))
            .for_each(|form| alerts.push(form));
    }

    /// A finding has joined an incident and not raised it.
    fn go_on(&mut self, key: &(u16, Entity), alerts: &mut Vec<Alert>) {
        let Some(incident) = self.incidents.get_mut(key) else {
            return;
        };
        match &incident.fate {
            Fate::Told => {
                incident.joined = true;
                let lasted = incident.told_at.since(incident.opened);
                if incident.last.since(incident.told_at) >= lasted.max(LATER_FORM_AFTER) {
                    alerts.extend(incident.last_form());
                }
            }
            Fate::Folded(target) => {
                let Some(group) = self.groups.get_mut(&(key.0, target.clone())) else {
                    return;
                };
                if let Some(folded) = group.alert.as_mut() {
                    folded.end = folded.end.max(incident.alert.end);
                    group.last = group.last.max(incident.last);
                    group.joined = true;
                }
            }
            Fate::Silent | Fate::Supports(_) => {}
        }
    }

    /// Adds the finding to its incident, opening one if there is none. Gives whether the incident is new or has risen
    /// to a higher rung.
    fn join(
        &mut self,
        key: &(u16, Entity),
        finding: Finding,
        definition: &Definition,
        alerts: &mut Vec<Alert>,
    ) -> bool {
        let at = finding.at;
        if let Some(incident) = self.incidents.get_mut(key) {
            let gap = quiet(definition);
            if at <= incident.last.plus(gap) && at <= incident.opened.plus(INCIDENT_MAX.max(gap)) {
                incident.last = at;
                return incident.alert.take_in(finding);
            }
            alerts.extend(incident.last_form());
            if incident.fate == Fate::Silent {
                self.counters.withheld += 1;
            }
        }
        let incident = Incident {
            opened: at,
            last: at,
            alert: Alert::open(finding, definition),
            fate: Fate::Silent,
            told_at: at,
            joined: false,
        };
        self.incidents.insert(key.clone(), incident);
        true
    }

    /// Counts the incident's actor towards its target's group, and takes it in once there are enough.
    fn fold(&mut self, key: &(u16, Entity), definition: &Definition, desk: &Desk<'_>, alerts: &mut Vec<Alert>) {
        let Some(incident) = self.incidents.get(key) else {
            return;
        };
        let at = incident.last;
        let Some((_, target)) = incident
            .alert
            .peak
            .target
            .clone()
            .filter(|(_, target)| *target != key.1)
        else {
            return;
        };
        if incident.alert.peak.surprise < ACTOR_SURPRISE || matches!(incident.fate, Fate::Supports(_)) {
            return;
        }
        let group_key = (key.0, target.clone());
        let group = self.groups.entry(group_key.clone()).or_insert_with(|| Group {
            last: at,
            pending: Vec::new(),
            alert: None,
            told: false,
            opened: at,
            joined: false,
        });
        if group.alert.is_some() && at > group.last.plus(QUIET) {
            alerts.extend(group.last_form());
            group.alert = None;
            group.told = false;
            group.pending.clear();
        }
        group.last = at;
        if group.alert.is_none() {
            group
                .pending
                .retain(|(actor, seen)| *actor != key.1 && at <= seen.plus(QUIET));
            group.pending.push((key.1.clone(), at));
            if group.pending.len() <= SINGLE_ACTORS {
                return;
            }
            let mut alert = Alert::open(incident.alert.peak.clone(), definition);
            alert.id = identity(&definition.id, &target, &incident.alert.peak, "target");
            alert.count = 0;
            group.alert = Some(alert);
            group.opened = at;
            let members: Vec<Entity> = group.pending.drain(..).map(|(actor, _)| actor).collect();
            for actor in members {
                self.absorb(&group_key, &(key.0, actor), alerts);
            }
        } else {
            self.absorb(&group_key, key, alerts);
        }
        self.tell_group(&group_key, desk, alerts);
    }

    /// Moves one incident into its target's group. One that was told is closed with a last form.
    fn absorb(&mut self, group_key: &(u16, Entity), key: &(u16, Entity), alerts: &mut Vec<Alert>) {
        let Some(group) = self.groups.get_mut(group_key) else {
            return;
        };
        let (Some(folded), Some(incident)) = (group.alert.as_mut(), self.incidents.get_mut(key)) else {
            return;
        };
        folded.take_in_actor(&key.1, &incident.alert);
        let before = std::mem::replace(&mut incident.fate, Fate::Folded(group_key.1.clone()));
        if before == Fate::Told {
            self.counters.folded += 1;
            incident.alert.merged_into = Some(folded.id.clone());
            alerts.push(incident.form());
        }
    }

    fn tell_group(&mut self, group_key: &(u16, Entity), desk: &Desk<'_>, alerts: &mut Vec<Alert>) {
        let bar = self.bar(group_key.0, desk);
        let Some(group) = self.groups.get_mut(group_key) else {
            return;
        };
        let Some(alert) = group.alert.as_mut() else { return };
        if !group.told {
            if alert.peak.surprise < bar {
                return;
            }
            group.told = true;
            self.told_today += 1;
            self.counters.told += 1;
        } else if !alert.actors_total.is_power_of_two() {
            // Later actors are told each time their number has doubled.
            group.joined = true;
            return;
        }
        group.joined = true;
        alerts.extend(group.last_form());
    }

    /// Tells the incident if the budget allows: as an alert of its own, or as support for one with the same cause.
    fn tell(&mut self, key: &(u16, Entity), definition: &Definition, desk: &Desk<'_>, alerts: &mut Vec<Alert>) {
        let bar = self.bar(key.0, desk);
        let Some(incident) = self.incidents.get_mut(key) else {
            return;
        };
        let at = incident.last;
        match &incident.fate {
            Fate::Folded(_) => return,
            Fate::Supports(lead) => {
                let lead = lead.clone();
                let support = supporting(&incident.alert.peak);
                self.support(&lead, support, alerts);
                return;
            }
            Fate::Told => {}
            Fate::Silent => {
                if incident.alert.peak.surprise < bar {
                    return;
                }
                let actor = actor(&key.1);
                let lead = self.cause_of(key, at, definition, desk);
                if let Some(lead) = lead.filter(|lead| self.incidents.contains_key(lead)) {
                    let support = supporting(&self.incidents[key].alert.peak);
                    let lead_id = self.incidents[&lead].alert.id.clone();
                    let unlimited = self.budget == Budget::Unlimited;
                    if let Some(incident) = self.incidents.get_mut(key) {
                        incident.fate = Fate::Supports(lead.clone());
                        if unlimited {
                            incident.alert.merged_into = Some(lead_id);
                            incident.alert.count += 1;
                            incident.alert.at = at;
                            alerts.push(incident.alert.clone());
                        }
                    }
                    self.support(&lead, support, alerts);
                    return;
                }
                let Some(incident) = self.incidents.get_mut(key) else {
                    return;
                };
                incident.fate = Fate::Told;
                incident.alert.first = incident.alert.peak.clone();
                self.told_today += 1;
                self.counters.told += 1;
                self.causes.entry(actor).or_default().push(Cause {
                    key: key.clone(),
                    last: at,
                });
            }
        }
        let Some(incident) = self.incidents.get_mut(key) else {
            return;
        };
        incident.joined = true;
        alerts.extend(incident.last_form());
        let actor = actor(&key.1);
        for cause in self
            .causes
            .get_mut(&actor)
            .into_iter()
            .flatten()
            .filter(|cause| cause.key == *key)
        {
            cause.last = at;
        }
    }

    /// The told incident with the same tactic about the incident's actor, or about a source that its events name.
    fn cause_of(
        &self,
        key: &(u16, Entity),
        at: Timestamp,
        definition: &Definition,
        desk: &Desk<'_>,
    ) -> Option<(u16, Entity)> {
        let incident = self.incidents.get(key)?;
        let sources = incident.alert.peak.context.related.iter();
        let sources = sources
            .filter(|(field, _)| *field == Field::SourceIp as u16)
            .map(|(_, source)| source.clone());
        std::iter::once(actor(&key.1)).chain(sources).find_map(|actor| {
            let causes = self.causes.get(&actor)?;
            let same = |cause: &&Cause| {
                let other = desk.definitions.get(usize::from(cause.key.0));
                other.is_some_and(|other| at <= cause.last.plus(quiet(other)))
                    && cause.key != *key
                    && other.is_some_and(|other| same_tactic(other, definition))
            };
            causes.iter().find(same).map(|cause| cause.key.clone())
        })
    }

    fn support(&mut self, lead: &(u16, Entity), support: Supporting, alerts: &mut Vec<Alert>) {
        let Some(incident) = self.incidents.get_mut(lead) else {
            return;
        };
        let alert = &mut incident.alert;
        let known = alert
            .findings
            .iter()
            .position(|held| held.detector == support.detector && held.entity == support.entity);
        if let Some(index) = known {
            if support.surprise > alert.findings[index].surprise {
                alert.findings[index] = support;
            }
            return;
        }
        if alert.findings.len() >= Alert::FINDINGS_MAX {
            return;
        }
        alert.findings.push(support);
        if incident.fate == Fate::Told {
            alert.count += 1;
            alert.at = alert.findings.last().map_or(alert.at, |held| held.at);
            alerts.push(alert.clone());
        }
    }

    fn bar(&self, detector: u16, desk: &Desk<'_>) -> f64 {
        match self.budget {
            Budget::Unlimited => FORMING_SURPRISE,
            Budget::AlertsPerDay(alerts) => {
                let bar = desk.bars.get(usize::from(detector)).copied().unwrap_or(OVERWHELMING);
                if self.told_today as f64 >= alerts {
                    bar.max(OVERWHELMING)
                } else {
                    bar
                }
            }
        }
    }

    /// Closes what has been quiet for long, once an hour of engine time, and holds the number of open things to its
    /// bound.
    fn sweep(&mut self, now: Timestamp, desk: &Desk<'_>, alerts: &mut Vec<Alert>) {
        let full = self.incidents.len() >= OPEN_MAX || self.groups.len() >= OPEN_MAX;
        if now < self.next_sweep && !full {
            return;
        }
        self.next_sweep = now.plus(QUIET);
        // What is full keeps only what can still be joined within the shortest quiet time.
        let counters = &mut self.counters;
        self.incidents.retain(|(detector, _), incident| {
            let gap = desk.definitions.get(usize::from(*detector)).map_or(QUIET, quiet);
            let keep = now <= incident.last.plus(if full { QUIET } else { gap });
            if !keep {
                alerts.extend(incident.last_form());
                counters.withheld += u64::from(incident.fate == Fate::Silent);
            }
            keep
        });
        self.groups.retain(|_, group| {
            let keep = now <= group.last.plus(QUIET);
            if !keep {
                alerts.extend(group.last_form());
            }
            keep
        });
        self.causes.retain(|_, causes| {
            causes.retain(|cause| now <= cause.last.plus(INCIDENT_MAX));
            !causes.is_empty()
        });
        while self.incidents.len() >= OPEN_MAX {
            let Some(oldest) = self
                .incidents
                .iter()
                .min_by_key(|(_, i)| i.last)
                .map(|(key, _)| key.clone())
            else {
                return;
            };
            if let Some(mut incident) = self.incidents.remove(&oldest) {
                alerts.extend(incident.last_form());
            }
        }
    }
}

impl Alert {
    /// An alert that nothing but this finding belongs to.
    fn open(finding: Finding, definition: &Definition) -> Alert {
        let mut alert = Alert {
            id: identity(&definition.id, &finding.entity, &finding, "entity"),
            count: 0,
            at: finding.at,
            start: finding.context.start,
            end: finding.context.end,
            actors: Vec::new(),
            actors_total: 0,
            findings: Vec::new(),
            related: Vec::new(),
            findings_total: 1,
            together: None,
            merged_into: None,
            first: finding.clone(),
            peak: finding,
        };
        alert.relate(alert.peak.context.related.clone());
        alert
    }

    /// Adds a later finding of the same incident. Gives whether the alert has risen to a higher rung.
    fn take_in(&mut self, finding: Finding) -> bool {
        self.findings_total += 1;
        self.start = self.start.min(finding.context.start);
        self.end = self.end.max(finding.context.end);
        self.relate(finding.context.related.clone());
        let risen = finding.rung > self.peak.rung;
        if finding.surprise > self.peak.surprise {
            self.peak = finding;
        }
        risen
    }

    /// Adds an actor's incident to a folded alert.
    fn take_in_actor(&mut self, actor: &Entity, incident: &Alert) {
        self.start = self.start.min(incident.start);
        self.end = self.end.max(incident.end);
        self.findings_total += incident.findings_total;
        if incident.peak.surprise > self.peak.surprise {
            self.peak = incident.peak.clone();
        }
        self.relate(incident.related.clone());
        if let Some(held) = self.actors.iter_mut().find(|held| held.entity == *actor) {
            held.surprise = held.surprise.max(incident.peak.surprise);
        } else {
            self.actors_total += 1;
            if self.actors.len() < Alert::ACTORS_MAX {
                self.actors.push(Actor {
                    entity: actor.clone(),
                    surprise: incident.peak.surprise,
                });
            }
        }
        self.actors
            .sort_by(|a, b| b.surprise.total_cmp(&a.surprise).then_with(|| a.entity.cmp(&b.entity)));
    }

    fn relate(&mut self, related: Vec<(u16, Entity)>) {
        for thing in related {
            if self.related.len() < Alert::RELATED_MAX && !self.related.contains(&thing) {
                self.related.push(thing);
            }
        }
    }
}

fn supporting(finding: &Finding) -> Supporting {
    Supporting {
        detector: finding.detector,
        entity: finding.entity.clone(),
        window: finding.window,
        at: finding.at,
        p: finding.p,
        surprise: finding.surprise,
        seen: finding.seen,
    }
}

/// Findings this far apart belong to one incident: a quiet hour, or the longest window.
fn quiet(definition: &Definition) -> Duration {
    definition.windows.last().copied().unwrap_or(QUIET).max(QUIET)
}

/// Who acts: the first value of an entity, so that a pair's source and the source alone are one actor.
fn actor(entity: &Entity) -> Entity {
    entity.first()
}

fn same_tactic(one: &Definition, other: &Definition) -> bool {
    one.tactics().any(|tactic| other.tactics().any(|held| held == tactic))
}

/// The id of an alert: 128 bits of a hash over detector, entity and opening window, in hex.
fn identity(detector: &str, entity: &Entity, finding: &Finding, role: &str) -> String {
    let mut bytes = Vec::with_capacity(96);
    for part in [detector.as_bytes(), role.as_bytes(), entity.bytes()] {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&finding.window.to_le_bytes());
    bytes.extend_from_slice(&finding.window_start.nanos().to_le_bytes());
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes))
}
