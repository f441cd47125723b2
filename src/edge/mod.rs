//! The world: readers of files and sinks behind small traits. Nothing here decides anything.

#[cfg(feature = "kafka")]
pub mod bus;
mod certificates;
pub mod collector;
#[cfg(test)]
pub(crate) mod folder;
pub mod lookup;
pub mod page;
pub mod pieces;
pub mod registry;
pub mod sink;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod tls;
