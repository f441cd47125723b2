//! The logs of Zeek that become events: for each its columns, what they set, and what follows from several of them.
//! Columns that stand in no table are passed over, so labels of a data set never reach an event.

use super::values::{add_question_name, address, hardware_address};
use super::zeek::{Column, Record, Sets, lasted};
use super::zeek_domain as domain;
use super::zeek_services as services;
use crate::domain::{Event, Field};

/// One log of Zeek.
#[derive(Debug)]
pub(super) struct Kind {
    /// The log's path, as `#path` and `_path` name it.
    pub(super) path: &'static str,
    /// Columns, of which any one marks the log when nothing names it.
    pub(super) marks: &'static [&'static str],
    pub(super) event_kind: &'static str,
    pub(super) dataset: &'static str,
    pub(super) categories: &'static [&'static str],
    pub(super) types: &'static [&'static str],
    /// The first is the time.
    pub(super) columns: &'static [Column],
    /// Adds what follows from the cells that set nothing by themselves.
    pub(super) complete: fn(&mut Event, &Record<'_>),
}

/// The place of a column in its table, at compile time.
pub(super) const fn place(columns: &[Column], name: &str) -> usize {
    let mut number = 0;
    while number < columns.len() {
        if equal(columns[number].name, name) {
            return number;
        }
        number += 1;
    }
    panic!("a column that its table does not have")
}

