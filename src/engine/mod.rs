//! The thinking: pure, synchronous and deterministic. No sockets, files, clocks, logging or metrics.

pub mod baseline;
pub mod catalog;
pub mod decoder;
pub mod select;
pub mod measure;
pub mod order;
pub mod triage;
