//! What the object named as an EVE line's type says: flow, netflow, dns (all three forms), http, tls, quic, ssh, alert,
//! fileinfo, dhcp, krb5, smb, anomaly, drop. Other types become plain network events.

use super::eve::Sections;
use super::scanner::{Broken, Items, Json, Pairs};
use super::values::{
    add_file_path, add_question_name, add_url, add_url_host, address, civil, hardware_address, lower, whole,
};
use super::zeek_domain::{add_kerberos_outcome, add_principal};
use super::zeek_kinds::{code_name, type_name};
use super::zeek_services::{add_http_outcome, add_tls_version};
use crate::domain::{Event, Field, Timestamp};

/// How many answers of a DNS message are taken.
const ANSWERS_TAKEN_MAX: usize = 48;

/// Adds what the line says in its sections.
pub(super) fn add(event: &mut Event, event_type: &str, sections: &Sections<'_>) -> Result<(), Broken> {
    let own = sections.own;
    match event_type {
        "flow" | "netflow" => flow(event, own)?,
        "dns" => {
            classify(event, "event", &["network"], &["connection", "protocol"]);
            add_protocol(event, "dns");
            dns(event, sections.dns)?;
        }
        "http" | "http2" => {
            classify(event, "event", &["web"], &["access"]);
            add_protocol(event, "http");
            http(event, own)?;
        }
        "tls" => {
            classify(event, "event", &["network"], &["connection", "protocol"]);
            add_protocol(event, "tls");
            tls(event, own)?;
        }
        "quic" => {
            classify(event, "event", &["network"], &["connection", "protocol"]);
            add_protocol(event, "quic");
            tls(event, own)?;
        }
        "ssh" => {
            classify(event, "event", &["network"], &["connection", "protocol"]);
            add_protocol(event, "ssh");
            ssh(event, own)?;
        }
        "alert" => {
            alert(event, sections.alert)?;
            http(event, sections.http)?;
            tls(event, sections.tls)?;
            dns(event, sections.dns)?;
        }
        "fileinfo" => fileinfo(event, own)?,
        "dhcp" => dhcp(event, own)?,
        "krb5" => kerberos(event, own)?,
        "smb" => smb(event, own)?,
        "anomaly" => anomaly(event, own)?,
        "drop" => {
            classify(event, "event", &["network"], &["connection", "denied"]);
            event.add_str(Field::EventAction, "dropped");
        }
        other => {
            classify(event, "event", &["network"], &["connection", "protocol"]);
            add_protocol(event, other);
        }
    }
    Ok(())
}

fn classify(event: &mut Event, kind: &str, categories: &[&str], types: &[&str]) {
    event.add_str(Field::EventKind, kind);
    for category in categories {
        event.add_str(Field::EventCategory, category);
    }
    for event_type in types {
        event.add_str(Field::EventType, event_type);
    }
}

fn add_protocol(event: &mut Event, protocol: &str) {
    if !event.has(Field::NetworkProtocol) {
        event.add_str(Field::NetworkProtocol, protocol);
    }
}

/// Hands every pair of an object to `take`; no object has no pairs.
fn walk<'a>(text: Option<&'a str>, mut take: impl FnMut(&'a str, Json<'a>)) -> Result<(), Broken> {
    let Some(text) = text else { return Ok(()) };
    let mut pairs = Pairs::of(text)?;
    while let Some((key, value)) = pairs.next()? {
        take(key, value);
    }
    Ok(())
}

fn add_text(event: &mut Event, field: Field, value: Json<'_>) {
    if let Some(text) = value.text() {
        event.add_str(field, text.get(..text.floor_char_boundary(8 * 1024)).unwrap_or(""));
    }
}

fn add_lower(event: &mut Event, field: Field, value: Json<'_>) {
    if let Some(text) = value.text() {
        event.add_str(field, &lower(&text));
    }
}

fn add_count(event: &mut Event, field: Field, value: Json<'_>) {
    if let Some(number) = count(value) {
        event.add_u64(field, number);
    }
}

fn add_address(event: &mut Event, field: Field, value: Json<'_>) {
    if let Json::Text(text) = value
        && let Some(address) = address(text)
        && !address.is_unspecified()
    {
        event.add_ip(field, address);
    }
}

fn count(value: Json<'_>) -> Option<u64> {
    match value {
        Json::Number(text) | Json::Text(text) => whole(text),
        _ => None,
    }
}

fn moment(value: Json<'_>) -> Option<Timestamp> {
    match value {
        Json::Text(text) => civil(text),
        _ => None,
    }
}

