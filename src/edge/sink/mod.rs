//! Sinks: alerts as documents for machines and lines for people.

mod ecs;
mod explain;
mod ocsf;
mod sentence;
mod text;

pub use ecs::document as ecs_document;
pub use explain::explanation;
pub use ocsf::document as ocsf_document;
pub use sentence::{amount, entity_text, sentence};
pub use text::{printable, table};

use crate::domain::Definition;

/// What documents say beside the alert itself.
#[derive(Clone, Copy, Debug)]
pub struct Letterhead<'a> {
    /// The definitions, by detector number.
    pub definitions: &'a [Definition],
    /// The program's version.
    pub program: &'a str,
}
