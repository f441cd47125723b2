//! What an entity does in a window, one thing after the other, judged by a model of such sequences when the window closes.

use super::{Ballot, Moment, Notes, Outcome, Peers, Plan, Raised, Sight, rung_of, told};
use crate::domain::{ByModel, Event, Expected, Field, MemoryName, NormalIf, Timestamp, Value};
use crate::engine::baseline::{Judgement, Memory};
use crate::engine::calibration::{CalibrationVote, Class, INCIDENT_SURPRISE};
use crate::engine::vector::{SequencePrior, SequenceSummary, SequenceVote, TOKENS_MAX, push_token};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_10;

/// The state of a sequence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SequenceWatch {
    slot: i32,
    /// The epoch in which a window was last closed.
    closed_in: i32,
    /// The tokens of the open window, with blanks between them; empty when there are none, or the window is judged.
    tokens: String,
    count: u16,
    judged: Option<Box<Judged>>,
    ballot: Option<Box<SequenceVote>>,
    notes: Notes,
    /// Whether a window was closed before the open one.
    is_known: bool,
    /// Whether a window of the open one's epoch has voted.
    drawn: bool,
}

/// What an ended window came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Judged {
    tokens: Box<str>,
    /// Of a model's judgement.
    ln_p: Option<f64>,
    incident: bool,
}

impl SequenceWatch {
    /// A watch whose first window holds `time`.
    pub fn new(plan: &Plan, time: Timestamp) -> Self {
        SequenceWatch {
            slot: plan.slot(time),
            closed_in: i32::MIN,
            tokens: String::new(),
            count: 0,
            judged: None,
            ballot: None,
            notes: Notes::default(),
            is_known: false,
            drawn: false,
        }
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
        peers: &Peers<'_, SequencePrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        let slot = plan.slot(sight.event.time());
        if slot > self.slot {
            self.roll(slot, sight.moment(), plan, peers, ballot, outcome);
        }
        if self.judged.is_some() || self.count >= TOKENS_MAX {
            return;
        }
        self.count += 1;
        push_token(&token_of(sight.event, &plan.sequence), &mut self.tokens);
        self.notes.add(sight, plan, slot < self.slot);
        if self.count == wanted(plan) {
            outcome.wake = Some(plan.close(self.slot).max(sight.now));
        }
    }

    /// The window has ended: judges it.
    pub fn wake(&mut self, now: Timestamp, plan: &Plan, peers: &Peers<'_, SequencePrior>) -> Option<Raised> {
        if self.judged.is_some() || self.count < wanted(plan) || now < plan.close(self.slot) {
            return None;
        }
        self.judge(plan, peers);
        let judged = self.judged.as_deref()?;
        let surprise = told(judged.ln_p?, peers.calibrations.of_entity(!self.is_known), plan);
        let rung = rung_of(surprise);
        if rung == 0 {
            return None;
        }
        let prior = peers.prior;
        let words = prior.explain(&judged.tokens).unwrap_or_default();
        let raised = Raised {
            at: now,
            window_start: plan.begin(self.slot),
            surprise,
            rung,
            seen: f64::from(self.count),
            expected: Expected::default(),
            normal_if: NormalIf::SeenBefore,
            memory: MemoryName::Slow,
            context: self.notes.context(),
            regime_change: false,
            by_model: prior.epoch().map(|epoch| ByModel {
                epoch,
                features: Vec::new(),
                text: words.said(),
            }),
        };
        self.notes.clear();
        Some(raised)
    }

    fn judge(&mut self, plan: &Plan, peers: &Peers<'_, SequencePrior>) {
        let tokens = std::mem::take(&mut self.tokens).into_boxed_str();
        let mut judged = Judged {
            ln_p: None,
            incident: false,
            tokens,
        };
        if let Some(raw) = peers.prior.surprise(&judged.tokens) {
            let ln_p = -raw * LN_10;
            judged.ln_p = Some(ln_p);
            let surprise = told(ln_p, peers.calibrations.of_entity(!self.is_known), plan);
            judged.incident = surprise >= INCIDENT_SURPRISE;
        }
        self.judged = Some(Box::new(judged));
    }

    /// Closes a first window that is over. Gives whether nothing is left to do.
    pub fn settle_first(
        &mut self,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, SequencePrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        if self.closed_in != i32::MIN {
            return true;
        }
        if moment.now < plan.close(self.slot) {
            return false;
        }
        let open = plan
            .slot(moment.now.minus(plan.lateness))
            .max(self.slot.saturating_add(1));
        self.roll(open, moment, plan, peers, ballot, outcome);
        true
    }

    /// Closes the open window and begins another.
    fn roll(
        &mut self,
        slot: i32,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, SequencePrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        if self.judged.is_none() && self.count >= wanted(plan) {
            self.judge(plan, peers);
        }
        if let Some(judged) = self.judged.take() {
            // Also while there is no model yet: the budget has to know how many there will be.
            outcome.judgements += 1;
            let votes = !self.is_known || plan.may_draw(moment.entity, self.slot) && !self.drawn;
            if let Some(ln_p) = judged.ln_p.filter(|_| votes) {
                let judgement = Judgement {
                    ln_p,
                    ln_p_beyond: ln_p,
                    memory: Memory::Slow,
                };
                let class = Class::of(!self.is_known);
                let uniform = plan.uniform(moment.entity, self.slot);
                let vote = CalibrationVote::new(&judgement, moment.entity, class, judged.incident, uniform);
                ballot.calibration.vote(vote);
            }
            if plan.draws(&mut self.drawn, moment.entity, self.slot) {
                let drawn = plan.mixed(moment.entity ^ 0x7365_7175_656e_6365, self.slot);
                let vote = SequenceVote::new(drawn, judged.incident, self.slot, judged.tokens);
                self.ballot = Some(Box::new(vote));
                outcome.vote = true;
            }
            self.is_known = true;
        }
        self.closed_in = (moment.now.seconds() / 3600) as i32;
        plan.pass_on(&mut self.drawn, self.slot, slot);
        self.slot = slot;
        self.count = 0;
        self.tokens = String::new();
        self.notes.clear();
    }

    /// The entity's vote.
    pub fn vote(&mut self, votes: &mut SequenceSummary) {
        if let Some(ballot) = self.ballot.take() {
            votes.vote(*ballot);
        }
    }
}

/// Tokens that a window has at least to be judged.
fn wanted(plan: &Plan) -> u16 {
    plan.at_least.clamp(1.0, f64::from(TOKENS_MAX)) as u16
}

/// What an event is called by these fields.
fn token_of(event: &Event, fields: &[Field]) -> String {
    let mut token = String::new();
    for value in fields.iter().filter_map(|field| event.get(*field)) {
        if !token.is_empty() {
            token.push('/');
        }
        match value {
            Value::Str(text) => token.push_str(text),
            Value::U64(number) => token.push_str(&number.to_string()),
            Value::I64(number) => token.push_str(&number.to_string()),
            Value::F64(number) => token.push_str(&number.to_string()),
            Value::Ip(address) => token.push_str(&address.to_string()),
            Value::Bool(yes) => token.push_str(if yes { "true" } else { "false" }),
        }
    }
    token
}