/// A flow whose end stands before its start has neither duration nor start.
fn flow(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    classify(event, "event", &["network"], &["connection", "end"]);
    let (mut start, mut end) = (None, None);
    let (mut bytes, mut packets) = (None::<u64>, None::<u64>);
    let more = |sum: &mut Option<u64>, value| {
        *sum = count(value).map_or(*sum, |number| Some(sum.unwrap_or(0).saturating_add(number)));
    };
    walk(own, |key, value| match key {
        "start" => start = moment(value),
        "end" => end = moment(value),
        "bytes_toserver" | "bytes" => {
            add_count(event, Field::SourceBytes, value);
            more(&mut bytes, value);
        }
        "bytes_toclient" => {
            add_count(event, Field::DestinationBytes, value);
            more(&mut bytes, value);
        }
        "pkts_toserver" | "pkts" => {
            add_count(event, Field::SourcePackets, value);
            more(&mut packets, value);
        }
        "pkts_toclient" => {
            add_count(event, Field::DestinationPackets, value);
            more(&mut packets, value);
        }
        "reason" => add_text(event, Field::EventReason, value),
        _ => {}
    })?;
    for (field, sum) in [(Field::NetworkBytes, bytes), (Field::NetworkPackets, packets)] {
        if let Some(sum) = sum {
            event.add_u64(field, sum);
        }
    }
    if let Some(end) = end {
        event.set_time(end);
    }
    if let Some(start) = start
        && start <= event.time()
    {
        event.set_start(start);
        event.add_i64(Field::EventDuration, event.time().since(start).nanos());
    }
    Ok(())
}

/// Version 1 has one record an answer, version 2 one a message with `rrname` at its top, version 3 lists `queries`.
/// Inside an alert, `query` and `answer` stand beside each other.
fn dns(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    let mut message = Dns::default();
    walk(own, |key, value| message.take(key, value))?;
    if let Some(Json::Array(queries)) = message.queries
        && let Some(Json::Object(query)) = Items::of(queries)?.next()?
    {
        walk(Some(query), |key, value| message.take_question(key, value))?;
    }
    if let Some(Json::Object(answer)) = message.nested_answer {
        walk(Some(answer), |key, value| message.take(key, value))?;
    }
    if let Some(name) = message.name.and_then(Json::text) {
        add_question_name(event, &name);
    }
    let kind = message.question_type.and_then(|value| match value {
        Json::Number(text) => whole(text).map(type_name),
        value => value.text(),
    });
    if let Some(kind) = kind {
        event.add_str(Field::DnsQuestionType, &kind.to_ascii_uppercase());
    }
    if let Some(id) = message.id {
        add_text(event, Field::DnsId, id);
    }
    let answered = matches!(message.kind, Some("answer" | "response"));
    if message.kind.is_some() {
        event.add_str(Field::DnsType, if answered { "answer" } else { "query" });
    }
    if let Some(code) = message.code {
        match code {
            Json::Number(text) => {
                if let Some(number) = whole(text) {
                    event.add_str(Field::DnsResponseCode, &code_name(number));
                }
            }
            code => add_text(event, Field::DnsResponseCode, code),
        }
        if answered {
            let failed = event.str(Field::DnsResponseCode).is_some_and(|code| code != "NOERROR");
            event.add_str(Field::EventOutcome, if failed { "failure" } else { "success" });
        }
    }
    for (set, name) in [
        (message.aa, "AA"),
        (message.tc, "TC"),
        (message.rd, "RD"),
        (message.ra, "RA"),
    ] {
        if set {
            event.add_str(Field::DnsHeaderFlags, name);
        }
    }
    let mut answers = 0u64;
    if let Some(data) = message.data {
        answers += 1;
        add_answer(event, data, message.ttl);
    }
    if let Some(Json::Array(list)) = message.answers {
        let mut items = Items::of(list)?;
        while let Some(item) = items.next()? {
            let Json::Object(answer) = item else { continue };
            answers += 1;
            if answers > ANSWERS_TAKEN_MAX as u64 {
                continue;
            }
            let (mut data, mut ttl) = (None, None);
            walk(Some(answer), |key, value| match key {
                "rdata" => data = Some(value),
                "ttl" => ttl = Some(value),
                "rrtype" => add_text(event, Field::DnsAnswersType, value),
                _ => {}
            })?;
            if let Some(data) = data {
                add_answer(event, data, ttl);
            }
        }
    }
    if answered {
        event.add_u64(Field::DnsAnswersCount, answers);
    }
    Ok(())
}

