//! Reading what an earlier version has saved. Saved state has no names in it, so that a field that came later has to be
//! left out where a form of before is read. Which form is read is known where reading begins and needed where a field
//! stands, many types below; between the two lies code that serde derives.
// TODO: drop once states of formats 8 to 11 are gone (0.3).

use serde::{Deserialize, Deserializer};
use std::cell::Cell;

/// The format of the engine's state that first had the newness of windows.
pub(crate) const NEWNESS: u16 = 9;
/// The format that first had the values of categories packed.
pub(crate) const PACKED_VALUES: u16 = 11;
/// The format that first had vectors.
pub(crate) const VECTORS: u16 = 12;

thread_local! {
    static FORMAT: Cell<u16> = const { Cell::new(u16::MAX) };
}

/// Reads with everything in the form of a format.
pub(crate) fn reading<T>(format: u16, read: impl FnOnce() -> T) -> T {
    let before = FORMAT.replace(format);
    let value = read();
    FORMAT.set(before);
    value
}

/// Whether a form is read that is older than a format.
pub(crate) fn is_before(format: u16) -> bool {
    FORMAT.get() < format
}

/// Reads a field that format 8 did not have.
pub(crate) fn later<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    later_than(NEWNESS, deserializer)
}

/// Reads a field that came with packed values.
pub(crate) fn packed<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    later_than(PACKED_VALUES, deserializer)
}

/// Reads a field that came with vectors.
pub(crate) fn vectors<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    later_than(VECTORS, deserializer)
}

fn later_than<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    format: u16,
    deserializer: D,
) -> Result<T, D::Error> {
    if is_before(format) {
        Ok(T::default())
    } else {
        T::deserialize(deserializer)
    }
}
