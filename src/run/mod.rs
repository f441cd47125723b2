//! The wiring: the only folder that knows both `engine` and `edge`.

pub mod check;
pub mod detectors;
pub mod explain;
mod input;
mod output;
pub mod replay;
pub mod score;
pub mod service;
mod summary;

pub use output::Format as OutputFormat;
pub use summary::Summary;