#[derive(Default)]
struct Dns<'a> {
    kind: Option<&'a str>,
    name: Option<Json<'a>>,
    question_type: Option<Json<'a>>,
    id: Option<Json<'a>>,
    code: Option<Json<'a>>,
    data: Option<Json<'a>>,
    ttl: Option<Json<'a>>,
    answers: Option<Json<'a>>,
    queries: Option<Json<'a>>,
    nested_answer: Option<Json<'a>>,
    aa: bool,
    tc: bool,
    rd: bool,
    ra: bool,
}

impl<'a> Dns<'a> {
    fn take(&mut self, key: &str, value: Json<'a>) {
        match (key, value) {
            ("type", Json::Text(text)) => self.kind = Some(text),
            ("id", value) => self.id = Some(value),
            ("rcode", value) => self.code = Some(value),
            ("rdata", value) => self.data = Some(value),
            ("ttl", value) => self.ttl = Some(value),
            ("answers", value) => self.answers = Some(value),
            ("queries" | "query", value @ Json::Array(_)) => self.queries = Some(value),
            ("answer", value) => self.nested_answer = Some(value),
            ("aa", Json::Bool(yes)) => self.aa = yes,
            ("tc", Json::Bool(yes)) => self.tc = yes,
            ("rd", Json::Bool(yes)) => self.rd = yes,
            ("ra", Json::Bool(yes)) => self.ra = yes,
            (key, value) => self.take_question(key, value),
        }
    }

    fn take_question(&mut self, key: &str, value: Json<'a>) {
        match key {
            "rrname" => self.name = Some(value),
            "rrtype" => self.question_type = Some(value),
            "id" => self.id = self.id.or(Some(value)),
            _ => {}
        }
    }
}

fn add_answer(event: &mut Event, data: Json<'_>, ttl: Option<Json<'_>>) {
    add_text(event, Field::DnsAnswersData, data);
    add_address(event, Field::DnsResolvedIp, data);
    if let Some(ttl) = ttl {
        add_count(event, Field::DnsAnswersTtl, ttl);
    }
}

fn http(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    let mut status = None;
    walk(own, |key, value| match key {
        "hostname" => {
            if let Some(host) = value.text() {
                add_url_host(event, &host);
            }
        }
        "http_port" if event.has(Field::UrlPort) => {}
        "http_port" => add_count(event, Field::UrlPort, value),
        "url" => {
            if let Some(url) = value.text() {
                add_url(event, url.get(..url.floor_char_boundary(8 * 1024)).unwrap_or(""));
            }
        }
        "http_user_agent" => add_text(event, Field::UserAgentOriginal, value),
        "http_method" => add_text(event, Field::HttpRequestMethod, value),
        "http_refer" => add_text(event, Field::HttpRequestReferrer, value),
        "http_content_type" => add_text(event, Field::HttpResponseMimeType, value),
        "protocol" => {
            if let Some(text) = value.text() {
                event.add_str(Field::HttpVersion, text.strip_prefix("HTTP/").unwrap_or(&text));
            }
        }
        "status" => {
            status = count(value);
            add_count(event, Field::HttpResponseStatusCode, value);
        }
        "length" => add_count(event, Field::HttpResponseBodyBytes, value),
        _ => {}
    })?;
    add_http_outcome(event, status);
    Ok(())
}

fn tls(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    let (mut ja3, mut ja3s) = (None, None);
    walk(own, |key, value| match key {
        "sni" => add_lower(event, Field::TlsClientServerName, value),
        "version" => {
            if let Some(text) = value
                .text()
                .filter(|text| text.bytes().any(|byte| byte.is_ascii_alphabetic()))
            {
                add_tls_version(event, &text);
            }
        }
        "subject" => add_text(event, Field::TlsServerSubject, value),
        "issuerdn" => add_text(event, Field::TlsServerIssuer, value),
        "session_resumed" => {
            if let Json::Bool(yes) = value {
                event.add_bool(Field::TlsResumed, yes);
            }
        }
        "ja4" => add_text(event, Field::TlsClientJa4, value),
        "ja3" => ja3 = Some(value),
        "ja3s" => ja3s = Some(value),
        _ => {}
    })?;
    for (field, print) in [(Field::TlsClientJa3, ja3), (Field::TlsServerJa3s, ja3s)] {
        match print {
            Some(Json::Object(text)) => {
                if let Some(hash) = Pairs::of(text)?.find("hash")? {
                    add_lower(event, field, hash);
                }
            }
            Some(hash) => add_lower(event, field, hash),
            None => {}
        }
    }
    Ok(())
}

