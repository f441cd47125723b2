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
