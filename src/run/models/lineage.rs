//! Where a model comes from: enough to make it again, and to see in what two differ.

use crate::engine::model::quality::Quality;
use crate::engine::model::schema::Schema;
use crate::engine::model::{Kind, Parameters};
use serde::{Deserialize, Serialize};

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// The name that it was trained under.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The version that it was to take the place of.
    pub parent: Option<Parent>,
    /// When it was trained, in RFC 3339.
    pub created: String,
    /// The version of the program.
    pub program: String,
    /// The kind of model.
    pub kind: Kind,
    /// Its parameters, as chosen.
    pub parameters: Parameters,
    /// Where randomness began.
    pub seed: u64,
    /// The files it was trained from.
    pub data: Vec<Data>,
    /// The column of time that they were split by; without, they were split by the order of their rows.
    pub time: Option<String>,
    /// The column of labels.
    pub label: Option<String>,
    /// The labels that were said to mean normal; none means the usual ones.
    pub normal: Vec<String>,
    /// The rows that were learned from.
    pub training: Part,
    /// The rows that candidates were judged by.
    pub held_out: Part,
    /// What the columns looked like in the rows that were learned from.
    pub schema: Schema,
    /// The candidates.
    pub trials: Vec<Trial>,
    /// How good it is on the rows held out; nothing where there were too few.
    pub quality: Option<Quality>,
    /// How good the version in force was on the same rows.
    pub beside: Option<Beside>,
    /// What was not as it should be, and what was done about it.
    pub notes: Vec<String>,
}

/// The version before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its version.
    pub version: u32,
    /// What it is.
    pub id: String,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// What it was called.
    pub file: String,
    /// SHA-256 of its content, uncompressed.
    pub sha256: String,
    /// Bytes, uncompressed.
    pub bytes: u64,
}

/// A part of the rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Rows.
    pub rows: u64,
    /// Of these, rows that are labelled bad. They are never learned from.
    pub bad_rows: u64,
    /// The first and last time, in RFC 3339.
    pub times: Option<(String, String)>,
    /// The first and last line, as `FILE:LINE`.
    pub lines: Option<(String, String)>,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its parameters.
    pub parameters: Parameters,
    /// How good it was.
    pub quality: Quality,
}

/// A version measured on the rows that another one's candidates were judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// The version.
    pub version: u32,
    /// What it is.
    pub id: String,
    /// How good it was; nothing when it could not judge them.
    pub quality: Option<Quality>,
    /// Why it could not.
    pub problem: Option<String>,
}