const fn equal(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// A column by its name and what it sets.
macro_rules! column {
    ($name:literal, $sets:expr) => {
        Column {
            name: $name,
            quoted: $crate::engine::decoder::log::scanner::QuotedKey::new(concat!("\"", $name, "\":")),
            sets: $sets,
        }
    };
}
pub(super) use column;

/// Every log that becomes events.
pub(super) static KINDS: &[Kind] = &[
    Kind {
        path: "conn",
        marks: &["conn_state"],
        event_kind: "event",
        dataset: "zeek.conn",
        categories: &["network"],
        types: &["connection", "end"],
        columns: CONN,
        complete: complete_conn,
    },
    Kind {
        path: "dns",
        marks: &["qtype", "rcode", "trans_id", "rejected"],
        event_kind: "event",
        dataset: "zeek.dns",
        categories: &["network"],
        types: &["connection", "protocol"],
        columns: DNS,
        complete: complete_dns,
    },
    Kind {
        path: "http",
        marks: &["tags", "resp_fuids", "orig_fuids", "resp_mime_types"],
        event_kind: "event",
        dataset: "zeek.http",
        categories: &["web"],
        types: &["access"],
        columns: services::HTTP,
        complete: services::complete_http,
    },
    Kind {
        path: "ssl",
        marks: &["ssl_history", "established"],
        event_kind: "event",
        dataset: "zeek.ssl",
        categories: &["network"],
        types: &["connection", "protocol"],
        columns: services::SSL,
        complete: services::complete_ssl,
    },
    Kind {
        path: "ssh",
        marks: &["host_key_alg", "kex_alg", "auth_attempts", "auth_success"],
        event_kind: "event",
        dataset: "zeek.ssh",
        categories: &["network"],
        types: &["connection", "protocol"],
        columns: services::SSH,
        complete: services::complete_ssh,
    },
    Kind {
        path: "files",
        marks: &["seen_bytes"],
        event_kind: "event",
        dataset: "zeek.files",
        categories: &["file"],
        types: &["info"],
        columns: domain::FILES,
        complete: domain::complete_files,
    },
    Kind {
        path: "smb_files",
        marks: &["times.modified", "prev_name"],
        event_kind: "event",
        dataset: "zeek.smb_files",
        categories: &["file", "network"],
        types: &[],
        columns: domain::SMB_FILES,
        complete: domain::complete_smb_files,
    },
    Kind {
        path: "smb_mapping",
        marks: &["share_type"],
        event_kind: "event",
        dataset: "zeek.smb_mapping",
        categories: &["network"],
        types: &["access"],
        columns: domain::SMB_MAPPING,
        complete: domain::complete_smb_mapping,
    },
    Kind {
        path: "kerberos",
        marks: &["request_type"],
        event_kind: "event",
        dataset: "zeek.kerberos",
        categories: &["authentication", "network"],
        types: &["start"],
        columns: domain::KERBEROS,
        complete: domain::complete_kerberos,
    },
    Kind {
        path: "ntlm",
        marks: &["server_nb_computer_name", "server_dns_computer_name", "domainname"],
        event_kind: "event",
        dataset: "zeek.ntlm",
        categories: &["authentication", "network"],
        types: &["start"],
        columns: domain::NTLM,
        complete: domain::complete_ntlm,
    },
    Kind {
        path: "dhcp",
        marks: &["msg_types"],
        event_kind: "event",
        dataset: "zeek.dhcp",
        categories: &["network"],
        types: &["connection", "protocol"],
        columns: domain::DHCP,
        complete: domain::complete_dhcp,
    },
    Kind {
        path: "rdp",
        marks: &["security_protocol", "client_build", "keyboard_layout", "cert_count"],
        event_kind: "event",
        dataset: "zeek.rdp",
        categories: &["network"],
        types: &["connection", "protocol"],
        columns: services::RDP,
        complete: services::complete_rdp,
    },
    Kind {
        path: "ftp",
        marks: &["reply_code", "reply_msg"],
        event_kind: "event",
        dataset: "zeek.ftp",
        categories: &["network"],
        types: &["connection", "protocol"],
        columns: services::FTP,
        complete: services::complete_ftp,
    },
    Kind {
        path: "smtp",
        marks: &["helo", "mailfrom", "last_reply"],
        event_kind: "event",
        dataset: "zeek.smtp",
        categories: &["email", "network"],
        types: &["connection", "protocol"],
        columns: services::SMTP,
        complete: services::complete_smtp,
    },
    Kind {
        path: "notice",
        marks: &["note", "suppress_for"],
        event_kind: "alert",
        dataset: "zeek.notice",
        categories: &["intrusion_detection", "network"],
        types: &["info"],
        columns: domain::NOTICE,
        complete: domain::complete_notice,
    },
    Kind {
        path: "weird",
        marks: &["notice"],
        event_kind: "event",
        dataset: "zeek.weird",
        categories: &["network"],
        types: &["info"],
        columns: domain::WEIRD,
        complete: domain::complete_weird,
    },
    Kind {
        path: "capture_loss",
        marks: &["percent_lost"],
        event_kind: "metric",
        dataset: "zeek.capture_loss",
        categories: &["network"],
        types: &["info"],
        columns: domain::CAPTURE_LOSS,
        complete: domain::complete_capture_loss,
    },
];

/// Columns that only logs have which become no events.
pub(super) const OTHER_MARKS: &[&str] = &[
    "stratum",
    "fingerprint",
    "certificate.serial",
    "certStatus",
    "hashAlgorithm",
    "section_names",
    "pkts_proc",
    "software_type",
    "analyzer_kind",
    "failure_reason",
    "port_proto",
    "tunnel_type",
    "facility",
    "call_id",
];

/// A log's columns: time, session and the connection's ends, then its own.
macro_rules! connection_columns {
    ($($name:literal $sets:expr;)*) => {
        &[
            column!("ts", Sets::Kept),
            column!("uid", Sets::Text(Field::ZeekSessionId)),
            column!("id.orig_h", Sets::Address(Field::SourceIp)),
            column!("id.orig_p", Sets::Count(Field::SourcePort)),
            column!("id.resp_h", Sets::Address(Field::DestinationIp)),
            column!("id.resp_p", Sets::Count(Field::DestinationPort)),
            column!("community_id", Sets::Text(Field::NetworkCommunityId)),
            $(column!($name, $sets),)*
        ]
    };
}
pub(super) use connection_columns;

const CONN: &[Column] = &[
    column!("ts", Sets::Kept),
    column!("uid", Sets::Text(Field::ZeekSessionId)),
    column!("id.orig_h", Sets::Address(Field::SourceIp)),
    column!("id.orig_p", Sets::Kept),
    column!("id.resp_h", Sets::Address(Field::DestinationIp)),
    column!("id.resp_p", Sets::Kept),
    column!("proto", Sets::Lower(Field::NetworkTransport)),
    column!("service", Sets::Lower(Field::NetworkProtocol)),
    column!("duration", Sets::Kept),
    column!("orig_bytes", Sets::Kept),
    column!("resp_bytes", Sets::Kept),
    column!("conn_state", Sets::Text(Field::ZeekConnectionState)),
    column!("local_orig", Sets::Flag(Field::ZeekConnectionLocalOrig)),
    column!("local_resp", Sets::Flag(Field::ZeekConnectionLocalResp)),
    column!("missed_bytes", Sets::Count(Field::ZeekConnectionMissedBytes)),
    column!("history", Sets::Text(Field::ZeekConnectionHistory)),
    column!("orig_pkts", Sets::Count(Field::SourcePackets)),
    column!("orig_ip_bytes", Sets::Kept),
    column!("resp_pkts", Sets::Count(Field::DestinationPackets)),
    column!("resp_ip_bytes", Sets::Kept),
    column!("community_id", Sets::Text(Field::NetworkCommunityId)),
    column!("vlan", Sets::Text(Field::NetworkVlanId)),
    column!("inner_vlan", Sets::Text(Field::NetworkInnerVlanId)),
    column!("orig_l2_addr", Sets::Kept),
    column!("resp_l2_addr", Sets::Kept),
];

/// Bytes are those of the IP layer where the log has them, else those of the payload.
fn complete_conn(event: &mut Event, record: &Record<'_>) {
    const ORIG_PORT: usize = place(CONN, "id.orig_p");
    const RESP_PORT: usize = place(CONN, "id.resp_p");
    const PROTO: usize = place(CONN, "proto");
    const DURATION: usize = place(CONN, "duration");
    const ORIG_BYTES: usize = place(CONN, "orig_bytes");
    const RESP_BYTES: usize = place(CONN, "resp_bytes");
    const ORIG_PKTS: usize = place(CONN, "orig_pkts");
    const RESP_PKTS: usize = place(CONN, "resp_pkts");
    const ORIG_IP_BYTES: usize = place(CONN, "orig_ip_bytes");
    const RESP_IP_BYTES: usize = place(CONN, "resp_ip_bytes");
    const ORIG_MAC: usize = place(CONN, "orig_l2_addr");
    const RESP_MAC: usize = place(CONN, "resp_l2_addr");

    let icmp = record.text(PROTO).is_some_and(|proto| proto.starts_with("icmp"));
    let (orig_port, resp_port) = if icmp {
        (Field::IcmpType, Field::IcmpCode)
    } else {
        (Field::SourcePort, Field::DestinationPort)
    };
    add_count(event, orig_port, record.count(ORIG_PORT));
    add_count(event, resp_port, record.count(RESP_PORT));
    add_network_type(event);
    let sent = record.count(ORIG_IP_BYTES).or_else(|| record.count(ORIG_BYTES));
    let received = record.count(RESP_IP_BYTES).or_else(|| record.count(RESP_BYTES));
    add_count(event, Field::SourceBytes, sent);
    add_count(event, Field::DestinationBytes, received);
    add_count(event, Field::NetworkBytes, sum(sent, received));
    add_count(
        event,
        Field::NetworkPackets,
        sum(record.count(ORIG_PKTS), record.count(RESP_PKTS)),
    );
    for (field, cell) in [(Field::SourceMac, ORIG_MAC), (Field::DestinationMac, RESP_MAC)] {
        if let Some(text) = record.text(cell) {
            event.add_str(field, &hardware_address(&text));
        }
    }
    event.set_start(event.time());
    lasted(event, record.interval(DURATION));
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
    }
}

