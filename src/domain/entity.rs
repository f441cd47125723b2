//! Entities: who a baseline is about, as the canonical bytes of one or more field values.
//!
//! The hash of these bytes, with a seed fixed for ever, decides the entity's key group and so its partition.

use super::{Event, Field, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Entities hash to this many key groups; a partition is a set of whole key groups.
pub const KEY_GROUPS: usize = 1024;

/// The seed of entity hashes. Changing it moves every baseline to another key group: it is fixed for ever.
const SEED: u64 = 0x5354_414b_454f_5554;

/// The largest number of bytes that one text value adds to an entity; a longer one is cut and told apart by its hash.
const TEXT_BYTES_MAX: usize = 200;

const TAG_IPV4: u8 = 4;
const TAG_IPV6: u8 = 6;
const TAG_TEXT: u8 = 1;
const TAG_NUMBER: u8 = 2;

/// The canonical bytes of an entity: for each of its fields a tag and the value. Takes 24 bytes; only an entity of more
/// than `HERE_BYTES_MAX` bytes has some elsewhere. Entities are ordered as their bytes are.
#[derive(Clone)]
pub struct Entity(Held);

/// An address, or two addresses of IPv4 and a port, are held in place.
const HERE_BYTES_MAX: usize = 22;

#[derive(Clone)]
enum Held {
    Here { length: u8, bytes: [u8; HERE_BYTES_MAX] },
    Away(Box<[u8]>),
}

/// The hash of an entity's canonical bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityHash(pub u64);

impl EntityHash {
    /// The key group, 0 to [`KEY_GROUPS`] - 1.
    pub const fn key_group(self) -> usize {
        (self.0 >> 54) as usize
    }
}

impl Entity {
    /// Keeps canonical bytes that [`write_entity`] has written.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut here = [0; HERE_BYTES_MAX];
        match here.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Entity(Held::Here {
                    length: bytes.len() as u8,
                    bytes: here,
                })
            }
            None => Entity(Held::Away(bytes.into())),
        }
    }

    /// The canonical bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Held::Here { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Held::Away(bytes) => bytes,
        }
    }

    /// The values of the entity, one for each of its fields and in their order.
    pub fn values(&self) -> Vec<EntityValue> {
        read_values(self.bytes())
    }

    /// The entity of the first value alone: of a pair, its source.
    pub fn first(&self) -> Entity {
        let bytes = self.bytes();
        let length = match bytes.first() {
            Some(&TAG_IPV4) => 5,
            Some(&TAG_IPV6) => 17,
            Some(&TAG_NUMBER) => 9,
            Some(_) => 2 + usize::from(bytes.get(1).copied().unwrap_or(0)),
            None => 0,
        };
        Entity::from_bytes(bytes.get(..length).unwrap_or(bytes))
    }

    /// The values separated by blanks, for a person: `10.0.0.7`, `10.0.0.7 203.0.113.9 443`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for value in self.values() {
            if !text.is_empty() {
                text.push(' ');
            }
            let _ = match value {
                EntityValue::Ip(address) => write!(text, "{address}"),
                EntityValue::Text(value) => write!(text, "{value}"),
                EntityValue::Number(number) => write!(text, "{number}"),
            };
        }
        text
    }
}

impl PartialEq for Entity {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Entity {}

impl PartialOrd for Entity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Hash for Entity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entity").field(&self.bytes()).finish()
    }
}

impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<[u8]>::deserialize(deserializer).map(|bytes| Entity::from_bytes(&bytes))
    }
}

/// One value of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityValue {
    /// An address.
    Ip(IpAddr),
    /// Text; lower case where the field's values are.
    Text(String),
    /// A whole number, such as a port.
    Number(u64),
}

/// Writes the canonical bytes of the entity that `fields` name in `event`. Gives `None`, and may leave bytes in
/// `bytes`, when one of the fields has no value: then the event is not about such an entity.
pub fn write_entity(event: &Event, fields: &[Field], bytes: &mut Vec<u8>) -> Option<EntityHash> {
    bytes.clear();
    for field in fields {
        write_value(event.get(*field)?, bytes);
    }
    Some(hash(bytes))
}

/// Appends the canonical bytes of one value.
pub fn write_value(value: Value<'_>, bytes: &mut Vec<u8>) {
    match value {
        Value::Ip(IpAddr::V4(address)) => {
            bytes.push(TAG_IPV4);
            bytes.extend_from_slice(&address.octets());
        }
        Value::Ip(IpAddr::V6(address)) => {
            bytes.push(TAG_IPV6);
            bytes.extend_from_slice(&address.octets());
        }
        Value::Str(text) if text.len() <= TEXT_BYTES_MAX => {
            bytes.push(TAG_TEXT);
            bytes.push(text.len() as u8);
            bytes.extend_from_slice(text.as_bytes());
        }
        Value::Str(text) => {
            let cut = &text[..text.floor_char_boundary(TEXT_BYTES_MAX - 18)];
            let whole = xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), SEED);
            let cut = format!("{cut}..{whole:016x}");
            bytes.push(TAG_TEXT);
            bytes.push(cut.len() as u8);
            bytes.extend_from_slice(cut.as_bytes());
        }
        Value::U64(number) => write_number(number, bytes),
        Value::I64(number) => write_number(number as u64, bytes),
        Value::F64(number) => write_number(number.to_bits(), bytes),
        Value::Bool(yes) => write_number(u64::from(yes), bytes),
    }
}

