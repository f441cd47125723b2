//! What is collected.

use super::kafka::{self, KafkaInput};
use super::listeners::{self, NetflowInput, SyslogInput};
use super::{keys, text, whole, yes_or_no};
use crate::config::{bounded, expect_mapping};
use crate::domain::{Mistake, Place};

/// What is collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Log files.
    pub files: Vec<Files>,
    /// Network interfaces.
    pub interfaces: Vec<InterfaceInput>,
    /// Listeners for syslog.
    pub syslog: Vec<SyslogInput>,
    /// Listeners for NetFlow, IPFIX and sFlow.
    pub netflow: Vec<NetflowInput>,
    /// Topics of Kafka.
    pub kafka: Vec<KafkaInput>,
    /// Whether standard input is read.
    pub stdin: bool,
    /// Whether the system journal is followed.
    pub journal: bool,
}

impl Inputs {
    /// Whether a collector starts another program.
    pub fn starts_programs(&self) -> bool {
        self.journal
    }
}

/// A network interface that is captured from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceInput {
    /// Its name, such as `eth1`.
    pub name: String,
    /// Which frames, in libpcap's filter language. All without it.
    pub filter: Option<String>,
    /// Bytes of each frame that are kept.
    pub snap_bytes: u32,
    /// Bytes of the kernel's ring.
    pub buffer_bytes: u32,
    /// Whether frames for others are taken too, as a mirror port has them.
    pub promiscuous: bool,
    /// Threads that decode its frames.
    pub workers: usize,
}

/// Log files by path or pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// A path; `*`, `?`, `[a-z]` and `{a,b}` stand for parts of names, `**` for folders.
    pub path: String,
}

pub(super) fn read(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Inputs {
    let mut inputs = Inputs::default();
    expect_mapping(place, &keys::INPUTS, mistakes);
    if let Some(place) = place.get("syslog") {
        inputs.syslog = listeners::syslog(&place, mistakes);
    }
    if let Some(place) = place.get("netflow") {
        inputs.netflow = listeners::netflow(&place, mistakes);
    }
    if let Some(place) = place.get("kafka") {
        inputs.kafka = kafka::inputs(&place, mistakes);
    }
    inputs.stdin = yes_or_no(place, "stdin", false, mistakes);
    inputs.journal = yes_or_no(place, "journal", false, mistakes);
    let listed = match place.get("files") {
        Some(place) => bounded(&place, mistakes),
        None => Vec::new(),
    };
    for item in listed {
        let path = if item.value().is_mapping() {
            expect_mapping(&item, &keys::FILES, mistakes);
            item.get("path")
        } else {
            Some(item.clone())
        };
        match path {
            Some(path) => inputs.files.extend(text(&path, mistakes).map(|path| Files { path })),
            None => mistakes.push(item.mistake("the files have no `path`")),
        }
    }
    if let Some(place) = place.get("interfaces") {
        for item in bounded(&place, mistakes) {
            inputs.interfaces.extend(interface(&item, mistakes));
        }
    }
    inputs
}

fn interface(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<InterfaceInput> {
    let name = if item.value().is_mapping() {
        expect_mapping(item, &keys::INTERFACE, mistakes);
        item.get("name")
    } else {
        Some(item.clone())
    };
    let Some(name) = name else {
        mistakes.push(item.mistake("the interface has no `name`"));
        return None;
    };
    let mut number =
        |key: &str, usual: u64, least: u64, most: u64| whole(item, key, least, most, mistakes).unwrap_or(usual);
    let snap_bytes = number("snap_bytes", 65_535, 64, 262_144) as u32;
    let buffer_bytes = number("buffer_bytes", 64 << 20, 1 << 20, 2_000_000_000) as u32;
    let workers = number("workers", 1, 1, 64) as usize;
    let promiscuous = yes_or_no(item, "promiscuous", true, mistakes);
    Some(InterfaceInput {
        name: text(&name, mistakes)?,
        filter: item.get("filter").and_then(|place| text(&place, mistakes)),
        snap_bytes,
        buffer_bytes,
        promiscuous,
        workers,
    })
}
