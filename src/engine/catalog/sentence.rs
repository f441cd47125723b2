//! The sentence of a definition: text with places that an alert fills in.

use crate::domain::{Definition, Field, Measure, Mistake, Place, SentencePart};

/// Reads `{seen} logins failed in {window}`: places are what was measured, or a field of the entity.
pub(super) fn read(
    place: &Place<'_>,
    entity: &[Field],
    measure: &Measure,
    mistakes: &mut Vec<Mistake>,
) -> Option<Vec<SentencePart>> {
    let before = mistakes.len();
    let text = place.value().as_str().map(str::trim).unwrap_or_default();
    if text.is_empty() || text.chars().count() > Definition::SENTENCE_CHARS_MAX {
        let most = Definition::SENTENCE_CHARS_MAX;
        mistakes.push(place.mistake(format!("must be text of at most sentence_chars_max ({most})")));
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((said, behind)) = rest.split_once('{') {
        let Some((name, after)) = behind.split_once('}') else {
            mistakes.push(place.mistake("a `{` is never closed"));
            return None;
        };
        parts.push(SentencePart::Text(said.to_owned()));
        match part(name, entity, measure) {
            Some(part) => parts.push(part),
            None => {
                let known = names(entity, measure);
                let message = format!("`{{{name}}}` is nothing that this detector knows");
                mistakes.push(place.wrong_word(message, name, known.iter().copied()));
            }
        }
        rest = after;
    }
    parts.push(SentencePart::Text(rest.to_owned()));
    parts.retain(|part| !matches!(part, SentencePart::Text(text) if text.is_empty()));
    (mistakes.len() == before).then_some(parts)
}

fn part(name: &str, entity: &[Field], measure: &Measure) -> Option<SentencePart> {
    if !names(entity, measure).contains(&name) {
        return None;
    }
    Some(match name {
        "seen" => SentencePart::Seen,
        "window" => SentencePart::Window,
        "value" => SentencePart::Value,
        "share" => SentencePart::Share,
        "hour" => SentencePart::Hour,
        name => SentencePart::Entity(entity.iter().position(|field| field.name() == name)?),
    })
}

/// The places that a sentence of such a detector may have.
fn names<'a>(entity: &'a [Field], measure: &Measure) -> Vec<&'a str> {
    let mut names = vec!["seen", "window"];
    match measure {
        Measure::Category(_) | Measure::Network(_) => names.push("value"),
        Measure::Ratio(_) => names.push("share"),
        Measure::TimeOfWeek => names.push("hour"),
        _ => {}
    }
    names.extend(entity.iter().map(|field| field.name()));
    names
}
