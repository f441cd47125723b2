//! A YAML text that can tell the line of each of its parts, and the mistakes that are found in it.
//!
//! The YAML library keeps no lines in the tree that it reads, but its errors have them. So when a mistake is found, and
//! only then, the text is read once more down to the place in question, where a refusal on purpose brings the line back.

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use yaml_serde::{Mapping, Value};

/// Something wrong in a file that people write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The file, as the person named it.
    pub file: String,
    /// The line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// The column in characters, from 1; 0 when the whole line is meant.
    pub column: usize,
    /// The path of keys that leads to the place: `baseline/prior/mean`; empty when the whole file is meant.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// The right word that is nearest to the wrong one.
    pub nearest: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

/// One file's YAML text and what it says.
#[derive(Clone, Debug)]
pub struct Document {
    file: String,
    text: String,
    value: Value,
}

impl Document {
    /// The largest text that is read, in bytes.
    pub const TEXT_BYTES_MAX: usize = 1024 * 1024;

    /// Reads `text`, which came from `file`.
    pub fn parse(file: &str, text: &str) -> Result<Document, Mistake> {
        let refuse = |(line, column), message| Mistake {
            file: file.to_owned(),
            line,
            column,
            key: String::new(),
            message,
            nearest: None,
        };
        if text.len() > Self::TEXT_BYTES_MAX {
            let message = format!(
                "{} bytes are over text_bytes_max ({})",
                text.len(),
                Self::TEXT_BYTES_MAX
            );
            return Err(refuse((0, 0), message));
        }
        match yaml_serde::from_str(text) {
            Ok(value) => Ok(Document {
                file: file.to_owned(),
                text: text.to_owned(),
                value,
            }),
            Err(error) => {
                let location = error.location();
                let place = location.map_or((0, 0), |location| (location.line(), location.column()));
                Err(refuse(place, format!("not valid YAML: {error}")))
            }
        }
    }

    /// The place of the whole document.
    pub fn root(&self) -> Place<'_> {
        Place {
            document: self,
            path: Vec::new(),
            value: &self.value,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Item(usize),
}

/// A place in a document: the keys that lead there and the value that stands there.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    document: &'a Document,
    path: Vec<Step>,
    value: &'a Value,
}

impl<'a> Place<'a> {
    /// The value that stands here.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// The place under `key`, if this is a mapping that has it. A key without a value counts as absent.
    pub fn get(&self, key: &str) -> Option<Place<'a>> {
        let value = self.value.as_mapping()?.get(key)?;
        (!value.is_null()).then(|| self.step(Step::Key(key.to_owned()), value))
    }

    /// Every key with its place, in the order of the text. Empty when this is not a mapping.
    pub fn entries(&self) -> Vec<(String, Place<'a>)> {
        let pairs = self.value.as_mapping().into_iter().flat_map(Mapping::iter);
        pairs
            .map(|(key, value)| {
                let key = key_text(key);
                (key.clone(), self.step(Step::Key(key), value))
            })
            .collect()
    }

    /// The places of a list; of a single value, that value alone.
    pub fn items(&self) -> Vec<Place<'a>> {
        match self.value {
            Value::Sequence(items) => items
                .iter()
                .enumerate()
                .map(|(number, value)| self.step(Step::Item(number), value))
                .collect(),
            _ => vec![self.clone()],
        }
    }

    /// A mistake at this place.
    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        let (line, column) = self.line_and_column();
        Mistake {
            file: self.document.file.clone(),
            line,
            column,
            key: self.key(),
            message: message.into(),
            nearest: None,
        }
    }

    /// A mistake at this place about a word that is none of `words`.
    pub fn wrong_word<'w>(
        &self,
        message: impl Into<String>,
        word: &str,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Mistake {
        Mistake {
            nearest: nearest(word, words),
            ..self.mistake(message)
        }
    }

    /// Refuses every key of this mapping that is not one of `known`.
    pub fn refuse_unknown_keys(&self, known: &[&str], mistakes: &mut Vec<Mistake>) {
        for (key, place) in self.entries() {
            if !known.contains(&key.as_str()) {
                mistakes.push(place.wrong_word(format!("unknown key `{key}`"), &key, known.iter().copied()));
            }
        }
    }

    /// The keys that lead here: `detection/selection/event.category`, a list's items by number from 1.
    pub fn key(&self) -> String {
        let words: Vec<String> = self
            .path
            .iter()
            .map(|step| match step {
                Step::Key(key) => key.clone(),
                Step::Item(number) => (number + 1).to_string(),
            })
            .collect();
        words.join("/")
    }

    /// The line and the column at which the last key stands, or the list's item; each from 1.
    pub fn line_and_column(&self) -> (usize, usize) {
        let walk = Walk { path: &self.path };
        match walk.deserialize(yaml_serde::Deserializer::from_str(&self.document.text)) {
            Ok(()) => (1, 1),
            Err(error) => error
                .location()
                .map_or((1, 1), |location| (location.line(), location.column())),
        }
    }

    fn step(&self, step: Step, value: &'a Value) -> Place<'a> {
        let mut path = self.path.clone();
        path.push(step);
        Place {
            document: self.document,
            path,
            value,
        }
    }
}

