//! The configuration file: networks, assets, time zone, budget, bounds and what is changed about detectors. Read whole,
//! with every mistake reported at once. Everything has a default, so that an empty file, and none, are configurations.

mod schema;
mod service;

pub use schema::schema;
pub use service::{
    ClusterTopics, CredentialSettings, DocumentFormat, Files, Http, HttpTarget, HttpTls, Inputs, InterfaceInput,
    KafkaCluster, KafkaConnection, KafkaInput, ListenTransport, NetflowInput, Property, Secret, SecretProblem, Service,
    SinkKind, SinkSettings, StoreSettings, SyslogInput, Tolerance, TopicSettings, Transport, is_name,
};

use crate::domain::{Asset, Assets, Criticality, Document, Duration, Level, Mistake, Networks, Place, Prefix, Setting};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a site says about itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is inside, and what networks are called.
    pub networks: Networks,
    /// The file that tells which autonomous system an address belongs to.
    pub asn_database: Option<AsnDatabase>,
    /// What matters more, or less, than the rest.
    pub assets: Assets,
    /// In which hours and weekdays are counted.
    pub timezone: TimeZone,
    /// How many alerts a day operators can read, above 0.
    pub alerts_per_day: f64,
    /// How much is kept, at most.
    pub bounds: Bounds,
    /// What is changed about detectors, in the order of the file.
    pub detectors: Vec<Setting>,
    /// What `stakeout run` is told; the other commands do not look at it.
    pub service: Service,
}

/// A database of autonomous systems that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsnDatabase {
    /// The file, relative to the configuration's folder.
    pub path: PathBuf,
    /// Where the configuration names it, for telling what is wrong with it.
    pub place: Mistake,
}

/// How much is kept, at most. Past a bound answers become coarser, and that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Entities with baselines of their own, for each detector in each of the 1,024 key groups.
    pub entities_per_key_group_max: usize,
    /// Flows that are open at once in one capture.
    pub flows_max: usize,
    /// How far the records of one log may be out of order.
    pub disorder_max: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            entities_per_key_group_max: 4096,
            flows_max: 500_000,
            disorder_max: Duration::from_millis(500),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            networks: Networks::default(),
            asn_database: None,
            assets: Assets::default(),
            timezone: TimeZone::UTC,
            alerts_per_day: 20.0,
            bounds: Bounds::default(),
            detectors: Vec::new(),
            service: Service::default(),
        }
    }
}

/// The keys of the file, beside those of the service's part.
const KEYS: [&str; 6] = ["networks", "assets", "timezone", "budget", "bounds", "detectors"];
const NETWORK_KEYS: [&str; 3] = ["internal", "named", "asn_database"];
const ASSET_KEYS: [&str; 5] = ["name", "address", "host", "user", "criticality"];
const BUDGET_KEYS: [&str; 1] = ["alerts_per_day"];
const BOUND_KEYS: [&str; 3] = ["entities_per_key_group_max", "flows_max", "disorder_max"];
const SETTING_KEYS: [&str; 2] = ["at_least", "level"];

/// The largest number of prefixes, names and assets, each.
const ENTRIES_MAX: usize = 10_000;

impl Config {
    /// Reads `text`, which came from `file`.
    pub fn read(file: &str, text: &str) -> Result<Config, Vec<Mistake>> {
        let document = Document::parse(file, text).map_err(|mistake| vec![mistake])?;
        let root = document.root();
        let mut config = Config::default();
        if root.value().is_null() {
            return Ok(config);
        }
        if !root.value().is_mapping() {
            return Err(vec![
                root.mistake("must be a mapping with `networks`, `assets`, `timezone` ..."),
            ]);
        }
        let mut mistakes = Vec::new();
        let known: Vec<&str> = KEYS.into_iter().chain(service::keys::SERVICE).collect();
        root.refuse_unknown_keys(&known, &mut mistakes);
        config.service = Service::read(&root, &mut mistakes);
        if let Some(place) = root.get("networks") {
            config.networks = networks(&place, &mut mistakes);
            config.asn_database = place
                .get("asn_database")
                .and_then(|place| asn_database(file, &place, &mut mistakes));
        }
        if let Some(place) = root.get("assets") {
            config.assets = assets(&place, &mut mistakes);
        }
        if let Some(place) = root.get("timezone") {
            config.timezone = timezone(&place, &mut mistakes);
        }
        if let Some(place) = root.get("budget") {
            expect_mapping(&place, &BUDGET_KEYS, &mut mistakes);
            if let Some(place) = place.get("alerts_per_day")
                && let Some(number) = number(&place, 0.01, 1e6, &mut mistakes)
            {
                config.alerts_per_day = number;
            }
        }
        if let Some(place) = root.get("bounds") {
            bounds(&place, &mut config.bounds, &mut mistakes);
        }
        if let Some(place) = root.get("detectors") {
            config.detectors = settings(&place, &mut mistakes);
        }
        if mistakes.is_empty() {
            Ok(config)
        } else {
            mistakes.sort();
            Err(mistakes)
        }
    }
}

