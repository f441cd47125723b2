//! `stakeout check`: reads the configuration and the detectors and tells every mistake at once.

use super::bus;
use crate::config::{self, Config};
use crate::domain::Mistake;
use crate::edge::lookup::SystemsDatabase;
use crate::engine::catalog::{self, Catalog, embedded};
use crate::engine::program::EngineBounds;
use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a site keeps what it has written.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file; defaults when there is none.
    pub config: Option<PathBuf>,
    /// A folder of definitions, used instead of those that are built in.
    pub detectors: Option<PathBuf>,
}

/// What a site has written, as it stands in its files. The same texts judge the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// The configuration's file and text, if there is one.
    config: Option<(String, String)>,
    /// The definitions' files and texts.
    detectors: Vec<(String, String)>,
    /// The SHA-256 of the database of autonomous systems, which is too large to be kept.
    systems: Option<String>,
}

/// What a site has written, without mistakes.
#[derive(Clone, Debug)]
pub struct Site {
    /// The configuration.
    pub config: Config,
    /// The detectors, with what the configuration changes about them.
    pub catalog: Catalog,
}

impl Site {
    /// Whether this finds and tells the same incidents as another one with the same definitions and database of autonomous
    /// systems: what is collected, where alerts go, and what they say beside, may differ.
    pub fn finds_as(&self, other: &Site) -> bool {
        let (own, others) = (&self.config, &other.config);
        let settings = |config: &Config| -> Vec<_> {
            let settings = config.detectors.iter();
            settings
                .map(|setting| (setting.id.clone(), setting.is_off, setting.at_least, setting.level))
                .collect()
        };
        own.networks.has_prefixes_of(&others.networks)
            && own.timezone == others.timezone
            && own.alerts_per_day.to_bits() == others.alerts_per_day.to_bits()
            && own.bounds == others.bounds
            && settings(own) == settings(others)
    }

    /// The bounds of the engine.
    pub fn engine_bounds(&self) -> EngineBounds {
        let most = self.config.bounds.entities_per_key_group_max;
        EngineBounds {
            entities_per_key_group_max: u32::try_from(most).unwrap_or(u32::MAX),
        }
    }
}

impl Sources {
    /// Reads the files.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn gather(&self) -> anyhow::Result<Texts> {
        let config = match &self.config {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
                Some((path.to_string_lossy().into_owned(), text))
            }
        };
        let detectors = match &self.detectors {
            None => {
                let files = embedded::FILES.iter();
                files
                    .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()))
                    .collect()
            }
            Some(folder) => definition_files(folder)?,
        };
        let read = config.as_ref().map(|(file, text)| Config::read(file, text));
        let named = read.and_then(Result::ok).and_then(|config| config.asn_database);
        // One that can't be read is a mistake, which is told with its place.
        let systems = named.and_then(|named| std::fs::read(&named.path).ok());
        Ok(Texts {
            config,
            detectors,
            systems: systems.map(|bytes| hex(&Sha256::digest(bytes))),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Texts {
    /// What they say, or every mistake in them.
    pub fn site(&self) -> Result<Site, Vec<Mistake>> {
        site(self)
    }

    /// Whether these have the definitions of others, and their database of autonomous systems.
    pub fn define_as(&self, other: &Texts) -> bool {
        (&self.detectors, &self.systems) == (&other.detectors, &other.systems)
    }

    /// Whether these judge as others do but for a database of autonomous systems that is another one now.
    pub fn differ_in_systems_only(&self, other: &Texts) -> bool {
        (&self.config, &self.detectors) == (&other.config, &other.detectors) && self.systems != other.systems
    }
}

/// Reads everything that a site has written. The outer error is a file that can't be read, the inner one every mistake.
pub fn read(sources: &Sources) -> anyhow::Result<Result<Site, Vec<Mistake>>> {
    Ok(sources.gather()?.site())
}

/// Reads everything that a site has written, with all mistakes in the error.
pub fn demand(texts: &Texts) -> anyhow::Result<Site> {
    texts.site().map_err(|mistakes| {
        let listed: Vec<_> = mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect();
        anyhow!(
            "{} mistakes in configuration or detectors{}",
            mistakes.len(),
            listed.concat()
        )
    })
}

fn site(texts: &Texts) -> Result<Site, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut config = match &texts.config {
        None => Config::default(),
        Some((file, text)) => Config::read(file, text).unwrap_or_else(|found| {
            mistakes.extend(found);
            Config::default()
        }),
    };
    if let Some(named) = &config.asn_database {
        match SystemsDatabase::open(&named.path) {
            Ok(systems) => config.networks = std::mem::take(&mut config.networks).with_systems(Arc::new(systems)),
            Err(failure) => mistakes.push(Mistake {
                message: failure.to_string(),
                ..named.place.clone()
            }),
        }
    }
    mistakes.extend(bus::mistakes(&config));
    let catalog = match Catalog::read(&texts.detectors) {
        Ok(mut catalog) => {
            mistakes.extend(catalog.apply(&config.detectors).err().unwrap_or_default());
            catalog
        }
        Err(found) => {
            mistakes.extend(found);
            Catalog::default()
        }
    };
    if mistakes.is_empty() {
        Ok(Site { config, catalog })
    } else {
        Err(mistakes)
    }
}

/// Tells every mistake, a line each, or that there is none. Gives whether there is none.
pub fn run(sources: &Sources, out: &mut dyn Write) -> anyhow::Result<bool> {
    match read(sources)? {
        Ok(site) => {
            let config = match &sources.config {
                Some(path) => path.display().to_string(),
                None => "no configuration file, defaults".to_owned(),
            };
            writeln!(
                out,
                "{config}: {} detectors, no mistakes",
                site.catalog.detectors().len()
            )?;
            Ok(true)
        }
        Err(mistakes) => {
            for mistake in &mistakes {
                writeln!(out, "{mistake}")?;
            }
            let noun = if mistakes.len() == 1 { "mistake" } else { "mistakes" };
            writeln!(out, "{} {noun}", mistakes.len())?;
            Ok(false)
        }
    }
}

/// What a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Schema {
    /// The configuration file.
    Config,
    /// A detector's definition.
    Detector,
}

