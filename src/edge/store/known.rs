//! What a store knows of itself and of its inputs.

use super::{FACTS, INPUTS, Store, StoreFailure};
use redb::ReadableDatabase as _;
use redb::ReadableTable as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

impl Store {
    /// A number that no other store has, made when it is asked for first.
    pub fn identity(&self) -> Result<u64, StoreFailure> {
        let write = || -> Result<u64, redb::Error> {
            let transaction = self.database()?.begin_write()?;
            let identity = {
                let mut facts = transaction.open_table(FACTS)?;
                let held = facts.get("identity")?.map(|held| held.value());
                // Its keys are the system's randomness.
                let identity = held.unwrap_or_else(|| RandomState::new().build_hasher().finish());
                if held.is_none() {
                    facts.insert("identity", identity)?;
                }
                identity
            };
            transaction.commit()?;
            Ok(identity)
        };
        write().map_err(|error| self.write_failure(&error))
    }

    /// The inputs whose names begin like this, with their numbers.
    pub fn inputs_named(&self, prefix: &str) -> Result<Vec<(String, u16)>, StoreFailure> {
        let read = || -> Result<Vec<(String, u16)>, redb::Error> {
            let transaction = self.database()?.begin_read()?;
            let inputs = transaction.open_table(INPUTS)?;
            let mut found = Vec::new();
            for entry in inputs.range(prefix..)? {
                let (name, number) = entry?;
                if !name.value().starts_with(prefix) {
                    break;
                }
                found.extend(u16::try_from(number.value()).map(|number| (name.value().to_owned(), number)));
            }
            Ok(found)
        };
        read().map_err(|error| self.damage(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::folder::Folder;

    #[test]
    fn a_store_is_known_again_and_is_no_other() {
        let (one, other) = (Folder::new("store-identity-a"), Folder::new("store-identity-b"));
        let identity = |folder: &Folder| {
            let store = Store::open(&folder.0).expect("a store");
            store.identity().expect("an identity")
        };
        assert_eq!(identity(&one), identity(&one));
        assert_ne!(identity(&one), identity(&other));
    }

    #[test]
    fn inputs_are_found_by_the_beginning_of_their_names() {
        let folder = Folder::new("store-inputs");
        let store = Store::open(&folder.0).expect("a store");
        for name in ["kafka:a/0", "http", "kafka:a/1", "kafka:ab/0"] {
            store.input_number(name).expect("a number");
        }
        let found = store.inputs_named("kafka:a/").expect("inputs");
        assert_eq!(found, [("kafka:a/0".to_owned(), 0), ("kafka:a/1".to_owned(), 2)]);
    }
}
