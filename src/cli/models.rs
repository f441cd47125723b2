//! The arguments of what is done with models: `train`, `evaluate`, `models`, and `score --model`.

use crate::edge::registry::is_name;
use crate::engine::model::Kind;
use crate::run::models::{self, EvaluateOptions, MODELS, PromoteOptions, Reference, Shown, TrainOptions};
use crate::run::score::Choice;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Where models are kept.
#[derive(Args)]
pub(super) struct Folder {
    /// The folder of models
    #[arg(long = "models", value_name = "DIR", default_value = MODELS)]
    pub(super) models: PathBuf,
}

/// What the labels of rows are.
#[derive(Args)]
pub(super) struct Labels {
    /// A label that means normal; may be given several times
    /// [default: normal, norm, benign, legit, good, ham, 0, false, -]
    #[arg(long, value_name = "NAME")]
    normal: Vec<String>,
}

#[derive(Args)]
pub(super) struct TrainArguments {
    /// CSV files of the same columns, plain or gzip; - is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What learns; sequence looks at one column, of tokens with blanks between them
    #[arg(long, value_name = "KIND", value_parser = model_kinds(), default_value = Kind::Neighbours.name())]
    model: Kind,
    /// What the model is called
    #[arg(long, value_parser = name)]
    name: String,
    /// The column that says what each row is: only normal rows are learned from
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    #[command(flatten)]
    labels: Labels,
    /// The column of time: the latest rows are held out [default: the last rows are]
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// A column to learn from; may be given several times [default: all others]
    #[arg(long = "value", value_name = "COLUMN")]
    values: Vec<String>,
    #[command(flatten)]
    folder: Folder,
    /// Where the randomness of learning begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share of the rows that nothing is learned from, and that candidates are judged by
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = share)]
    hold_out: f64,
    /// Candidates of other sizes that are tried at most
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    trials: u16,
    /// After how many seconds no further candidate is tried
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
    /// What the columns have to look like [default: what they looked like for the version before]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct EvaluateArguments {
    /// The CSV file of labelled rows, plain or gzip; - is standard input
    file: PathBuf,
    /// The trained model: NAME (the version in force), NAME@VERSION, or a file
    #[arg(long)]
    model: Reference,
    #[command(flatten)]
    folder: Folder,
    /// The column that says what each row is
    #[arg(long, value_name = "COLUMN")]
    label: String,
    #[command(flatten)]
    labels: Labels,
    /// The column of time, for alerts a day [default: the one that the model was trained with]
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// The column that says whom a row is about: intervals are then over entities
    #[arg(long, value_name = "COLUMN")]
    entity: Option<String>,
    /// Where the randomness of drawing anew begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the report as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one page with plots too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl EvaluateArguments {
    pub(super) fn options(self) -> EvaluateOptions {
        EvaluateOptions {
            file: self.file,
            model: self.model,
            models: self.folder.models,
            label: self.label,
            normal: self.labels.normal,
            time: self.time,
            entity: self.entity,
            seed: self.seed,
            json: self.json,
            html: self.html,
        }
    }
}

#[derive(Subcommand)]
pub(super) enum ModelsCommand {
    /// List all versions of all models
    List {
        #[command(flatten)]
        folder: Folder,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Show where a version comes from and how good it is
    Show {
        /// NAME (the version in force), NAME@VERSION, or a file
        model: Reference,
        #[command(flatten)]
        folder: Folder,
        /// Write all of it as JSON
        #[arg(long)]
        json: bool,
        /// Write only what the columns look like, as `train --schema` reads it
        #[arg(long, conflicts_with = "json")]
        schema: bool,
    },
    /// Show in what two versions differ
    Diff {
        /// The one: NAME (the version in force), NAME@VERSION, or a file
        one: Reference,
        /// The other
        other: Reference,
        #[command(flatten)]
        folder: Folder,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a version in force, unless it is worse than the one that is
    Promote {
        /// NAME@VERSION, or NAME for its newest version
        model: Reference,
        #[command(flatten)]
        folder: Folder,
        /// Rows to compare the two on [default: those held out in training, if that was then in force]
        #[arg(long, value_name = "FILE", num_args = 1..)]
        on: Vec<PathBuf>,
        /// The column of these rows that says what each is
        #[arg(long, value_name = "COLUMN", requires = "on")]
        label: Option<String>,
        #[command(flatten)]
        labels: Labels,
        /// Put it in force whatever stands against it, and keep this reason
        #[arg(long, value_name = "REASON", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        force: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Put the version in force again that was before
    Rollback {
        /// The model's name
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        folder: Folder,
        /// Why
        #[arg(long)]
        reason: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

impl TrainArguments {
    pub(super) fn options(self) -> TrainOptions {
        TrainOptions {
            files: self.files,
            kind: self.model,
            name: self.name,
            label: self.label,
            normal: self.labels.normal,
            time: self.time,
            values: self.values,
            models: self.folder.models,
            seed: self.seed,
            hold_out: self.hold_out,
            trials: usize::from(self.trials),
            budget: Duration::from_secs(self.seconds),
            schema: self.schema,
        }
    }
}

/// Does what was asked with models; gives whether all is well with them.
pub(super) fn run(command: ModelsCommand, output: &mut dyn Write) -> anyhow::Result<bool> {
    match command {
        ModelsCommand::List { folder, json } => return models::list(&folder.models, json, output),
        ModelsCommand::Show {
            model,
            folder,
            json,
            schema,
        } => {
            let shown = match (json, schema) {
                (true, _) => Shown::Json,
                (false, true) => Shown::Schema,
                (false, false) => Shown::Text,
            };
            models::show(&folder.models, &model, shown, output)?;
        }
        ModelsCommand::Diff {
            one,
            other,
            folder,
            json,
        } => models::diff(&folder.models, &one, &other, json, output)?,
        ModelsCommand::Promote {
            model,
            folder,
            on,
            label,
            labels,
            force,
            json,
        } => {
            let options = PromoteOptions {
                models: folder.models,
                reference: model,
                on,
                label,
                normal: labels.normal,
                force,
                json,
            };
            models::promote(&options, output)?;
        }
        ModelsCommand::Rollback {
            name,
            folder,
            reason,
            json,
        } => models::rollback(&folder.models, &name, reason, json, output)?,
    }
    Ok(true)
}

/// Reads the name of a kind of model; help lists them all.
pub(super) fn model_kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::name))
        .map(|name| Kind::from_name(&name).expect("the parser lets only these names pass"))
}

/// Reads what `score` is to judge by: a kind of model, or one that is there.
pub(super) fn choice(text: &str) -> Result<Choice, String> {
    match Kind::from_name(text) {
        Some(kind) => Ok(Choice::Kind(kind)),
        None => text.parse().map(Choice::Saved),
    }
}

fn name(text: &str) -> Result<String, String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err("lower-case letters, digits, _ and -, a letter first".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=0.9).contains(&share) => Ok(share),
        _ => Err("a share from 0 to 0.9".to_owned()),
    }
}
