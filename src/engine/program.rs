//! The catalog made ready to run: detectors with their plans, and the kinds of entities that they are about.

use super::catalog::{Catalog, Compiled};
use super::select::Matcher;
use super::watch::Plan;
use crate::domain::{Definition, Duration, Feature, Field, Measure, Networks};
use std::ops::Range;

/// The bounds of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineBounds {
    /// Entities of one kind with state of their own in one of the 1,024 key groups.
    pub entities_per_key_group_max: u32,
}

impl Default for EngineBounds {
    fn default() -> Self {
        EngineBounds {
            entities_per_key_group_max: 4096,
        }
    }
}

/// What is watched of an event, ready for the hot path.
#[derive(Clone, Debug, PartialEq)]
pub enum Watched {
    /// That it happened.
    Events,
    /// Whether it is a hit.
    Hits,
    /// A field's number, summed.
    Sum(Field),
    /// Different values.
    Distinct(Vec<Field>),
    /// The length of different texts.
    DistinctBytes(Field),
    /// Slots of time with an event.
    Spread(Duration),
    /// A field's number, one by one.
    Value(Field),
    /// The gap since the last one.
    Gap,
    /// Which values.
    Category(Vec<Field>),
    /// Which network.
    Network(Field),
    /// When in the week.
    Hour,
    /// Several numbers.
    Vector(Vec<Feature>),
    /// What comes one after the other.
    Sequence,
}

/// One detector, ready to run.
#[derive(Clone, Debug)]
pub struct Detector {
    /// Selects events.
    pub selects: Matcher,
    /// Of these, finds hits.
    pub hits: Option<Matcher>,
    /// Of these, by feature of a vector, finds those that alone count.
    pub among: Vec<Option<Matcher>>,
    /// An entity is watched from so many of its events on.
    pub after_events: u8,
    /// Its kind of entity.
    pub kind: u8,
    /// Its plans, one for each window.
    pub plans: Range<u16>,
    /// What it watches.
    pub watched: Watched,
}

/// A kind of entity: the fields that make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The fields.
    pub fields: Vec<Field>,
    /// The detectors about this kind, a bit each.
    pub detectors: u128,
}

/// Everything that is fixed while the engine runs.
#[derive(Clone, Debug)]
pub struct Program {
    /// The definitions, by detector number.
    pub definitions: Vec<Definition>,
    /// The detectors.
    pub detectors: Vec<Detector>,
    /// The plans of all detectors, in order.
    pub plans: Vec<Plan>,
    /// The kinds of entities.
    pub kinds: Vec<Kind>,
    /// The detectors that look for hits, a bit each.
    pub ratios: u128,
    /// Which addresses are our own.
    pub networks: Networks,
    /// The bounds.
    pub bounds: EngineBounds,
    /// The half-life of the slowest detector.
    pub half_life_max: Duration,
    /// What detectors ask of the templates of messages.
    pub templates: AskedTemplates,
}

/// What detectors ask of the templates of messages; what nobody asks for is not worked out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskedTemplates {
    /// `log.template.id`.
    pub id: bool,
    /// `log.template.text`.
    pub text: bool,
}

/// Detectors that can run at once.
pub const DETECTORS_MAX: usize = 128;

/// A catalog that cannot run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{detectors} detectors are over detectors_max ({DETECTORS_MAX}); switch some off in the configuration")]
pub struct TooManyDetectors {
    /// How many there are.
    pub detectors: usize,
}

impl Program {
    /// Makes a catalog ready to run.
    pub fn new(catalog: &Catalog, networks: Networks, bounds: EngineBounds) -> Result<Program, TooManyDetectors> {
        let compiled = catalog.detectors();
        if compiled.len() > DETECTORS_MAX {
            return Err(TooManyDetectors {
                detectors: compiled.len(),
            });
        }
        let mut program = Program {
            definitions: compiled.iter().map(|detector| detector.definition.clone()).collect(),
            detectors: Vec::new(),
            plans: Vec::new(),
            kinds: Vec::new(),
            ratios: 0,
            networks,
            bounds,
            half_life_max: Duration::from_seconds(86_400),
            templates: AskedTemplates::default(),
        };
        for (number, detector) in compiled.iter().enumerate() {
            program.add(number, detector);
        }
        Ok(program)
    }

    fn add(&mut self, number: usize, compiled: &Compiled) {
        let definition = &compiled.definition;
        let kind = match self.kinds.iter().position(|kind| kind.fields == definition.entity) {
            Some(kind) => kind,
            None => {
                self.kinds.push(Kind {
                    fields: definition.entity.clone(),
                    detectors: 0,
                });
                self.kinds.len() - 1
            }
        };
        self.kinds[kind].detectors |= 1 << number;
        self.ratios |= u128::from(compiled.hits.is_some()) << number;
        let first = self.plans.len() as u16;
        for window in 0..definition.windows.len() {
            self.plans.push(Plan::new(number as u16, window as u16, definition));
        }
        for field in compiled.fields().iter().chain(&definition.target) {
            self.templates.id |= *field == Field::LogTemplateId;
            self.templates.text |= *field == Field::LogTemplateText;
        }
        self.half_life_max = self.half_life_max.max(definition.baseline.half_life);
        self.detectors.push(Detector {
            selects: compiled.selects.clone(),
            hits: compiled.hits.clone(),
            among: compiled.among.clone(),
            after_events: definition.after_events,
            kind: kind as u8,
            plans: first..self.plans.len() as u16,
            watched: match &definition.measure {
                Measure::Count => Watched::Events,
                Measure::Ratio(_) => Watched::Hits,
                Measure::Sum(field) => Watched::Sum(*field),
                Measure::Distinct(fields) => Watched::Distinct(fields.clone()),
                Measure::DistinctBytes(field) => Watched::DistinctBytes(*field),
                Measure::Spread(slot) => Watched::Spread(*slot),
                Measure::Value(field) => Watched::Value(*field),
                Measure::Interval => Watched::Gap,
                Measure::Category(fields) => Watched::Category(fields.clone()),
                Measure::Network(field) => Watched::Network(*field),
                Measure::TimeOfWeek => Watched::Hour,
                Measure::Vector(features) => Watched::Vector(features.clone()),
                Measure::Sequence(_) => Watched::Sequence,
            },
        });
    }
}
