//! Field names, interned: the ECS names that decoders fill in and definitions ask for.
//!
//! A name that ECS does not have is written as the nearest product writes it (`zeek.connection.state` as Filebeat's Zeek
//! module has it) or stands under `stakeout.`. Adding a field is one line here.

/// What kind of value a field carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text, compared as a whole or by pattern.
    Keyword,
    /// A whole number.
    Long,
    /// A number with a fraction.
    Float,
    /// An IPv4 or IPv6 address.
    Ip,
    /// Yes or no.
    Bool,
}

macro_rules! fields {
    ($($variant:ident $name:literal $kind:ident;)*) => {
        /// A field of an event, by its ECS name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "the ECS name beside each variant is its documentation")]
        pub enum Field { $($variant,)* }

        impl Field {
            /// Every field, in the order of its number.
            pub const ALL: &'static [Field] = &[$(Field::$variant,)*];
            /// How many 64-bit words a set of fields takes.
            pub const WORDS: usize = Self::ALL.len().div_ceil(64);

            /// The field's ECS name, such as `source.ip`.
            pub const fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)* }
            }

            /// What kind of value the field carries.
            pub const fn kind(self) -> FieldKind {
                match self { $(Field::$variant => FieldKind::$kind,)* }
            }

            /// The field of an ECS name. For reading definitions, not for the hot path.
            pub fn from_name(name: &str) -> Option<Field> {
                match name { $($name => Some(Field::$variant),)* _ => None }
            }
        }
    };
}

