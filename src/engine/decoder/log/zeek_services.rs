//! Zeek's logs of what clients ask of services: http, ssl, ssh, ftp, smtp and rdp, and what each column sets.

use super::values::{add_file_path, add_url, add_url_host, whole};
use super::zeek::{Column, Record, Sets};
use super::zeek_kinds::{add_network_type, column, connection_columns, place};
use crate::domain::{Event, Field};

pub(super) const HTTP: &[Column] = connection_columns![
    "trans_depth" Sets::Kept;
    "method" Sets::Text(Field::HttpRequestMethod);
    "host" Sets::Kept;
    "uri" Sets::Kept;
    "referrer" Sets::Text(Field::HttpRequestReferrer);
    "version" Sets::Text(Field::HttpVersion);
    "user_agent" Sets::Text(Field::UserAgentOriginal);
    "request_body_len" Sets::Count(Field::HttpRequestBodyBytes);
    "response_body_len" Sets::Count(Field::HttpResponseBodyBytes);
    "status_code" Sets::Count(Field::HttpResponseStatusCode);
    "username" Sets::Text(Field::UserName);
    "orig_mime_types" Sets::Items(Field::HttpRequestMimeType);
    "resp_mime_types" Sets::Items(Field::HttpResponseMimeType);
    "tags" Sets::Kept;
    "orig_fuids" Sets::Kept;
    "resp_fuids" Sets::Kept;
];

pub(super) fn complete_http(event: &mut Event, record: &Record<'_>) {
    const HOST: usize = place(HTTP, "host");
    const URI: usize = place(HTTP, "uri");
    const STATUS: usize = place(HTTP, "status_code");
    add_network_type(event);
    event.add_str(Field::NetworkTransport, "tcp");
    event.add_str(Field::NetworkProtocol, "http");
    if let Some(uri) = record.text(URI) {
        add_url(event, &uri);
    }
    if let Some(host) = record.text(HOST) {
        add_url_host(event, &host);
    }
    add_http_outcome(event, record.count(STATUS));
}

/// An answer below 400 is a success; without an answer nothing is said.
pub(super) fn add_http_outcome(event: &mut Event, status: Option<u64>) {
    if let Some(status) = status {
        event.add_str(Field::EventOutcome, if status < 400 { "success" } else { "failure" });
    }
}

pub(super) const SSL: &[Column] = connection_columns![
    "version" Sets::Kept;
    "cipher" Sets::Text(Field::TlsCipher);
    "server_name" Sets::Lower(Field::TlsClientServerName);
    "resumed" Sets::Flag(Field::TlsResumed);
    "next_protocol" Sets::Text(Field::TlsNextProtocol);
    "established" Sets::Flag(Field::TlsEstablished);
    "ssl_history" Sets::Kept;
    "cert_chain_fps" Sets::Kept;
    "subject" Sets::Text(Field::TlsServerSubject);
    "issuer" Sets::Text(Field::TlsServerIssuer);
    "client_subject" Sets::Text(Field::TlsClientSubject);
    "client_issuer" Sets::Text(Field::TlsClientIssuer);
    "ja3" Sets::Lower(Field::TlsClientJa3);
    "ja3s" Sets::Lower(Field::TlsServerJa3s);
    "ja4" Sets::Text(Field::TlsClientJa4);
    "ja4s" Sets::Text(Field::TlsServerJa4s);
];

pub(super) fn complete_ssl(event: &mut Event, record: &Record<'_>) {
    const VERSION: usize = place(SSL, "version");
    const ESTABLISHED: usize = place(SSL, "established");
    const PRINTS: usize = place(SSL, "cert_chain_fps");
    add_network_type(event);
    event.add_str(Field::NetworkProtocol, "tls");
    if let Some(version) = record.text(VERSION) {
        add_tls_version(event, &version);
    }
    if let Some(established) = record.flag(ESTABLISHED) {
        event.add_str(Field::EventOutcome, if established { "success" } else { "failure" });
    }
    let mut first = true;
    record.each(PRINTS, |print| {
        if first && print.len() == 64 {
            event.add_str(Field::TlsServerHashSha256, &print.to_ascii_uppercase());
        }
        first = false;
    });
}

