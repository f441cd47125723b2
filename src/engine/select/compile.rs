//! A definition's `detection` block to matchers, and every mistake in it.

use super::pattern::{DASHES, Pattern, Unit};
use super::predicate::{Comparison, Number, Predicate, Reference};
use super::{Matcher, Node};
use crate::domain::{Field, FieldKind, Mistake, Place, Prefix};
use regex::RegexBuilder;
use rsigma_parser::{
    ConditionExpr, Modifier, Quantifier, SigmaParserError, SigmaString, SigmaValue, SpecialChar, StringPart,
    parse_condition, parse_field_spec,
};
use std::collections::{BTreeMap, BTreeSet};

/// The largest size of a compiled regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// The modifiers that are understood, for naming the nearest one.
const MODIFIERS: [&str; 24] = [
    "all",
    "base64",
    "base64offset",
    "cased",
    "cidr",
    "contains",
    "dotall",
    "endswith",
    "exists",
    "fieldref",
    "gt",
    "gte",
    "i",
    "ignorecase",
    "lt",
    "lte",
    "multiline",
    "neq",
    "re",
    "startswith",
    "utf16",
    "utf16be",
    "wide",
    "windash",
];

/// A compiled `detection` block.
#[derive(Clone, Debug)]
pub struct Selections {
    /// The whole condition.
    pub condition: Matcher,
    /// Each named selection by itself.
    pub named: BTreeMap<String, Matcher>,
    /// The named selections that the condition does not speak of.
    pub unused: Vec<String>,
    /// Every field that a selection speaks of, in the order of their numbers.
    pub fields: Vec<Field>,
}

impl Selections {
    /// Compiles a `detection` block. `None` when there are mistakes; all of them are added to `mistakes`.
    pub fn compile(detection: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<Selections> {
        let before = mistakes.len();
        if !detection.value().is_mapping() {
            mistakes.push(detection.mistake("must be a mapping of selections and a `condition`"));
            return None;
        }
        let mut condition = None;
        let mut named = BTreeMap::new();
        for (name, place) in detection.entries() {
            match name.as_str() {
                "condition" => condition = Some(place),
                "timeframe" => mistakes.push(place.mistake("a time frame stands under `windows`")),
                _ => {
                    let node = selection(&place, mistakes);
                    named.insert(name, node);
                }
            }
        }
        let Some(condition) = condition else {
            mistakes.push(detection.mistake("has no `condition`"));
            return None;
        };
        let mut used = BTreeSet::new();
        let mut alternatives = Vec::new();
        for place in condition.items() {
            let Some(text) = place.value().as_str() else {
                mistakes.push(place.mistake("a condition is text, such as `selection and not filter`"));
                continue;
            };
            match parse_condition(text) {
                Ok(expression) => {
                    let mut scope = Scope {
                        named: &named,
                        used: &mut used,
                        place: &place,
                        mistakes,
                    };
                    alternatives.push(scope.node(&expression));
                }
                Err(error) => mistakes.push(place.mistake(plain_message(&error))),
            }
        }
        if mistakes.len() > before {
            return None;
        }
        let mut fields = Vec::new();
        for node in named.values() {
            node.collect_fields(&mut fields);
        }
        fields.sort();
        fields.dedup();
        Some(Selections {
            fields,
            condition: Matcher::new(Node::Any(alternatives)),
            unused: named.keys().filter(|name| !used.contains(*name)).cloned().collect(),
            named: named
                .into_iter()
                .map(|(name, node)| (name, Matcher::new(node)))
                .collect(),
        })
    }
}

/// The condition parser's message without the excerpt that it draws under it.
fn plain_message(error: &SigmaParserError) -> String {
    let text = error.to_string();
    let gist = text
        .lines()
        .map(str::trim)
        .filter_map(|line| line.strip_prefix("= "))
        .collect::<Vec<_>>()
        .join("; ");
    match gist.as_str() {
        "" => text.lines().next().unwrap_or_default().to_lowercase(),
        gist => format!("not a condition: {gist}"),
    }
}

/// What a condition may speak of.
struct Scope<'s> {
    named: &'s BTreeMap<String, Node>,
    used: &'s mut BTreeSet<String>,
    place: &'s Place<'s>,
    mistakes: &'s mut Vec<Mistake>,
}

