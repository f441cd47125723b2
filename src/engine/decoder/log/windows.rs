//! Windows events as JSON, in three shapes: Winlogbeat's (`winlog.event_data`), the common flat export (`EventID`,
//! `TargetUserName` ... side by side) and that of the event itself (`Event.System`, `Event.EventData`). All become one
//! record, which `windows_security` and `sysmon` map to ECS as Winlogbeat's modules do. Events that neither knows
//! become plain ones with code, channel, host and message.

use super::json::Read;
use super::scanner::{Broken, Json, Pairs};
use super::values::{address, base_name, civil, host_name, whole};
use super::{sysmon, windows_security};
use crate::domain::{Event, Field, Timestamp};
use std::borrow::Cow;

/// How many names of an event's data are kept.
const DATA_MAX: usize = 256;
/// How many bytes of one text are taken.
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// How many bytes of the rendered message are taken.
const MESSAGE_BYTES_MAX: usize = 1024;

/// One Windows event, whichever shape it came in.
#[derive(Default)]
pub(super) struct Record<'a> {
    pub(super) code: u64,
    channel: Option<Json<'a>>,
    provider: Option<Json<'a>>,
    computer: Option<Json<'a>>,
    record_id: Option<Json<'a>>,
    keywords: Option<Json<'a>>,
    task: Option<Json<'a>>,
    opcode: Option<Json<'a>>,
    message: Option<Json<'a>>,
    outcome: Option<Json<'a>>,
    /// Candidates for the time, best first.
    times: [Option<Json<'a>>; 4],
    data: Vec<(&'a str, Json<'a>)>,
}

/// Reads one Windows event.
pub(super) fn read(text: &str) -> Read {
    match record(text) {
        Ok(Some(record)) => match event(&record) {
            Ok(event) => Read::Event(event),
            Err(reason) => Read::Refused(reason),
        },
        Ok(None) => Read::Other,
        Err(broken) => broken.into(),
    }
}

fn record(text: &str) -> Result<Option<Record<'_>>, Broken> {
    let mut record = Record::default();
    let (mut winlog, mut whole_event, mut own_event) = (None, None, None);
    let mut code = None;
    let mut pairs = Pairs::of(text)?;
    while let Some((key, value)) = pairs.next()? {
        match (key, value) {
            ("winlog", Json::Object(text)) => winlog = Some(text),
            ("Event", Json::Object(text)) => whole_event = Some(text),
            ("event", Json::Object(text)) => own_event = Some(text),
            ("EventID" | "event.code", value) => code = Some(value),
            ("message" | "Message", value) => record.message = Some(value),
            ("Channel", value) => record.channel = Some(value),
            ("SourceName" | "ProviderName" | "Provider", value @ Json::Text(_)) => record.provider = Some(value),
            ("Hostname" | "Computer" | "ComputerName", value) => record.computer = Some(value),
            ("RecordNumber" | "EventRecordID", value) => record.record_id = Some(value),
            ("Keywords", value) => record.keywords = Some(value),
            ("Task", value) => record.task = Some(value),
            ("Opcode", value) => record.opcode = Some(value),
            ("EventType", value @ Json::Text("AUDIT_SUCCESS" | "AUDIT_FAILURE")) => record.outcome = Some(value),
            ("@timestamp", value) => record.times[0] = Some(value),
            ("TimeCreated" | "SystemTime", value) => record.times[1] = Some(value),
            ("UtcTime", value) => record.times[2] = Some(value),
            ("EventTime", value) => record.times[3] = Some(value),
            (key, value) => record.keep(key, value),
        }
    }
    if let Some(text) = own_event {
        code = code.or(Pairs::of(text)?.find("code")?);
    }
    if let Some(text) = winlog {
        code = read_winlog(&mut record, text)?.or(code);
    }
    if let Some(text) = whole_event {
        code = read_event(&mut record, text)?.or(code);
    }
    let Some(code) = code.and_then(code_number) else {
        return Ok(None);
    };
    record.code = code;
    Ok(Some(record))
}

fn code_number(value: Json<'_>) -> Option<u64> {
    match value {
        Json::Number(text) | Json::Text(text) => whole(text),
        // `{"#text": 4624, "#attributes": {"Qualifiers": ...}}`
        Json::Object(text) => Pairs::of(text).ok()?.find("#text").ok()?.and_then(code_number),
        _ => None,
    }
}

