//! Databases that tell what is known of an address.

mod systems;

pub use systems::{SystemsDatabase, SystemsFailure};
