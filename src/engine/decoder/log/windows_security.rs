//! Events of the Windows Security log (and the installed service of the System log) in ECS terms, with categories,
//! actions and outcomes as Winlogbeat's security module gives them.

use super::values::add_file_path;
use super::windows::{Record, add_account, add_address, add_number, add_port, add_program, add_text, classify};
use crate::domain::{Event, Field};

const PROGRAM: (Field, Field) = (Field::ProcessExecutable, Field::ProcessName);
const PARENT: (Field, Field) = (Field::ProcessParentExecutable, Field::ProcessParentName);

/// Adds what an event of the Security log says.
pub(super) fn add(event: &mut Event, record: &Record<'_>) {
    match record.code {
        4624 | 4625 => logon(event, record),
        4634 | 4647 => logoff(event, record),
        4648 => explicit_logon(event, record),
        4672 => special_logon(event, record),
        4656 | 4658 | 4660 | 4663 => object(event, record),
        4688 => process_start(event, record),
        4689 => process_end(event, record),
        4697 => add_service(event, record),
        4768..=4771 => kerberos(event, record),
        4776 => credentials(event, record),
        5140 | 5145 => share(event, record),
        5156 | 5157 => connection(event, record),
        code => other(event, record, code),
    }
    let failed = match record.code {
        4768 | 4769 | 4776 => record
            .number("Status")
            .map_or_else(|| record.audit_failed(), |status| status != 0),
        4625 | 4771 => true,
        _ => record.audit_failed(),
    };
    event.add_str(Field::EventOutcome, if failed { "failure" } else { "success" });
}

/// Who did it.
fn add_subject(event: &mut Event, record: &Record<'_>) {
    add_user(event, record, "SubjectUserName", "SubjectDomainName");
    add_text(event, Field::UserId, record, "SubjectUserSid");
    add_text(event, Field::WinlogLogonId, record, "SubjectLogonId");
}

/// To whom it was done, as the event's user.
fn add_target(event: &mut Event, record: &Record<'_>) {
    add_user(event, record, "TargetUserName", "TargetDomainName");
    add_text(event, Field::UserId, record, "TargetUserSid");
}

fn add_user(event: &mut Event, record: &Record<'_>, name: &str, domain: &str) {
    add_text(event, Field::UserDomain, record, domain);
    if let Some(account) = record.text(name) {
        add_account(event, (Field::UserName, Field::UserDomain), &account);
    }
}

/// To whom it was done, beside the one who did it.
fn add_other_user(event: &mut Event, record: &Record<'_>) {
    add_text(event, Field::UserTargetDomain, record, "TargetDomainName");
    if let Some(account) = record.text("TargetUserName") {
        add_account(event, (Field::UserTargetName, Field::UserTargetDomain), &account);
    }
    let id = if record.text("TargetUserSid").is_some() {
        "TargetUserSid"
    } else {
        "TargetSid"
    };
    add_text(event, Field::UserTargetId, record, id);
}

fn add_source(event: &mut Event, record: &Record<'_>) {
    add_address(event, Field::SourceIp, record, "IpAddress");
    add_port(event, Field::SourcePort, record, "IpPort");
}

fn add_logon_details(event: &mut Event, record: &Record<'_>) {
    if let Some(number) = record.number("LogonType") {
        event.add_str(Field::WinlogLogonType, logon_type(number));
    }
    add_text(event, Field::WinlogEventDataLogonProcess, record, "LogonProcessName");
    add_text(
        event,
        Field::WinlogEventDataAuthenticationPackage,
        record,
        "AuthenticationPackageName",
    );
    add_text(event, Field::WinlogEventDataElevatedToken, record, "ElevatedToken");
}

fn logon_type(number: u64) -> &'static str {
    match number {
        0 => "System",
        2 => "Interactive",
        3 => "Network",
        4 => "Batch",
        5 => "Service",
        7 => "Unlock",
        8 => "NetworkCleartext",
        9 => "NewCredentials",
        10 => "RemoteInteractive",
        11 => "CachedInteractive",
        12 => "CachedRemoteInteractive",
        13 => "CachedUnlock",
        _ => "Unknown",
    }
}

fn logon(event: &mut Event, record: &Record<'_>) {
    let action = if record.code == 4624 {
        "logged-in"
    } else {
        "logon-failed"
    };
    classify(event, &["authentication"], &["start"], action);
    add_target(event, record);
    add_text(event, Field::WinlogLogonId, record, "TargetLogonId");
    add_source(event, record);
    add_text(event, Field::SourceDomain, record, "WorkstationName");
    add_program(event, PROGRAM, record, "ProcessName");
    add_number(event, Field::ProcessPid, record, "ProcessId");
    add_logon_details(event, record);
    add_status(event, record);
}

