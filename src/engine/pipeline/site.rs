//! What is added to an event by what a site is like (its networks, its time zone), and by what its detectors ask for.

use crate::domain::{Event, Field, Timestamp};
use crate::engine::program::{AskedTemplates, Program};
use crate::engine::template::Templates;

/// Adds the direction of what passed between two addresses, who answered a web request, and the template of a message if a
/// detector asks for it, where the decoder has not. Doing so twice changes nothing.
pub(super) fn enrich(event: &mut Event, program: &Program, templates: &mut Templates) {
    let networks = &program.networks;
    if !event.has(Field::NetworkDirection)
        && let (Some(source), Some(destination)) = (event.ip(Field::SourceIp), event.ip(Field::DestinationIp))
    {
        let direction = networks.direction(source, destination);
        event.add_str(Field::NetworkDirection, direction.word());
    }
    if event.has(Field::HttpResponseStatusCode) && !event.has(Field::ServerAddress) {
        name_server(event);
    }
    if program.templates != AskedTemplates::default() && event.has(Field::Message) {
        add_template(event, program.templates, templates);
    }
}

/// Adds what is asked of the template of a message.
fn add_template(event: &mut Event, asked: AskedTemplates, templates: &mut Templates) {
    let id = asked.id && !event.has(Field::LogTemplateId);
    let text = asked.text && !event.has(Field::LogTemplateText);
    let Some(message) = event.str(Field::Message).filter(|_| id || text) else {
        return;
    };
    let template = templates.of(message.as_bytes());
    if id {
        event.add_str(Field::LogTemplateId, &template.name());
    }
    if text {
        event.add_bytes(Field::LogTemplateText, template.text);
    }
}

/// The hour of the week at a site, with the zone's offset looked up once an hour.
pub(super) struct WeekClock {
    zone: jiff::tz::TimeZone,
    hour: i64,
    offset_seconds: i64,
}

impl WeekClock {
    pub(super) fn new(zone: jiff::tz::TimeZone) -> Self {
        WeekClock {
            zone,
            hour: i64::MIN,
            offset_seconds: 0,
        }
    }

    /// 0 to 167; Monday's first hour is 0.
    pub(super) fn hour_of_week(&mut self, time: Timestamp) -> u8 {
        // Zones change their offset on quarter hours.
        let quarter = time.seconds().div_euclid(900);
        if quarter != self.hour {
            self.hour = quarter;
            self.offset_seconds = jiff::Timestamp::from_second(time.seconds())
                .map_or(0, |at| i64::from(self.zone.to_offset(at).seconds()));
        }
        // 1970-01-01 was a Thursday.
        ((time.seconds() + self.offset_seconds).div_euclid(3600) + 72).rem_euclid(168) as u8
    }
}

/// What a web server is called whose log names neither its machine nor a site.
const UNNAMED_SERVER: &str = "web-server";

/// Adds who answered a web request: its address where packets were seen, else the machine that wrote the log, else the
/// site that was asked for. A client may ask for any site, so that comes last.
fn name_server(event: &mut Event) {
    if let Some(address) = event.ip(Field::DestinationIp) {
        event.add_ip_text(Field::ServerAddress, address);
        return;
    }
    let name = event.str(Field::HostName).or_else(|| event.str(Field::UrlDomain));
    let name = name.unwrap_or(UNNAMED_SERVER).to_owned();
    event.add_str(Field::ServerAddress, &name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_of_the_week_follows_the_sites_zone() {
        let time = Timestamp::parse_rfc3339(b"2026-03-02T09:12:41Z").expect("a time");
        let mut utc = WeekClock::new(jiff::tz::TimeZone::UTC);
        assert_eq!(utc.hour_of_week(time), 9);
        let mut plus_two = WeekClock::new(jiff::tz::TimeZone::fixed(jiff::tz::offset(2)));
        assert_eq!(plus_two.hour_of_week(time), 11);
    }
}
