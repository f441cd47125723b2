//! Tells strange texts from normal ones by examples of both: names that a program made up, payloads that attack.
//!
//! What should hold for kinds of strangeness never seen has to be told by what is general. So a text becomes numbers
//! (`features.rs`): of its characters, of how its characters follow each other in the language of the normal texts
//! (`language.rs`), and of a linear rule over its n-grams (`grams.rs`); a few small nets (`net.rs`) judge them. Columns of
//! numbers count by their normal scores.
//!
//! Everything is learned in five parts, by the text: the rule that a row's n-grams get while the nets learn, and the net
//! that the row is calibrated by, have not seen the row's part. So a row that was learned from is as strange as one that
//! was not. A judged row gets the mean of the five.
//!
//! Size: 1 MB for the rule, 36 kB of nets for a column, and the language, 8 bytes for each run of up to five characters
//! that the normal texts hold, 16 MB a column at most. A name of 20 characters costs some 10 microseconds.

mod features;
mod grams;
mod language;
mod net;
mod text;

use super::coder::Coder;
use super::random::Random;
use super::table::{Cell, Labels, Table, Values};
use super::{ROWS_MIN, Unfit};
use features::{NAMES, RULE, Role, Texts};
use grams::{Grams, Rule};
use net::{Net, Standard};
use serde::{Deserialize, Serialize};
use text::Text;

/// Parts that rows are learned in.
const PARTS: usize = 5;
/// Rows that are learned from at most, drawn evenly.
const ROWS_MAX: usize = 50_000;
/// Columns of texts at most: each costs what the first does.
const TEXT_COLUMNS_MAX: usize = 8;
/// What the generators of the parts of learning begin with.
const DRAW: usize = 1 << 20;

/// What was learned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Characters {
    /// For each column of texts what was learned of them; none for columns of numbers.
    columns: Vec<Option<Texts>>,
    rule: Rule,
    standard: Standard,
    nets: Vec<Net>,
    /// What the features of normal rows are on average, standardised.
    usual: Vec<f32>,
}

/// A row on its way.
struct Row {
    features: Vec<f32>,
    grams: Grams,
}

impl Characters {
    /// Learns from labelled rows, and tells how strange the normal ones among those drawn are to nets that did not see
    /// them.
    pub(super) fn learn(
        table: &Table,
        labels: &Labels,
        coder: &Coder,
        seed: u64,
    ) -> Result<(Characters, Vec<f64>), Unfit> {
        let drawn = draw(table.rows(), seed);
        let strange: Vec<bool> = drawn.iter().map(|row| !labels.normal[*row]).collect();
        let parts = parts_of(table, &drawn, &strange, seed)?;
        let columns = columns_of(table, &drawn, &strange)?;
        let mut model = Characters {
            columns,
            rule: Rule::mean(&[]),
            standard: Standard::default(),
            nets: Vec::new(),
            usual: Vec::new(),
        };
        let (mut features, mut grams) = (Vec::new(), Vec::new());
        for (row, strange) in drawn.iter().zip(&strange) {
            let role = if *strange { Role::Strange } else { Role::LearnedFrom };
            let row = model.row_of(&cells_of(table, *row), coder, role);
            features.push(row.features);
            grams.push(row.grams);
        }
        let outside = |part: usize| -> Vec<bool> { parts.iter().map(|other| *other != part).collect() };
        let mut rules = Vec::with_capacity(PARTS);
        for part in 0..PARTS {
            let rule = Rule::learn(&grams, &strange, &outside(part), Random::part(seed, part));
            let own = parts.iter().zip(features.iter_mut().zip(&grams));
            for (_, (features, grams)) in own.filter(|(other, _)| **other == part) {
                model.put_rule(features, rule.decide(grams));
            }
            rules.push(rule);
        }
        model.rule = Rule::mean(&rules);
        model.standard = Standard::of(&features);
        features.iter_mut().for_each(|row| model.standard.apply(row));
        for part in 0..PARTS {
            let random = Random::part(seed, PARTS + part);
            model.nets.push(Net::learn(&features, &strange, &outside(part), random));
        }
        let normal = || {
            features
                .iter()
                .zip(&parts)
                .zip(&strange)
                .filter(|(_, strange)| !**strange)
        };
        model.usual = mean_of(normal().map(|((row, _), _)| row));
        let raws = normal()
            .map(|((row, part), _)| f64::from(model.nets[*part].log_odds(row)))
            .collect();
        Ok((model, raws))
    }