/// NTSTATUS codes: what went wrong, in words for the common ones ([MS-ERREF] 2.3.1).
fn add_status(event: &mut Event, record: &Record<'_>) {
    add_text(event, Field::WinlogEventDataStatus, record, "Status");
    add_text(event, Field::WinlogEventDataSubStatus, record, "SubStatus");
    if record.code == 4624 {
        return;
    }
    let code = record
        .number("SubStatus")
        .filter(|code| *code != 0)
        .or_else(|| record.number("Status"));
    let reason = match code {
        Some(0xc000_0064) => "no such user",
        Some(0xc000_006a) => "wrong password",
        Some(0xc000_006d) => "wrong user or password",
        Some(0xc000_006e) => "account restriction",
        Some(0xc000_006f) => "outside of logon hours",
        Some(0xc000_0070) => "workstation restriction",
        Some(0xc000_0071) => "password expired",
        Some(0xc000_0072) => "account disabled",
        Some(0xc000_015b) => "logon type not granted",
        Some(0xc000_0193) => "account expired",
        Some(0xc000_0224) => "password must change",
        Some(0xc000_0234) => "account locked out",
        _ => return,
    };
    event.add_str(Field::EventReason, reason);
}

fn logoff(event: &mut Event, record: &Record<'_>) {
    classify(event, &["authentication"], &["end"], "logged-out");
    add_target(event, record);
    add_text(event, Field::WinlogLogonId, record, "TargetLogonId");
    add_logon_details(event, record);
}

fn explicit_logon(event: &mut Event, record: &Record<'_>) {
    classify(event, &["authentication"], &["start"], "logged-in-explicit");
    add_subject(event, record);
    add_text(event, Field::UserEffectiveName, record, "TargetUserName");
    add_other_user(event, record);
    add_source(event, record);
    add_text(event, Field::DestinationDomain, record, "TargetServerName");
    add_program(event, PROGRAM, record, "ProcessName");
    add_number(event, Field::ProcessPid, record, "ProcessId");
}

fn special_logon(event: &mut Event, record: &Record<'_>) {
    classify(event, &["iam"], &["admin"], "logged-in-special");
    add_subject(event, record);
    let Some(privileges) = record.text("PrivilegeList") else {
        return;
    };
    for privilege in privileges.split_ascii_whitespace().take(64) {
        event.add_str(Field::WinlogEventDataPrivilegeList, privilege);
    }
}

/// A handle to an object, or what was done through it. Of what the access mask allows, the heaviest names the type.
fn object(event: &mut Event, record: &Record<'_>) {
    const DELETE: u64 = 0x1_0000;
    const DELETE_CHILD: u64 = 0x40;
    const WRITE: u64 = 0x2 | 0x4 | 0x10 | 0x100;
    const PERMISSIONS: u64 = 0x4_0000 | 0x8_0000;
    let object_type = record.text("ObjectType").unwrap_or_default();
    let category = match object_type.as_ref() {
        "File" => "file",
        "Key" => "registry",
        "Process" | "Thread" => "process",
        _ => "configuration",
    };
    let mask = record.number("AccessMask").unwrap_or(0);
    let (event_type, action) = match record.code {
        4656 => ("info", "object-handle-requested"),
        4658 => ("info", "object-handle-closed"),
        4660 => ("deletion", "object-deleted"),
        _ if category == "file" && mask & (DELETE | DELETE_CHILD) != 0 => ("deletion", "file-deleted"),
        _ if category == "file" && mask & WRITE != 0 => ("change", "file-written"),
        _ if category == "file" && mask & PERMISSIONS != 0 => ("change", "file-permissions-changed"),
        _ if category == "file" && mask & 0x1 != 0 => ("access", "file-read"),
        _ => ("access", "object-accessed"),
    };
    classify(event, &[category], &[event_type], action);
    add_subject(event, record);
    if let Some(name) = record.text("ObjectName") {
        match category {
            "file" => add_file_path(event, &name),
            "registry" => event.add_str(Field::RegistryPath, &name),
            _ => {}
        }
    }
    add_program(event, PROGRAM, record, "ProcessName");
    add_number(event, Field::ProcessPid, record, "ProcessId");
    event.add_str(Field::WinlogEventDataObjectType, &object_type);
    add_text(event, Field::WinlogEventDataAccessMask, record, "AccessMask");
    add_text(event, Field::WinlogEventDataAccessList, record, "AccessList");
}

