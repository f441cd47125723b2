//! `stakeout score`: a CSV file in, the same rows with one `anomaly_score` column out.
//!
//! A file with a time is a series, in which a row is judged by the rows before it; one without is a table (`table.rs`).
//!
//! Rows of a series are read, judged and written one by one, in their order, so a file of any length needs the memory of one row
//! and of the learned past. Quoted cells, CRLF, a byte order mark, gzip, and tabs or semicolons as separators are
//! understood. A cell that is empty, `NA`, `NaN` or `null` is a missing value: its row has score 0 and teaches
//! nothing. Any other cell that is no finite number is an error that names its line and column.

mod table;

use super::models::Reference;
use super::tables::{self, Reader, Record, SCORE_COLUMN};
use super::tables::{bad_cell, check_width, is_time_name, names_of, open, parse_time, parse_value};
use crate::engine::model::Kind;
use crate::engine::series::SeriesScorer;
use anyhow::{Context, bail};
use std::fs::File;
use std::io::{BufRead, BufWriter, Write};
use std::path::PathBuf;

/// Columns judged at most: each has a learned past of its own.
const VALUES_MAX: usize = 256;

/// What `stakeout score` was asked to do.
#[derive(Clone, Debug, Default)]
pub struct ScoreOptions {
    /// The CSV file, plain or gzip; `-` is standard input.
    pub file: PathBuf,
    /// The column that holds the time; every cell of it is then checked to be one.
    pub time: Option<String>,
    /// The columns to judge; empty means the only number column, or the one called `value`.
    pub values: Vec<String>,
    /// Judge every number column.
    pub all: bool,
    /// The file to write; otherwise the given output.
    pub output: Option<PathBuf>,
    /// For tables: the CSV file to learn from; otherwise the table is judged against itself.
    pub train: Option<PathBuf>,
    /// For tables: the column of the file to learn from that says what a row is; it is not judged by.
    pub label: Option<String>,
    /// What that column says of a normal row; empty means any of the usual words.
    pub normal: Vec<String>,
    /// For tables: the model to learn, or the one to judge by.
    pub model: Option<Choice>,
    /// The folder of models.
    pub models: PathBuf,
    /// For tables: where the randomness of learning begins.
    pub seed: u64,
}

/// What judges a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A model of this kind, which is learned now.
    Kind(Kind),
    /// A model that was trained before.
    Saved(Reference),
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scored {
    /// Rows read and written.
    pub rows: u64,
    /// Rows in which every judged cell was missing.
    pub missing: u64,
    /// Rows that scored [`crate::engine::series::TELLING`] or more.
    pub told: u64,
}

/// Scores `options.file` and writes it to `options.output`, or else to `output`.
///
/// # Errors
/// When the file can't be read, a named column is not there, or a cell is bad: the message names the place. The rows
/// before it have been written.
pub fn score(options: &ScoreOptions, output: &mut dyn Write) -> anyhow::Result<Scored> {
    let name = options.file.display();
    let input = open(&options.file).with_context(|| format!("reading {name}"))?;
    let scored = match &options.output {
        None => score_stream(options, input, output),
        Some(path) => {
            let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
            score_stream(options, input, &mut BufWriter::new(file))
        }
    };
    scored.with_context(|| format!("scoring {name}"))
}

fn score_stream(options: &ScoreOptions, mut input: Box<dyn BufRead>, output: &mut dyn Write) -> anyhow::Result<Scored> {
    if table::is_table(options, input.fill_buf()?) {
        return table::score(options, input, output);
    }
    let mut reader = Reader::new(input)?;
    let mut record = Record::default();
    if !reader.read(&mut record)? {
        bail!("the file is empty: a header line is needed");
    }
    let header = names_of(&record);
    write_row(output, &record, reader.separator(), SCORE_COLUMN)?;

    let mut scored = Scored::default();
    let mut columns: Option<Columns> = None;
    let mut values = Vec::new();
    let mut scorer = SeriesScorer::default();
    while reader.read(&mut record)? {
        check_width(&record, &header)?;
        if columns.is_none() {
            let found = Columns::find(options, &header, &record)?;
            scorer = SeriesScorer::new(found.values.len());
            columns = Some(found);
        }
        let Some(columns) = &columns else {
            unreachable!("set just above")
        };
        columns.read(&header, &record, &mut values)?;
        let score = scorer.observe(&values);
        scored.rows += 1;
        scored.missing += u64::from(values.iter().all(Option::is_none));
        scored.told += u64::from(score >= crate::engine::series::TELLING);
        write_row(output, &record, reader.separator(), &format!("{score:.9}"))?;
    }
    if columns.is_none() {
        check_names(options, &header)?;
    }
    output.flush().context("writing the scores")?;
    Ok(scored)
}

