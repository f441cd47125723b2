//! What is known about one entity: what each detector expects of it, in numbers.

use super::baseline::Expected;
use super::partition::Partition;
use super::pipeline::Engine;
use super::program::Program;
use crate::domain::{Entity, EntityHash, Event, Field, FieldKind, Timestamp, write_entity};

/// What is known about an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its values, in the order of the fields that were asked for.
    pub entity: Entity,
    /// When it was last seen.
    pub last: Timestamp,
    /// What is usual for it, by detector and window.
    pub usual: Vec<Usual>,
}

/// What one detector's window expects of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Usual {
    /// The detector's place in the catalog.
    pub detector: u16,
    /// The window's place among the detector's windows.
    pub window: u16,
    /// What is expected now, the hour of the week left out; nothing where no number says it (which values, which hours,
    /// which rhythm).
    pub expected: Option<Expected>,
}

/// Why nothing is said about an entity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No detector is about such entities.
    #[error("no detector is about `{asked}`; there are {there}")]
    Kind {
        /// The fields that were asked for.
        asked: String,
        /// Those that there are.
        there: String,
    },
    /// A value can't be one of its field.
    #[error("`{value}` is no {field}")]
    Value {
        /// The value.
        value: String,
        /// The field.
        field: &'static str,
    },
    /// There is no state about it.
    #[error("nothing is known about {name}: it was not seen, or not for long")]
    Entity {
        /// Its values.
        name: String,
    },
}

impl Engine {
    /// What is known about the entity that has these values in these fields.
    pub fn known(&self, fields: &[&str], values: &[&str]) -> Result<Known, Unknown> {
        let program = self.program();
        let kind = kind_of(program, fields)?;
        let fields = &program.kinds[kind].fields;
        let mut event = Event::new(Timestamp::MIN);
        for (field, value) in fields.iter().zip(values) {
            if !add(&mut event, *field, value) {
                let (value, field) = ((*value).to_owned(), field.name());
                return Err(Unknown::Value { value, field });
            }
        }
        let mut bytes = Vec::new();
        let absent = || Unknown::Entity { name: values.join(" ") };
        let hash = write_entity(&event, fields, &mut bytes).ok_or_else(absent)?;
        self.partition(hash)
            .known(kind, hash, &bytes, program, self.version())
            .ok_or_else(absent)
    }
}

/// The place of the kind of entity that has these fields.
fn kind_of(program: &Program, fields: &[&str]) -> Result<usize, Unknown> {
    let is_it = |held: &Vec<Field>| held.iter().map(|field| field.name()).eq(fields.iter().copied());
    let found = program.kinds.iter().position(|kind| is_it(&kind.fields));
    found.ok_or_else(|| Unknown::Kind {
        asked: fields.join(","),
        there: kinds(program).collect::<Vec<_>>().join(", "),
    })
}

/// The kinds of entities, each as its fields joined by commas.
pub fn kinds(program: &Program) -> impl Iterator<Item = String> {
    program.kinds.iter().map(|kind| {
        let names: Vec<&str> = kind.fields.iter().map(|field| field.name()).collect();
        names.join(",")
    })
}

/// Adds a value that was given as text. Gives whether it is one of the field.
fn add(event: &mut Event, field: Field, text: &str) -> bool {
    match field.kind() {
        FieldKind::Ip => text.parse().map(|address| event.add_ip(field, address)).is_ok(),
        FieldKind::Long => text.parse().map(|number| event.add_u64(field, number)).is_ok(),
        FieldKind::Float => text.parse().map(|number| event.add_f64(field, number)).is_ok(),
        _ => {
            event.add_str(field, text);
            !text.is_empty()
        }
    }
}

impl Partition {
    /// What is known about an entity of this partition.
    pub(super) fn known(
        &self,
        kind: usize,
        hash: EntityHash,
        bytes: &[u8],
        program: &Program,
        version: &super::population::Version,
    ) -> Option<Known> {
        let row = self.row(kind, hash, bytes)?;
        let group = usize::from(row.group).min(super::population::GROUPS - 1);
        let usual = row.watches.iter().map(|posted| {
            let plan = &program.plans[usize::from(posted.plan)];
            let belief = &version.beliefs[usize::from(posted.plan)][group];
            Usual {
                detector: plan.detector,
                window: plan.window,
                expected: posted.watch.expected(belief),
            }
        });
        let mut usual: Vec<Usual> = usual.collect();
        usual.sort_by_key(|usual| (usual.detector, usual.window));
        Some(Known {
            entity: row.entity.clone(),
            last: row.last,
            usual,
        })
    }
}