fn process_start(event: &mut Event, record: &Record<'_>) {
    classify(event, &["process"], &["start"], "created-process");
    add_subject(event, record);
    if record.text("TargetUserName").is_some() {
        add_text(event, Field::UserEffectiveName, record, "TargetUserName");
        add_other_user(event, record);
    }
    add_program(event, PROGRAM, record, "NewProcessName");
    add_number(event, Field::ProcessPid, record, "NewProcessId");
    add_text(event, Field::ProcessCommandLine, record, "CommandLine");
    add_program(event, PARENT, record, "ParentProcessName");
    add_number(event, Field::ProcessParentPid, record, "ProcessId");
}

fn process_end(event: &mut Event, record: &Record<'_>) {
    classify(event, &["process"], &["end"], "exited-process");
    add_subject(event, record);
    add_program(event, PROGRAM, record, "ProcessName");
    add_number(event, Field::ProcessPid, record, "ProcessId");
    add_number(event, Field::ProcessExitCode, record, "Status");
}

/// An installed service: 4697 of the Security log, 7045 of the System log.
pub(super) fn add_service(event: &mut Event, record: &Record<'_>) {
    classify(
        event,
        &["configuration", "iam"],
        &["creation", "admin"],
        "service-installed",
    );
    add_subject(event, record);
    add_text(event, Field::ServiceName, record, "ServiceName");
    add_text(event, Field::ServiceType, record, "ServiceType");
    let path = if record.code == 7045 {
        "ImagePath"
    } else {
        "ServiceFileName"
    };
    add_text(event, Field::WinlogEventDataServiceFileName, record, path);
    let start = if record.code == 7045 {
        "StartType"
    } else {
        "ServiceStartType"
    };
    add_text(event, Field::WinlogEventDataStartType, record, start);
    let account = if record.code == 7045 {
        "AccountName"
    } else {
        "ServiceAccount"
    };
    if let Some(account) = record.text(account) {
        add_account(event, (Field::UserTargetName, Field::UserTargetDomain), &account);
    }
}

fn kerberos(event: &mut Event, record: &Record<'_>) {
    let action = match record.code {
        4768 => "kerberos-authentication-ticket-requested",
        4769 => "kerberos-service-ticket-requested",
        4770 => "kerberos-service-ticket-renewed",
        _ => "kerberos-preauth-failed",
    };
    classify(event, &["authentication"], &["start"], action);
    add_target(event, record);
    add_text(event, Field::UserId, record, "TargetSid");
    add_source(event, record);
    add_text(event, Field::ServiceName, record, "ServiceName");
    add_text(event, Field::KerberosService, record, "ServiceName");
    add_text(event, Field::WinlogEventDataStatus, record, "Status");
    add_text(event, Field::WinlogEventDataTicketOptions, record, "TicketOptions");
    add_text(event, Field::KerberosTicketOptions, record, "TicketOptions");
    add_text(
        event,
        Field::WinlogEventDataTicketEncryptionType,
        record,
        "TicketEncryptionType",
    );
}

fn credentials(event: &mut Event, record: &Record<'_>) {
    classify(event, &["authentication"], &["start"], "credential-validated");
    add_target(event, record);
    add_text(event, Field::SourceDomain, record, "Workstation");
    add_text(
        event,
        Field::WinlogEventDataAuthenticationPackage,
        record,
        "PackageName",
    );
    add_status(event, record);
}

fn share(event: &mut Event, record: &Record<'_>) {
    let action = if record.code == 5140 {
        "network-share-object-accessed"
    } else {
        "network-share-object-access-checked"
    };
    classify(event, &["network", "file"], &["info", "access"], action);
    add_subject(event, record);
    add_source(event, record);
    add_text(event, Field::FileShare, record, "ShareName");
    add_text(event, Field::SmbPath, record, "ShareName");
    add_text(event, Field::WinlogEventDataAccessMask, record, "AccessMask");
    add_text(event, Field::WinlogEventDataObjectType, record, "ObjectType");
    let relative = record.text("RelativeTargetName").unwrap_or_default();
    if let Some(share) = record.text("ShareName")
        && !relative.is_empty()
        && relative != "\\"
    {
        add_file_path(
            event,
            &format!(
                "{}\\{}",
                share.trim_end_matches('\\'),
                relative.trim_start_matches('\\')
            ),
        );
    }
}

