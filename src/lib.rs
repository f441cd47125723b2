//! Stakeout: network and log anomaly detection beside a SIEM.
//!
//! Four folders of code form a diamond: `run` wires, `engine` thinks, `edge` touches the world, and `domain` holds
//! the words that all of them share. `engine` and `edge` never see each other, and `domain` sees nobody;
//! `tests/diamond.rs` keeps it so.

pub mod cli;
pub mod config;
pub mod domain;
pub mod edge;
pub mod engine;
pub mod run;