    /// The logarithm of the odds that a row is strange; it has one cell for each column.
    pub(super) fn strangeness(&self, row: &[Cell<'_>], coder: &Coder) -> f64 {
        let features = self.features(row, coder);
        f64::from(self.log_odds(&features))
    }

    /// What each column adds to the strangeness: by how much it falls when a number of the column becomes usual. Also the
    /// number that adds the most in each column, for people.
    pub(super) fn blame(&self, row: &[Cell<'_>], coder: &Coder) -> (Vec<f64>, Vec<Option<String>>) {
        let features = self.features(row, coder);
        let whole = self.log_odds(&features);
        let mut shares = Vec::with_capacity(self.columns.len());
        let mut sentences = Vec::with_capacity(self.columns.len());
        let mut changed = features.clone();
        let mut place = 0;
        for column in &self.columns {
            let width = if column.is_some() { NAMES.len() } else { NUMBERS };
            let mut share = 0.0;
            let mut strongest = (0.0, 0);
            for number in 0..width {
                let at = place + number;
                changed[at] = self.usual[at];
                let added = f64::from(whole - self.log_odds(&changed)).max(0.0);
                changed[at] = features[at];
                share += added;
                if added > strongest.0 {
                    strongest = (added, number);
                }
            }
            shares.push(share);
            sentences.push(column.as_ref().map(|_| self.sentence(strongest.1, place, &features)));
            place += width;
        }
        (shares, sentences)
    }

    fn sentence(&self, number: usize, place: usize, features: &[f32]) -> String {
        let told = self.standard.undo(place + number, self.usual[place + number]);
        let seen = self.standard.undo(place + number, features[place + number]);
        format!("{} {told:.2} (here {seen:.2})", NAMES[number])
    }

    fn features(&self, row: &[Cell<'_>], coder: &Coder) -> Vec<f32> {
        let mut row = self.row_of(row, coder, Role::Judged);
        self.put_rule(&mut row.features, self.rule.decide(&row.grams));
        self.standard.apply(&mut row.features);
        row.features
    }

    fn log_odds(&self, features: &[f32]) -> f32 {
        let sum: f32 = self.nets.iter().map(|net| net.log_odds(features)).sum();
        sum / self.nets.len().max(1) as f32
    }

    /// A row's features, in which the rule's number is not there yet, and its n-grams.
    fn row_of(&self, cells: &[Cell<'_>], coder: &Coder, role: Role) -> Row {
        let mut codes = Vec::with_capacity(cells.len());
        coder.code(cells, &mut codes);
        let mut row = Row {
            features: Vec::new(),
            grams: Vec::new(),
        };
        for (place, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            let Some(texts) = column else {
                put_number(codes[place], &mut row.features);
                continue;
            };
            let written;
            let raw = match cell {
                Cell::Text(text) => *text,
                Cell::Missing => "",
                Cell::Number(number) => {
                    written = number.to_string();
                    &written
                }
            };
            let text = Text::of(raw, texts.is_names);
            texts.add(raw, &text, role, &mut row.features);
            grams::add(&text, place, &mut row.grams);
        }
        row
    }

    /// The rule looks at all columns of texts at once; its number is told with the first.
    fn put_rule(&self, features: &mut [f32], decided: f32) {
        let before = self.columns.iter().take_while(|column| column.is_none()).count();
        if let Some(number) = features.get_mut(before * NUMBERS + RULE) {
            *number = decided;
        }
    }
}

/// Features of a column of numbers.
const NUMBERS: usize = 3;

/// The normal score of a number, how far it is from the middle, and whether it is missing.
fn put_number(code: f32, features: &mut Vec<f32>) {
    let known = if code.is_nan() { 0.0 } else { code };
    features.extend([known, known.abs(), f32::from(u8::from(code.is_nan()))]);
}

/// The rows that are learned from, rising.
fn draw(rows: usize, seed: u64) -> Vec<usize> {
    let mut drawn: Vec<usize> = Random::part(seed, DRAW)
        .places(ROWS_MAX, rows)
        .iter()
        .map(|row| *row as usize)
        .collect();
    drawn.sort_unstable();
    drawn
}

/// What the normal rows among those drawn teach about each column of texts.
fn columns_of(table: &Table, drawn: &[usize], strange: &[bool]) -> Result<Vec<Option<Texts>>, Unfit> {
    let count = table
        .columns()
        .iter()
        .filter(|column| matches!(column.values, Values::Texts { .. }))
        .count();
    match count {
        0 => return Err(Unfit::NoText),
        _ if count > TEXT_COLUMNS_MAX => {
            return Err(Unfit::TooManyTexts {
                columns: count,
                columns_max: TEXT_COLUMNS_MAX,
            });
        }
        _ => {}
    }
    let learned = table.columns().iter().map(|column| match &column.values {
        Values::Numbers(_) => None,
        Values::Texts { names, places } => {
            let rows = drawn.iter().zip(strange).filter(|(_, strange)| !**strange);
            let mut known: Vec<u32> = rows.map(|(row, _)| places[*row]).collect();
            known.sort_unstable();
            known.dedup();
            let texts: Vec<&str> = known
                .iter()
                .filter_map(|place| names.get(*place as usize))
                .map(String::as_str)
                .collect();
            Some(Texts::of(&texts))
        }
    });
    Ok(learned.collect())
}

/// The part of each row: rows with the same texts are in the same part, and each part has as many of either kind as the
/// others.
fn parts_of(table: &Table, drawn: &[usize], strange: &[bool], seed: u64) -> Result<Vec<usize>, Unfit> {
    let mut parts = vec![0; drawn.len()];
    for kind in [false, true] {
        let mut rows: Vec<(u64, Vec<u32>, usize)> = (0..drawn.len())
            .filter(|row| strange[*row] == kind)
            .map(|row| {
                let texts = texts_of(table, drawn[row]);
                (hash_of(&texts, seed), texts, row)
            })
            .collect();
        if rows.len() < ROWS_MIN {
            return Err(match kind {
                false => Unfit::TooFewNormal { rows: rows.len() },
                true => Unfit::TooFewStrange { rows: rows.len() },
            });
        }
        rows.sort_unstable();
        let different = 1 + rows.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
        let mut text = 0;
        for place in 0..rows.len() {
            text += usize::from(place > 0 && rows[place].1 != rows[place - 1].1);
            // So few texts can't be kept apart; their rows are.
            parts[rows[place].2] = if different < PARTS { place } else { text } % PARTS;
        }
    }
    Ok(parts)
}

/// The places of a row's texts.
fn texts_of(table: &Table, row: usize) -> Vec<u32> {
    let texts = table.columns().iter().filter_map(|column| match &column.values {
        Values::Texts { places, .. } => Some(places[row]),
        Values::Numbers(_) => None,
    });
    texts.collect()
}

fn hash_of(texts: &[u32], seed: u64) -> u64 {
    let mixed = texts
        .iter()
        .fold(seed, |mixed, text| Random::part(mixed, *text as usize).next());
    Random::part(mixed, texts.len()).next()
}

fn cells_of(table: &Table, row: usize) -> Vec<Cell<'_>> {
    table.columns().iter().map(|column| column.values.cell(row)).collect()
}

fn mean_of<'a>(rows: impl Iterator<Item = &'a Vec<f32>>) -> Vec<f32> {
    let mut sums: Vec<f32> = Vec::new();
    let mut count = 0.0;
    for row in rows {
        sums.resize(row.len(), 0.0);
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    sums.iter().map(|sum| sum / count).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Kind, Model, Parameters, Settings, Training};
    use super::*;

    const WORDS: [&str; 16] = [
        "green", "river", "stone", "market", "paper", "light", "garden", "north", "music", "travel", "house", "silver",
        "summer", "bread", "cloud", "forest",
    ];
    const SETTINGS: Settings = Settings {
        kind: Kind::Characters,
        seed: 1,
        rows: Training::Apart,
        parameters: Parameters {
            parts: None,
            part_rows: None,
        },
    };

    /// Two words of the list and, at times, a number.
    fn usual_name(random: &mut Random) -> String {
        let (one, other) = (random.below(WORDS.len()), random.below(WORDS.len()));
        let number = if random.below(8) == 0 {
            random.below(100).to_string()
        } else {
            String::new()
        };
        let suffix = ["com", "org", "co.uk", "de"][random.below(4)];
        format!("{}{}{number}.{suffix}", WORDS[one], WORDS[other])
    }

    /// Letters of an alphabet, one like the other.
    fn made_up_name(alphabet: &[u8], random: &mut Random) -> String {
        let length = 8 + random.below(8);
        let name: String = (0..length)
            .map(|_| char::from(alphabet[random.below(alphabet.len())]))
            .collect();
        format!("{name}.{}", ["com", "net", "de"][random.below(3)])
    }

    fn texts(name: &str, texts: &[String]) -> Column {
        let mut names: Vec<String> = texts.to_vec();
        names.sort();
        names.dedup();
        let place = |text: &String| names.binary_search(text).expect("it was put there") as u32;
        Column {
            name: name.to_owned(),
            values: Values::Texts {
                places: texts.iter().map(place).collect(),
                names,
            },
        }
    }

    /// Usual names, and as many of two families of made-up ones.
    fn names(rows: usize, seed: u64) -> (Table, Labels) {
        let mut random = Random::new(seed);
        let name = |row: usize| match row % 4 {
            0 | 1 => usual_name(&mut random),
            2 => made_up_name(b"abcdefghijklmnopqrstuvwxyz", &mut random),
            _ => made_up_name(b"qrstvwxyz", &mut random),
        };
        let column = texts("domain", &(0..rows).map(name).collect::<Vec<_>>());
        let normal = (0..rows).map(|row| row % 4 < 2).collect();
        (Table::new(vec![column]), Labels { normal })
    }

    fn surprise(model: &Model, text: &str) -> f64 {
        let mut surprises = Vec::new();
        model.surprises(&[Cell::Text(text)], &mut surprises);
        surprises[0]
    }

    #[test]
    fn a_family_never_learned_from_is_told_and_new_names_are_not() {
        let (table, labels) = names(600, 5);
        let model = Model::learn_labelled(&table, &labels, &SETTINGS).expect("there is enough");
        let mut random = Random::new(6);
        let told = |name: &mut dyn FnMut() -> String| (0..200).filter(|_| surprise(&model, &name()) >= 2.0).count();
        // Digits were in no strange name.
        let family = told(&mut || made_up_name(b"0123456789abcdef", &mut random));
        assert!(family > 150, "{family} of 200");
        let usual = told(&mut || usual_name(&mut random));
        assert!(usual <= 8, "{usual} of 200, where 2 are expected");
    }

    #[test]
    fn wrong_labels_and_strange_names_among_the_normal_do_not_undo_it() {
        let (table, mut labels) = names(600, 5);
        for row in (2..600).step_by(40) {
            labels.normal[row] = true;
            labels.normal[row - 2] = false;
        }
        let model = Model::learn_labelled(&table, &labels, &SETTINGS).expect("there is enough");
        let mut random = Random::new(6);
        let mut mean = |name: &mut dyn FnMut(&mut Random) -> String| {
            (0..50).map(|_| surprise(&model, &name(&mut random))).sum::<f64>() / 50.0
        };
        let strange = mean(&mut |random| made_up_name(b"qrstvwxyz", random));
        let usual = mean(&mut usual_name);
        assert!(strange > usual + 0.5, "{strange} {usual}");
    }

    #[test]
    fn one_seed_gives_one_model_and_a_saved_one_judges_alike() {
        let (table, labels) = names(120, 5);
        let learn = || Model::learn_labelled(&table, &labels, &SETTINGS).expect("there is enough");
        let bytes = postcard::to_allocvec(&learn()).expect("a model has only plain parts");
        assert!(
            bytes == postcard::to_allocvec(&learn()).expect("the same"),
            "two models differ"
        );
        let again: Model = postcard::from_bytes(&bytes).expect("what was just written");
        for name in ["riverstone.com", "xqzwvr.net", ""] {
            assert_eq!(surprise(&learn(), name), surprise(&again, name));
        }
        // Whatever is judged, there is an answer.
        for cell in [
            Cell::Missing,
            Cell::Number(-1e300),
            Cell::Text("\u{0}\u{fffd}"),
            Cell::Text(&"x.".repeat(9999)),
        ] {
            let mut surprises = Vec::new();
            again.surprises(&[cell], &mut surprises);
            assert!(surprises[0].is_finite(), "{cell:?}: {surprises:?}");
        }
    }

    #[test]
    fn the_column_that_is_strange_is_blamed_and_says_by_what() {
        let (table, labels) = names(400, 5);
        let sizes = Values::Numbers((0..400).map(|row| f64::from(row % 17)).collect());
        let mut columns = table.columns().to_vec();
        columns.push(Column {
            name: "bytes".to_owned(),
            values: sizes,
        });
        let model = Model::learn_labelled(&Table::new(columns), &labels, &SETTINGS).expect("there is enough");
        let blame = model.explain(&[Cell::Text("xqzwvtrs.net"), Cell::Number(5.0)]);
        assert_eq!((blame.len(), blame[0].column), (2, 0), "{blame:?}");
        assert!((blame.iter().map(|blame| blame.share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(blame[0].share > 0.8 && blame[0].typical.contains("(here "), "{blame:?}");
    }

    #[test]
    fn what_it_cannot_learn_from_is_refused_with_its_reason() {
        let (table, labels) = names(40, 5);
        let refused = |table: &Table, labels: &Labels| Model::learn_labelled(table, labels, &SETTINGS).err();
        let all = |normal| Labels {
            normal: vec![normal; 40],
        };
        assert_eq!(refused(&table, &all(true)), Some(Unfit::TooFewStrange { rows: 0 }));
        assert_eq!(refused(&table, &all(false)), Some(Unfit::TooFewNormal { rows: 0 }));
        assert_eq!(
            Model::learn(&table, &SETTINGS).err(),
            Some(Unfit::NoLabels { kind: Kind::Characters })
        );
        let numbers = Column {
            name: "bytes".to_owned(),
            values: Values::Numbers((0..40).map(f64::from).collect()),
        };
        assert_eq!(refused(&Table::new(vec![numbers]), &labels), Some(Unfit::NoText));
        let same = Table::new(vec![texts("domain", &vec!["example.com".to_owned(); 40])]);
        assert_eq!(refused(&same, &labels), Some(Unfit::Constant));
        let many = (0..=TEXT_COLUMNS_MAX).map(|_| table.columns()[0].clone()).collect();
        assert_eq!(
            refused(&Table::new(many), &labels),
            Some(Unfit::TooManyTexts {
                columns: TEXT_COLUMNS_MAX + 1,
                columns_max: TEXT_COLUMNS_MAX
            })
        );
        // A column that is constant, or has two texts, is learned from as far as it goes.
        let two = texts(
            "domain",
            &(0..40).map(|row| format!("{}.com", row % 2)).collect::<Vec<_>>(),
        );
        let two = Model::learn_labelled(&Table::new(vec![two]), &labels, &SETTINGS).expect("there is enough");
        assert!(surprise(&two, "never.seen").is_finite());
    }
}