fn write_number(number: u64, bytes: &mut Vec<u8>) {
    bytes.push(TAG_NUMBER);
    bytes.extend_from_slice(&number.to_be_bytes());
}

/// The hash of canonical bytes.
fn hash(bytes: &[u8]) -> EntityHash {
    EntityHash(xxhash_rust::xxh3::xxh3_64_with_seed(bytes, SEED))
}

/// The hash of one value, for sets of distinct values and categories.
pub fn hash_value(value: Value<'_>, bytes: &mut Vec<u8>) -> u64 {
    bytes.clear();
    write_value(value, bytes);
    hash(bytes).0
}

fn read_values(mut bytes: &[u8]) -> Vec<EntityValue> {
    let mut values = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        let (value, rest) = match *tag {
            TAG_IPV4 => match rest.split_first_chunk::<4>() {
                Some((octets, rest)) => (EntityValue::Ip(Ipv4Addr::from(*octets).into()), rest),
                None => break,
            },
            TAG_IPV6 => match rest.split_first_chunk::<16>() {
                Some((octets, rest)) => (EntityValue::Ip(Ipv6Addr::from(*octets).into()), rest),
                None => break,
            },
            TAG_NUMBER => match rest.split_first_chunk::<8>() {
                Some((octets, rest)) => (EntityValue::Number(u64::from_be_bytes(*octets)), rest),
                None => break,
            },
            _ => match rest
                .split_first()
                .and_then(|(len, rest)| rest.split_at_checked(usize::from(*len)))
            {
                Some((text, rest)) => (EntityValue::Text(String::from_utf8_lossy(text).into_owned()), rest),
                None => break,
            },
        };
        values.push(value);
        bytes = rest;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn an_entity_gives_back_the_values_it_was_made_of() {
        let mut event = Event::new(Timestamp::default());
        event.add_ip(Field::SourceIp, "10.0.0.7".parse().expect("an address"));
        event.add_ip(Field::DestinationIp, "2001:db8::1".parse().expect("an address"));
        event.add_u64(Field::DestinationPort, 443);
        event.add_str(Field::UserName, "Zoë");
        let mut bytes = Vec::new();
        let fields = [
            Field::SourceIp,
            Field::DestinationIp,
            Field::DestinationPort,
            Field::UserName,
        ];
        assert!(write_entity(&event, &fields, &mut bytes).is_some());
        assert_eq!(Entity::from_bytes(&bytes).text(), "10.0.0.7 2001:db8::1 443 Zoë");
        assert_eq!(write_entity(&event, &[Field::HostName], &mut bytes), None);
    }

    #[test]
    fn an_entity_is_compared_by_its_bytes_wherever_they_lie() {
        let lengths = [0, 1, HERE_BYTES_MAX - 1, HERE_BYTES_MAX, HERE_BYTES_MAX + 1, 100];
        let all: Vec<Vec<u8>> = lengths
            .iter()
            .flat_map(|length| [vec![3u8; *length], [vec![3u8; *length], vec![7]].concat()])
            .collect();
        for one in &all {
            let entity = Entity::from_bytes(one);
            assert_eq!(entity.bytes(), one.as_slice());
            let bytes = postcard::to_stdvec(&entity).expect("written");
            assert_eq!(postcard::from_bytes::<Entity>(&bytes).expect("read"), entity);
            for other in &all {
                assert_eq!(entity.cmp(&Entity::from_bytes(other)), one.cmp(other));
            }
        }
        assert_eq!(size_of::<Entity>(), 24);
    }

    #[test]
    fn long_texts_that_differ_only_at_their_end_are_different_entities() {
        let long = "é".repeat(500);
        let mut bytes = Vec::new();
        let one = hash_value(Value::Str(&long), &mut bytes);
        assert!(bytes.len() < 256);
        assert!(!read_values(&bytes).is_empty());
        assert_ne!(one, hash_value(Value::Str(&format!("{long}x")), &mut bytes));
    }

    #[test]
    fn the_hash_is_fixed_for_ever() {
        let mut bytes = Vec::new();
        write_value(Value::Ip("10.0.0.7".parse().expect("an address")), &mut bytes);
        assert_eq!(hash(&bytes).key_group(), (hash(&bytes).0 >> 54) as usize);
        assert_eq!(hash(&[4, 10, 0, 0, 7]), hash(&bytes));
    }
}