/// Writes a JSON Schema for editors.
pub fn write_schema(of: Schema, out: &mut dyn Write) -> anyhow::Result<()> {
    let schema = match of {
        Schema::Config => config::schema(),
        Schema::Detector => catalog::schema(),
    };
    serde_json::to_writer_pretty(&mut *out, &schema)?;
    writeln!(out)?;
    Ok(())
}

/// The definitions of a folder, as (file, text), in the order of their names.
pub fn definition_files(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let reading = || format!("reading detectors from {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if is_definition(&path) {
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            files.push((path.to_string_lossy().into_owned(), text));
        }
    }
    if files.is_empty() {
        bail!("{}: no detector definitions (*.yml) in this folder", folder.display());
    }
    files.sort();
    Ok(files)
}

/// Whether a file of a folder of definitions is one.
pub fn is_definition(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yml" || extension == "yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sources: &Sources) -> (bool, String) {
        let mut out = Vec::new();
        let is_good = run(sources, &mut out).expect("readable");
        (is_good, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn what_is_built_in_has_no_mistakes() {
        let (is_good, text) = told(&Sources::default());
        assert!(is_good);
        assert_eq!(text, "no configuration file, defaults: 30 detectors, no mistakes\n");
    }

    #[test]
    fn the_mistakes_of_configuration_and_detectors_are_told_together() {
        let folder = std::env::temp_dir().join(format!("stakeout-check-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let config = folder.join("stakeout.yaml.txt");
        std::fs::write(
            &config,
            "networks: { intern: [10.0.0.0/8] }\ndetectors: { nobody: off }\n",
        )
        .expect("a file");
        std::fs::write(folder.join("a.yml"), "title: a\nid: b\n").expect("a file");
        let sources = Sources {
            config: Some(config),
            detectors: Some(folder.clone()),
        };
        let (is_good, text) = told(&sources);
        std::fs::remove_dir_all(&folder).expect("it is there");
        assert!(!is_good);
        for expected in [
            "stakeout.yaml.txt:1:13: networks/intern: unknown key `intern`; did you mean `internal`?",
            "a.yml:2:1: id: `b` differs from the file's name, `a`",
            "the definition has no `measure`",
            " mistakes\n",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
    }
}
