//! Assets: what on the site matters more, or less, than the rest.

use super::{Field, FieldKind, Prefix, PrefixMap, Value};
use std::collections::BTreeMap;

/// How much harm it would do to lose something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Criticality {
    /// A guest's telephone.
    Low,
    /// What is not named.
    #[default]
    Normal,
    /// A server that people need.
    High,
    /// What the site cannot do without.
    Critical,
}

impl Criticality {
    /// Every criticality, ascending.
    pub const ALL: [Criticality; 4] = [
        Criticality::Low,
        Criticality::Normal,
        Criticality::High,
        Criticality::Critical,
    ];

    /// The word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Criticality::Low => "low",
            Criticality::Normal => "normal",
            Criticality::High => "high",
            Criticality::Critical => "critical",
        }
    }

    /// What a risk is multiplied by, before it is held to 100.
    pub const fn factor(self) -> f64 {
        match self {
            Criticality::Low => 0.5,
            Criticality::Normal => 1.0,
            Criticality::High => 1.25,
            Criticality::Critical => 1.5,
        }
    }
}

/// Something with a name and a criticality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// What people call it.
    pub name: String,
    /// How much it matters.
    pub criticality: Criticality,
}

/// The named assets of a site, by address, host and account.
#[derive(Clone, Debug, PartialEq)]
pub struct Assets {
    addresses: PrefixMap<Asset>,
    hosts: BTreeMap<String, Asset>,
    users: BTreeMap<String, Asset>,
}

impl Assets {
    /// Assets by address, by `host.name` and by `user.name`; host names in lower case.
    pub fn new(addresses: &[(Prefix, Asset)], hosts: BTreeMap<String, Asset>, users: BTreeMap<String, Asset>) -> Self {
        Assets {
            addresses: PrefixMap::new(addresses),
            hosts,
            users,
        }
    }

    /// The asset that a field's value names: an address, a host or an account.
    pub fn find(&self, field: Field, value: Value<'_>) -> Option<&Asset> {
        match (field.kind(), value) {
            (FieldKind::Ip, Value::Ip(address)) => self.addresses.get(address),
            (_, Value::Str(name)) => match field {
                Field::HostName | Field::HostHostname => self.hosts.get(name),
                Field::UserName | Field::UserTargetName | Field::UserEffectiveName => self.users.get(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// How much the thing matters that a field's value names.
    pub fn criticality(&self, field: Field, value: Value<'_>) -> Criticality {
        self.find(field, value)
            .map(|asset| asset.criticality)
            .unwrap_or_default()
    }
}

impl Default for Assets {
    fn default() -> Self {
        Assets::new(&[], BTreeMap::new(), BTreeMap::new())
    }
}
