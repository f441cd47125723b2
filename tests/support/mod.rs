//! The scenarios of `fixtures/` for tests: what they hold, their events, and what detectors say of them.

#![allow(dead_code, reason = "each test uses a part of it")]

use serde_json::Value;
use stakeout::domain::{Alert, Assets, Duration, Entity, Field, Networks, Timestamp};
use stakeout::engine::catalog::{Catalog, embedded};
use stakeout::engine::order::Stamped;
use stakeout::engine::pipeline::Engine;
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::triage::Budget;
use stakeout::run::OutputFormat;
use stakeout::run::replay::{Replay, events};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Alerts a day that all detectors together may make on ordinary days.
pub(crate) const ALERTS_PER_DAY: f64 = 20.0;

/// What a scenario's `truth.yml` says.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Truth {
    pub(crate) attack: bool,
    #[serde(default)]
    pub(crate) expect: Vec<Expectation>,
    pub(crate) alerts_per_day_max: Option<f64>,
    pub(crate) inputs: Vec<String>,
}

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Expectation {
    pub(crate) detector: String,
    #[serde(default)]
    pub(crate) entity: BTreeMap<String, Value>,
    pub(crate) from: String,
    pub(crate) to: String,
    #[serde(default)]
    pub(crate) required: bool,
}

impl Expectation {
    /// Whether an alert of one detector alone is about this: at the time, and about whom.
    pub(crate) fn is_met_by(&self, alert: &Alert) -> bool {
        let at = |text: &str| {
            let time: jiff::Timestamp = text.parse().expect("a time in truth.yml");
            Timestamp::from_seconds(time.as_second())
        };
        let actors = alert.actors.iter().map(|actor| &actor.entity);
        let related = alert.related.iter().map(|(_, entity)| entity);
        let named: Vec<String> = actors
            .chain(related)
            .chain([&alert.first.entity])
            .map(Entity::text)
            .collect();
        let about = self.entity.values().all(|value| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            named.iter().any(|text| text.split(' ').any(|part| part == value))
        });
        about && alert.start <= at(&self.to).plus(Duration::from_seconds(1)) && alert.at >= at(&self.from)
    }
}

/// One folder of `fixtures/`.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) truth: Truth,
}

impl Scenario {
    /// The files that it replays.
    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        self.truth.inputs.iter().map(|input| self.folder.join(input)).collect()
    }

    /// Its events in their one order, with the direction that the engine adds.
    pub(crate) fn events(&self) -> Vec<Stamped> {
        let mut events = events(&replay(self.inputs(), 1)).expect("the inputs of a fixture can be read");
        let networks = Networks::default();
        for Stamped { event, .. } in &mut events {
            if let (Some(source), Some(destination)) = (event.ip(Field::SourceIp), event.ip(Field::DestinationIp))
                && !event.has(Field::NetworkDirection)
            {
                event.add_str(Field::NetworkDirection, networks.direction(source, destination).word());
            }
        }
        events
    }

    /// The detectors that have to speak of it.
    pub(crate) fn required(&self) -> impl Iterator<Item = &Expectation> {
        self.truth.expect.iter().filter(|expectation| expectation.required)
    }
}

/// All scenarios, by name.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found: Vec<_> = fs::read_dir(&root)
        .expect("the folder of fixtures")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("truth.yml").exists())
        .collect();
    found.sort();
    let scenario = |folder: PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(folder.join("truth.yml")).expect("a file that exists");
        let truth = yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{name}/truth.yml: {error}"));
        Scenario { name, folder, truth }
    };
    found.into_iter().map(scenario).collect()
}

/// How fixtures are replayed.
pub(crate) fn replay(inputs: Vec<PathBuf>, threads: usize) -> Replay {
    Replay {
        inputs,
        catalog: embedded::catalog().expect("the detectors that are built in have no mistakes"),
        networks: Networks::default(),
        assets: Assets::default(),
        site_zone: jiff::tz::TimeZone::UTC,
        bounds: EngineBounds::default(),
        flows_max: 100_000,
        disorder_max: Duration::from_millis(500),
        threads,
        format: Some(OutputFormat::Ecs),
        budget: Budget::AlertsPerDay(ALERTS_PER_DAY),
        year: Some(2026),
        line_zone: None,
        state: None,
        summary: None,
        quiet: true,
    }
}

/// One detector from its text, alone.
pub(crate) fn alone(id: &str, text: &str) -> Catalog {
    let file = format!("detectors/{id}.yml");
    Catalog::read(&[(file.as_str(), text)]).unwrap_or_else(|mistakes| panic!("{id}: {mistakes:?}"))
}

/// The text of a detector that is built in.
pub(crate) fn text(id: &str) -> &'static str {
    let file = format!("detectors/{id}.yml");
    let found = embedded::FILES.iter().find(|(name, _)| *name == file);
    found.unwrap_or_else(|| panic!("there is no {file}")).1
}

/// The last form of each alert that one detector alone tells of events, with the budget that it has among all others.
pub(crate) fn told(catalog: &Catalog, events: &[Stamped]) -> Vec<Alert> {
    let program = Program::new(catalog, Networks::default(), EngineBounds::default()).expect("one detector");
    let share = ALERTS_PER_DAY * catalog.detectors().len() as f64 / embedded::FILES.len() as f64;
    let mut engine = Engine::new(program, Budget::AlertsPerDay(share), 1, jiff::tz::TimeZone::UTC);
    let mut forms = Vec::new();
    for stamped in events {
        engine.push(stamped.clone(), &mut forms);
    }
    engine.finish(&mut forms);
    let mut last: Vec<Alert> = Vec::new();
    for form in forms {
        match last.iter_mut().find(|held| held.id == form.id) {
            Some(held) => *held = form,
            None => last.push(form),
        }
    }
    last
}