/// Adds `TLSv13`, `TLSv1.3`, `TLS 1.2`, `SSLv3`, `DTLSv12` as protocol and version (`tls`, `1.3`).
pub(super) fn add_tls_version(event: &mut Event, text: &str) {
    let compact: String = text
        .chars()
        .filter(|c| !matches!(c, '.' | ' ' | 'v' | 'V' | '_'))
        .take(8)
        .collect();
    let compact = compact.to_ascii_lowercase();
    let digits = compact.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let version = match digits {
        "10" | "1" => "1.0",
        "11" => "1.1",
        "12" => "1.2",
        "13" => "1.3",
        "2" | "20" => "2.0",
        "3" | "30" => "3.0",
        _ => text,
    };
    event.add_str(Field::TlsVersion, version);
    for protocol in ["dtls", "tls", "ssl"] {
        if compact.starts_with(protocol) {
            event.add_str(Field::TlsVersionProtocol, protocol);
            return;
        }
    }
}

pub(super) const SSH: &[Column] = connection_columns![
    "version" Sets::Kept;
    "auth_success" Sets::Flag(Field::SshAuthSuccess);
    "auth_attempts" Sets::Count(Field::SshAuthAttempts);
    "direction" Sets::Lower(Field::SshDirection);
    "client" Sets::Text(Field::SshClient);
    "server" Sets::Text(Field::SshServer);
    "host_key_alg" Sets::Kept;
    "kex_alg" Sets::Kept;
    "hassh" Sets::Text(Field::SshHassh);
    "hasshServer" Sets::Text(Field::SshHasshServer);
];

/// A login whose outcome Zeek could tell is authentication; the rest is only a connection.
pub(super) fn complete_ssh(event: &mut Event, record: &Record<'_>) {
    const SUCCESS: usize = place(SSH, "auth_success");
    add_network_type(event);
    event.add_str(Field::NetworkTransport, "tcp");
    event.add_str(Field::NetworkProtocol, "ssh");
    if let Some(success) = record.flag(SUCCESS) {
        event.add_str(Field::EventCategory, "authentication");
        event.add_str(Field::EventType, "start");
        event.add_str(Field::EventAction, "ssh_login");
        event.add_str(Field::EventOutcome, if success { "success" } else { "failure" });
    }
}

pub(super) const FTP: &[Column] = connection_columns![
    "user" Sets::Text(Field::UserName);
    "command" Sets::Lower(Field::EventAction);
    "arg" Sets::Kept;
    "mime_type" Sets::Text(Field::FileMimeType);
    "file_size" Sets::Count(Field::FileSize);
    "reply_code" Sets::Kept;
    "reply_msg" Sets::Text(Field::EventReason);
];

pub(super) fn complete_ftp(event: &mut Event, record: &Record<'_>) {
    const ARG: usize = place(FTP, "arg");
    const CODE: usize = place(FTP, "reply_code");
    add_network_type(event);
    event.add_str(Field::NetworkTransport, "tcp");
    event.add_str(Field::NetworkProtocol, "ftp");
    if let Some(target) = record.text(ARG) {
        add_file_path(
            event,
            target
                .strip_prefix("ftp://")
                .and_then(|rest| rest.find('/').and_then(|at| rest.get(at..)))
                .unwrap_or(&target),
        );
    }
    if let Some(code) = record.count(CODE) {
        event.add_str(Field::EventOutcome, if code < 400 { "success" } else { "failure" });
    }
}

pub(super) const SMTP: &[Column] = connection_columns![
    "helo" Sets::Text(Field::SourceDomain);
    "mailfrom" Sets::Lower(Field::UserEmail);
    "rcptto" Sets::Kept;
    "user_agent" Sets::Text(Field::UserAgentOriginal);
    "last_reply" Sets::Text(Field::EventReason);
    "tls" Sets::Flag(Field::TlsEstablished);
];

pub(super) fn complete_smtp(event: &mut Event, record: &Record<'_>) {
    const REPLY: usize = place(SMTP, "last_reply");
    add_network_type(event);
    event.add_str(Field::NetworkTransport, "tcp");
    event.add_str(Field::NetworkProtocol, "smtp");
    let code = record
        .text(REPLY)
        .and_then(|reply| whole(reply.split(' ').next().unwrap_or("")));
    if let Some(code) = code {
        event.add_str(Field::EventOutcome, if code < 400 { "success" } else { "failure" });
    }
}

pub(super) const RDP: &[Column] = connection_columns![
    "cookie" Sets::Text(Field::UserName);
    "result" Sets::Text(Field::EventReason);
    "security_protocol" Sets::Kept;
    "client_name" Sets::Lower(Field::SourceDomain);
    "client_build" Sets::Kept;
    "keyboard_layout" Sets::Kept;
    "cert_count" Sets::Kept;
];

pub(super) fn complete_rdp(event: &mut Event, _record: &Record<'_>) {
    add_network_type(event);
    event.add_str(Field::NetworkTransport, "tcp");
    event.add_str(Field::NetworkProtocol, "rdp");
}