fn write_row(output: &mut dyn Write, record: &Record, separator: u8, last: &str) -> anyhow::Result<()> {
    let (row, ending) = record.raw();
    output
        .write_all(row)
        .and_then(|()| output.write_all(&[separator]))
        .and_then(|()| output.write_all(last.as_bytes()))
        .and_then(|()| output.write_all(ending))
        .context("writing the scores")
}

/// The columns that matter, by place.
struct Columns {
    time: Option<usize>,
    values: Vec<usize>,
}

impl Columns {
    /// Chooses the columns by the options and, where they are silent, by the header and the first row.
    fn find(options: &ScoreOptions, header: &[String], first: &Record) -> anyhow::Result<Columns> {
        check_names(options, header)?;
        let place = |name: &String| header.iter().position(|column| column == name);
        let time = options.time.as_ref().and_then(place);
        if !options.values.is_empty() {
            return Ok(Columns {
                time,
                values: options.values.iter().filter_map(place).collect(),
            });
        }
        let numbers: Vec<usize> = (0..header.len())
            .filter(|place| Some(*place) != time && (time.is_some() || !is_time_name(&header[*place])))
            .filter(|place| first.cell(*place).is_some_and(|cell| parse_value(cell).is_ok()))
            .collect();
        let called_value = numbers
            .iter()
            .find(|place| header[**place].eq_ignore_ascii_case("value"));
        let values = match (options.all, numbers.as_slice(), called_value) {
            (_, [], _) => bail!(
                "line {}: no column of numbers among {}",
                first.line(),
                header.join(", ")
            ),
            (true, all, _) if all.len() > VALUES_MAX => bail!("{} columns are over {VALUES_MAX}", all.len()),
            (true, all, _) => all.to_vec(),
            (false, [one], _) => vec![*one],
            (false, _, Some(value)) => vec![*value],
            (false, several, None) => {
                let names: Vec<&str> = several.iter().map(|place| header[*place].as_str()).collect();
                bail!(
                    "several columns of numbers: choose with --value, or --all for all of {}",
                    names.join(", ")
                )
            }
        };
        Ok(Columns { time, values })
    }

    fn read(&self, header: &[String], record: &Record, values: &mut Vec<Option<f64>>) -> anyhow::Result<()> {
        values.clear();
        let bad = |place: usize, wanted: &str| bad_cell(record, header, place, wanted);
        if let Some(place) = self.time
            && record.cell(place).and_then(parse_time).is_none()
        {
            return Err(bad(place, "a time"));
        }
        for place in &self.values {
            let value = record.cell(*place).map(parse_value);
            values.push(value.and_then(Result::ok).ok_or_else(|| bad(*place, "a number"))?);
        }
        Ok(())
    }
}

