//! Zeek's logs of a Windows domain and of files: files, smb_files, smb_mapping, kerberos, ntlm, dhcp; and what Zeek
//! itself remarks: notice, weird, capture_loss.

use super::values::{add_file_name, add_file_path, address, hardware_address, interval, lower};
use super::zeek::{Column, Record, Sets, lasted};
use super::zeek_kinds::{add_count, add_network_type, column, connection_columns, place};
use crate::domain::{Event, Field};

pub(super) const FILES: &[Column] = &[
    column!("ts", Sets::Kept),
    column!("fuid", Sets::Kept),
    column!("uid", Sets::Text(Field::ZeekSessionId)),
    column!("id.orig_h", Sets::Kept),
    column!("id.orig_p", Sets::Count(Field::SourcePort)),
    column!("id.resp_h", Sets::Kept),
    column!("id.resp_p", Sets::Count(Field::DestinationPort)),
    column!("tx_hosts", Sets::Kept),
    column!("rx_hosts", Sets::Kept),
    column!("conn_uids", Sets::Items(Field::ZeekSessionId)),
    column!("source", Sets::Lower(Field::NetworkProtocol)),
    column!("mime_type", Sets::Text(Field::FileMimeType)),
    column!("filename", Sets::Kept),
    column!("duration", Sets::Kept),
    column!("is_orig", Sets::Kept),
    column!("seen_bytes", Sets::Kept),
    column!("total_bytes", Sets::Kept),
    column!("md5", Sets::Lower(Field::FileHashMd5)),
    column!("sha1", Sets::Lower(Field::FileHashSha1)),
    column!("sha256", Sets::Lower(Field::FileHashSha256)),
];

/// The source is who opened the connection; logs that name only sender and receiver tell by `is_orig` which it is.
pub(super) fn complete_files(event: &mut Event, record: &Record<'_>) {
    const ORIG: usize = place(FILES, "id.orig_h");
    const RESP: usize = place(FILES, "id.resp_h");
    const SENDERS: usize = place(FILES, "tx_hosts");
    const RECEIVERS: usize = place(FILES, "rx_hosts");
    const NAME: usize = place(FILES, "filename");
    const DURATION: usize = place(FILES, "duration");
    const IS_ORIG: usize = place(FILES, "is_orig");
    const SEEN: usize = place(FILES, "seen_bytes");
    const TOTAL: usize = place(FILES, "total_bytes");
    let (client, server) = if record.flag(IS_ORIG) == Some(true) {
        (SENDERS, RECEIVERS)
    } else {
        (RECEIVERS, SENDERS)
    };
    for (field, named, set) in [(Field::SourceIp, ORIG, client), (Field::DestinationIp, RESP, server)] {
        let mut found = record.address(named);
        record.each(set, |item| found = found.or_else(|| address(item)));
        if let Some(found) = found {
            event.add_ip(field, found);
        }
    }
    add_network_type(event);
    event.add_str(Field::EventAction, "file-transferred");
    add_count(
        event,
        Field::FileSize,
        record.count(TOTAL).or_else(|| record.count(SEEN)),
    );
    if let Some(name) = record.text(NAME) {
        if name.contains(['\\', '/']) {
            add_file_path(event, &name)
        } else {
            add_file_name(event, &name)
        }
    }
    lasted(event, record.interval(DURATION));
}

pub(super) const SMB_FILES: &[Column] = connection_columns![
    "action" Sets::Kept;
    "path" Sets::Text(Field::SmbPath);
    "name" Sets::Text(Field::SmbName);
    "size" Sets::Count(Field::FileSize);
    "prev_name" Sets::Kept;
    "times.modified" Sets::Kept;
];

