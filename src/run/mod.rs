//! The wiring: the only folder that knows both `engine` and `edge`.

mod bus;
pub mod check;
#[cfg(feature = "kafka")]
pub mod detect;
pub mod detectors;
pub mod explain;
mod input;
mod log;
mod merge;
pub mod models;
mod output;
mod progress;
pub mod replay;
#[cfg(feature = "kafka")]
pub mod respond;
pub mod score;
pub mod service;
mod shutdown;
mod state;
mod summary;
mod tables;
#[cfg(feature = "kafka")]
mod taking_up;
pub mod templates;
#[cfg(feature = "kafka")]
pub mod topics;
mod wire;

pub use output::Format as OutputFormat;
pub use summary::Summary;
