//! The JSON Schema (draft 2020-12) of a detector's definition, for editors. It knows the keys and words that the reader
//! knows; what must fit together `stakeout check` tells.

use super::definition::{KEYS, MEASURES_PLAIN, MEASURES_WITH};
use super::expectation::{ALL_KINDS, BASELINE_KEYS, SEASONS, prior_keys};
use super::features::{AMONG, FEATURES_OF_FIELDS, FEATURES_OF_SELECTION, FEATURES_PLAIN};
use crate::domain::{BaselineKind, Feature, Field, Level, VectorModel};
use serde_json::{Map, Value, json};

/// The schema.
pub fn schema() -> Value {
    let properties: Map<String, Value> = KEYS.iter().map(|key| ((*key).to_owned(), value(key))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Detector of Stakeout",
        "type": "object",
        "additionalProperties": false,
        "required": ["title", "id", "description", "entity", "detection", "measure", "windows", "baseline", "level"],
        "properties": properties,
        "$defs": {
            "duration": { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d|w)$" },
            "field": { "enum": Field::ALL.iter().map(|field| field.name()).collect::<Vec<_>>() },
            "fields": { "anyOf": [{ "$ref": "#/$defs/field" }, { "type": "array", "items": { "$ref": "#/$defs/field" } }] },
            "numbers": { "anyOf": [{ "type": "number" }, { "type": "array", "items": { "type": "number" } }] },
        },
    })
}

fn value(key: &str) -> Value {
    let duration = |description: &str| json!({ "$ref": "#/$defs/duration", "description": description });
    let fields = |description: &str| json!({ "$ref": "#/$defs/fields", "description": description });
    let text = |description: &str| json!({ "type": "string", "minLength": 1, "description": description });
    let texts = json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] });
    match key {
        "title" => text("One line for people: what is unusual"),
        "id" => json!({ "type": "string", "pattern": "^[a-z0-9_]+$", "description": "The file's name without `.yml`" }),
        "version" => json!({ "type": ["string", "number"] }),
        "description" => text("What it means and why it matters"),
        "entity" => fields("Whom the baseline is about; an event that lacks one is not looked at"),
        "target" => fields("Whom actors share: what they attack"),
        "fields" => fields("Further fields whose values an alert should name"),
        "detection" => json!({
            "type": "object", "required": ["condition"],
            "description": "Which events, in Sigma's syntax: selections and a condition",
        }),
        "measure" => measure(),
        "tail" => json!({ "enum": ["upper", "lower", "both"], "description": "Which side is strange" }),
        "at_least" => {
            json!({ "type": ["number", "string"], "description": "No finding below this, however improbable" })
        }
        "windows" => json!({
            "anyOf": [
                { "$ref": "#/$defs/duration" },
                { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/duration" } },
            ],
            "description": "Lengths of time in which it is measured, ascending",
        }),
        "lateness" => duration("How long a window stays open after its end for late events"),
        "sessions" => duration("Events closer together than this are one"),
        "after_events" => json!({
            "type": "integer", "minimum": 0, "maximum": u8::MAX,
            "description": "An entity is watched from so many of its events on",
        }),
        "absence" => json!({ "type": "boolean", "description": "Whether an entity that falls silent is a finding" }),
        "baseline" => baseline(),
        "level" => json!({ "enum": Level::ALL.map(Level::word), "description": "How bad it is if true" }),
        "sentence" => text("How an alert says what was seen"),
        // `tags`, `falsepositives`, and what Sigma has and is not used.
        _ => match key {
            "tags" | "falsepositives" | "references" => texts,
            _ => json!(true),
        },
    }
}

fn measure() -> Value {
    let with = MEASURES_WITH.map(|word| {
        let of = match word {
            "spread" => json!({ "$ref": "#/$defs/duration" }),
            "ratio" => json!({ "type": "string" }),
            "vector" => vector(),
            _ => json!({ "$ref": "#/$defs/fields" }),
        };
        json!({ "type": "object", "additionalProperties": false, "required": [word], "properties": { word: of } })
    });
    let mut forms = vec![json!({ "enum": MEASURES_PLAIN })];
    forms.extend(with);
    json!({ "oneOf": forms, "description": "What is measured" })
}

fn vector() -> Value {
    let selection = json!({ "type": "string" });
    let mut forms = vec![json!({ "enum": FEATURES_PLAIN })];
    forms.extend(FEATURES_OF_SELECTION.map(|word| {
        json!({
            "type": "object", "additionalProperties": false, "required": [word], "properties": { word: selection },
        })
    }));
    forms.extend(FEATURES_OF_FIELDS.map(|word| {
        json!({
            "type": "object", "additionalProperties": false, "required": [word],
            "properties": { word: { "$ref": "#/$defs/fields" }, AMONG: selection },
        })
    }));
    json!({
        "type": "object", "minProperties": 2, "maxProperties": Feature::COUNT_MAX,
        "propertyNames": { "pattern": "^[a-z0-9_]+$" }, "additionalProperties": { "oneOf": forms },
    })
}

fn baseline() -> Value {
    let kinds = ALL_KINDS.map(|kind| {
        let is_model = kind == BaselineKind::Model;
        let models: Vec<&str> = VectorModel::OF_VECTORS
            .iter()
            .chain([&VectorModel::Sequence])
            .map(|model| model.word())
            .collect();
        let has = |key: &str| match key {
            "prior" | "season" => !is_model,
            "model" => is_model,
            _ => true,
        };
        let prior: Map<String, Value> = prior_keys(kind)
            .iter()
            .map(|key| ((*key).to_owned(), json!({ "$ref": "#/$defs/numbers" })))
            .collect();
        let properties: Map<String, Value> = BASELINE_KEYS
            .iter()
            .filter(|key| has(key))
            .map(|key| {
                let value = match *key {
                    "kind" => json!({ "const": kind.word() }),
                    "season" => json!({ "enum": SEASONS }),
                    "model" => json!({ "enum": models }),
                    "prior" => json!({
                        "type": "object", "additionalProperties": false,
                        "required": prior_keys(kind), "properties": prior,
                    }),
                    _ => json!({ "$ref": "#/$defs/duration" }),
                };
                ((*key).to_owned(), value)
            })
            .collect();
        json!({
            "type": "object", "additionalProperties": false,
            "required": ["kind", "half_life", if is_model { "model" } else { "prior" }], "properties": properties,
        })
    });
    json!({ "oneOf": kinds, "description": "What is expected" })
}