impl Scope<'_> {
    fn node(&mut self, expression: &ConditionExpr) -> Node {
        match expression {
            ConditionExpr::And(parts) => Node::All(parts.iter().map(|part| self.node(part)).collect()),
            ConditionExpr::Or(parts) => Node::Any(parts.iter().map(|part| self.node(part)).collect()),
            ConditionExpr::Not(part) => Node::Not(Box::new(self.node(part))),
            ConditionExpr::Identifier(name) => match self.named.get(name) {
                Some(node) => {
                    self.used.insert(name.clone());
                    node.clone()
                }
                None => {
                    let names = self.named.keys().map(String::as_str);
                    let message = format!("there is no selection `{name}`");
                    self.mistakes.push(self.place.wrong_word(message, name, names));
                    Node::Any(Vec::new())
                }
            },
            ConditionExpr::Selector { quantifier, pattern } => {
                let mut nodes = Vec::new();
                for (name, node) in self.named {
                    if pattern.matches_detection_name(name) {
                        self.used.insert(name.clone());
                        nodes.push(node.clone());
                    }
                }
                if nodes.is_empty() {
                    let message = format!("no selection's name matches `{pattern}`");
                    self.mistakes.push(self.place.mistake(message));
                }
                match quantifier {
                    Quantifier::Any => Node::Any(nodes),
                    Quantifier::All => Node::All(nodes),
                    Quantifier::Count(least) => {
                        if *least > nodes.len() as u64 {
                            let message = format!("{least} of `{pattern}` is more than there are ({})", nodes.len());
                            self.mistakes.push(self.place.mistake(message));
                        }
                        Node::AtLeast(*least, nodes)
                    }
                }
            }
        }
    }
}