pub(super) fn add_count(event: &mut Event, field: Field, count: Option<u64>) {
    if let Some(count) = count {
        event.add_u64(field, count);
    }
}

pub(super) fn add_network_type(event: &mut Event) {
    match event.ip(Field::SourceIp) {
        Some(std::net::IpAddr::V4(_)) => event.add_str(Field::NetworkType, "ipv4"),
        Some(std::net::IpAddr::V6(_)) => event.add_str(Field::NetworkType, "ipv6"),
        None => {}
    }
}

const DNS: &[Column] = &[
    column!("ts", Sets::Kept),
    column!("uid", Sets::Text(Field::ZeekSessionId)),
    column!("id.orig_h", Sets::Address(Field::SourceIp)),
    column!("id.orig_p", Sets::Count(Field::SourcePort)),
    column!("id.resp_h", Sets::Address(Field::DestinationIp)),
    column!("id.resp_p", Sets::Count(Field::DestinationPort)),
    column!("proto", Sets::Lower(Field::NetworkTransport)),
    column!("trans_id", Sets::Text(Field::DnsId)),
    column!("rtt", Sets::Kept),
    column!("query", Sets::Kept),
    column!("qclass", Sets::Kept),
    column!("qclass_name", Sets::Kept),
    column!("qtype", Sets::Kept),
    column!("qtype_name", Sets::Kept),
    column!("rcode", Sets::Kept),
    column!("rcode_name", Sets::Kept),
    column!("AA", Sets::Kept),
    column!("TC", Sets::Kept),
    column!("RD", Sets::Kept),
    column!("RA", Sets::Kept),
    column!("answers", Sets::Items(Field::DnsAnswersData)),
    column!("TTLs", Sets::Kept),
    column!("rejected", Sets::Kept),
    column!("community_id", Sets::Text(Field::NetworkCommunityId)),
];