fn expect_mapping(place: &Place<'_>, keys: &[&str], mistakes: &mut Vec<Mistake>) {
    if place.value().is_mapping() {
        place.refuse_unknown_keys(keys, mistakes);
    } else {
        mistakes.push(place.mistake(format!("must be a mapping with `{}`", keys.join("`, `"))));
    }
}

fn number(place: &Place<'_>, least: f64, most: f64, mistakes: &mut Vec<Mistake>) -> Option<f64> {
    match place.value().as_f64() {
        Some(number) if number >= least && number <= most => Some(number),
        Some(number) => {
            mistakes.push(place.mistake(format!("{number} is not between {least} and {most}")));
            None
        }
        None => {
            mistakes.push(place.mistake("must be a number"));
            None
        }
    }
}

fn prefix(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<Prefix> {
    let text = place.value().as_str().unwrap_or_default();
    let prefix = Prefix::parse(text);
    if prefix.is_none() {
        mistakes.push(place.mistake("must be a network such as `10.0.0.0/8`, or an address"));
    }
    prefix
}

/// The items of a list that is not too long.
fn bounded<'a>(place: &Place<'a>, mistakes: &mut Vec<Mistake>) -> Vec<Place<'a>> {
    let items = place.items();
    if items.len() > ENTRIES_MAX {
        mistakes.push(place.mistake(format!("{} entries are over entries_max ({ENTRIES_MAX})", items.len())));
        return Vec::new();
    }
    items
}