/// Winlogbeat's part of a document; gives the event's code.
fn read_winlog<'a>(record: &mut Record<'a>, text: &'a str) -> Result<Option<Json<'a>>, Broken> {
    record.data.clear();
    let mut code = None;
    let mut pairs = Pairs::of(text)?;
    while let Some((key, value)) = pairs.next()? {
        match (key, value) {
            ("event_id", value) => code = Some(value),
            ("channel", value) => record.channel = Some(value),
            ("provider_name", value) => record.provider = Some(value),
            ("computer_name", value) => record.computer = Some(value),
            ("record_id", value) => record.record_id = Some(value),
            ("task", value) => record.task = Some(value),
            ("opcode", value) => record.opcode = Some(value),
            ("keywords", value) => record.keywords = Some(value),
            ("event_data" | "user_data", Json::Object(text)) => read_data(record, text)?,
            _ => {}
        }
    }
    Ok(code)
}

/// The event as Windows itself shapes it; gives the event's code.
fn read_event<'a>(record: &mut Record<'a>, text: &'a str) -> Result<Option<Json<'a>>, Broken> {
    record.data.clear();
    let mut code = None;
    let mut pairs = Pairs::of(text)?;
    while let Some((key, value)) = pairs.next()? {
        match (key, value) {
            ("System", Json::Object(text)) => {
                let mut system = Pairs::of(text)?;
                while let Some((key, value)) = system.next()? {
                    match key {
                        "EventID" => code = Some(value),
                        "Channel" => record.channel = Some(value),
                        "Computer" => record.computer = Some(value),
                        "EventRecordID" => record.record_id = Some(value),
                        "Keywords" => record.keywords = Some(value),
                        "Task" => record.task = Some(value),
                        "Opcode" => record.opcode = Some(value),
                        "Provider" => record.provider = attribute(value, "Name")?,
                        "TimeCreated" => record.times[0] = attribute(value, "SystemTime")?,
                        _ => {}
                    }
                }
            }
            ("EventData", Json::Object(text)) => read_data(record, text)?,
            // `UserData` holds one object, named by the provider.
            ("UserData", Json::Object(text)) => {
                if let Some((_, Json::Object(inner))) = Pairs::of(text)?.next()? {
                    read_data(record, inner)?;
                }
            }
            _ => {}
        }
    }
    Ok(code)
}

fn read_data<'a>(record: &mut Record<'a>, text: &'a str) -> Result<(), Broken> {
    let mut pairs = Pairs::of(text)?;
    while let Some((key, value)) = pairs.next()? {
        record.keep(key, value);
    }
    Ok(())
}

/// An attribute of an XML element: `{"#attributes": {"Name": ...}}`, `{"@Name": ...}` or `{"Name": ...}`.
fn attribute<'a>(value: Json<'a>, name: &str) -> Result<Option<Json<'a>>, Broken> {
    let Json::Object(text) = value else {
        return Ok(Some(value));
    };
    let mut pairs = Pairs::of(text)?;
    while let Some((key, value)) = pairs.next()? {
        match value {
            Json::Object(inner) if key == "#attributes" => return Pairs::of(inner)?.find(name),
            _ if key.trim_start_matches('@') == name => return Ok(Some(value)),
            _ => {}
        }
    }
    Ok(None)
}

impl<'a> Record<'a> {
    fn keep(&mut self, key: &'a str, value: Json<'a>) {
        if self.data.len() < DATA_MAX {
            self.data.push((key, value));
        }
    }

    /// A text of the event's data, within a bound. Empty and `-` are no values.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let (_, value) = self.data.iter().find(|(key, _)| *key == name)?;
        bounded(*value, TEXT_BYTES_MAX).filter(|text| !matches!(text.as_ref(), "" | "-" | "N/A"))
    }

    /// A number of the event's data, decimal or hexadecimal (`0x27b4`).
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => whole(&text),
        }
    }

    /// Whether the audit that the event reports failed: its keyword, or what the exporter made of it.
    pub(super) fn audit_failed(&self) -> bool {
        const AUDIT_FAILURE: i64 = 0x0010_0000_0000_0000;
        if self.outcome == Some(Json::Text("AUDIT_FAILURE")) {
            return true;
        }
        match self.keywords {
            Some(Json::Array(list)) => list.contains("Audit Failure"),
            Some(Json::Text(text)) => match text.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).is_ok_and(|bits| bits & AUDIT_FAILURE as u64 != 0),
                None => text == "Audit Failure",
            },
            Some(Json::Number(text)) => text.parse::<i64>().is_ok_and(|bits| bits & AUDIT_FAILURE != 0),
            _ => false,
        }
    }

    fn time(&self) -> Option<Timestamp> {
        self.times.iter().flatten().find_map(|value| match value {
            Json::Text(text) => civil(text),
            _ => None,
        })
    }
}

