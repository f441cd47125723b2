//! Linux audit: records to events. An event is all records with one node, time and serial number, and is given out when
//! its last record was seen (EOE, PROCTITLE, or a kind of record that is always alone), or when the input has gone
//! on since its first: 2 s further, or [`OPEN_MAX`] events. A call that made its caller wait is written when it ends, with the
//! time at which it began, so an event's own time says nothing about how long its records have been coming. Events are given out in the order of their first records, so one that
//! is complete waits for an older one that is not.
//!
//! Reads what auditd writes (raw or enriched, with or without `node=`), what audispd sends to syslog, and the kernel's
//! own lines where no auditd runs. Not read: the prose of `ausearch -i`.

use super::audit_event::{Memory, build};
use super::text::{leading_number, split_once, word};
use super::{LineContext, LineDecoder, restored, saved};
use crate::domain::{Duration, Timestamp};
use crate::engine::decoder::Output;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How many events may be open.
const OPEN_MAX: usize = 64;
/// How many records of one event are kept; what is over is counted and passed over.
const RECORDS_MAX: usize = 64;
/// How many bytes of one event's records are kept.
const RECORD_BYTES_MAX: usize = 256 * 1024;
/// How long an event waits for its other records, in event time.
const WAIT: Duration = Duration::from_seconds(2);

/// One line: what kind of record, of which event, and its pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    node: &'a [u8],
    kind: &'a [u8],
    time: Timestamp,
    serial: u64,
    body: &'a [u8],
}

/// Whether a line is an audit record.
pub(super) fn is_line(line: &[u8]) -> bool {
    parse(line).is_some()
}

/// Reads `[node=web ]type=SYSCALL msg=audit(1684329817.579:2995): arch=...`, and `type=1300 audit(...)` as the kernel
/// writes it.
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let (node, rest) = match line.strip_prefix(b"node=") {
        Some(rest) => word(rest),
        None => (&b""[..], line),
    };
    let (kind, rest) = word(rest.strip_prefix(b"type=")?);
    let rest = rest.strip_prefix(b"msg=").unwrap_or(rest).strip_prefix(b"audit(")?;
    let (stamp, body) = split_once(rest, b"):")?;
    let (seconds, rest) = leading_number(stamp)?;
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => leading_number(rest)?,
        None => (0, rest),
    };
    let (serial, rest) = leading_number(rest.strip_prefix(b":")?)?;
    if !rest.is_empty() || kind.is_empty() || kind.len() > 64 || node.len() > 255 {
        return None;
    }
    let seconds = i64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds < i64::MAX / 1_000_000_000)?;
    // The kernel writes milliseconds, three digits.
    let nanos = i64::try_from(fraction.min(999)).ok()? * 1_000_000;
    let time = Timestamp::from_seconds(seconds).plus(Duration::from_nanos(nanos));
    Some(Line {
        node,
        kind: kind_name(kind),
        time,
        serial,
        body,
    })
}

/// The name of a record's kind that is given as a number.
fn kind_name(kind: &[u8]) -> &[u8] {
    let number = kind
        .strip_prefix(b"UNKNOWN[")
        .and_then(|kind| kind.strip_suffix(b"]"))
        .unwrap_or(kind);
    match number {
        b"1006" => b"LOGIN",
        b"1100" => b"USER_AUTH",
        b"1101" => b"USER_ACCT",
        b"1102" => b"USER_MGMT",
        b"1103" => b"CRED_ACQ",
        b"1104" => b"CRED_DISP",
        b"1105" => b"USER_START",
        b"1106" => b"USER_END",
        b"1108" => b"USER_CHAUTHTOK",
        b"1109" => b"USER_ERR",
        b"1110" => b"CRED_REFR",
        b"1112" => b"USER_LOGIN",
        b"1113" => b"USER_LOGOUT",
        b"1114" => b"ADD_USER",
        b"1115" => b"DEL_USER",
        b"1116" => b"ADD_GROUP",
        b"1117" => b"DEL_GROUP",
        b"1123" => b"USER_CMD",
        b"1130" => b"SERVICE_START",
        b"1131" => b"SERVICE_STOP",
        b"1132" => b"GRP_MGMT",
        b"1300" => b"SYSCALL",
        b"1302" => b"PATH",
        b"1305" => b"CONFIG_CHANGE",
        b"1306" => b"SOCKADDR",
        b"1307" => b"CWD",
        b"1309" => b"EXECVE",
        b"1320" => b"EOE",
        b"1325" => b"NETFILTER_CFG",
        b"1326" => b"SECCOMP",
        b"1327" => b"PROCTITLE",
        b"1400" => b"AVC",
        b"1701" => b"ANOM_ABEND",
        _ => kind,
    }
}

/// An event whose records are being gathered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) node: Vec<u8>,
    pub(super) time: Timestamp,
    pub(super) serial: u64,
    /// How far the input had gone when its first record came.
    since: Timestamp,
    /// Kind and pairs of each record, one after the other; ends of both.
    text: Vec<u8>,
    ends: Vec<(usize, usize)>,
    complete: bool,
}

