//! What arrives as a whole, or not at all.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram {
    /// Who has sent it.
    pub from: IpAddr,
    /// When it was received, by the clock.
    pub received: Timestamp,
    /// What it holds.
    pub bytes: Vec<u8>,
}
