//! Reading what an earlier version has saved. Saved state has no names in it, so that a field that came later has to be
//! left out where a form of before is read. Which form is read is known where reading begins and needed where a field
//! stands, many types below; between the two lies code that serde derives.
// TODO: drop once states of format 8 are gone (0.3).

use serde::{Deserialize, Deserializer};
use std::cell::Cell;

thread_local! {
    static IS_EARLIER: Cell<bool> = const { Cell::new(false) };
}

/// Reads with everything in the form of format 8.
pub(crate) fn reading<T>(read: impl FnOnce() -> T) -> T {
    let before = IS_EARLIER.replace(true);
    let value = read();
    IS_EARLIER.set(before);
    value
}

/// Whether the form of format 8 is read.
pub(crate) fn is_earlier() -> bool {
    IS_EARLIER.get()
}

/// Reads a field that format 8 did not have.
pub(crate) fn later<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    if is_earlier() {
        Ok(T::default())
    } else {
        T::deserialize(deserializer)
    }
}
