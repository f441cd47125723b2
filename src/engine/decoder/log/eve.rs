//! Suricata's EVE: one JSON object a line, told by `event_type`. A flow's event is complete at the flow's end; every
//! other at its `timestamp`. `stats` says nothing about hosts and is ignored.

use super::eve_details as details;
use super::json::Read;
use super::scanner::{Broken, Items, Json, Pairs};
use super::values::{address, civil, lower, whole};
use crate::domain::{Event, Field};

/// What stands at the top of every EVE line.
#[derive(Default)]
struct Head<'a> {
    timestamp: Option<&'a str>,
    event_type: Option<&'a str>,
    /// The object that is named as the event's type is.
    sections: Sections<'a>,
}

/// The nested objects of a line that are looked at; an alert has several.
#[derive(Default)]
pub(super) struct Sections<'a> {
    pub(super) flow: Option<&'a str>,
    pub(super) dns: Option<&'a str>,
    pub(super) http: Option<&'a str>,
    pub(super) tls: Option<&'a str>,
    pub(super) alert: Option<&'a str>,
    pub(super) own: Option<&'a str>,
}

/// Reads one EVE line.
pub(super) fn read(text: &str) -> Read {
    match event(text) {
        Ok(read) => read,
        Err(broken) => broken.into(),
    }
}

fn event(text: &str) -> Result<Read, Broken> {
    let mut head = Head::default();
    let mut pairs = Pairs::of(text)?;
    while let Some((key, value)) = pairs.next()? {
        match (key, value) {
            ("timestamp", Json::Text(text)) => head.timestamp = Some(text),
            ("event_type", Json::Text(text)) => head.event_type = Some(text),
            _ => {}
        }
    }
    let (Some(timestamp), Some(event_type)) = (head.timestamp, head.event_type) else {
        return Ok(Read::Other);
    };
    if event_type == "stats" {
        return Ok(Read::Ignored("stats"));
    }
    let Some(time) = civil(timestamp) else {
        return Ok(Read::Refused("eve_bad_time"));
    };
    let mut event = Event::new(time);
    event.add_str(Field::EventModule, "suricata");
    event.add_str(Field::EventDataset, "suricata.eve");
    event.add_str(Field::SuricataEveEventType, event_type);
    let mut pairs = Pairs::of(text)?;
    let mut ends = Ends::default();
    while let Some((key, value)) = pairs.next()? {
        match (key, value) {
            ("src_ip", Json::Text(text)) => ends.source_ip = address(text),
            ("dest_ip", Json::Text(text)) => ends.destination_ip = address(text),
            ("src_port", Json::Number(text)) => ends.source_port = whole(text),
            ("dest_port", Json::Number(text)) => ends.destination_port = whole(text),
            ("proto", Json::Text(text)) => event.add_str(Field::NetworkTransport, &transport(text)),
            ("app_proto", Json::Text(text)) if !matches!(text, "failed" | "unknown") => {
                event.add_str(Field::NetworkProtocol, &lower(text));
            }
            ("flow_id", Json::Number(text) | Json::Text(text)) => event.add_str(Field::SuricataEveFlowId, text),
            ("community_id", Json::Text(text)) => event.add_str(Field::NetworkCommunityId, text),
            ("in_iface", Json::Text(text)) => event.add_str(Field::ObserverIngressInterfaceName, text),
            ("host", Json::Text(text)) => event.add_str(Field::ObserverName, text),
            ("icmp_type", Json::Number(text)) => add_whole(&mut event, Field::IcmpType, text),
            ("icmp_code", Json::Number(text)) => add_whole(&mut event, Field::IcmpCode, text),
            ("vlan", Json::Array(text)) => add_vlans(&mut event, text)?,
            (section, Json::Object(text)) => {
                let sections = &mut head.sections;
                match section {
                    "flow" => sections.flow = Some(text),
                    "dns" => sections.dns = Some(text),
                    "http" => sections.http = Some(text),
                    "tls" => sections.tls = Some(text),
                    "alert" => sections.alert = Some(text),
                    _ => {}
                }
                if section == event_type {
                    sections.own = Some(text);
                }
            }
            _ => {}
        }
    }
    if ends.source_ip.is_none() && ends.destination_ip.is_none() {
        return Ok(Read::Ignored("eve_other"));
    }
    ends.turn_answer(event_type);
    ends.add_to(&mut event);
    details::add(&mut event, event_type, &head.sections)?;
    Ok(Read::Event(event))
}