fn bounded(value: Json<'_>, bytes_max: usize) -> Option<Cow<'_, str>> {
    let cut = |text: &str| text.floor_char_boundary(bytes_max);
    match value.text()? {
        Cow::Borrowed(text) => Some(Cow::Borrowed(text.get(..cut(text)).unwrap_or(""))),
        Cow::Owned(mut text) => {
            text.truncate(cut(&text));
            Some(Cow::Owned(text))
        }
    }
}

fn event(record: &Record<'_>) -> Result<Event, &'static str> {
    let time = record.time().ok_or("windows_no_time")?;
    let mut event = Event::new(time);
    event.add_str(Field::EventKind, "event");
    event.add_str(Field::EventCode, &record.code.to_string());
    event.add_u64(Field::WinlogEventId, record.code);
    for (field, value) in [
        (Field::WinlogChannel, record.channel),
        (Field::EventProvider, record.provider),
        (Field::WinlogProviderName, record.provider),
        (Field::WinlogComputerName, record.computer),
        (Field::WinlogTask, record.task),
        (Field::WinlogOpcode, record.opcode),
        (Field::WinlogKeywords, record.keywords),
    ] {
        if let Some(text) = value.and_then(|value| bounded(value, TEXT_BYTES_MAX)) {
            event.add_str(field, &text);
        }
    }
    if let Some(number) = record.record_id.and_then(code_number) {
        event.add_u64(Field::WinlogRecordId, number);
    }
    if let Some(name) = record.computer.and_then(Json::text) {
        event.add_str(Field::HostName, &host_name(&name));
    }
    if let Some(message) = record.message.and_then(|value| bounded(value, MESSAGE_BYTES_MAX)) {
        event.add_str(Field::Message, message.split(['\r', '\n']).next().unwrap_or(""));
    }
    let channel = record
        .channel
        .and_then(Json::text)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let provider = record
        .provider
        .and_then(Json::text)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if provider.contains("sysmon") || channel.contains("sysmon") {
        event.add_str(Field::EventModule, "sysmon");
        event.add_str(Field::EventDataset, "windows.sysmon");
        sysmon::add(&mut event, record);
    } else {
        let dataset = match channel.as_str() {
            "security" => "windows.security",
            "system" => "windows.system",
            _ => "windows.other",
        };
        let module = if channel == "security" { "security" } else { "windows" };
        event.add_str(Field::EventModule, module);
        event.add_str(Field::EventDataset, dataset);
        match channel.as_str() {
            "security" => windows_security::add(&mut event, record),
            "system" if record.code == 7045 => windows_security::add_service(&mut event, record),
            _ => {}
        }
    }
    Ok(event)
}

/// Adds text of the event's data, where it has a value.
pub(super) fn add_text(event: &mut Event, field: Field, record: &Record<'_>, name: &str) {
    if let Some(text) = record.text(name) {
        event.add_str(field, &text);
    }
}

/// Adds a number of the event's data, where it has one.
pub(super) fn add_number(event: &mut Event, field: Field, record: &Record<'_>, name: &str) {
    if let Some(number) = record.number(name) {
        event.add_u64(field, number);
    }
}

/// Adds an address of the event's data. `LOCAL` and what else is no address is left out.
pub(super) fn add_address(event: &mut Event, field: Field, record: &Record<'_>, name: &str) {
    if let Some(address) = record.text(name).and_then(|text| address(&text)) {
        event.add_ip(field, address);
    }
}

/// Adds a port of the event's data. Zero is no port.
pub(super) fn add_port(event: &mut Event, field: Field, record: &Record<'_>, name: &str) {
    if let Some(port) = record.number(name).filter(|port| *port > 0) {
        event.add_u64(field, port);
    }
}

/// Adds category, type and action.
pub(super) fn classify(event: &mut Event, categories: &[&str], types: &[&str], action: &str) {
    for category in categories {
        event.add_str(Field::EventCategory, category);
    }
    for event_type in types {
        event.add_str(Field::EventType, event_type);
    }
    event.add_str(Field::EventAction, action);
}

/// Adds a program's path under `executable` and its last part under `name`.
pub(super) fn add_program(event: &mut Event, fields: (Field, Field), record: &Record<'_>, name: &str) {
    let (executable, short) = fields;
    if let Some(path) = record.text(name) {
        event.add_str(executable, &path);
        event.add_str(short, base_name(&path));
    }
}

/// Adds `DOMAIN\user` or `user@domain` as user and domain.
pub(super) fn add_account(event: &mut Event, fields: (Field, Field), account: &str) {
    let (name_field, domain_field) = fields;
    let (domain, name) = match account.split_once('\\') {
        Some((domain, name)) => (domain, name),
        None => account
            .split_once('@')
            .map_or(("", account), |(name, domain)| (domain, name)),
    };
    event.add_str(name_field, name);
    if !event.has(domain_field) {
        event.add_str(domain_field, domain);
    }
}
