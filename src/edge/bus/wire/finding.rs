//! Records of the topic of findings: what a partition has found, and how far it has come.

use super::{Unreadable, VERSION};
use crate::domain::{Finding, Passed, earlier};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

/// A record of the topic of findings.
#[derive(Clone, Debug, PartialEq)]
pub enum FindingRecord {
    /// What a partition has found.
    Finding {
        /// The partition of the topic of events.
        partition: u16,
        /// The detector by its name: its number may be another one elsewhere.
        detector: String,
        /// The finding; its detector's number is the writer's.
        finding: Box<Finding>,
    },
    /// How far a partition has come.
    Passed {
        /// The partition of the topic of events.
        partition: u16,
        /// How far.
        passed: Passed,
    },
}

/// What a person reads of a finding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FindingWords {
    /// When it became known (RFC 3339).
    pub at: String,
    /// The detector.
    pub detector: String,
    /// The values of the entity.
    pub entity: String,
    /// What was seen.
    pub seen: f64,
    /// How surprising that is.
    pub surprise: f64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    v: u64,
    partition: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finding: Option<FindingWords>,
    /// The finding, bit for bit: postcard in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exact: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passed: Option<Passed>,
}

/// A finding as a record.
pub fn write_finding(partition: u16, detector: &str, finding: &Finding) -> Vec<u8> {
    let words = FindingWords {
        at: finding.at.to_string(),
        detector: detector.to_owned(),
        entity: finding.entity.text(),
        seen: finding.seen,
        surprise: finding.surprise,
    };
    let exact = postcard::to_allocvec(finding).unwrap_or_default();
    line(&Line {
        v: VERSION,
        partition,
        finding: Some(words),
        exact: Some(BASE64.encode(exact)),
        passed: None,
    })
}

/// How far a partition has come, as a record.
pub fn write_passed(partition: u16, passed: &Passed) -> Vec<u8> {
    line(&Line {
        v: VERSION,
        partition,
        finding: None,
        exact: None,
        passed: Some(passed.clone()),
    })
}

fn line(line: &Line) -> Vec<u8> {
    // Text and numbers: nothing that could not be written.
    serde_json::to_vec(line).unwrap_or_default()
}

/// Reads a record.
pub fn read_finding(value: Option<&[u8]>) -> Result<FindingRecord, Unreadable> {
    let value = value.filter(|value| !value.is_empty()).ok_or(Unreadable::NoValue)?;
    let line: Line = serde_json::from_slice(value).map_err(|_| Unreadable::BadJson)?;
    if line.v != VERSION {
        return Err(Unreadable::UnknownVersion);
    }
    let partition = line.partition;
    match (line.passed, line.finding, line.exact) {
        (Some(passed), None, None) => Ok(FindingRecord::Passed { partition, passed }),
        (None, Some(words), Some(exact)) => {
            let exact = BASE64.decode(exact).map_err(|_| Unreadable::BadJson)?;
            // One of before has no field for models at its end.
            let finding = postcard::from_bytes(&exact)
                .or_else(|_| earlier::reading(earlier::VECTORS - 1, || postcard::from_bytes(&exact)))
                .map_err(|_| Unreadable::Impossible)?;
            Ok(FindingRecord::Finding {
                partition,
                detector: words.detector,
                finding: Box::new(finding),
            })
        }
        _ => Err(Unreadable::BadJson),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ByModel, Context, Entity, Expected, FeatureSeen, MemoryName, NormalIf, Timestamp};

    fn finding() -> Finding {
        Finding {
            at: Timestamp::from_seconds(1_780_000_000),
            detector: 4,
            entity: Entity::from_bytes(&[4, 10, 0, 0, 7]),
            window: 1,
            window_start: Timestamp::from_seconds(1_779_999_900),
            rung: 3,
            p: 0.1 + 0.2,
            surprise: 12.345_678,
            seen: 37.0,
            seen_text: Some("a \"b\"".to_owned()),
            expected: Expected {
                z: f64::INFINITY,
                ..Expected::default()
            },
            normal_if: NormalIf::AtMost(3.0),
            memory: MemoryName::Slow,
            target: None,
            context: Context::default(),
            shared: false,
            regime_change: false,
            population: 7,
            by_model: Some(ByModel {
                epoch: 494_000,
                features: vec![FeatureSeen {
                    feature: 2,
                    seen: 40.0,
                    typical: 1.5,
                    share: 0.8,
                }],
                text: "b behind a".to_owned(),
            }),
        }
    }

    #[test]
    fn a_finding_comes_back_bit_for_bit_and_can_be_read() {
        let line = write_finding(3, "host_bytes_out", &finding());
        let text = String::from_utf8(line.clone()).expect("text");
        assert!(
            text.contains(r#""detector":"host_bytes_out","entity":"10.0.0.7","seen":37.0"#),
            "{text}"
        );
        let expected = FindingRecord::Finding {
            partition: 3,
            detector: "host_bytes_out".to_owned(),
            finding: Box::new(finding()),
        };
        assert_eq!(read_finding(Some(&line)), Ok(expected));
        for length in 0..line.len() {
            assert!(read_finding(Some(&line[..length])).is_err());
        }
    }

    #[test]
    fn how_far_a_partition_has_come_comes_back() {
        let passed = Passed {
            watermark: Timestamp::from_nanos(5),
            ended: vec![494_444, 494_445],
        };
        let line = write_passed(9, &passed);
        assert_eq!(
            read_finding(Some(&line)),
            Ok(FindingRecord::Passed { partition: 9, passed })
        );
        assert_eq!(
            read_finding(Some(br#"{"v":2,"partition":1}"#)),
            Err(Unreadable::UnknownVersion)
        );
        assert_eq!(
            read_finding(Some(br#"{"v":1,"partition":1}"#)),
            Err(Unreadable::BadJson)
        );
        assert_eq!(read_finding(None), Err(Unreadable::NoValue));
    }
}