#[derive(Default)]
struct Ends {
    source_ip: Option<std::net::IpAddr>,
    source_port: Option<u64>,
    destination_ip: Option<std::net::IpAddr>,
    destination_port: Option<u64>,
}

impl Ends {
    /// The source of a DNS exchange is who asks; an answer is logged the way its packet went.
    fn turn_answer(&mut self, event_type: &str) {
        if event_type == "dns" && self.source_port == Some(53) && self.destination_port != Some(53) {
            std::mem::swap(&mut self.source_ip, &mut self.destination_ip);
            std::mem::swap(&mut self.source_port, &mut self.destination_port);
        }
    }

    fn add_to(&self, event: &mut Event) {
        for (field, address) in [
            (Field::SourceIp, self.source_ip),
            (Field::DestinationIp, self.destination_ip),
        ] {
            if let Some(address) = address {
                event.add_ip(field, address);
            }
        }
        for (field, port) in [
            (Field::SourcePort, self.source_port),
            (Field::DestinationPort, self.destination_port),
        ] {
            if let Some(port) = port {
                event.add_u64(field, port);
            }
        }
        match event.ip(Field::SourceIp) {
            Some(std::net::IpAddr::V4(_)) => event.add_str(Field::NetworkType, "ipv4"),
            Some(std::net::IpAddr::V6(_)) => event.add_str(Field::NetworkType, "ipv6"),
            None => {}
        }
    }
}

fn transport(text: &str) -> String {
    match text {
        "IPv6-ICMP" => "ipv6-icmp".to_owned(),
        other => other.chars().take(64).collect::<String>().to_ascii_lowercase(),
    }
}

fn add_whole(event: &mut Event, field: Field, text: &str) {
    if let Some(number) = whole(text) {
        event.add_u64(field, number);
    }
}

