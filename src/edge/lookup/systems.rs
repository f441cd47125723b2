//! Autonomous systems from a file in MaxMind's DB format (version 2), such as GeoLite2-ASN or the free ones of other
//! makers. The file is read whole when it is opened; one look-up takes some hundred nanoseconds.

use crate::domain::{AutonomousSystem, SystemLookup};
use maxminddb::Reader;
use maxminddb::geoip2::Asn;
use std::fmt;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;

/// The largest file that is read; the whole Internet takes some 10 MB.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SystemsFailure {
    /// The operating system refused.
    #[error("{path}: {error}; check that the file exists and that this user may read it")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// It is larger than any database of systems.
    #[error("{path}: over file_bytes_max ({FILE_BYTES_MAX}); a database of autonomous systems has some 10 MB")]
    TooLarge {
        /// The file.
        path: String,
    },
    /// It is no such database.
    #[error("{path}: {problem}; a MaxMind DB file of autonomous systems (GeoLite2-ASN.mmdb) is wanted")]
    NotADatabase {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A database of autonomous systems.
pub struct SystemsDatabase {
    reader: Reader<Vec<u8>>,
}

impl SystemsDatabase {
    /// Reads a file, and makes sure that it is about autonomous systems.
    pub fn open(path: &Path) -> Result<SystemsDatabase, SystemsFailure> {
        let name = || path.display().to_string();
        let failed = |error| SystemsFailure::Io { path: name(), error };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(SystemsFailure::TooLarge { path: name() });
        }
        let wrong = |problem| SystemsFailure::NotADatabase { path: name(), problem };
        let reader = Reader::from_source(bytes).map_err(|error| wrong(error.to_string()))?;
        let kind = &reader.metadata().database_type;
        if !kind.to_ascii_lowercase().contains("asn") {
            return Err(wrong(format!("it is a database of `{kind}`")));
        }
        Ok(SystemsDatabase { reader })
    }
}

impl SystemLookup for SystemsDatabase {
    fn system_of(&self, address: IpAddr) -> Option<AutonomousSystem<'_>> {
        // A damaged record is as good as none: the address then has its /24 or /48.
        let found: Asn<'_> = self.reader.lookup(address.to_canonical()).ok()?.decode().ok()??;
        Some(AutonomousSystem {
            number: found.autonomous_system_number?,
            organization: found.autonomous_system_organization.unwrap_or(""),
        })
    }
}

impl fmt::Debug for SystemsDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemsDatabase")
            .field("kind", &self.reader.metadata().database_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    #[test]
    fn addresses_have_the_system_that_announces_them() {
        let systems = SystemsDatabase::open(&file("fixtures/asn.mmdb")).expect("a database");
        for (address, expected) in [
            ("203.0.113.9", Some((64500, "Example Telecom"))),
            ("198.18.200.1", Some((64500, "Example Telecom"))),
            ("::ffff:198.51.100.1", Some((64501, "Example Hosting"))),
            ("2001:db8:77::1", Some((64501, "Example Hosting"))),
            ("192.0.2.1", Some((64502, ""))),
            ("8.8.8.8", None),
            ("2001:4860::1", None),
        ] {
            let found = systems.system_of(address.parse().expect("an address"));
            let found = found.map(|system| (system.number, system.organization));
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_a_damaged_one_never_panics() {
        let failure = SystemsDatabase::open(&file("Cargo.toml")).expect_err("not a database");
        assert!(failure.to_string().contains("GeoLite2-ASN.mmdb"), "{failure}");
        let failure = SystemsDatabase::open(&file("nowhere.mmdb")).expect_err("not there");
        assert!(failure.to_string().contains("check that the file exists"), "{failure}");
        let bytes = std::fs::read(file("fixtures/asn.mmdb")).expect("the fixture");
        let folder = std::env::temp_dir().join(format!("stakeout-systems-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let damaged_file = folder.join("damaged.mmdb");
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0xff;
            damaged.truncate(bytes.len() - place % 7);
            std::fs::write(&damaged_file, &damaged).expect("a file");
            if let Ok(systems) = SystemsDatabase::open(&damaged_file) {
                for address in ["203.0.113.9", "2001:db8::1", "192.0.2.1", "8.8.8.8"] {
                    let _ = systems.system_of(address.parse().expect("an address"));
                }
            }
        }
        std::fs::remove_dir_all(&folder).expect("it is there");
    }
}