fn ssh(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    let mut sides = Vec::new();
    walk(own, |key, value| match (key, value) {
        ("client", Json::Object(text)) => sides.push((Field::SshClient, Field::SshHassh, text)),
        ("server", Json::Object(text)) => sides.push((Field::SshServer, Field::SshHasshServer, text)),
        _ => {}
    })?;
    for (banner, hassh, text) in sides.into_iter().take(2) {
        let (mut protocol, mut software, mut print) = (None, None, None);
        walk(Some(text), |key, value| match key {
            "proto_version" => protocol = value.text(),
            "software_version" => software = value.text(),
            "hassh" => print = Some(value),
            _ => {}
        })?;
        if let Some(software) = software {
            let protocol = protocol.unwrap_or(std::borrow::Cow::Borrowed("2.0"));
            event.add_str(banner, &format!("SSH-{protocol}-{software}"));
        }
        if let Some(Json::Object(text)) = print
            && let Some(hash) = Pairs::of(text)?.find("hash")?
        {
            add_text(event, hassh, hash);
        }
    }
    Ok(())
}

fn alert(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    classify(event, "alert", &["network", "intrusion_detection"], &["info"]);
    walk(own, |key, value| match key {
        "action" => {
            add_text(event, Field::EventAction, value);
            let denied = value == Json::Text("blocked");
            event.add_str(Field::EventType, if denied { "denied" } else { "allowed" });
        }
        "signature_id" => {
            add_text(event, Field::RuleId, value);
            add_count(event, Field::SuricataEveAlertSignatureId, value);
        }
        "signature" => {
            add_text(event, Field::RuleName, value);
            add_text(event, Field::Message, value);
        }
        "category" => add_text(event, Field::RuleCategory, value),
        "severity" => {
            add_count(event, Field::EventSeverity, value);
            add_count(event, Field::SuricataEveAlertSeverity, value);
        }
        _ => {}
    })
}

fn fileinfo(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    classify(event, "event", &["file", "network"], &["info"]);
    event.add_str(Field::EventAction, "file-transferred");
    walk(own, |key, value| match key {
        "filename" => {
            if let Some(path) = value.text() {
                add_file_path(event, path.get(..path.floor_char_boundary(8 * 1024)).unwrap_or(""));
            }
        }
        "size" => add_count(event, Field::FileSize, value),
        "md5" => add_lower(event, Field::FileHashMd5, value),
        "sha1" => add_lower(event, Field::FileHashSha1, value),
        "sha256" => add_lower(event, Field::FileHashSha256, value),
        "mimetype" => add_text(event, Field::FileMimeType, value),
        _ => {}
    })
}

fn dhcp(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    classify(event, "event", &["network"], &["connection", "protocol"]);
    add_protocol(event, "dhcp");
    walk(own, |key, value| match key {
        "dhcp_type" => {
            if let Some(name) = value.text() {
                event.add_str(Field::DhcpMessageType, &name.to_ascii_uppercase());
            }
        }
        "client_ip" => add_address(event, Field::ClientIp, value),
        "client_mac" => {
            if let Some(mac) = value.text() {
                event.add_str(Field::ClientMac, &hardware_address(&mac));
            }
        }
        "client_id" => add_text(event, Field::DhcpClientId, value),
        "hostname" => add_text(event, Field::DhcpHostname, value),
        "assigned_ip" => add_address(event, Field::DhcpAssignedIp, value),
        "requested_ip" => add_address(event, Field::DhcpRequestedIp, value),
        "lease_time" => add_count(event, Field::DhcpLeaseSeconds, value),
        "next_server_ip" => add_address(event, Field::DhcpServerIp, value),
        _ => {}
    })
}