fn add_vlans(event: &mut Event, text: &str) -> Result<(), Broken> {
    let mut items = Items::of(text)?;
    for field in [Field::NetworkVlanId, Field::NetworkInnerVlanId] {
        if let Some(Json::Number(text)) = items.next()? {
            event.add_str(field, text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::check::{check, decode, decode_bytes, mutate};
    use crate::domain::Timestamp;

    fn line(event_type: &str, rest: &str) -> String {
        format!(
            r#"{{"timestamp":"2022-07-11T06:09:52.602489+0100","flow_id":1684596746908921,"in_iface":"eth0","event_type":"{event_type}","src_ip":"10.0.0.1","src_port":36288,"dest_ip":"10.0.0.2","dest_port":80,"proto":"TCP",{rest}}}"#
        )
    }

    const FLOW: &str = r#""app_proto":"http","flow":{"pkts_toserver":2,"pkts_toclient":1,"bytes_toserver":108,"bytes_toclient":54,"start":"2022-07-11T05:48:21.5+0000","end":"2022-07-11T05:48:22.75+0000","age":1,"state":"closed","reason":"timeout"}"#;

    #[test]
    fn a_flow_is_complete_at_its_end() {
        let text = line("flow", FLOW);
        check(
            Format::Json,
            &text,
            "event.category=network event.type=connection event.type=end source.bytes=108 destination.bytes=54 \
             network.bytes=162 network.packets=3 network.transport=tcp network.protocol=http event.duration=1250000000 \
             suricata.eve.flow_id=1684596746908921 source.port=36288",
        );
        let events = decode(Format::Json, &format!("@cee: {text}"));
        let event = events.first().expect("one event");
        assert_eq!(Some(event.time()), Timestamp::parse_rfc3339(b"2022-07-11T05:48:22.75Z"));
        assert_eq!(event.start(), Timestamp::parse_rfc3339(b"2022-07-11T05:48:21.5Z"));
    }

    #[test]
    fn dns_is_the_same_in_all_three_forms() {
        let expected = "event.category=network dns.question.name=www.example.com dns.question.registered_domain=example.com \
            dns.question.type=A dns.type=answer dns.response_code=NOERROR dns.answers.data=198.18.1.2 \
            dns.resolved_ip=198.18.1.2 dns.answers_count=1 dns.id=7 event.outcome=success";
        for rest in [
            r#""dns":{"type":"answer","id":7,"rcode":"NOERROR","rrname":"WWW.example.com","rrtype":"A","ttl":60,"rdata":"198.18.1.2"}"#,
            r#""dns":{"version":2,"type":"answer","id":7,"flags":"8180","qr":true,"rd":true,"rrname":"www.example.com","rrtype":"A","rcode":"NOERROR","answers":[{"rrname":"www.example.com","rrtype":"A","ttl":60,"rdata":"198.18.1.2"}]}"#,
            r#""dns":{"version":3,"type":"response","id":7,"rcode":"NOERROR","queries":[{"rrname":"www.example.com","rrtype":"A"}],"answers":[{"rrname":"www.example.com","rrtype":"A","ttl":60,"rdata":"198.18.1.2"}]}"#,
        ] {
            check(Format::Json, &line("dns", rest), expected);
        }
        let turned = r#"{"timestamp":"2022-07-11T06:09:52Z","event_type":"dns","src_ip":"10.0.0.53","src_port":53,"dest_ip":"10.0.0.1","dest_port":5000,"proto":"UDP","dns":{"type":"answer","rrname":"x.org"}}"#;
        check(
            Format::Json,
            turned,
            "source.ip=10.0.0.1 source.port=5000 destination.port=53",
        );
    }

    #[test]
    fn every_kind_says_what_it_is_about() {
        for (kind, rest, expected) in [
            (
                "http",
                r#""http":{"hostname":"Example.com","http_port":8080,"url":"/a?b=1","http_user_agent":"curl/8","http_method":"GET","protocol":"HTTP/1.1","status":404,"length":12}"#,
                "event.category=web url.domain=example.com url.port=8080 url.path=/a url.query=b=1 user_agent.original=curl/8 http.request.method=GET http.version=1.1 http.response.status_code=404 http.response.body.bytes=12 event.outcome=failure",
            ),
            (
                "tls",
                r#""tls":{"sni":"Example.com","version":"TLS 1.3","ja3":{"hash":"AB"},"ja3s":{"hash":"cd"},"ja4":"t13d","subject":"CN=x"}"#,
                "tls.client.server_name=example.com tls.version=1.3 tls.version_protocol=tls tls.client.ja3=ab tls.server.ja3s=cd tls.client.ja4=t13d tls.server.subject=CN=x network.protocol=tls",
            ),
            (
                "ssh",
                r#""ssh":{"client":{"proto_version":"2.0","software_version":"OpenSSH_9.2","hassh":{"hash":"ee"}},"server":{"software_version":"dropbear"}}"#,
                "ssh.client=SSH-2.0-OpenSSH_9.2 ssh.hassh=ee ssh.server=SSH-2.0-dropbear",
            ),
            (
                "alert",
                r#""alert":{"action":"blocked","signature_id":2034125,"signature":"ET X","category":"Bad","severity":1},"http":{"url":"/x"}"#,
                "event.kind=alert rule.id=2034125 rule.name=ET%20X rule.category=Bad event.severity=1 event.type=denied url.path=/x",
            ),
            (
                "fileinfo",
                r#""fileinfo":{"filename":"/bin/a.SH","size":33,"sha256":"AA"}"#,
                "event.category=file file.path=/bin/a.SH file.name=a.SH file.extension=sh file.size=33 file.hash.sha256=aa event.action=file-transferred",
            ),
            (
                "dhcp",
                r#""dhcp":{"type":"reply","dhcp_type":"ack","client_mac":"00:00:5e:00:53:23","assigned_ip":"10.0.0.7","lease_time":3600,"hostname":"pc","next_server_ip":"0.0.0.0"}"#,
                "dhcp.message_type=ACK client.mac=00-00-5E-00-53-23 dhcp.assigned_ip=10.0.0.7 dhcp.lease_seconds=3600 dhcp.hostname=pc !dhcp.server_ip",
            ),
            (
                "krb5",
                r#""krb5":{"msg_type":"KRB_ERROR","failed_request":"KRB_AS_REQ","cname":"bob","realm":"CORP","error_code":"KDC_ERR_C_PRINCIPAL_UNKNOWN"}"#,
                "event.category=authentication event.outcome=failure user.name=bob user.domain=CORP kerberos.request_type=AS",
            ),
            (
                "krb5",
                r#""krb5":{"msg_type":"KRB_ERROR","failed_request":"KRB_AS_REQ","cname":"bob","error_code":"KDC_ERR_PREAUTH_REQUIRED"}"#,
                "!event.outcome",
            ),
            (
                "smb",
                r#""smb":{"command":"SMB2_COMMAND_CREATE","status":"STATUS_SUCCESS","filename":"a\\b.txt","share":"\\\\srv\\data","disposition":"FILE_OPEN"}"#,
                "event.category=file event.type=access event.action=file-opened file.path=\\\\srv\\data\\a\\b.txt event.outcome=success",
            ),
            (
                "smb",
                r#""smb":{"command":"SMB2_COMMAND_SESSION_SETUP","status":"STATUS_LOGON_FAILURE","ntlmssp":{"user":"bob","domain":"CORP","host":"PC9"}}"#,
                "event.category=authentication event.outcome=failure user.name=bob user.domain=CORP source.domain=pc9",
            ),
            (
                "netflow",
                r#""netflow":{"pkts":3,"bytes":300,"start":"2022-07-11T05:00:00Z","end":"2022-07-11T05:00:01Z"}"#,
                "event.type=end source.bytes=300 network.bytes=300 !destination.bytes",
            ),
            (
                "anomaly",
                r#""anomaly":{"type":"decode","event":"decoder.ipv4.trunc_pkt"}"#,
                "rule.name=decoder.ipv4.trunc_pkt rule.category=decode",
            ),
            ("mqtt", r#""mqtt":{}"#, "event.category=network network.protocol=mqtt"),
        ] {
            check(Format::Json, &line(kind, rest), expected);
        }
    }

    #[test]
    fn statistics_are_ignored_and_a_bad_time_is_refused() {
        let output = decode_bytes(
            Format::Json,
            b"{\"timestamp\":\"2022-07-11T06:09:52Z\",\"event_type\":\"stats\",\"stats\":{\"uptime\":1}}\n\
              {\"timestamp\":\"soon\",\"event_type\":\"flow\",\"src_ip\":\"10.0.0.1\"}",
        );
        assert_eq!(output.tally.ignored.get("stats"), Some(&1));
        assert_eq!(output.tally.refused.get("eve_bad_time"), Some(&1));
    }

    #[test]
    fn broken_lines_never_panic() {
        let dns = r#""dns":{"version":3,"type":"response","id":7,"queries":[{"rrname":"a.b"}],"answers":[{"ttl":60,"rdata":"198.18.1.2"}]}"#;
        let ssh = r#""vlan":[1,2],"ssh":{"client":{"software_version":"O","hassh":{"hash":"ee"}}}"#;
        let tls = r#""tls":{"sni":"E","version":"TLS 1.3","ja3":{"hash":"AB"}}"#;
        mutate(
            Format::Json,
            &[line("flow", FLOW), line("dns", dns), line("ssh", ssh), line("tls", tls)].join("\n"),
            2000,
        );
    }
}