pub(super) fn complete_smb_files(event: &mut Event, record: &Record<'_>) {
    const ACTION: usize = place(SMB_FILES, "action");
    const SHARE: usize = place(SMB_FILES, "path");
    const NAME: usize = place(SMB_FILES, "name");
    const BEFORE: usize = place(SMB_FILES, "prev_name");
    add_network_type(event);
    event.add_str(Field::NetworkTransport, "tcp");
    event.add_str(Field::NetworkProtocol, "smb");
    if let Some(action) = record.text(ACTION) {
        event.add_str(Field::SmbAction, &action);
        let (action, event_type) = match action.as_ref() {
            "SMB::FILE_OPEN" | "SMB::PIPE_OPEN" => ("file-opened", "access"),
            "SMB::FILE_READ" | "SMB::PIPE_READ" => ("file-read", "access"),
            "SMB::FILE_WRITE" | "SMB::PIPE_WRITE" => ("file-written", "change"),
            "SMB::FILE_RENAME" => ("file-renamed", "change"),
            "SMB::FILE_DELETE" => ("file-deleted", "deletion"),
            "SMB::FILE_SET_ATTRIBUTE" => ("file-attributes-changed", "change"),
            "SMB::FILE_CLOSE" | "SMB::PIPE_CLOSE" => ("file-closed", "info"),
            _ => ("file-other", "info"),
        };
        event.add_str(Field::EventAction, action);
        event.add_str(Field::EventType, event_type);
    }
    let share = record.text(SHARE).unwrap_or_default();
    let within = |name: &str| {
        let name = name.trim_start_matches('\\');
        if share.is_empty() {
            name.to_owned()
        } else {
            format!("{}\\{name}", share.trim_end_matches('\\'))
        }
    };
    let name = record.text(NAME);
    match (name, record.text(BEFORE)) {
        (Some(name), Some(before)) => {
            add_file_path(event, &within(&before));
            event.add_str(Field::FileTargetPath, &within(&name));
        }
        (Some(name), None) => add_file_path(event, &within(&name)),
        _ => {}
    }
}

pub(super) const SMB_MAPPING: &[Column] = connection_columns![
    "path" Sets::Text(Field::SmbPath);
    "service" Sets::Kept;
    "share_type" Sets::Lower(Field::SmbShareType);
];

pub(super) fn complete_smb_mapping(event: &mut Event, _record: &Record<'_>) {
    add_network_type(event);
    event.add_str(Field::NetworkTransport, "tcp");
    event.add_str(Field::NetworkProtocol, "smb");
    event.add_str(Field::EventAction, "share-connected");
}

pub(super) const KERBEROS: &[Column] = connection_columns![
    "request_type" Sets::Text(Field::KerberosRequestType);
    "client" Sets::Text(Field::KerberosClient);
    "service" Sets::Text(Field::KerberosService);
    "success" Sets::Flag(Field::KerberosSuccess);
    "error_msg" Sets::Text(Field::KerberosErrorMsg);
    "cipher" Sets::Text(Field::KerberosCipher);
];

pub(super) fn complete_kerberos(event: &mut Event, record: &Record<'_>) {
    const CLIENT: usize = place(KERBEROS, "client");
    const REQUEST: usize = place(KERBEROS, "request_type");
    const SUCCESS: usize = place(KERBEROS, "success");
    const ERROR: usize = place(KERBEROS, "error_msg");
    add_network_type(event);
    event.add_str(Field::NetworkProtocol, "kerberos");
    if let Some(request) = record.text(REQUEST) {
        event.add_str(Field::EventAction, &format!("kerberos-{}", lower(&request)));
    }
    if let Some(client) = record.text(CLIENT) {
        add_principal(event, &client);
    }
    add_kerberos_outcome(event, record.flag(SUCCESS), record.text(ERROR).as_deref());
}

/// Adds `alice/EXAMPLE.COM` or `alice@EXAMPLE.COM` as user and domain. An instance (`host/web1.example.com/REALM`)
/// stays part of the name.
pub(super) fn add_principal(event: &mut Event, principal: &str) {
    match principal.rsplit_once(['/', '@']) {
        Some((name, realm)) => {
            event.add_str(Field::UserName, name);
            event.add_str(Field::UserDomain, realm);
        }
        None => event.add_str(Field::UserName, principal),
    }
}

