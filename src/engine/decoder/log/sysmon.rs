//! Sysmon's events in ECS terms, with categories and types as Winlogbeat's sysmon module gives them.

use super::values::{add_file_path, add_question_name, address};
use super::windows::{Record, add_account, add_number, add_port, add_program, add_text, classify};
use super::windows_security::add_ends;
use crate::domain::{Event, Field};

const PROGRAM: (Field, Field) = (Field::ProcessExecutable, Field::ProcessName);
const PARENT: (Field, Field) = (Field::ProcessParentExecutable, Field::ProcessParentName);

/// Adds what an event of Sysmon says.
pub(super) fn add(event: &mut Event, record: &Record<'_>) {
    let (categories, types, action): (&[&str], &[&str], &str) = match record.code {
        1 => (&["process"], &["start"], "process-created"),
        2 => (&["file"], &["change"], "file-creation-time-changed"),
        3 => (&["network"], &["connection", "start", "protocol"], "network-connection"),
        5 => (&["process"], &["end"], "process-terminated"),
        7 => (&["process"], &["change"], "image-loaded"),
        8 => (&["process"], &["access"], "remote-thread-created"),
        9 => (&["process"], &["access"], "raw-access-read"),
        10 => (&["process"], &["access"], "process-accessed"),
        11 => (&["file"], &["creation"], "file-created"),
        12..=14 => (&["configuration", "registry"], &["change"], "registry-changed"),
        15 => (&["file"], &["access"], "file-stream-created"),
        17 | 18 => (&["file"], &["access"], "pipe-opened"),
        22 => (&["network"], &["connection", "protocol", "info"], "dns-query"),
        23 | 26 => (&["file"], &["deletion"], "file-deleted"),
        25 => (&["process"], &["change"], "process-tampered"),
        _ => (&[], &["info"], ""),
    };
    classify(event, categories, types, action);
    if let Some(account) = record.text("User").or_else(|| record.text("SourceUser")) {
        add_account(event, (Field::UserName, Field::UserDomain), &account);
    }
    match record.code {
        8 | 10 => process_access(event, record),
        _ => {
            add_program(event, PROGRAM, record, "Image");
            add_number(event, Field::ProcessPid, record, "ProcessId");
            add_guid(event, Field::ProcessEntityId, record, "ProcessGuid");
        }
    }
    match record.code {
        1 => process_start(event, record),
        3 => connection(event, record),
        7 => add_path(event, record, "ImageLoaded"),
        2 | 11 | 15 | 23 | 26 => add_path(event, record, "TargetFilename"),
        12..=14 => {
            add_text(event, Field::RegistryPath, record, "TargetObject");
            add_text(event, Field::RegistryDataStrings, record, "Details");
        }
        17 | 18 => add_text(event, Field::FileName, record, "PipeName"),
        22 => question(event, record),
        _ => {}
    }
    if record.code != 1 {
        add_hashes(event, record, Field::FileHashSha256);
    }
}

/// A GUID without its braces.
fn add_guid(event: &mut Event, field: Field, record: &Record<'_>, name: &str) {
    if let Some(guid) = record.text(name) {
        event.add_str(field, guid.trim_matches(['{', '}']));
    }
}

fn add_path(event: &mut Event, record: &Record<'_>, name: &str) {
    if let Some(path) = record.text(name) {
        add_file_path(event, &path);
    }
}

/// `SHA1=...,MD5=...,SHA256=...,IMPHASH=...`
fn add_hashes(event: &mut Event, record: &Record<'_>, sha256: Field) {
    let Some(hashes) = record.text("Hashes") else { return };
    for hash in hashes.split(',').take(8) {
        let Some((name, digits)) = hash.split_once('=') else {
            continue;
        };
        let field = match name {
            "SHA256" => sha256,
            "MD5" if sha256 == Field::FileHashSha256 => Field::FileHashMd5,
            "SHA1" if sha256 == Field::FileHashSha256 => Field::FileHashSha1,
            _ => continue,
        };
        event.add_str(field, &digits.to_ascii_lowercase());
    }
}

fn process_start(event: &mut Event, record: &Record<'_>) {
    add_text(event, Field::ProcessCommandLine, record, "CommandLine");
    add_text(event, Field::ProcessWorkingDirectory, record, "CurrentDirectory");
    add_program(event, PARENT, record, "ParentImage");
    add_text(event, Field::ProcessParentCommandLine, record, "ParentCommandLine");
    add_number(event, Field::ProcessParentPid, record, "ParentProcessId");
    add_guid(event, Field::ProcessParentEntityId, record, "ParentProcessGuid");
    add_text(event, Field::WinlogLogonId, record, "LogonId");
    add_hashes(event, record, Field::ProcessHashSha256);
}

fn connection(event: &mut Event, record: &Record<'_>) {
    add_ends(event, record, "SourceIp", "DestinationIp");
    add_port(event, Field::SourcePort, record, "SourcePort");
    add_port(event, Field::DestinationPort, record, "DestinationPort");
    add_text(event, Field::SourceDomain, record, "SourceHostname");
    add_text(event, Field::DestinationDomain, record, "DestinationHostname");
    add_text(event, Field::NetworkTransport, record, "Protocol");
    add_text(event, Field::NetworkProtocol, record, "DestinationPortName");
    match event.ip(Field::SourceIp) {
        Some(std::net::IpAddr::V4(_)) => event.add_str(Field::NetworkType, "ipv4"),
        Some(std::net::IpAddr::V6(_)) => event.add_str(Field::NetworkType, "ipv6"),
        None => {}
    }
}

/// One process opens another; the process of the event is the one that opens.
fn process_access(event: &mut Event, record: &Record<'_>) {
    add_program(event, PROGRAM, record, "SourceImage");
    add_number(event, Field::ProcessPid, record, "SourceProcessId");
    let guid = if record.text("SourceProcessGUID").is_some() {
        "SourceProcessGUID"
    } else {
        "SourceProcessGuid"
    };
    add_guid(event, Field::ProcessEntityId, record, guid);
    add_text(event, Field::WinlogEventDataSourceImage, record, "SourceImage");
    add_text(event, Field::WinlogEventDataTargetImage, record, "TargetImage");
    add_text(event, Field::WinlogEventDataGrantedAccess, record, "GrantedAccess");
    add_text(event, Field::WinlogEventDataCallTrace, record, "CallTrace");
}

/// `QueryResults` lists answers as `type:  5 name;198.18.1.2;`.
fn question(event: &mut Event, record: &Record<'_>) {
    event.add_str(Field::NetworkProtocol, "dns");
    if let Some(name) = record.text("QueryName") {
        add_question_name(event, &name);
    }
    match record.number("QueryStatus") {
        Some(0) => event.add_str(Field::DnsResponseCode, "NOERROR"),
        Some(9003) => event.add_str(Field::DnsResponseCode, "NXDOMAIN"),
        Some(9002) => event.add_str(Field::DnsResponseCode, "SERVFAIL"),
        Some(9005) => event.add_str(Field::DnsResponseCode, "REFUSED"),
        _ => {}
    }
    let Some(results) = record.text("QueryResults") else {
        return;
    };
    for result in results.split(';').filter(|result| !result.is_empty()).take(48) {
        let data = result.strip_prefix("type:").map_or(result, |typed| {
            typed.trim_start().split_once(' ').map_or("", |(_, name)| name)
        });
        event.add_str(Field::DnsAnswersData, data.trim());
        if let Some(address) = address(data.trim()) {
            event.add_ip(Field::DnsResolvedIp, address);
        }
    }
}