fn complete_dns(event: &mut Event, record: &Record<'_>) {
    const RTT: usize = place(DNS, "rtt");
    const QUERY: usize = place(DNS, "query");
    const CLASS: usize = place(DNS, "qclass");
    const CLASS_NAME: usize = place(DNS, "qclass_name");
    const TYPE: usize = place(DNS, "qtype");
    const TYPE_NAME: usize = place(DNS, "qtype_name");
    const RCODE: usize = place(DNS, "rcode");
    const RCODE_NAME: usize = place(DNS, "rcode_name");
    const ANSWERS: usize = place(DNS, "answers");
    const TTLS: usize = place(DNS, "TTLs");
    const FLAGS: [(usize, &str); 4] = [
        (place(DNS, "AA"), "AA"),
        (place(DNS, "TC"), "TC"),
        (place(DNS, "RD"), "RD"),
        (place(DNS, "RA"), "RA"),
    ];

    add_network_type(event);
    event.add_str(Field::NetworkProtocol, "dns");
    if let Some(name) = record.text(QUERY) {
        add_question_name(event, &name);
    }
    match record.text(CLASS_NAME) {
        Some(name) => event.add_str(Field::DnsQuestionClass, class_name(&name)),
        None => match record.count(CLASS) {
            Some(1) => event.add_str(Field::DnsQuestionClass, "IN"),
            Some(3) => event.add_str(Field::DnsQuestionClass, "CH"),
            _ => {}
        },
    }
    if let Some(name) = record.text(TYPE_NAME).or_else(|| record.count(TYPE).map(type_name)) {
        event.add_str(Field::DnsQuestionType, &name);
    }
    let answered = record.text(RCODE_NAME).or_else(|| record.count(RCODE).map(code_name));
    if let Some(name) = &answered {
        event.add_str(Field::DnsResponseCode, name);
    }
    event.add_str(Field::DnsType, if answered.is_some() { "answer" } else { "query" });
    add_dns_outcome(event, answered.as_deref());
    for (cell, name) in FLAGS {
        if record.flag(cell) == Some(true) {
            event.add_str(Field::DnsHeaderFlags, name);
        }
    }
    let mut answers = 0;
    record.each(ANSWERS, |answer| {
        answers += 1;
        if let Some(address) = address(answer) {
            event.add_ip(Field::DnsResolvedIp, address);
        }
    });
    if answered.is_some() {
        event.add_u64(Field::DnsAnswersCount, answers);
    }
    record.each(TTLS, |seconds| {
        if let Some(length) = super::values::interval(seconds) {
            event.add_i64(Field::DnsAnswersTtl, length.nanos() / 1_000_000_000);
        }
    });
    lasted(event, record.interval(RTT));
}

/// A question that got an answer failed unless the answer has no error.
pub(super) fn add_dns_outcome(event: &mut Event, code: Option<&str>) {
    if let Some(code) = code {
        event.add_str(
            Field::EventOutcome,
            if code == "NOERROR" { "success" } else { "failure" },
        );
    }
}

fn class_name(name: &str) -> &str {
    match name {
        "C_INTERNET" => "IN",
        "C_CHAOS" => "CH",
        "C_HESIOD" => "HS",
        "C_NONE" => "NONE",
        "C_ANY" => "ANY",
        other => other,
    }
}

/// The name of a DNS record type; `TYPE` and its number where it has none here (RFC 3597).
pub(super) fn type_name(number: u64) -> std::borrow::Cow<'static, str> {
    std::borrow::Cow::Borrowed(match number {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        43 => "DS",
        46 => "RRSIG",
        48 => "DNSKEY",
        64 => "SVCB",
        65 => "HTTPS",
        255 => "ANY",
        other => return std::borrow::Cow::Owned(format!("TYPE{other}")),
    })
}

/// The name of a DNS response code; `RCODE` and its number where it has none here.
pub(super) fn code_name(number: u64) -> std::borrow::Cow<'static, str> {
    std::borrow::Cow::Borrowed(match number {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        other => return std::borrow::Cow::Owned(format!("RCODE{other}")),
    })
}