fn networks(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Networks {
    expect_mapping(place, &NETWORK_KEYS, mistakes);
    let internal: Vec<Prefix> = match place.get("internal") {
        Some(place) => bounded(&place, mistakes)
            .iter()
            .filter_map(|item| prefix(item, mistakes))
            .collect(),
        None => Networks::INTERNAL_DEFAULT
            .iter()
            .filter_map(|text| Prefix::parse(text))
            .collect(),
    };
    let mut named = Vec::new();
    if let Some(place) = place.get("named") {
        if !place.value().is_mapping() {
            mistakes.push(place.mistake("must be a mapping of names to networks: `dmz: 192.0.2.0/24`"));
        }
        for (name, place) in place.entries() {
            for item in bounded(&place, mistakes) {
                named.extend(prefix(&item, mistakes).map(|prefix| (prefix, name.clone())));
            }
        }
    }
    Networks::new(&internal, &named)
}

fn asn_database(file: &str, place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<AsnDatabase> {
    match place.value().as_str() {
        Some(path) if !path.is_empty() => Some(AsnDatabase {
            path: Path::new(file).parent().unwrap_or(Path::new("")).join(path),
            place: place.mistake(""),
        }),
        _ => {
            mistakes.push(place.mistake("must be a file, such as `GeoLite2-ASN.mmdb`"));
            None
        }
    }
}

fn assets(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Assets {
    let (mut addresses, mut hosts, mut users) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    if !place.value().is_sequence() {
        mistakes.push(place.mistake("must be a list: `- { name: payroll, address: 10.1.2.3, criticality: high }`"));
        return Assets::default();
    }
    for item in bounded(place, mistakes) {
        expect_mapping(&item, &ASSET_KEYS, mistakes);
        if !item.value().is_mapping() {
            continue;
        }
        let criticality = match item.get("criticality") {
            Some(place) => criticality(&place, mistakes),
            None => {
                mistakes.push(item.mistake("the asset has no `criticality`"));
                None
            }
        };
        let ends: Vec<Place<'_>> = ["address", "host", "user"]
            .iter()
            .filter_map(|key| item.get(key))
            .collect();
        if ends.is_empty() {
            mistakes.push(item.mistake("the asset has none of `address`, `host` and `user`"));
        }
        let name = item.get("name").or(ends.first().cloned());
        let name = name.and_then(|place| place.items().first().and_then(|first| first.value().as_str()));
        let asset = Asset {
            name: name.unwrap_or_default().to_owned(),
            criticality: criticality.unwrap_or_default(),
        };
        for place in item.get("address").iter().flat_map(Place::items) {
            addresses.extend(prefix(&place, mistakes).map(|prefix| (prefix, asset.clone())));
        }
        for (key, names) in [("host", &mut hosts), ("user", &mut users)] {
            for place in item.get(key).iter().flat_map(Place::items) {
                match place.value().as_str() {
                    Some(name) if key == "host" => {
                        let short = name.split('.').next().unwrap_or(name);
                        names.insert(short.to_ascii_lowercase(), asset.clone());
                    }
                    Some(name) => {
                        names.insert(name.to_owned(), asset.clone());
                    }
                    None => mistakes.push(place.mistake("must be text")),
                }
            }
        }
    }
    Assets::new(&addresses, hosts, users)
}

fn criticality(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<Criticality> {
    let word = place.value().as_str().unwrap_or_default();
    let found = Criticality::ALL
        .into_iter()
        .find(|criticality| criticality.word() == word);
    if found.is_none() {
        let words = Criticality::ALL.iter().map(|criticality| criticality.word());
        mistakes.push(place.wrong_word(format!("unknown criticality `{word}`"), word, words));
    }
    found
}

fn timezone(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> TimeZone {
    let name = place.value().as_str().unwrap_or_default();
    let bundled = jiff::tz::TimeZoneDatabase::bundled();
    match bundled.get(name) {
        Ok(timezone) => timezone,
        Err(_) => {
            let names: Vec<String> = bundled.available().map(|name| name.to_string()).collect();
            let message = format!("`{name}` is not a time zone such as `Europe/Berlin`");
            mistakes.push(place.wrong_word(message, name, names.iter().map(String::as_str)));
            TimeZone::UTC
        }
    }
}

fn bounds(place: &Place<'_>, bounds: &mut Bounds, mistakes: &mut Vec<Mistake>) {
    expect_mapping(place, &BOUND_KEYS, mistakes);
    for (key, bound) in [
        ("entities_per_key_group_max", &mut bounds.entities_per_key_group_max),
        ("flows_max", &mut bounds.flows_max),
    ] {
        if let Some(place) = place.get(key) {
            match place.value().as_u64() {
                Some(number @ 1..=10_000_000) => *bound = number as usize,
                _ => mistakes.push(place.mistake("must be a whole number between 1 and 10000000")),
            }
        }
    }
    if let Some(place) = place.get("disorder_max") {
        let length = place.value().as_str().and_then(Duration::parse);
        match length {
            Some(length) if length <= Duration::from_seconds(60) => bounds.disorder_max = length,
            _ => mistakes.push(place.mistake("must be a length of time up to 1m, such as `500ms`")),
        }
    }
}

fn settings(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Vec<Setting> {
    if !place.value().is_mapping() {
        let message = "must be a mapping of detectors: `user_unusual_hour: off`, `host_bytes_out: { at_least: 1e9 }`";
        mistakes.push(place.mistake(message));
    }
    let mut settings = Vec::new();
    for (id, place) in place.entries() {
        let mut setting = Setting {
            is_off: false,
            at_least: None,
            level: None,
            unknown: place.mistake(format!("there is no detector `{id}`")),
            id,
        };
        match place.value() {
            yaml_serde::Value::Bool(false) => setting.is_off = true,
            yaml_serde::Value::String(word) if word == "off" => setting.is_off = true,
            yaml_serde::Value::Mapping(_) => {
                place.refuse_unknown_keys(&SETTING_KEYS, mistakes);
                setting.at_least = place
                    .get("at_least")
                    .and_then(|place| number(&place, 0.0, 1e18, mistakes));
                setting.level = place.get("level").and_then(|place| level(&place, mistakes));
            }
            _ => mistakes.push(place.mistake("must be `off`, or a mapping with `at_least` and `level`")),
        }
        settings.push(setting);
    }
    settings
}

fn level(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<Level> {
    let word = place.value().as_str().unwrap_or_default();
    let found = Level::ALL.into_iter().find(|level| level.word() == word);
    if found.is_none() {
        let words = Level::ALL.iter().map(|level| level.word());
        mistakes.push(place.wrong_word(format!("unknown level `{word}`"), word, words));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Field, Value};

    const GOOD: &str = "\
networks:
  internal: [10.0.0.0/8, 'fd00::/8']
  named:
    dmz: [192.0.2.0/24, '2001:db8::/48']
    office: 10.1.0.0/16
assets:
  - { name: payroll, address: 10.1.2.3, host: Pay01.example.org, criticality: critical }
  - { name: guests, address: [10.9.0.0/16], criticality: low }
  - { user: root, criticality: high }
timezone: Europe/Berlin
budget: { alerts_per_day: 5 }
bounds: { entities_per_key_group_max: 100, disorder_max: 2s }
detectors:
  user_unusual_hour: off
  host_bytes_out: { at_least: 1e9, level: low }
";

    #[test]
    fn everything_has_a_default() {
        for text in ["", "# nothing\n", "networks:\n"] {
            let config = Config::read("stakeout.yml", text).expect("without mistakes");
            assert!(config.networks.is_internal("10.0.0.1".parse().expect("an address")));
            assert_eq!(config.asn_database, None);
            assert_eq!(config.alerts_per_day, 20.0);
            assert_eq!(config.timezone, TimeZone::UTC);
        }
    }

    #[test]
    fn a_whole_configuration_is_read() {
        let config = Config::read("stakeout.yml", GOOD).expect("without mistakes");
        let ip = |text: &str| text.parse().expect("an address");
        assert!(config.networks.is_internal(ip("fd00::1")));
        assert!(!config.networks.is_internal(ip("192.168.1.1")));
        assert_eq!(config.networks.name(ip("10.1.9.9")), Some("office"));
        assert_eq!(config.networks.name(ip("192.0.2.1")), Some("dmz"));
        for (field, value, criticality, name) in [
            (
                Field::SourceIp,
                Value::Ip(ip("10.1.2.3")),
                Criticality::Critical,
                "payroll",
            ),
            (
                Field::DestinationIp,
                Value::Ip(ip("10.9.9.9")),
                Criticality::Low,
                "guests",
            ),
            (Field::HostName, Value::Str("pay01"), Criticality::Critical, "payroll"),
            (Field::UserName, Value::Str("root"), Criticality::High, "root"),
            (Field::UserName, Value::Str("pay01"), Criticality::Normal, ""),
        ] {
            assert_eq!(config.assets.criticality(field, value), criticality);
            assert_eq!(config.assets.find(field, value).map_or("", |asset| &asset.name), name);
        }
        assert_eq!(config.timezone.iana_name(), Some("Europe/Berlin"));
        assert_eq!(config.alerts_per_day, 5.0);
        assert_eq!(config.bounds.entities_per_key_group_max, 100);
        assert_eq!(config.bounds.disorder_max, Duration::from_seconds(2));
        assert!(config.detectors[0].is_off);
        assert_eq!(config.detectors[1].at_least, Some(1e9));
        assert_eq!(config.detectors[1].level, Some(Level::Low));
    }

    #[test]
    fn every_mistake_is_told_at_once_with_line_and_key() {
        let text = "\
network: {}
networks:
  internal: [10.0.0.0/33]
  named: { dmz: 192.0.2.0/24x }
assets:
  - { address: 10.0.0.1, criticality: hihg }
  - { criticality: high }
  - { host: a }
timezone: Europe/Berlln
budget: { alerts_per_day: none }
bounds:
  entities_per_key_group_max: 0
  disorder_max: 2h
detectors:
  a: on
  b: { level: hgih, at_leest: 4 }
";
        let mistakes = Config::read("s.yml", text).expect_err("mistakes");
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "s.yml:1:1: network: unknown key `network`; did you mean `networks`?",
                "s.yml:3:14: networks/internal/1: must be a network such as `10.0.0.0/8`, or an address",
                "s.yml:4:12: networks/named/dmz: must be a network such as `10.0.0.0/8`, or an address",
                "s.yml:6:26: assets/1/criticality: unknown criticality `hihg`; did you mean `high`?",
                "s.yml:7:5: assets/2: the asset has none of `address`, `host` and `user`",
                "s.yml:8:5: assets/3: the asset has no `criticality`",
                "s.yml:9:1: timezone: `Europe/Berlln` is not a time zone such as `Europe/Berlin`; did you mean `Europe/Berlin`?",
                "s.yml:10:11: budget/alerts_per_day: must be a number",
                "s.yml:12:3: bounds/entities_per_key_group_max: must be a whole number between 1 and 10000000",
                "s.yml:13:3: bounds/disorder_max: must be a length of time up to 1m, such as `500ms`",
                "s.yml:15:3: detectors/a: must be `off`, or a mapping with `at_least` and `level`",
                "s.yml:16:8: detectors/b/level: unknown level `hgih`; did you mean `high`?",
                "s.yml:16:21: detectors/b/at_leest: unknown key `at_leest`; did you mean `at_least`?",
            ]
        );
    }
}