/// Clients begin without pre-authentication and are told to send it: that is no failure.
pub(super) fn add_kerberos_outcome(event: &mut Event, success: Option<bool>, error: Option<&str>) {
    if error.is_some_and(|error| error.contains("PREAUTH_REQUIRED")) {
        return;
    }
    match success {
        Some(true) => event.add_str(Field::EventOutcome, "success"),
        Some(false) => event.add_str(Field::EventOutcome, "failure"),
        None if error.is_some() => event.add_str(Field::EventOutcome, "failure"),
        None => {}
    }
}

pub(super) const NTLM: &[Column] = connection_columns![
    "username" Sets::Text(Field::UserName);
    "hostname" Sets::Text(Field::NtlmHostname);
    "domainname" Sets::Text(Field::NtlmDomainname);
    "server_nb_computer_name" Sets::Kept;
    "server_dns_computer_name" Sets::Kept;
    "success" Sets::Kept;
    "status" Sets::Text(Field::EventReason);
];

pub(super) fn complete_ntlm(event: &mut Event, record: &Record<'_>) {
    const DOMAIN: usize = place(NTLM, "domainname");
    const HOSTNAME: usize = place(NTLM, "hostname");
    const SERVER: usize = place(NTLM, "server_nb_computer_name");
    const SUCCESS: usize = place(NTLM, "success");
    add_network_type(event);
    event.add_str(Field::NetworkTransport, "tcp");
    event.add_str(Field::NetworkProtocol, "ntlm");
    event.add_str(Field::EventAction, "ntlm-login");
    if let Some(domain) = record.text(DOMAIN) {
        event.add_str(Field::UserDomain, &domain);
    }
    if let Some(client) = record.text(HOSTNAME) {
        event.add_str(Field::SourceDomain, &lower(&client));
    }
    if let Some(server) = record.text(SERVER) {
        event.add_str(Field::DestinationDomain, &lower(&server));
    }
    if let Some(success) = record.flag(SUCCESS) {
        event.add_str(Field::EventOutcome, if success { "success" } else { "failure" });
    }
}

pub(super) const DHCP: &[Column] = &[
    column!("ts", Sets::Kept),
    column!("uids", Sets::Items(Field::ZeekSessionId)),
    column!("client_addr", Sets::Kept),
    column!("server_addr", Sets::Kept),
    column!("mac", Sets::Kept),
    column!("host_name", Sets::Text(Field::DhcpHostname)),
    column!("client_fqdn", Sets::Kept),
    column!("domain", Sets::Lower(Field::DhcpDomain)),
    column!("requested_addr", Sets::Address(Field::DhcpRequestedIp)),
    column!("assigned_addr", Sets::Address(Field::DhcpAssignedIp)),
    column!("lease_time", Sets::Kept),
    column!("msg_types", Sets::Kept),
    column!("duration", Sets::Kept),
];

/// The message type is that of the exchange's last message.
pub(super) fn complete_dhcp(event: &mut Event, record: &Record<'_>) {
    const CLIENT: usize = place(DHCP, "client_addr");
    const SERVER: usize = place(DHCP, "server_addr");
    const MAC: usize = place(DHCP, "mac");
    const LEASE: usize = place(DHCP, "lease_time");
    const MESSAGES: usize = place(DHCP, "msg_types");
    const DURATION: usize = place(DHCP, "duration");
    if let Some(client) = record.address(CLIENT) {
        event.add_ip(Field::SourceIp, client);
        event.add_ip(Field::ClientIp, client);
    }
    add_network_type(event);
    event.add_str(Field::NetworkTransport, "udp");
    event.add_str(Field::NetworkProtocol, "dhcp");
    if let Some(server) = record.address(SERVER) {
        event.add_ip(Field::DestinationIp, server);
        event.add_ip(Field::DhcpServerIp, server);
    }
    if let Some(mac) = record.text(MAC) {
        event.add_str(Field::ClientMac, &hardware_address(&mac));
    }
    if let Some(lease) = record.text(LEASE).and_then(|text| interval(&text)) {
        event.add_i64(Field::DhcpLeaseSeconds, lease.nanos() / 1_000_000_000);
    }
    let mut last = String::new();
    record.each(MESSAGES, |message| last = message.to_ascii_uppercase());
    event.add_str(Field::DhcpMessageType, &last);
    lasted(event, record.interval(DURATION));
}