impl Open {
    /// Every record's kind and pairs, in order.
    pub(super) fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut begin = 0;
        self.ends.iter().filter_map(move |(kind_end, end)| {
            let record = (self.text.get(begin..*kind_end)?, self.text.get(*kind_end..*end)?);
            begin = *end;
            Some(record)
        })
    }

    fn add(&mut self, line: &Line<'_>) {
        let bytes = line.kind.len().saturating_add(line.body.len());
        if self.ends.len() < RECORDS_MAX && self.text.len().saturating_add(bytes) <= RECORD_BYTES_MAX {
            self.text.extend_from_slice(line.kind);
            let kind_end = self.text.len();
            self.text.extend_from_slice(line.body);
            self.ends.push((kind_end, self.text.len()));
        }
    }
}

/// Gathers the records of one input.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Audit {
    open: VecDeque<Open>,
    /// Emptied events, for their buffers.
    #[serde(skip)]
    spare: Vec<Open>,
    latest: Option<Timestamp>,
    memory: Memory,
}

impl Audit {
    /// Takes one record and gives out what is complete. `host` is the machine where the record does not name one.
    pub(super) fn take(&mut self, line: &Line<'_>, host: &[u8], output: &mut Output) {
        let node = if line.node.is_empty() { host } else { line.node };
        let latest = self.latest.map_or(line.time, |latest| latest.max(line.time));
        self.latest = Some(latest);
        let same = |open: &&mut Open| open.serial == line.serial && open.time == line.time && open.node == node;
        let complete = matches!(line.kind, b"EOE" | b"PROCTITLE") || is_alone(line.kind);
        match self.open.iter_mut().rev().find(same) {
            Some(open) => {
                open.add(line);
                open.complete |= complete;
            }
            // The end of an event that was given out already.
            None if matches!(line.kind, b"EOE" | b"PROCTITLE") => return,
            None => {
                let mut open = self.spare.pop().unwrap_or(Open {
                    node: Vec::new(),
                    time: line.time,
                    serial: 0,
                    since: latest,
                    text: Vec::new(),
                    ends: Vec::new(),
                    complete: false,
                });
                open.node.clear();
                open.node.extend_from_slice(node);
                (open.time, open.serial, open.complete) = (line.time, line.serial, complete);
                open.since = latest;
                open.text.clear();
                open.ends.clear();
                open.add(line);
                self.open.push_back(open);
            }
        }
        self.give(latest, output);
    }

    /// Gives out from the oldest on what is complete or has waited long enough at `now`.
    pub(super) fn give(&mut self, now: Timestamp, output: &mut Output) {
        while let Some(open) = self.open.front() {
            if !open.complete && now.since(open.since) < WAIT && self.open.len() <= OPEN_MAX {
                return;
            }
            self.give_first(output);
        }
    }

    /// Gives out everything.
    pub(super) fn finish(&mut self, output: &mut Output) {
        while !self.open.is_empty() {
            self.give_first(output);
        }
    }

    fn give_first(&mut self, output: &mut Output) {
        let Some(open) = self.open.pop_front() else {
            return;
        };
        if let Some(event) = build(&open, &mut self.memory) {
            output.events.push(event);
        }
        if open.text.capacity() <= 16 * 1024 && self.spare.len() < OPEN_MAX {
            self.spare.push(open);
        }
    }
}

/// Kinds that programs send: always one record an event.
fn is_alone(kind: &[u8]) -> bool {
    const PREFIXES: &[&[u8]] = &[
        b"USER_",
        b"CRED_",
        b"DAEMON_",
        b"SERVICE_",
        b"SYSTEM_",
        b"ADD_",
        b"DEL_",
        b"GRP_",
        b"ACCT_",
        b"ROLE_",
        b"CRYPTO_",
        b"CHGRP_",
        b"CHUSER_",
        b"VIRT_",
        b"ANOM_LOGIN_",
    ];
    PREFIXES.iter().any(|prefix| kind.starts_with(prefix))
}

/// Reads the records of one input.
#[derive(Debug, Default)]
pub(super) struct AuditDecoder {
    audit: Audit,
}

impl AuditDecoder {
    pub(super) fn new(_context: LineContext) -> Self {
        Self::default()
    }
}

impl LineDecoder for AuditDecoder {
    fn line(&mut self, line: &[u8], output: &mut Output) {
        output.tally.records += 1;
        let line = line.trim_ascii();
        // What ausearch writes between events.
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"----") || line.starts_with(b"time->") {
            output.tally.ignore("comment");
            return;
        }
        match parse(line) {
            Some(record) => {
                output.tally.decoded += 1;
                self.audit.take(&record, b"", output);
            }
            None => output.tally.refuse("bad_audit_record"),
        }
    }

    fn advance(&mut self, time: Timestamp, output: &mut Output) {
        self.audit.give(time, output);
    }

    fn finish(&mut self, output: &mut Output) {
        self.audit.finish(output);
    }

    fn save(&self) -> Vec<u8> {
        saved(&self.audit)
    }

    fn restore(&mut self, saved: &[u8]) -> bool {
        restored(&mut self.audit, saved)
    }
}