/// A connection that the filtering platform let through or stopped.
fn connection(event: &mut Event, record: &Record<'_>) {
    let allowed = record.code == 5156;
    let types: [&str; 2] = ["connection", if allowed { "allowed" } else { "denied" }];
    classify(
        event,
        &["network"],
        &types,
        if allowed {
            "connection-permitted"
        } else {
            "connection-blocked"
        },
    );
    add_ends(event, record, "SourceAddress", "DestAddress");
    add_port(event, Field::SourcePort, record, "SourcePort");
    add_port(event, Field::DestinationPort, record, "DestPort");
    if let Some(number) = record.number("Protocol") {
        let name = match number {
            1 => "icmp",
            6 => "tcp",
            17 => "udp",
            58 => "ipv6-icmp",
            _ => "",
        };
        event.add_str(Field::NetworkTransport, name);
        event.add_str(Field::NetworkIanaNumber, &number.to_string());
    }
    add_program(event, PROGRAM, record, "Application");
    add_number(event, Field::ProcessPid, record, "ProcessID");
}

/// Adds both ends of a connection as source and destination.
pub(super) fn add_ends(event: &mut Event, record: &Record<'_>, source: &str, destination: &str) {
    add_address(event, Field::SourceIp, record, source);
    add_address(event, Field::DestinationIp, record, destination);
}

/// What needs no more than its name, the one who did it and the one to whom it was done.
fn other(event: &mut Event, record: &Record<'_>, code: u64) {
    let (categories, types, action): (&[&str], &[&str], &str) = match code {
        1102 => (&["iam"], &["admin", "change"], "audit-log-cleared"),
        4673 => (&["iam"], &["admin"], "privileged-service-called"),
        4674 => (&["iam"], &["admin"], "privileged-operation"),
        4698 => (
            &["configuration", "iam"],
            &["creation", "admin"],
            "scheduled-task-created",
        ),
        4699 => (
            &["configuration", "iam"],
            &["deletion", "admin"],
            "scheduled-task-deleted",
        ),
        4702 => (
            &["configuration", "iam"],
            &["change", "admin"],
            "scheduled-task-updated",
        ),
        4719 => (&["configuration", "iam"], &["change", "admin"], "changed-audit-config"),
        4720 => (&["iam"], &["user", "creation"], "added-user-account"),
        4722 => (&["iam"], &["user", "change"], "enabled-user-account"),
        4723 => (&["iam"], &["user", "change"], "changed-password"),
        4724 => (&["iam"], &["user", "change"], "reset-password"),
        4725 => (&["iam"], &["user", "change"], "disabled-user-account"),
        4726 => (&["iam"], &["user", "deletion"], "deleted-user-account"),
        4727 | 4731 | 4754 => (&["iam"], &["group", "creation"], "added-group-account"),
        4728 | 4732 | 4756 => (&["iam"], &["group", "change"], "added-member-to-group"),
        4729 | 4733 | 4757 => (&["iam"], &["group", "change"], "removed-member-from-group"),
        4738 => (&["iam"], &["user", "change"], "modified-user-account"),
        4740 => (&["iam"], &["user", "change"], "locked-out-user-account"),
        4741 => (&["iam"], &["creation", "admin"], "added-computer-account"),
        4742 => (&["iam"], &["change", "admin"], "changed-computer-account"),
        4767 => (&["iam"], &["user", "change"], "unlocked-user-account"),
        4778 => (&["authentication", "session"], &["start"], "session-reconnected"),
        4779 => (&["authentication", "session"], &["end"], "session-disconnected"),
        4798 | 4799 => (&["iam"], &["group", "info"], "membership-enumerated"),
        _ => return add_subject(event, record),
    };
    classify(event, categories, types, action);
    match code {
        4778 | 4779 => {
            add_user(event, record, "AccountName", "AccountDomain");
            add_address(event, Field::SourceIp, record, "ClientAddress");
            add_text(event, Field::SourceDomain, record, "ClientName");
        }
        4727..=4733 | 4754..=4757 | 4799 => {
            add_subject(event, record);
            add_text(event, Field::GroupName, record, "TargetUserName");
            add_text(event, Field::GroupId, record, "TargetSid");
            add_text(event, Field::UserTargetId, record, "MemberSid");
            add_text(event, Field::UserTargetName, record, "MemberName");
        }
        _ => {
            add_subject(event, record);
            add_other_user(event, record);
        }
    }
    add_program(event, PROGRAM, record, "ProcessName");
    add_text(event, Field::WinlogEventDataPrivilegeList, record, "PrivilegeList");
}