pub(super) const NOTICE: &[Column] = connection_columns![
    "note" Sets::Text(Field::RuleName);
    "msg" Sets::Text(Field::Message);
    "sub" Sets::Text(Field::RuleDescription);
    "src" Sets::Kept;
    "dst" Sets::Kept;
    "p" Sets::Kept;
    "proto" Sets::Lower(Field::NetworkTransport);
    "suppress_for" Sets::Kept;
];

/// A notice about a connection has its ends; one about a host has `src` and `dst`.
pub(super) fn complete_notice(event: &mut Event, record: &Record<'_>) {
    const SOURCE: usize = place(NOTICE, "src");
    const DESTINATION: usize = place(NOTICE, "dst");
    const PORT: usize = place(NOTICE, "p");
    for (field, cell) in [(Field::SourceIp, SOURCE), (Field::DestinationIp, DESTINATION)] {
        if let Some(found) = record.address(cell)
            && !event.has(field)
        {
            event.add_ip(field, found);
        }
    }
    if !event.has(Field::DestinationPort) {
        add_count(event, Field::DestinationPort, record.count(PORT));
    }
    add_network_type(event);
}

pub(super) const WEIRD: &[Column] = connection_columns![
    "name" Sets::Text(Field::RuleName);
    "addl" Sets::Text(Field::RuleDescription);
    "notice" Sets::Kept;
    "peer" Sets::Text(Field::ObserverName);
    "source" Sets::Lower(Field::NetworkProtocol);
];

pub(super) fn complete_weird(event: &mut Event, _record: &Record<'_>) {
    add_network_type(event);
}

pub(super) const CAPTURE_LOSS: &[Column] = &[
    column!("ts", Sets::Kept),
    column!("ts_delta", Sets::Kept),
    column!("peer", Sets::Text(Field::ObserverName)),
    column!("percent_lost", Sets::Kept),
];