fields! {
    Message "message" Keyword;
    EventKind "event.kind" Keyword;
    EventCategory "event.category" Keyword;
    EventType "event.type" Keyword;
    EventAction "event.action" Keyword;
    EventOutcome "event.outcome" Keyword;
    EventDataset "event.dataset" Keyword;
    EventModule "event.module" Keyword;
    EventCode "event.code" Keyword;
    EventProvider "event.provider" Keyword;
    EventReason "event.reason" Keyword;
    EventId "event.id" Keyword;
    EventOriginal "event.original" Keyword;
    EventSequence "event.sequence" Long;
    EventSeverity "event.severity" Long;
    LogSyslogAppname "log.syslog.appname" Keyword;
    LogSyslogHostname "log.syslog.hostname" Keyword;
    LogSyslogProcid "log.syslog.procid" Keyword;
    LogSyslogMsgid "log.syslog.msgid" Keyword;
    LogLevel "log.level" Keyword;
    LogSyslogPriority "log.syslog.priority" Long;
    LogSyslogFacilityCode "log.syslog.facility.code" Long;
    LogSyslogSeverityCode "log.syslog.severity.code" Long;
    ObserverName "observer.name" Keyword;
    ObserverIngressInterfaceName "observer.ingress.interface.name" Keyword;
    AgentName "agent.name" Keyword;
    SourceIp "source.ip" Ip;
    SourceNatIp "source.nat.ip" Ip;
    SourcePort "source.port" Long;
    SourceBytes "source.bytes" Long;
    SourcePackets "source.packets" Long;
    SourceMac "source.mac" Keyword;
    SourceDomain "source.domain" Keyword;
    SourceAddress "source.address" Keyword;
    DestinationIp "destination.ip" Ip;
    DestinationPort "destination.port" Long;
    DestinationBytes "destination.bytes" Long;
    DestinationPackets "destination.packets" Long;
    DestinationMac "destination.mac" Keyword;
    DestinationDomain "destination.domain" Keyword;
    DestinationAddress "destination.address" Keyword;
    NetworkType "network.type" Keyword;
    NetworkTransport "network.transport" Keyword;
    NetworkIanaNumber "network.iana_number" Keyword;
    NetworkProtocol "network.protocol" Keyword;
    NetworkApplication "network.application" Keyword;
    NetworkDirection "network.direction" Keyword;
    NetworkCommunityId "network.community_id" Keyword;
    NetworkName "network.name" Keyword;
    NetworkBytes "network.bytes" Long;
    NetworkPackets "network.packets" Long;
    NetworkVlanId "network.vlan.id" Keyword;
    NetworkInnerVlanId "network.inner.vlan.id" Keyword;
    EventDuration "event.duration" Long;
    ZeekSessionId "zeek.session_id" Keyword;
    ZeekConnectionState "zeek.connection.state" Keyword;
    ZeekConnectionHistory "zeek.connection.history" Keyword;
    ZeekConnectionMissedBytes "zeek.connection.missed_bytes" Long;
    ZeekConnectionLocalOrig "zeek.connection.local_orig" Bool;
    ZeekConnectionLocalResp "zeek.connection.local_resp" Bool;
    IcmpType "icmp.type" Long;
    IcmpCode "icmp.code" Long;
    TunnelType "tunnel.type" Keyword;
    StakeoutFlowInterarrivalMean "stakeout.flow.interarrival.mean" Float;
    StakeoutFlowInterarrivalStddev "stakeout.flow.interarrival.stddev" Float;
    StakeoutFlowSizeMean "stakeout.flow.size.mean" Float;
    StakeoutFlowSizeStddev "stakeout.flow.size.stddev" Float;
    StakeoutFlowDuplicates "stakeout.flow.duplicates" Long;
    StakeoutFlowRetransmits "stakeout.flow.retransmits" Long;
    StakeoutFlowOneWay "stakeout.flow.one_way" Bool;
    StakeoutLate "stakeout.late" Bool;
    StakeoutLoss "stakeout.loss" Float;
    HostName "host.name" Keyword;
    HostHostname "host.hostname" Keyword;
    HostMac "host.mac" Keyword;
    HostOsName "host.os.name" Keyword;
    HostId "host.id" Keyword;
    HostIp "host.ip" Ip;
    ClientMac "client.mac" Keyword;
    ClientIp "client.ip" Ip;
    ServerAddress "server.address" Keyword;
    ServerIp "server.ip" Ip;
    ServerPort "server.port" Long;
    UserName "user.name" Keyword;
    UserId "user.id" Keyword;
    UserDomain "user.domain" Keyword;
    UserEmail "user.email" Keyword;
    UserEffectiveName "user.effective.name" Keyword;
    UserEffectiveId "user.effective.id" Keyword;
    UserTargetName "user.target.name" Keyword;
    UserTargetId "user.target.id" Keyword;
    UserTargetDomain "user.target.domain" Keyword;
    GroupName "group.name" Keyword;
    GroupId "group.id" Keyword;
    UserAgentOriginal "user_agent.original" Keyword;
    ProcessName "process.name" Keyword;
    ProcessExecutable "process.executable" Keyword;
    ProcessCommandLine "process.command_line" Keyword;
    ProcessArgs "process.args" Keyword;
    ProcessWorkingDirectory "process.working_directory" Keyword;
    ProcessTitle "process.title" Keyword;
    ProcessHashSha256 "process.hash.sha256" Keyword;
    ProcessEntityId "process.entity_id" Keyword;
    ProcessPid "process.pid" Long;
    ProcessExitCode "process.exit_code" Long;
    ProcessArgsCount "process.args_count" Long;
    ProcessParentName "process.parent.name" Keyword;
    ProcessParentExecutable "process.parent.executable" Keyword;
    ProcessParentCommandLine "process.parent.command_line" Keyword;
    ProcessParentEntityId "process.parent.entity_id" Keyword;
    ProcessParentPid "process.parent.pid" Long;
    ProcessTtyName "process.tty.name" Keyword;
    FilePath "file.path" Keyword;
    FileName "file.name" Keyword;
    FileDirectory "file.directory" Keyword;
    FileExtension "file.extension" Keyword;
    FileTargetPath "file.target_path" Keyword;
    FileType "file.type" Keyword;
    FileInode "file.inode" Keyword;
    FileHashSha256 "file.hash.sha256" Keyword;
    FileHashMd5 "file.hash.md5" Keyword;
    FileHashSha1 "file.hash.sha1" Keyword;
    FileMimeType "file.mime_type" Keyword;
    FileOwner "file.owner" Keyword;
    FileMode "file.mode" Keyword;
    FileSize "file.size" Long;
    FileShare "file.share" Keyword;
    RegistryPath "registry.path" Keyword;
    RegistryValue "registry.value" Keyword;
    RegistryDataStrings "registry.data.strings" Keyword;
    ServiceName "service.name" Keyword;
    ServiceType "service.type" Keyword;
    ServiceState "service.state" Keyword;
    DnsId "dns.id" Keyword;
    DnsOpCode "dns.op_code" Keyword;
    DnsQuestionName "dns.question.name" Keyword;
    DnsQuestionType "dns.question.type" Keyword;
    DnsQuestionClass "dns.question.class" Keyword;
    DnsQuestionRegisteredDomain "dns.question.registered_domain" Keyword;
    DnsQuestionSubdomain "dns.question.subdomain" Keyword;
    DnsQuestionTopLevelDomain "dns.question.top_level_domain" Keyword;
    DnsResponseCode "dns.response_code" Keyword;
    DnsType "dns.type" Keyword;
    DnsAnswersData "dns.answers.data" Keyword;
    DnsAnswersName "dns.answers.name" Keyword;
    DnsAnswersType "dns.answers.type" Keyword;
    DnsHeaderFlags "dns.header_flags" Keyword;
    DnsResolvedIp "dns.resolved_ip" Ip;
    DnsAnswersTtl "dns.answers.ttl" Long;
    DnsAnswersCount "dns.answers_count" Long;
    HttpVersion "http.version" Keyword;
    HttpRequestMethod "http.request.method" Keyword;
    HttpRequestReferrer "http.request.referrer" Keyword;
    HttpRequestMimeType "http.request.mime_type" Keyword;
    HttpRequestId "http.request.id" Keyword;
    HttpResponseMimeType "http.response.mime_type" Keyword;
    HttpRequestBytes "http.request.bytes" Long;
    HttpRequestBodyBytes "http.request.body.bytes" Long;
    HttpResponseStatusCode "http.response.status_code" Long;
    HttpResponseBytes "http.response.bytes" Long;
    HttpResponseBodyBytes "http.response.body.bytes" Long;
    UrlOriginal "url.original" Keyword;
    UrlPath "url.path" Keyword;
    UrlQuery "url.query" Keyword;
    UrlDomain "url.domain" Keyword;
    UrlFull "url.full" Keyword;
    UrlScheme "url.scheme" Keyword;
    UrlExtension "url.extension" Keyword;
    UrlRegisteredDomain "url.registered_domain" Keyword;
    UrlUsername "url.username" Keyword;
    UrlPort "url.port" Long;
    TlsVersion "tls.version" Keyword;
    TlsVersionProtocol "tls.version_protocol" Keyword;
    TlsCipher "tls.cipher" Keyword;
    TlsNextProtocol "tls.next_protocol" Keyword;
    TlsClientServerName "tls.client.server_name" Keyword;
    TlsClientJa3 "tls.client.ja3" Keyword;
    TlsClientJa4 "tls.client.ja4" Keyword;
    TlsServerJa3s "tls.server.ja3s" Keyword;
    TlsServerJa4s "tls.server.ja4s" Keyword;
    TlsClientSubject "tls.client.subject" Keyword;
    TlsClientIssuer "tls.client.issuer" Keyword;
    TlsServerSubject "tls.server.subject" Keyword;
    TlsServerIssuer "tls.server.issuer" Keyword;
    TlsServerHashSha256 "tls.server.hash.sha256" Keyword;
    TlsClientSupportedCiphers "tls.client.supported_ciphers" Keyword;
    TlsEstablished "tls.established" Bool;
    TlsResumed "tls.resumed" Bool;
    SshClient "ssh.client" Keyword;
    SshServer "ssh.server" Keyword;
    SshDirection "ssh.direction" Keyword;
    SshHassh "ssh.hassh" Keyword;
    SshHasshServer "ssh.hassh_server" Keyword;
    SshAuthSuccess "ssh.auth.success" Bool;
    SshAuthAttempts "ssh.auth.attempts" Long;
    SystemAuthSshMethod "system.auth.ssh.method" Keyword;
    SystemAuthSshSignature "system.auth.ssh.signature" Keyword;
    DhcpMessageType "dhcp.message_type" Keyword;
    DhcpClientId "dhcp.client_id" Keyword;
    DhcpHostname "dhcp.hostname" Keyword;
    DhcpDomain "dhcp.domain" Keyword;
    DhcpAssignedIp "dhcp.assigned_ip" Ip;
    DhcpRequestedIp "dhcp.requested_ip" Ip;
    DhcpServerIp "dhcp.server_ip" Ip;
    DhcpLeaseSeconds "dhcp.lease_seconds" Long;
    SmbPath "smb.path" Keyword;
    SmbAction "smb.action" Keyword;
    SmbName "smb.name" Keyword;
    SmbShareType "smb.share_type" Keyword;
    NtlmHostname "ntlm.hostname" Keyword;
    NtlmDomainname "ntlm.domainname" Keyword;
    KerberosRequestType "kerberos.request_type" Keyword;
    KerberosClient "kerberos.client" Keyword;
    KerberosService "kerberos.service" Keyword;
    KerberosErrorMsg "kerberos.error_msg" Keyword;
    KerberosCipher "kerberos.cipher" Keyword;
    KerberosTicketOptions "kerberos.ticket_options" Keyword;
    KerberosSuccess "kerberos.success" Bool;
    RuleId "rule.id" Keyword;
    RuleName "rule.name" Keyword;
    RuleCategory "rule.category" Keyword;
    RuleRuleset "rule.ruleset" Keyword;
    RuleDescription "rule.description" Keyword;
    SuricataEveFlowId "suricata.eve.flow_id" Keyword;
    SuricataEveEventType "suricata.eve.event_type" Keyword;
    SuricataEveAlertSeverity "suricata.eve.alert.severity" Long;
    SuricataEveAlertSignatureId "suricata.eve.alert.signature_id" Long;
    WinlogChannel "winlog.channel" Keyword;
    WinlogComputerName "winlog.computer_name" Keyword;
    WinlogProviderName "winlog.provider_name" Keyword;
    WinlogLogonType "winlog.logon.type" Keyword;
    WinlogLogonId "winlog.logon.id" Keyword;
    WinlogTask "winlog.task" Keyword;
    WinlogOpcode "winlog.opcode" Keyword;
    WinlogKeywords "winlog.keywords" Keyword;
    WinlogEventId "winlog.event_id" Long;
    WinlogRecordId "winlog.record_id" Long;
    WinlogEventDataStatus "winlog.event_data.status" Keyword;
    WinlogEventDataSubStatus "winlog.event_data.sub_status" Keyword;
    WinlogEventDataLogonProcess "winlog.event_data.logon_process" Keyword;
    WinlogEventDataAuthenticationPackage "winlog.event_data.authentication_package" Keyword;
    WinlogEventDataObjectType "winlog.event_data.object_type" Keyword;
    WinlogEventDataAccessMask "winlog.event_data.access_mask" Keyword;
    WinlogEventDataAccessList "winlog.event_data.access_list" Keyword;
    WinlogEventDataPrivilegeList "winlog.event_data.privilege_list" Keyword;
    WinlogEventDataTicketEncryptionType "winlog.event_data.ticket_encryption_type" Keyword;
    WinlogEventDataTicketOptions "winlog.event_data.ticket_options" Keyword;
    WinlogEventDataGrantedAccess "winlog.event_data.granted_access" Keyword;
    WinlogEventDataSourceImage "winlog.event_data.source_image" Keyword;
    WinlogEventDataTargetImage "winlog.event_data.target_image" Keyword;
    WinlogEventDataCallTrace "winlog.event_data.call_trace" Keyword;
    WinlogEventDataServiceFileName "winlog.event_data.service_file_name" Keyword;
    WinlogEventDataStartType "winlog.event_data.start_type" Keyword;
    WinlogEventDataElevatedToken "winlog.event_data.elevated_token" Keyword;
    AuditdSession "auditd.session" Keyword;
    AuditdResult "auditd.result" Keyword;
    AuditdKey "auditd.key" Keyword;
    AuditdMessageType "auditd.message_type" Keyword;
    AuditdDataSyscall "auditd.data.syscall" Keyword;
    AuditdDataArch "auditd.data.arch" Keyword;
    AuditdDataExit "auditd.data.exit" Keyword;
    AuditdDataTerminal "auditd.data.terminal" Keyword;
    AuditdDataAddr "auditd.data.addr" Keyword;
    AuditdDataHostname "auditd.data.hostname" Keyword;
    AuditdDataOp "auditd.data.op" Keyword;
    AuditdDataAcct "auditd.data.acct" Keyword;
    ErrorMessage "error.message" Keyword;
    ErrorCode "error.code" Keyword;
    LabelsSite "labels.site" Keyword;
    Tags "tags" Keyword;
    ThreatTechniqueId "threat.technique.id" Keyword;
    LogTemplateId "log.template.id" Keyword;
    LogTemplateText "log.template.text" Keyword;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name() {
        for (number, field) in Field::ALL.iter().enumerate() {
            assert_eq!(Field::from_name(field.name()), Some(*field));
            assert_eq!(*field as usize, number);
        }
        assert_eq!(Field::from_name("source.colour"), None);
    }
}
