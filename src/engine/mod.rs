//! The thinking: pure, synchronous and deterministic. No sockets, files, clocks, logging or metrics.

pub mod baseline;
pub mod calibration;
pub mod catalog;
pub mod decoder;
pub mod feed;
pub mod known;
mod loss;
pub mod measure;
pub mod model;
pub mod order;
pub mod partition;
pub mod pipeline;
pub mod population;
pub mod program;
pub mod select;
mod selection;
pub mod series;
pub mod snapshot;
pub mod succession;
pub mod table;
pub mod template;
pub mod triage;
pub mod vector;
pub mod watch;