/// The share of packets that the capture lost, 0 to 1, in the span that ends with the line (see
/// [`crate::domain::CaptureLoss`]).
pub(super) fn complete_capture_loss(event: &mut Event, record: &Record<'_>) {
    const LOST: usize = place(CAPTURE_LOSS, "percent_lost");
    if let Some(percent) = record.text(LOST).and_then(|text| text.parse::<f64>().ok())
        && (0.0..=100.0).contains(&percent)
    {
        event.add_f64(Field::StakeoutLoss, percent / 100.0);
    }
    const SPAN: usize = place(CAPTURE_LOSS, "ts_delta");
    if let Some(seconds) = record.text(SPAN).and_then(|text| text.parse::<f64>().ok())
        && (0.0..=86_400.0).contains(&seconds)
    {
        let span = crate::domain::Duration::from_nanos((seconds * 1e9) as i64);
        event.set_start(event.time().minus(span));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::check::{check, decode_bytes, mutate};
    use super::super::zeek_kinds::KINDS;

    const ENDS: &str = r#""uid":"C1","id.orig_h":"10.0.0.1","id.orig_p":40000,"id.resp_h":"10.0.0.2","id.resp_p":443"#;

    /// The columns and values of each log with what they must give.
    const LOGS: &[(&str, &str, &str)] = &[
        (
            "http",
            r#""trans_depth":1,"method":"GET","host":"Example.com:8080","uri":"/a/b?c=d#e","referrer":"http://x/","version":"1.1","user_agent":"curl/8","request_body_len":3,"response_body_len":12,"status_code":404,"tags":[],"username":"bob","resp_mime_types":["text/html"]"#,
            "event.category=web event.outcome=failure http.request.method=GET url.domain=example.com url.port=8080 url.path=/a/b url.query=c=d http.response.status_code=404 http.response.body.bytes=12 user_agent.original=curl/8 user.name=bob http.response.mime_type=text/html network.protocol=http",
        ),
        (
            "ssl",
            r#""version":"TLSv12","cipher":"X","server_name":"Example.COM","resumed":false,"established":true,"ja3":"AB","ja4":"t12d","subject":"CN=x""#,
            "tls.version=1.2 tls.version_protocol=tls tls.client.server_name=example.com tls.established=true tls.resumed=false event.outcome=success tls.client.ja3=ab tls.client.ja4=t12d tls.server.subject=CN=x",
        ),
        (
            "ssh",
            r#""version":2,"auth_success":false,"auth_attempts":3,"client":"SSH-2.0-libssh","server":"SSH-2.0-OpenSSH_9.2""#,
            "event.category=authentication event.category=network event.outcome=failure event.action=ssh_login ssh.auth.attempts=3 ssh.client=SSH-2.0-libssh",
        ),
        (
            "ssh",
            r#""auth_attempts":0"#,
            "event.category=network !event.outcome !event.action",
        ),
        (
            "files",
            r#""fuid":"F1","source":"HTTP","mime_type":"text/plain","filename":"a.TXT","duration":0.5,"is_orig":false,"seen_bytes":5,"total_bytes":7,"md5":"AA""#,
            "event.category=file event.action=file-transferred file.name=a.TXT file.extension=txt file.size=7 file.hash.md5=aa source.ip=10.0.0.1 event.duration=500000000",
        ),
        (
            "smb_files",
            r#""action":"SMB::FILE_RENAME","path":"\\\\srv\\data","name":"new.doc","prev_name":"dir\\old.doc","size":5,"times.modified":1.5"#,
            "event.category=file event.type=change event.action=file-renamed file.path=\\\\srv\\data\\dir\\old.doc file.name=old.doc file.target_path=\\\\srv\\data\\new.doc smb.action=SMB::FILE_RENAME",
        ),
        (
            "smb_mapping",
            r#""path":"\\\\srv\\C$","service":"A:","share_type":"DISK""#,
            "event.category=network event.action=share-connected smb.path=\\\\srv\\C$ smb.share_type=disk",
        ),
        (
            "kerberos",
            r#""request_type":"AS","client":"bob/CORP.EXAMPLE","service":"krbtgt/CORP.EXAMPLE","success":false,"error_msg":"KDC_ERR_C_PRINCIPAL_UNKNOWN","cipher":"rc4-hmac""#,
            "event.category=authentication event.outcome=failure user.name=bob user.domain=CORP.EXAMPLE event.action=kerberos-as kerberos.cipher=rc4-hmac",
        ),
        (
            "kerberos",
            r#""request_type":"AS","client":"bob/CORP.EXAMPLE","success":false,"error_msg":"KDC_ERR_PREAUTH_REQUIRED""#,
            "user.name=bob !event.outcome",
        ),
        (
            "ntlm",
            r#""username":"bob","hostname":"PC9","domainname":"CORP","server_nb_computer_name":"SRV","success":true"#,
            "event.category=authentication event.outcome=success user.name=bob user.domain=CORP source.domain=pc9 destination.domain=srv",
        ),
        (
            "dhcp",
            r#""client_addr":"10.0.0.7","server_addr":"10.0.0.254","mac":"08:00:27:a3:8b:2e","host_name":"pc","assigned_addr":"10.0.0.7","lease_time":600.0,"msg_types":["REQUEST","ACK"],"duration":0.25"#,
            "dhcp.message_type=ACK client.mac=08-00-27-A3-8B-2E dhcp.assigned_ip=10.0.0.7 dhcp.server_ip=10.0.0.254 dhcp.lease_seconds=600 dhcp.hostname=pc client.ip=10.0.0.7",
        ),
        (
            "rdp",
            r#""cookie":"bob","security_protocol":"HYBRID","cert_count":0"#,
            "user.name=bob network.protocol=rdp",
        ),
        (
            "ftp",
            r#""user":"bob","command":"RETR","arg":"ftp://10.0.0.2/pub/a.txt","reply_code":226"#,
            "user.name=bob event.action=retr file.path=/pub/a.txt event.outcome=success",
        ),
        (
            "smtp",
            r#""helo":"pc","mailfrom":"A@x.org","last_reply":"550 no""#,
            "event.category=email user.email=a@x.org event.outcome=failure",
        ),
        (
            "notice",
            r#""note":"Scan::Port_Scan","msg":"scanned","src":"10.0.0.9","dst":"10.0.0.8","p":22,"suppress_for":1.0"#,
            "event.kind=alert rule.name=Scan::Port_Scan message=scanned",
        ),
        (
            "weird",
            r#""name":"bad_TCP","notice":false,"peer":"zeek""#,
            "rule.name=bad_TCP observer.name=zeek",
        ),
        (
            "capture_loss",
            r#""ts_delta":900.0,"peer":"w1","percent_lost":12.5"#,
            "event.kind=metric stakeout.loss=0.125 observer.name=w1",
        ),
    ];

    #[test]
    fn every_log_is_told_by_its_path_and_by_its_keys() {
        for (path, cells, expected) in LOGS {
            let dataset = format!("{expected} event.dataset=zeek.{path} zeek.session_id=C1");
            let dataset = if matches!(*path, "dhcp" | "capture_loss") {
                expected
            } else {
                dataset.as_str()
            };
            check(Format::Json, &format!(r#"{{"ts":5.5,{ENDS},{cells}}}"#), dataset);
            check(
                Format::Json,
                &format!(r#"{{"_path":"{path}", "ts": 5.5, {ENDS}, {cells}}}"#),
                dataset,
            );
        }
    }

    #[test]
    fn kinds_may_change_from_line_to_line() {
        let lines: Vec<String> = LOGS
            .iter()
            .rev()
            .map(|(_, cells, _)| format!(r#"{{"ts":5.5,{ENDS},{cells}}}"#))
            .collect();
        let output = decode_bytes(Format::Json, lines.join("\n").as_bytes());
        assert_eq!(output.events.len(), LOGS.len());
        for (event, (path, ..)) in output.events.iter().rev().zip(LOGS) {
            assert_eq!(
                event.str(crate::domain::Field::EventDataset),
                Some(format!("zeek.{path}").as_str())
            );
        }
    }

    #[test]
    fn lines_that_are_nobodys_are_refused_and_other_logs_of_zeek_ignored() {
        let output = decode_bytes(
            Format::Json,
            b"{\"x\":1}\n{\"ts\":1,\"uid\":\"C\",\"stratum\":2}\n{\"_path\":\"ntp\",\"ts\":1}\n{\"ts\":1,\"conn_state\":\"SF\"\n\
              {\"conn_state\":\"SF\",\"ts\":\"soon\"}\n[1]\n{\"ts\":null,\"conn_state\":\"SF\"}",
        );
        let refused = |reason| output.tally.refused.get(reason).copied();
        assert_eq!(output.tally.ignored.get("zeek_other"), Some(&2));
        assert_eq!((refused("unknown_json"), refused("bad_json")), (Some(1), Some(2)));
        assert_eq!((refused("zeek_bad_time"), refused("zeek_no_time")), (Some(1), Some(1)));
    }

    #[test]
    fn marks_stand_in_their_tables_and_tables_in_their_bounds() {
        for kind in KINDS {
            assert!(kind.columns.len() <= super::super::zeek::COLUMNS_MAX, "{}", kind.path);
            assert_eq!(kind.columns.first().map(|column| column.name), Some("ts"));
            for mark in kind.marks {
                assert!(
                    kind.columns.iter().any(|column| column.name == *mark),
                    "{} {mark}",
                    kind.path
                );
            }
        }
    }

    #[test]
    fn broken_lines_never_panic() {
        let lines: Vec<String> = LOGS
            .iter()
            .map(|(_, cells, _)| format!(r#"{{"ts":5.5,{ENDS},{cells}}}"#))
            .collect();
        mutate(Format::Json, &lines.join("\n"), 1000);
        let text = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tdns\n\
            #fields\tts\tuid\tid.orig_h\tquery\tanswers\tTTLs\tlabel\n1.5\tC1\t10.0.0.1\ta\\x2cb.example.com\t1.2.3.4,b\t1.0\tX\n";
        mutate(Format::ZeekTsv, text, 2000);
    }
}