/// A key as text: YAML also has numbers, yes and no, and nothing as keys.
fn key_text(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Null => "null".to_owned(),
        _ => "?".to_owned(),
    }
}

/// Reads down a path and refuses what stands at its end.
struct Walk<'p> {
    path: &'p [Step],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path.first() {
            Some(Step::Key(_)) => deserializer.deserialize_map(self),
            Some(Step::Item(_)) => deserializer.deserialize_seq(self),
            None => deserializer.deserialize_any(Here),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a place that was there a moment ago")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.path.split_first() else {
            return Ok(());
        };
        while let Some(found) = map.next_key_seed(Key {
            wanted,
            is_end: rest.is_empty(),
        })? {
            if found {
                return map.next_value_seed(Walk { path: rest });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), rest)) = self.path.split_first() else {
            return Ok(());
        };
        for _ in 0..*wanted {
            items.next_element::<IgnoredAny>()?;
        }
        items.next_element_seed(Walk { path: rest })?;
        Ok(())
    }
}

/// Reads a key: whether it is the wanted one. At the end of the path the wanted one is refused, for its line.
struct Key<'p> {
    wanted: &'p str,
    is_end: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        match key == self.wanted {
            true if self.is_end => Err(E::custom("here")),
            found => Ok(found),
        }
    }
}

/// Refuses whatever stands here.
struct Here;

impl<'de> Visitor<'de> for Here {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom("here"))
    }
}

/// The word among `words` that is nearest to `word` by edits, if any is near.
pub fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<String> {
    let word = word.to_lowercase();
    let near_max = (1 + word.chars().count() / 3).min(4);
    words
        .into_iter()
        .map(|candidate| (edits(&word, &candidate.to_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= near_max)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// How many characters must be put in, left out, replaced or swapped with their neighbour to make `left` of `right`
/// (Damerau and Levenshtein, each place edited once).
fn edits(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let replaced = last[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
title: x
description: |
  baseline: not a key

  measure: neither
baseline: { kind: count,
  prior: { mean: 1 } }
'windows':
  - 5m
  - 1h
4624: yes
tags: [a,
  b]
last:
";

    #[test]
    fn every_place_knows_its_line_and_column_in_block_and_flow_style() {
        let document = Document::parse("x.yml", TEXT).expect("valid");
        let root = document.root();
        let place = |keys: &[&str]| {
            let mut place = root.clone();
            for key in keys {
                place = match key.parse::<usize>() {
                    Ok(number) if place.value().is_sequence() => place.items()[number].clone(),
                    _ => {
                        place
                            .entries()
                            .into_iter()
                            .find(|(name, _)| name == key)
                            .expect("there")
                            .1
                    }
                };
            }
            (place.line_and_column(), place.key())
        };
        for (keys, expected) in [
            (vec!["title"], ((2, 1), "title")),
            (vec!["description"], ((3, 1), "description")),
            (vec!["baseline"], ((7, 1), "baseline")),
            (vec!["baseline", "kind"], ((7, 13), "baseline/kind")),
            (vec!["baseline", "prior"], ((8, 3), "baseline/prior")),
            (vec!["baseline", "prior", "mean"], ((8, 12), "baseline/prior/mean")),
            (vec!["windows"], ((9, 1), "windows")),
            (vec!["windows", "1"], ((11, 5), "windows/2")),
            (vec!["4624"], ((12, 1), "4624")),
            (vec!["tags", "1"], ((14, 3), "tags/2")),
            (vec!["last"], ((15, 1), "last")),
        ] {
            assert_eq!(place(&keys), (expected.0, expected.1.to_owned()), "{keys:?}");
        }
    }

    #[test]
    fn broken_yaml_is_one_mistake_with_its_line() {
        let mistake = Document::parse("x.yml", "title: x\nid: [a\ntags: b\n").expect_err("broken");
        assert!(mistake.to_string().starts_with("x.yml:"), "{mistake}");
        assert!(mistake.line >= 2, "{mistake}");
        let twice = Document::parse("x.yml", "title: x\ntitle: y\n").expect_err("a key twice");
        assert!(twice.message.contains("duplicate"), "{twice}");
    }

    #[test]
    fn the_nearest_word_is_a_near_one() {
        let words = ["event.outcome", "event.category", "source.ip", "count"];
        for (word, expected) in [
            ("event.outcom", Some("event.outcome")),
            ("event.cateogry", Some("event.category")),
            ("Source.IP", Some("source.ip")),
            ("source_ip", Some("source.ip")),
            ("cuont", Some("count")),
            ("zebra", None),
        ] {
            assert_eq!(nearest(word, words).as_deref(), expected, "{word}");
        }
    }
}
