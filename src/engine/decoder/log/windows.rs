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
        bounded(*value, TEXT_BYTES_MAX).filter(|text| !matches!(text.as_ref(), "" | "-" | "N/A" | "<unknown process>"))
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

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::check::{check, decode, decode_bytes, mutate, show};

    const FLAT: &str = r#"{"@timestamp":"2020-07-22T03:27:42.455Z","EventID":4625,"Channel":"Security","Hostname":"WORKSTATION5.mordor.local","SourceName":"Microsoft-Windows-Security-Auditing","Keywords":-9218868437227405312,"TargetUserName":"CORP\\Alice","TargetDomainName":"-","TargetUserSid":"S-1-0-0","IpAddress":"::ffff:10.0.0.7","IpPort":"0","LogonType":3,"Status":"0xc000006d","SubStatus":"0xc0000064","ProcessId":"0x27b4","ProcessName":"C:\\Windows\\System32\\lsass.exe","Message":"An account failed to log on.\r\n\r\nSubject:"}"#;
    const WINLOGBEAT: &str = r#"{"@timestamp":"2020-07-22T03:27:42.455Z","event":{"code":4625,"outcome":"failure"},"message":"An account failed to log on.","winlog":{"event_id":"4625","channel":"Security","computer_name":"WORKSTATION5.mordor.local","provider_name":"Microsoft-Windows-Security-Auditing","keywords":["Audit Failure"],"event_data":{"TargetUserName":"Alice","TargetDomainName":"CORP","TargetUserSid":"S-1-0-0","IpAddress":"10.0.0.7","IpPort":"-","LogonType":"3","Status":"0xc000006d","SubStatus":"0xc0000064","ProcessId":"0x27b4","ProcessName":"C:\\Windows\\System32\\lsass.exe"}}}"#;
    const EVENT: &str = r##"{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Security-Auditing"}},"EventID":{"#text":4625,"#attributes":{"Qualifiers":0}},"Keywords":"0x8010000000000000","TimeCreated":{"#attributes":{"SystemTime":"2020-07-22T03:27:42.455Z"}},"Channel":"Security","Computer":"WORKSTATION5.mordor.local"},"EventData":{"TargetUserName":"Alice","TargetDomainName":"CORP","TargetUserSid":"S-1-0-0","IpAddress":"10.0.0.7","LogonType":3,"Status":"0xc000006d","SubStatus":"0xc0000064","ProcessId":"0x27b4","ProcessName":"C:\\Windows\\System32\\lsass.exe"}}}"##;

    fn flat(code: u32, channel: &str, data: &str) -> String {
        format!(
            r#"{{"TimeCreated":"2020-10-19T03:30:46.416Z","EventID":{code},"Channel":"{channel}","Hostname":"PC1",{data}}}"#
        )
    }

    #[test]
    fn a_failed_logon_is_the_same_in_all_three_shapes() {
        for line in [FLAT, WINLOGBEAT, EVENT] {
            check(
                Format::Json,
                line,
                "event.category=authentication event.type=start event.action=logon-failed event.outcome=failure \
                 event.code=4625 user.name=Alice user.domain=CORP source.ip=10.0.0.7 !source.port host.name=workstation5 \
                 winlog.logon.type=Network event.reason=no%20such%20user process.name=lsass.exe process.pid=10164 \
                 event.module=security event.provider=Microsoft-Windows-Security-Auditing",
            );
        }
    }

    #[test]
    fn security_events_are_mapped_as_winlogbeat_maps_them() {
        let subject = r#""SubjectUserName":"wardog","SubjectDomainName":"PC1","SubjectLogonId":"0xc61d9""#;
        for (code, data, expected) in [
            (
                4624,
                r#""TargetUserName":"PC1$","TargetDomainName":"CORP","LogonType":10,"IpAddress":"::1","IpPort":"50001""#,
                "event.action=logged-in event.outcome=success user.name=PC1$ user.domain=CORP source.ip=::1 source.port=50001 winlog.logon.type=RemoteInteractive",
            ),
            (
                4624,
                r#""TargetUserName":"a","IpAddress":"-","IpPort":"-","LogonType":"2""#,
                "!source.ip !source.port winlog.logon.type=Interactive",
            ),
            (
                4634,
                r#""TargetUserName":"bob","LogonType":3"#,
                "event.action=logged-out event.type=end user.name=bob",
            ),
            (
                4648,
                &format!(r#"{subject},"TargetUserName":"admin","TargetServerName":"dc1""#),
                "event.action=logged-in-explicit user.name=wardog user.effective.name=admin user.target.name=admin destination.domain=dc1",
            ),
            (
                4663,
                &format!(
                    r#"{subject},"ObjectType":"File","ObjectName":"C:\\Data\\plan.DOCX","AccessMask":"0x1","ProcessName":"C:\\x\\y.exe""#
                ),
                "event.category=file event.type=access event.action=file-read file.path=C:\\Data\\plan.DOCX file.name=plan.DOCX file.extension=docx file.directory=C:\\Data process.name=y.exe user.name=wardog",
            ),
            (
                4663,
                &format!(r#"{subject},"ObjectType":"File","ObjectName":"C:\\a","AccessMask":"0x10000""#),
                "event.type=deletion event.action=file-deleted",
            ),
            (
                4663,
                &format!(r#"{subject},"ObjectType":"Key","ObjectName":"\\REGISTRY\\MACHINE","AccessMask":"0x2""#),
                "event.category=registry registry.path=\\REGISTRY\\MACHINE",
            ),
            (
                4672,
                &format!(r#"{subject},"PrivilegeList":"SeDebugPrivilege\r\n\t\t\tSeBackupPrivilege""#),
                "event.category=iam event.action=logged-in-special winlog.event_data.privilege_list=SeBackupPrivilege",
            ),
            (
                4688,
                &format!(
                    r#"{subject},"NewProcessName":"C:\\W\\cmd.exe","NewProcessId":"0x10","CommandLine":"cmd /c dir","ParentProcessName":"C:\\W\\explorer.exe","ProcessId":"0x20","TargetUserName":"-""#
                ),
                "event.category=process event.type=start event.action=created-process process.name=cmd.exe process.pid=16 process.command_line=cmd%20/c%20dir process.parent.name=explorer.exe process.parent.pid=32 !user.target.name",
            ),
            (
                4720,
                &format!(r#"{subject},"TargetUserName":"eve","TargetDomainName":"CORP""#),
                "event.category=iam event.type=user event.type=creation event.action=added-user-account user.name=wardog user.target.name=eve",
            ),
            (
                4768,
                r#""TargetUserName":"bob","Status":"0x6","IpAddress":"::ffff:10.0.0.8","IpPort":"5","ServiceName":"krbtgt""#,
                "event.outcome=failure event.action=kerberos-authentication-ticket-requested source.ip=10.0.0.8 service.name=krbtgt",
            ),
            (
                4769,
                r#""TargetUserName":"bob@CORP.EXAMPLE","Status":"0x0","ServiceName":"PC1$""#,
                "event.outcome=success event.action=kerberos-service-ticket-requested user.name=bob user.domain=CORP.EXAMPLE",
            ),
            (
                4776,
                r#""TargetUserName":"bob","Workstation":"PC9","Status":"0xc000006a""#,
                "event.outcome=failure event.action=credential-validated source.domain=PC9 event.reason=wrong%20password",
            ),
            (
                5140,
                &format!(r#"{subject},"ShareName":"\\\\*\\C$","IpAddress":"10.0.0.9","IpPort":"49""#),
                "event.category=network event.category=file event.action=network-share-object-accessed file.share=\\\\*\\C$ source.ip=10.0.0.9",
            ),
            (
                5145,
                &format!(r#"{subject},"ShareName":"\\\\*\\C$","RelativeTargetName":"a\\b.txt""#),
                "event.action=network-share-object-access-checked file.path=\\\\*\\C$\\a\\b.txt file.name=b.txt",
            ),
            (
                9999,
                r#""Message":"Something\r\nelse""#,
                "event.code=9999 message=Something !event.category",
            ),
        ] {
            check(Format::Json, &flat(code, "Security", data), expected);
        }
        check(
            Format::Json,
            &flat(
                7045,
                "System",
                r#""ServiceName":"PSEXESVC","ImagePath":"%SystemRoot%\\PSEXESVC.exe","StartType":"demand start","AccountName":"LocalSystem""#,
            ),
            "event.action=service-installed service.name=PSEXESVC event.category=configuration user.target.name=LocalSystem",
        );
    }

    #[test]
    fn sysmon_events_are_mapped_as_winlogbeat_maps_them() {
        for (code, data, expected) in [
            (
                1,
                r#""Image":"C:\\a\\b.exe","CommandLine":"b -x","ProcessId":77,"User":"CORP\\bob","Hashes":"MD5=AA,SHA256=BB","ParentImage":"C:\\p.exe","ParentProcessId":"5","ProcessGuid":"{0197}""#,
                "event.category=process event.type=start process.name=b.exe process.pid=77 user.name=bob user.domain=CORP process.hash.sha256=bb process.parent.name=p.exe process.parent.pid=5 process.entity_id=0197",
            ),
            (
                3,
                r#""Image":"C:\\a.exe","SourceIp":"10.0.0.1","SourcePort":"5000","DestinationIp":"fe80:0:0:0:0:0:0:1","DestinationPort":443,"Protocol":"tcp","Initiated":"true""#,
                "event.category=network event.type=connection source.ip=10.0.0.1 destination.ip=fe80::1 destination.port=443 network.transport=tcp process.name=a.exe",
            ),
            (
                10,
                r#""SourceImage":"C:\\m.exe","TargetImage":"C:\\Windows\\lsass.exe","GrantedAccess":"0x1010","SourceProcessId":"9""#,
                "event.category=process event.type=access process.name=m.exe process.pid=9 winlog.event_data.target_image=C:\\Windows\\lsass.exe winlog.event_data.granted_access=0x1010",
            ),
            (
                11,
                r#""Image":"C:\\a.exe","TargetFilename":"C:\\Users\\b\\x.ps1""#,
                "event.category=file event.type=creation file.path=C:\\Users\\b\\x.ps1 file.extension=ps1 process.name=a.exe",
            ),
            (
                22,
                r#""Image":"C:\\a.exe","QueryName":"A.example.com","QueryStatus":"0","QueryResults":"type:  5 b.example.com;::ffff:198.18.1.2;""#,
                "dns.question.name=a.example.com dns.question.registered_domain=example.com dns.response_code=NOERROR dns.answers.data=b.example.com dns.resolved_ip=198.18.1.2",
            ),
        ] {
            let line = flat(code, "Microsoft-Windows-Sysmon/Operational", data);
            check(Format::Json, &line, expected);
        }
    }

    #[test]
    fn an_event_without_a_time_is_refused_and_a_long_message_is_cut() {
        let output = decode_bytes(Format::Json, br#"{"EventID":1,"Channel":"Security"}"#);
        assert_eq!(output.tally.refused.get("windows_no_time"), Some(&1));
        let long = flat(1, "Application", &format!(r#""Message":"{}""#, "x".repeat(100_000)));
        let events = decode(Format::Json, &long);
        assert!(events.iter().all(|event| show(event).len() < 4096));
    }

    #[test]
    fn broken_lines_never_panic() {
        mutate(Format::Json, &[FLAT, WINLOGBEAT, EVENT].join("\n"), 2000);
    }
}