fn kerberos(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    classify(event, "event", &["authentication", "network"], &["start"]);
    add_protocol(event, "kerberos");
    let (mut message, mut failed, mut client, mut realm, mut error) = (None, None, None, None, None);
    walk(own, |key, value| match key {
        "msg_type" => message = value.text(),
        "failed_request" => failed = value.text(),
        "cname" => client = value.text().filter(|name| !matches!(name.as_ref(), "" | "<empty>")),
        "realm" => realm = value.text().filter(|name| !matches!(name.as_ref(), "" | "<empty>")),
        "sname" => add_text(event, Field::KerberosService, value),
        "encryption" => add_text(event, Field::KerberosCipher, value),
        "error_code" => error = value.text(),
        _ => {}
    })?;
    let request = failed.as_deref().or(message.as_deref()).unwrap_or("");
    for (part, request_type, action) in [
        ("_AS_", "AS", "kerberos-as"),
        ("_TGS_", "TGS", "kerberos-tgs"),
        ("_AP_", "AP", "kerberos-ap"),
    ] {
        if request.contains(part) {
            event.add_str(Field::KerberosRequestType, request_type);
            event.add_str(Field::EventAction, action);
        }
    }
    if let Some(client) = client {
        event.add_str(Field::KerberosClient, &client);
        match realm {
            Some(realm) => {
                event.add_str(Field::UserName, &client);
                event.add_str(Field::UserDomain, &realm);
            }
            None => add_principal(event, &client),
        }
    }
    let success = match message.as_deref() {
        Some("KRB_ERROR") => Some(false),
        Some("KRB_AS_REP" | "KRB_TGS_REP" | "KRB_AP_REP") => Some(true),
        _ => None,
    };
    if let Some(error) = &error {
        event.add_str(Field::KerberosErrorMsg, error);
    }
    if let Some(success) = success {
        event.add_bool(Field::KerberosSuccess, success);
    }
    add_kerberos_outcome(event, success, error.as_deref());
    Ok(())
}

fn smb(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    let (mut command, mut status, mut file, mut share, mut disposition, mut login) =
        (None, None, None, None, None, None);
    walk(own, |key, value| match key {
        "command" => command = value.text(),
        "status" => status = value.text(),
        "filename" | "directory" => file = value.text().filter(|name| !name.is_empty()).or(file.take()),
        "share" => share = value.text(),
        "disposition" => disposition = value.text(),
        "ntlmssp" => login = Some(value),
        _ => {}
    })?;
    add_protocol(event, "smb");
    let command = command.unwrap_or_default();
    let action = command
        .strip_prefix("SMB2_COMMAND_")
        .or_else(|| command.strip_prefix("SMB1_COMMAND_"));
    let action = action.unwrap_or(&command).to_ascii_lowercase();
    event.add_str(Field::SmbAction, &action);
    let (category, event_type, action) = match (action.as_str(), disposition.as_deref(), &file) {
        ("session_setup" | "session_setup_andx", ..) => ("authentication", "start", "ntlm-login"),
        ("tree_connect" | "tree_connect_andx", ..) => ("network", "access", "share-connected"),
        ("create" | "nt_create_andx", Some("FILE_CREATE"), Some(_)) => ("file", "creation", "file-created"),
        ("create" | "nt_create_andx", Some("FILE_OVERWRITE" | "FILE_OVERWRITE_IF" | "FILE_SUPERSEDE"), Some(_)) => {
            ("file", "change", "file-written")
        }
        ("create" | "nt_create_andx", _, Some(_)) => ("file", "access", "file-opened"),
        ("read" | "read_andx", ..) => ("file", "access", "file-read"),
        ("write" | "write_andx", ..) => ("file", "change", "file-written"),
        _ => ("network", "info", "smb-command"),
    };
    classify(event, "event", &[category], &[event_type]);
    if category != "network" {
        event.add_str(Field::EventCategory, "network");
    }
    event.add_str(Field::EventAction, action);
    match status.as_deref() {
        Some("STATUS_SUCCESS") => event.add_str(Field::EventOutcome, "success"),
        Some("STATUS_MORE_PROCESSING_REQUIRED" | "STATUS_PENDING") | None => {}
        Some(status) => {
            event.add_str(Field::EventOutcome, "failure");
            event.add_str(Field::EventReason, status);
        }
    }
    if let Some(share) = &share {
        event.add_str(Field::SmbPath, share);
    }
    if let Some(file) = &file {
        event.add_str(Field::SmbName, file);
        let file = file.trim_start_matches('\\');
        match share.as_deref().filter(|share| !share.is_empty()) {
            Some(share) => add_file_path(event, &format!("{}\\{file}", share.trim_end_matches('\\'))),
            None => add_file_path(event, file),
        }
    }
    if let Some(Json::Object(login)) = login {
        walk(Some(login), |key, value| match key {
            "user" => add_text(event, Field::UserName, value),
            "domain" => add_text(event, Field::UserDomain, value),
            "host" => add_lower(event, Field::SourceDomain, value),
            _ => {}
        })?;
    }
    Ok(())
}

fn anomaly(event: &mut Event, own: Option<&str>) -> Result<(), Broken> {
    classify(event, "event", &["network"], &["connection", "protocol"]);
    walk(own, |key, value| match key {
        "event" => add_text(event, Field::RuleName, value),
        "type" => add_text(event, Field::RuleCategory, value),
        _ => {}
    })
}