/// A selection: a mapping of fields that must all match, or a list of which one must, or keywords.
fn selection(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Node {
    use yaml_serde::Value;
    match place.value() {
        Value::Mapping(mapping) if mapping.is_empty() => {
            mistakes.push(place.mistake("the selection is empty"));
            Node::Any(Vec::new())
        }
        Value::Mapping(_) => Node::All(
            place
                .entries()
                .iter()
                .filter_map(|(key, value)| item(key, value, mistakes))
                .collect(),
        ),
        Value::Sequence(items) if items.is_empty() => {
            mistakes.push(place.mistake("the selection is empty"));
            Node::Any(Vec::new())
        }
        Value::Sequence(_) => Node::Any(place.items().iter().map(|item| selection(item, mistakes)).collect()),
        Value::Null => {
            mistakes.push(place.mistake("the selection is empty"));
            Node::Any(Vec::new())
        }
        _ => Node::Any(item("", place, mistakes).into_iter().collect()),
    }
}

/// One `field|modifiers: values`, or keywords when there is no field. `None` after a mistake.
fn item(key: &str, place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<Node> {
    let spec = match parse_field_spec(key) {
        Ok(spec) => spec,
        Err(SigmaParserError::UnknownModifier(word)) => {
            mistakes.push(place.wrong_word(format!("unknown modifier `{word}`"), &word, MODIFIERS));
            return None;
        }
        Err(error) => {
            mistakes.push(place.mistake(error.to_string()));
            return None;
        }
    };
    let field = match &spec.name {
        None => None,
        Some(name) => match Field::from_name(name) {
            Some(field) => Some(field),
            None => {
                mistakes.push(unknown_field(place, name));
                return None;
            }
        },
    };
    let plan = match Plan::read(&spec.modifiers, field.is_none()) {
        Ok(plan) => plan,
        Err(message) => {
            mistakes.push(place.mistake(message));
            return None;
        }
    };
    let mut nodes = Vec::new();
    for value_place in place.items() {
        match plan.value(field, &value_place) {
            Ok(node) => nodes.push(node),
            Err(message) => mistakes.push(value_place.mistake(message)),
        }
    }
    if nodes.is_empty() {
        if place.items().is_empty() {
            mistakes.push(place.mistake("the list is empty"));
        }
        return None;
    }
    Some(plan.join(field, nodes))
}

/// A mistake about a word that should be a field's name.
pub(crate) fn unknown_field(place: &Place<'_>, name: &str) -> Mistake {
    let names = Field::ALL.iter().map(|field| field.name());
    place.wrong_word(format!("no decoder gives a field `{name}`"), name, names)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf16Le,
    Utf16Be,
    Utf16,
    Base64,
    Base64Offset,
}

/// What the modifiers of one key ask for.
#[derive(Clone, Debug, Default)]
struct Plan {
    part: Option<Reference>,
    all: bool,
    cased: bool,
    windash: bool,
    regex: bool,
    ignore_case: bool,
    multiline: bool,
    dot_all: bool,
    cidr: bool,
    exists: bool,
    reference: bool,
    comparison: Option<Comparison>,
    differs: bool,
    encodings: Vec<Encoding>,
}

impl Plan {
    fn read(modifiers: &[Modifier], is_keyword: bool) -> Result<Plan, String> {
        let mut plan = Plan::default();
        for modifier in modifiers {
            match modifier {
                Modifier::Contains => plan.set_part(Reference::Contains)?,
                Modifier::StartsWith => plan.set_part(Reference::Begins)?,
                Modifier::EndsWith => plan.set_part(Reference::Ends)?,
                Modifier::All => plan.all = true,
                Modifier::Cased => plan.cased = true,
                Modifier::WindAsh => plan.windash = true,
                Modifier::Base64 => plan.encodings.push(Encoding::Base64),
                Modifier::Base64Offset => plan.encodings.push(Encoding::Base64Offset),
                Modifier::Wide => plan.encodings.push(Encoding::Utf16Le),
                Modifier::Utf16be => plan.encodings.push(Encoding::Utf16Be),
                Modifier::Utf16 => plan.encodings.push(Encoding::Utf16),
                Modifier::Re => plan.regex = true,
                Modifier::IgnoreCase => plan.ignore_case = true,
                Modifier::Multiline => plan.multiline = true,
                Modifier::DotAll => plan.dot_all = true,
                Modifier::Cidr => plan.cidr = true,
                Modifier::Exists => plan.exists = true,
                Modifier::FieldRef => plan.reference = true,
                Modifier::Gt => plan.set_comparison(Comparison::Greater)?,
                Modifier::Gte => plan.set_comparison(Comparison::GreaterOrEqual)?,
                Modifier::Lt => plan.set_comparison(Comparison::Less)?,
                Modifier::Lte => plan.set_comparison(Comparison::LessOrEqual)?,
                Modifier::Neq => plan.differs = true,
                Modifier::Expand => return Err("`expand` is not supported: write the values out".to_owned()),
                Modifier::Minute
                | Modifier::Hour
                | Modifier::Day
                | Modifier::Week
                | Modifier::Month
                | Modifier::Year => return Err("parts of a timestamp are not supported: no field holds one".to_owned()),
            }
        }
        let kinds = usize::from(plan.regex)
            + usize::from(plan.cidr)
            + usize::from(plan.exists)
            + usize::from(plan.reference)
            + usize::from(plan.comparison.is_some());
        let has_text_modifiers = plan.windash || !plan.encodings.is_empty();
        if kinds > 1 {
            return Err("`re`, `cidr`, `exists`, `fieldref` and comparisons exclude each other".to_owned());
        }
        if kinds == 1 && has_text_modifiers || plan.part.is_some() && kinds == 1 && !plan.reference {
            return Err("modifiers of text do not go with `re`, `cidr`, `exists` or comparisons".to_owned());
        }
        if (plan.ignore_case || plan.multiline || plan.dot_all) && !plan.regex {
            return Err("`i`, `m` and `s` stand behind `re`".to_owned());
        }
        if plan.differs && (plan.all || plan.exists) {
            return Err("`neq` does not go with `all` or `exists`".to_owned());
        }
        if is_keyword && (kinds > 0 || plan.differs || plan.part.is_some_and(|part| part != Reference::Contains)) {
            return Err(
                "keywords are looked for in all text: only `all`, `cased`, `contains`, `windash` and encodings \
                        go with them"
                    .to_owned(),
            );
        }
        Ok(plan)
    }

    fn set_part(&mut self, part: Reference) -> Result<(), String> {
        match self.part.replace(part) {
            Some(before) if before != part => {
                Err("`contains`, `startswith` and `endswith` exclude each other".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn set_comparison(&mut self, comparison: Comparison) -> Result<(), String> {
        match self.comparison.replace(comparison) {
            Some(_) => Err("one comparison a key: write two keys for a range".to_owned()),
            None => Ok(()),
        }
    }

    /// What one value asks for.
    fn value(&self, field: Option<Field>, place: &Place<'_>) -> Result<Node, String> {
        if place.value().is_mapping() || place.value().is_sequence() {
            return Err("a value is text, a number, `true`, `false` or `null`".to_owned());
        }
        let value = match place.value().as_str() {
            Some(text) if self.regex => SigmaValue::from_raw_string(text),
            _ => SigmaValue::from_yaml(place.value()),
        };
        let Some(field) = field else {
            return Ok(Node::Any(
                self.patterns(&string_of(&value)?, Some(Reference::Contains))?
                    .into_iter()
                    .map(Node::Keyword)
                    .collect(),
            ));
        };
        if self.exists {
            return match value {
                SigmaValue::Bool(true) => Ok(Node::Present(field)),
                SigmaValue::Bool(false) => Ok(Node::Not(Box::new(Node::Present(field)))),
                _ => Err("`exists` takes `true` or `false`".to_owned()),
            };
        }
        let is_nothing = match &value {
            SigmaValue::String(text) => text.parts.is_empty() && self.part.is_none() && !self.regex,
            value => *value == SigmaValue::Null,
        };
        if is_nothing {
            return Ok(Node::Not(Box::new(Node::Present(field))));
        }
        let predicates = self.predicates(field, &value)?;
        match predicates.as_slice() {
            [Predicate::Text(pattern)] if pattern.matches_anything() => Ok(Node::Present(field)),
            _ => Ok(Node::Some(field, predicates.into_boxed_slice())),
        }
    }

    /// The tests of which one must be met.
    fn predicates(&self, field: Field, value: &SigmaValue) -> Result<Vec<Predicate>, String> {
        if self.regex {
            let text = string_of(value)?.original;
            let regex = RegexBuilder::new(&text)
                .case_insensitive(self.ignore_case)
                .multi_line(self.multiline)
                .dot_matches_new_line(self.dot_all)
                .size_limit(REGEX_BYTES_MAX)
                .build()
                .map_err(|error| {
                    let text = error.to_string();
                    format!("not a regular expression: {}", text.lines().last().unwrap_or_default())
                })?;
            return Ok(vec![Predicate::Regex(regex)]);
        }
        if self.cidr {
            if !matches!(field.kind(), FieldKind::Ip | FieldKind::Keyword) {
                return Err(format!(
                    "`cidr` does not fit {}, which holds no addresses",
                    field.name()
                ));
            }
            let text = string_of(value)?.original;
            let network = Prefix::parse(&text).ok_or(format!("`{text}` is not a network such as `10.0.0.0/8`"))?;
            return Ok(vec![Predicate::Network(network)]);
        }
        if self.reference {
            let name = string_of(value)?.original;
            let other = Field::from_name(&name).ok_or(format!("no decoder gives a field `{name}`"))?;
            let how = self.part.unwrap_or(Reference::Equal);
            return Ok(vec![Predicate::Reference(other, how, self.cased)]);
        }
        if let Some(comparison) = self.comparison {
            if matches!(field.kind(), FieldKind::Ip | FieldKind::Bool) {
                return Err(format!("{} holds no numbers to compare", field.name()));
            }
            let number = number_of(value).ok_or(format!("`{value}` is not a number to compare with"))?;
            return Ok(vec![Predicate::Number(comparison, number)]);
        }
        let is_whole = self.part.is_none() && self.encodings.is_empty() && !self.windash;
        match (field.kind(), value) {
            (FieldKind::Bool, SigmaValue::Bool(yes)) => Ok(vec![Predicate::Bool(*yes)]),
            (FieldKind::Long | FieldKind::Float, SigmaValue::Bool(_)) | (FieldKind::Ip, SigmaValue::Bool(_)) => {
                Err(format!("{} never holds `{value}`", field.name()))
            }
            (FieldKind::Long | FieldKind::Float, _) if is_whole && number_of(value).is_some() => Ok(number_of(value)
                .map(|number| Predicate::Number(Comparison::Equal, number))
                .into_iter()
                .collect()),
            (FieldKind::Long | FieldKind::Float, SigmaValue::String(text)) if is_whole && text.is_plain() => {
                Err(format!("{} holds numbers, never `{value}`", field.name()))
            }
            (FieldKind::Ip, SigmaValue::String(text)) if is_whole && text.is_plain() => match text.original.parse() {
                Ok(address) => {
                    let address: std::net::IpAddr = address;
                    Ok(vec![Predicate::Address(address.to_canonical())])
                }
                Err(_) => Err(format!("{} holds addresses, never `{value}`", field.name())),
            },
            (FieldKind::Ip, SigmaValue::Integer(_) | SigmaValue::Float(_)) if is_whole => {
                Err(format!("{} holds addresses, never `{value}`", field.name()))
            }
            (FieldKind::Bool, SigmaValue::String(text)) if is_whole && text.is_plain() => {
                match text.original.to_ascii_lowercase().as_str() {
                    "true" => Ok(vec![Predicate::Bool(true)]),
                    "false" => Ok(vec![Predicate::Bool(false)]),
                    _ => Err(format!("{} holds `true` or `false`, never `{value}`", field.name())),
                }
            }
            _ => Ok(self
                .patterns(&string_of(value)?, self.part)?
                .into_iter()
                .map(Predicate::Text)
                .collect()),
        }
    }

    /// The patterns of which one must match, after `windash` and the encodings.
    fn patterns(&self, text: &SigmaString, part: Option<Reference>) -> Result<Vec<Pattern>, String> {
        if self.encodings.is_empty() {
            return Ok(vec![self.pattern(&self.units(text), part)]);
        }
        let plain = text
            .as_plain()
            .ok_or("wildcards do not go with encodings: use `contains`")?;
        let mut forms: Vec<Vec<u8>> = match self.windash {
            true => with_each_dash(&plain).into_iter().map(String::into_bytes).collect(),
            false => vec![plain.into_bytes()],
        };
        for encoding in &self.encodings {
            let mut encoded = Vec::new();
            for form in &forms {
                encoding.encode(form, &mut encoded)?;
            }
            forms = encoded;
        }
        forms
            .into_iter()
            .map(|form| {
                let text = String::from_utf8(form).map_err(|_| "put `base64` or `base64offset` behind `utf16`")?;
                let units: Vec<Unit> = text.chars().map(Unit::Char).collect();
                Ok(self.pattern(&units, part))
            })
            .collect()
    }

    fn pattern(&self, units: &[Unit], part: Option<Reference>) -> Pattern {
        let mut places = Vec::with_capacity(units.len() + 2);
        if matches!(part, Some(Reference::Contains | Reference::Ends)) {
            places.push(Unit::Many);
        }
        places.extend_from_slice(units);
        if matches!(part, Some(Reference::Contains | Reference::Begins)) {
            places.push(Unit::Many);
        }
        Pattern::new(&places, self.cased)
    }

    fn units(&self, text: &SigmaString) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        for part in &text.parts {
            match part {
                StringPart::Special(SpecialChar::WildcardMulti) => units.push(Unit::Many),
                StringPart::Special(SpecialChar::WildcardSingle) => units.push(Unit::One),
                StringPart::Plain(plain) => units.extend(plain.chars().map(Unit::Char)),
            }
        }
        if self.windash {
            let is_word = |unit: Option<&Unit>| matches!(unit, Some(Unit::Char(character)) if character.is_alphanumeric() || *character == '_');
            for at in 0..units.len() {
                let opens = at.checked_sub(1).is_none_or(|before| !is_word(units.get(before)));
                if matches!(units[at], Unit::Char('-' | '/')) && opens && is_word(units.get(at + 1)) {
                    units[at] = Unit::Dash;
                }
            }
        }
        units
    }

    /// The values of one key together.
    fn join(&self, field: Option<Field>, nodes: Vec<Node>) -> Node {
        if self.all {
            return Node::All(nodes);
        }
        let mut predicates = Vec::new();
        let mut others = Vec::new();
        for node in nodes {
            match node {
                Node::Some(_, tests) => predicates.extend(tests),
                node => others.push(node),
            }
        }
        if let Some(field) = field
            && !predicates.is_empty()
        {
            others.push(Node::Some(field, predicates.into_boxed_slice()));
        }
        match field {
            Some(field) if self.differs => {
                Node::All(vec![Node::Present(field), Node::Not(Box::new(Node::Any(others)))])
            }
            _ => Node::Any(others),
        }
    }
}

fn string_of(value: &SigmaValue) -> Result<SigmaString, String> {
    match value {
        SigmaValue::String(text) => Ok(text.clone()),
        SigmaValue::Null => Err("`null` is not text".to_owned()),
        other => Ok(SigmaString::from_raw(&other.to_string())),
    }
}

fn number_of(value: &SigmaValue) -> Option<Number> {
    match value {
        SigmaValue::Integer(whole) => Some(Number::Whole(i128::from(*whole))),
        SigmaValue::Float(fraction) => fraction.is_finite().then_some(Number::Fraction(*fraction)),
        SigmaValue::String(text) => match text.original.parse::<i64>() {
            Ok(whole) => Some(Number::Whole(i128::from(whole))),
            Err(_) => text
                .original
                .parse::<f64>()
                .ok()
                .filter(|fraction| fraction.is_finite())
                .map(Number::Fraction),
        },
        SigmaValue::Bool(_) | SigmaValue::Null => None,
    }
}

/// The text with its option signs written in each way.
fn with_each_dash(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let is_word = |character: Option<&char>| character.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    DASHES
        .iter()
        .map(|dash| {
            characters
                .iter()
                .enumerate()
                .map(|(at, character)| {
                    let opens = at.checked_sub(1).is_none_or(|before| !is_word(characters.get(before)));
                    match character {
                        '-' | '/' if opens && is_word(characters.get(at + 1)) => *dash,
                        other => *other,
                    }
                })
                .collect()
        })
        .collect()
}

impl Encoding {
    fn encode(self, bytes: &[u8], encoded: &mut Vec<Vec<u8>>) -> Result<(), String> {
        let utf16 = |order: fn(u16) -> [u8; 2]| -> Result<Vec<u8>, String> {
            let text = std::str::from_utf8(bytes).map_err(|_| "an encoding of text stands before `base64`")?;
            Ok(text.encode_utf16().flat_map(order).collect())
        };
        match self {
            Encoding::Utf16Le => encoded.push(utf16(u16::to_le_bytes)?),
            Encoding::Utf16Be => encoded.push(utf16(u16::to_be_bytes)?),
            Encoding::Utf16 => {
                let mut marked = vec![0xff, 0xfe];
                marked.extend(utf16(u16::to_le_bytes)?);
                encoded.push(marked);
            }
            Encoding::Base64 => encoded.push(base64(bytes)),
            // A text inside a longer one begins at any of three places of base64's groups; what its neighbours show
            // through is cut off at both ends.
            Encoding::Base64Offset => {
                for (before, first) in [(0, 0), (1, 2), (2, 3)] {
                    let mut shifted = vec![b' '; before];
                    shifted.extend_from_slice(bytes);
                    let last = match shifted.len() % 3 {
                        0 => 0,
                        1 => 3,
                        _ => 2,
                    };
                    let whole = base64(&shifted);
                    let kept = whole
                        .get(first..whole.len().saturating_sub(last))
                        .filter(|kept| !kept.is_empty())
                        .ok_or("the text is too short for `base64offset`")?;
                    encoded.push(kept.to_vec());
                }
            }
        }
        Ok(())
    }
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = bits >> (18 - 6 * place) & 63;
            text.push(if place > group.len() {
                b'='
            } else {
                ALPHABET[digit as usize]
            });
        }
    }
    text
}