/// Every column that was asked for is there, once, and there are not too many.
fn check_names(options: &ScoreOptions, header: &[String]) -> anyhow::Result<()> {
    tables::check_names(options.time.iter().chain(&options.values), header)?;
    if options.values.len() > VALUES_MAX {
        bail!("{} columns are over {VALUES_MAX}", options.values.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(options: ScoreOptions, text: &str) -> Result<String, String> {
        let mut output = Vec::new();
        let input = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        match score_stream(&options, input, &mut output) {
            Ok(_) => Ok(String::from_utf8(output).expect("scores are text")),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    fn check_error(options: ScoreOptions, text: &str, expected: &str) {
        let error = scored(options, text).expect_err("the input is bad");
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn rows_keep_their_order_columns_quotes_and_line_ends() {
        let text = "\u{feff}time,value,note\r\n1,2.5,\"a, \"\"b\"\"\nc\"\r\n2,,x\r\n3,4,y";
        let output = scored(ScoreOptions::default(), text).expect("the input is good");
        let expected = "\u{feff}time,value,note,anomaly_score\r\n1,2.5,\"a, \"\"b\"\"\nc\",0.000000000\r\n\
                        2,,x,0.000000000\r\n3,4,y,0.000000000\n";
        assert_eq!(output, expected);
    }

    #[test]
    fn a_bad_cell_is_named_by_line_and_column() {
        let none = ScoreOptions::default;
        check_error(
            none(),
            "time,value\n1,2\n2,abc\n",
            "line 3, column value: \"abc\" is not a number",
        );
        check_error(
            none(),
            "time,value\n1,2\n2,inf\n",
            "line 3, column value: \"inf\" is not a number",
        );
        check_error(
            none(),
            "time,value,x\n1,\"2\n\",3\n2,4\n",
            "line 4: 2 cells where the header has 3",
        );
        check_error(none(), "time,a,b\n1,1,2\n", "several columns of numbers");
        check_error(none(), "a,b\nx,y\n", "no column of numbers");
        check_error(none(), "", "empty");
        check_error(none(), "value,anomaly_score\n1,2\n", "is there already");
        check_error(none(), "value,b\n1,\"2\n", "line 2: a quoted cell is never closed");
        let named = ScoreOptions {
            values: vec!["load".to_owned()],
            ..ScoreOptions::default()
        };
        check_error(
            named,
            "time,value\n1,2\n",
            "no column \"load\"; the columns are time, value",
        );
        let timed = ScoreOptions {
            time: Some("at".to_owned()),
            ..ScoreOptions::default()
        };
        check_error(
            timed,
            "at,value\n2024-01-01 00:05:00,1\nsoon,2\n",
            "line 3, column at: \"soon\" is not a time",
        );
    }

    #[test]
    fn all_columns_of_numbers_are_judged_together() {
        let mut text = "time;load;name;count\n".to_owned();
        for row in 0..300 {
            let count = if row == 250 { 900 } else { row % 7 };
            text.push_str(&format!("2024-01-01T00:00:00Z;{};n;{count}\n", row % 5));
        }
        let options = ScoreOptions {
            all: true,
            ..ScoreOptions::default()
        };
        let output = scored(options, &text).expect("the input is good");
        let told: Vec<usize> = output
            .lines()
            .enumerate()
            .filter(|(_, line)| {
                line.rsplit(';')
                    .next()
                    .and_then(|score| score.parse().ok())
                    .unwrap_or(0.0)
                    >= crate::engine::series::TELLING
            })
            .map(|(place, _)| place)
            .collect();
        assert_eq!(told, [251]);
    }

    /// A table of usual rows.
    fn table_of(rows: usize) -> String {
        let mut text = "user,host,bytes\n".to_owned();
        for row in 0..rows {
            let user = ["ann", "bob", "eve"][row % 3];
            text.push_str(&format!("{user},host-{},{}\n", row % 3, 100 + row % 17));
        }
        text
    }

    fn scores(output: &str) -> Vec<f64> {
        let last = output.lines().skip(1).filter_map(|line| line.rsplit(',').next());
        last.map(|score| score.parse().expect("a score is a number")).collect()
    }

    #[test]
    fn a_file_without_a_time_is_a_table_that_is_judged_against_itself() {
        let text = "a,b,kind\n".to_owned() + &"1,2,x\n2,3,y\n1,3,x\n2,2,x\n".repeat(20) + "90,80,z\n";
        let output = scored(ScoreOptions::default(), &text).expect("the input is good");
        assert!(output.starts_with("a,b,kind,anomaly_score\n1,2,x,0."), "{output}");
        let scores = scores(&output);
        let (strange, usual) = scores.split_last().expect("there are rows");
        assert!(usual.iter().all(|score| score < strange), "{output}");
    }

    #[test]
    fn a_table_is_judged_by_what_another_file_taught() {
        let train = tempfile("train");
        std::fs::write(&train, table_of(300)).expect("a file in the folder for such");
        let options = |model| ScoreOptions {
            train: Some(train.clone()),
            model: Some(Choice::Kind(model)),
            ..ScoreOptions::default()
        };
        // Columns are found by their names, and one that nobody learned from is no matter.
        let text = "note,bytes,host,user\nx,105,host-1,bob\ny,40000,host-8,trudy\n";
        for model in Kind::OF_ROWS {
            let output = scored(options(model), text).expect("the input is good");
            let told = scores(&output);
            assert!(told[1] > 0.4 && told[0] < 0.3, "{} {output}", model.name());
        }
        let cases = [
            ("bytes,host\n1,a\n", "columns that are not here: user"),
            (
                "bytes,host,user\nmany,a,b\n",
                "line 2, column bytes: \"many\" is not a number",
            ),
            ("bytes,host,user,host\n1,a,b,c\n", "two columns are called \"host\""),
        ];
        for (text, expected) in cases {
            check_error(options(Kind::Neighbours), text, expected);
        }
        let absent = ScoreOptions {
            train: Some(train.with_extension("absent")),
            ..ScoreOptions::default()
        };
        check_error(absent, text, "learning from ");
        std::fs::remove_file(train).expect("the file just written");
    }

    #[test]
    fn labels_say_which_rows_are_normal_and_are_not_judged_by() {
        let train = tempfile("labels");
        let mut text = "bytes,class\n".to_owned();
        for row in 0..300 {
            text.push_str(&format!("{},Normal\n{},flood\n", 100 + row % 17, 90_000 + row));
        }
        std::fs::write(&train, &text).expect("a file in the folder for such");
        let options = |normal: &[&str]| ScoreOptions {
            train: Some(train.clone()),
            label: Some("class".to_owned()),
            normal: normal.iter().map(|name| (*name).to_owned()).collect(),
            ..ScoreOptions::default()
        };
        // The judged file may lack the labels, or have others.
        for text in ["bytes\n105\n90010\n", "bytes,class\n105,?\n90010,Normal\n"] {
            let told = scores(&scored(options(&[]), text).expect("the input is good"));
            assert!(told[0] < 0.3 && told[1] > 0.4, "{told:?}");
            let told = scores(&scored(options(&["flood"]), text).expect("the input is good"));
            assert!(told[1] < 0.3 && told[0] > 0.4, "{told:?}");
        }
        check_error(
            options(&["calm"]),
            "bytes\n1\n",
            "column class: no row is labelled calm; the labels are Normal, flood",
        );
        let absent = ScoreOptions {
            label: Some("kind".to_owned()),
            ..options(&[])
        };
        check_error(absent, "bytes\n1\n", "no column \"kind\"; the columns are bytes, class");
        let judged_by = ScoreOptions {
            values: vec!["class".to_owned()],
            ..options(&[])
        };
        check_error(judged_by, "bytes\n1\n", "the column of labels can't be judged by");
        for (text, expected) in [
            (
                text.replace("16,Normal", "16,"),
                "line 34, column class: the row has no label",
            ),
            ("bytes,class\n1,normal\n2,x\n".to_owned(), "1 normal rows are too few"),
            (
                "bytes,class\n".to_owned() + &"1,normal\n2,x\n".repeat(30),
                "every column is constant",
            ),
        ] {
            std::fs::write(&train, text).expect("a file in the folder for such");
            check_error(options(&[]), "bytes\n1\n", expected);
        }
        std::fs::remove_file(train).expect("the file just written");
    }

    #[test]
    fn a_model_that_learns_from_labels_asks_for_them() {
        let model = ScoreOptions {
            model: Some(Choice::Kind(Kind::Characters)),
            ..ScoreOptions::default()
        };
        let text = "a,b\n".to_owned() + &"x,2\ny,3\n".repeat(30);
        check_error(
            model.clone(),
            &text,
            "a model of kind characters learns from labels, and there are none",
        );
        let train = tempfile("one-class");
        std::fs::write(&train, &text).expect("a file in the folder for such");
        let labelled = |normal: &[&str]| ScoreOptions {
            train: Some(train.clone()),
            label: Some("a".to_owned()),
            normal: normal.iter().map(|name| (*name).to_owned()).collect(),
            ..model.clone()
        };
        check_error(labelled(&["x", "y"]), &text, "0 rows that are not normal are too few");
        check_error(labelled(&["x"]), &text, "there is no column of texts to learn from");
        std::fs::remove_file(train).expect("the file just written");
    }

    #[test]
    fn texts_that_never_repeat_are_judged_by_their_shape() {
        let words = [
            "jane",
            "high street",
            "o'neil",
            "joe@example.org",
            "22997112x",
            "san juan",
        ];
        let usual = |row: usize| format!("{} {row}", words[row % words.len()]);
        let mut text = "payload,length\n".to_owned();
        for row in 0..600 {
            text.push_str(&format!("{},{}\n", usual(row), usual(row).len()));
        }
        text.push_str("\"1' or 1=1;-- x\",10\n");
        let options = ScoreOptions {
            model: Some(Choice::Kind(Kind::Neighbours)),
            values: vec!["payload".to_owned()],
            ..ScoreOptions::default()
        };
        let output = scored(options, &text).expect("the input is good");
        let scores = scores(&output);
        let (strange, usual) = scores.split_last().expect("there are rows");
        assert!(usual.iter().all(|score| score < strange), "{output}");
    }

    #[test]
    fn sequences_are_judged_by_what_another_file_taught() {
        let train = std::env::temp_dir().join(format!("stakeout-sequences-{}.csv", std::process::id()));
        let usual = |row: usize| format!("open {}close", "seek read ".repeat(1 + row % 5));
        let rows = (0..200).map(|row| format!("{row},{}\n", usual(row)));
        std::fs::write(&train, "process,calls\n".to_owned() + &rows.collect::<String>()).expect("a folder for such");
        let options = |values: &[&str]| ScoreOptions {
            train: Some(train.clone()),
            model: Some(Choice::Kind(Kind::Sequence)),
            values: values.iter().map(|name| (*name).to_owned()).collect(),
            ..ScoreOptions::default()
        };
        let text = "calls,note\nopen seek read close,a\nopen seek exec read close,b\n,c\n7,d\n";
        let output = scored(options(&[]), text).expect("the input is good");
        let told = scores(&output);
        assert!(told[0] < 0.2 && told[1] > 0.4 && told[3] > 0.4, "{output}");
        assert_eq!(told[2], 0.0, "{output}");
        for (values, expected) in [
            (["process"], "no column holds sequences"),
            (["absent"], "no column \"absent\""),
        ] {
            check_error(options(&values), text, expected);
        }
        check_error(options(&[]), "call,note\na b,c\n", "columns that are not here: calls");
        std::fs::remove_file(train.clone()).expect("the file just written");
    }

    #[test]
    fn a_table_that_nothing_can_be_learned_from_is_refused_with_its_reason() {
        let table = || ScoreOptions {
            model: Some(Choice::Kind(Kind::IsolationForest)),
            ..ScoreOptions::default()
        };
        check_error(table(), "a,b\n1,2\n", "1 rows are too few to learn from");
        check_error(
            table(),
            &("a,b\n".to_owned() + &"1,2\n".repeat(30)),
            "every column is constant",
        );
        let mixed = "a,b\n".to_owned() + &"1,2\n2,3\n".repeat(30) + "1,two\n";
        check_error(
            table(),
            &mixed,
            "line 62, column b: \"two\" is not a number, as 60 cells of the column are",
        );
        let infinite = "a,b\n".to_owned() + &"1,2\n2,3\n".repeat(30) + "1,inf\n";
        check_error(table(), &infinite, "line 62, column b: \"inf\" is not a finite number");
        check_error(table(), "", "empty");
    }

    fn tempfile(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("stakeout-score-{name}-{}.csv", std::process::id()))
    }
}
