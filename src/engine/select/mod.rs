//! Sigma's detection syntax as a compiled matcher over event fields.
//!
//! `rsigma-parser` reads field keys, values and conditions; `compile` turns them into tests over interned fields. Sketch: a
//! matcher first compares the event's present fields with those that it needs, in a handful of word operations; most
//! events go no further. What is left is tried cheapest first. Matching never allocates.
//!
//! Text is compared without regard to case, as Sigma asks. A field with several values matches when any one does.
//! Sigma's placeholders (`expand`) and the parts of a timestamp (`hour`, `week` ...) are refused.

mod compile;
mod given;
mod pattern;
mod predicate;

pub use compile::Selections;
pub(crate) use compile::unknown_field;
pub use given::Given;

use crate::domain::{Event, Field};
use pattern::Pattern;
use predicate::{Predicate, with_text};

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Matcher {
    required: [u64; Field::WORDS],
    root: Node,
}

impl Matcher {
    fn new(root: Node) -> Matcher {
        Matcher {
            required: root.required(),
            root: root.sorted(),
        }
    }

    /// The same matcher, for events that also have every one of `fields`. Asking for them costs nothing more.
    #[must_use]
    pub fn requiring(mut self, fields: &[Field]) -> Matcher {
        for field in fields {
            insert(&mut self.required, *field);
        }
        self
    }

    /// Whether the event meets the condition.
    #[inline]
    pub fn matches(&self, event: &Event) -> bool {
        let present = event.present();
        let lacking = self
            .required
            .iter()
            .zip(present)
            .fold(0, |lacking, (required, present)| lacking | (required & !present));
        lacking == 0 && self.root.matches(event)
    }

    /// The fields without which no event matches.
    pub fn required(&self) -> impl Iterator<Item = Field> {
        Field::ALL
            .iter()
            .copied()
            .filter(|field| contains(&self.required, *field))
    }
}

/// A part of a condition.
#[derive(Clone, Debug)]
enum Node {
    /// Every one of these; true when there are none.
    All(Vec<Node>),
    /// At least one of these; false when there are none.
    Any(Vec<Node>),
    /// At least this many of these.
    AtLeast(u64, Vec<Node>),
    Not(Box<Node>),
    /// The field has a value.
    Present(Field),
    /// Some value of the field meets some predicate.
    Some(Field, Box<[Predicate]>),
    /// Some text of the event, whatever its field, matches the pattern.
    Keyword(Pattern),
}

impl Node {
    fn matches(&self, event: &Event) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|node| node.matches(event)),
            Node::Any(nodes) => nodes.iter().any(|node| node.matches(event)),
            Node::AtLeast(least, nodes) => {
                let mut met = 0;
                nodes.iter().any(|node| {
                    met += u64::from(node.matches(event));
                    met >= *least
                })
            }
            Node::Not(node) => !node.matches(event),
            Node::Present(field) => event.has(*field),
            Node::Some(field, predicates) => {
                let meets = |value| predicates.iter().any(|predicate| predicate.meets(value, event));
                if event.has_several(*field) {
                    event.values(*field).any(meets)
                } else {
                    event.get(*field).is_some_and(meets)
                }
            }
            Node::Keyword(pattern) => event
                .fields()
                .any(|(_, value)| with_text(value, |text| pattern.matches(text))),
        }
    }

    /// The fields that an event must have to match.
    fn required(&self) -> [u64; Field::WORDS] {
        let mut fields = [0; Field::WORDS];
        match self {
            Node::Present(field) => insert(&mut fields, *field),
            Node::Some(field, predicates) => {
                insert(&mut fields, *field);
                if let [Predicate::Reference(other, ..)] = &**predicates {
                    insert(&mut fields, *other);
                }
            }
            Node::All(nodes) => {
                for node in nodes {
                    for (all, one) in fields.iter_mut().zip(node.required()) {
                        *all |= one;
                    }
                }
            }
            Node::Any(nodes) if !nodes.is_empty() => {
                fields = [u64::MAX; Field::WORDS];
                for node in nodes {
                    for (all, one) in fields.iter_mut().zip(node.required()) {
                        *all &= one;
                    }
                }
            }
            Node::Any(_) | Node::AtLeast(..) | Node::Not(_) | Node::Keyword(_) => {}
        }
        fields
    }

    /// Adds every field that the node speaks of.
    fn collect_fields(&self, fields: &mut Vec<Field>) {
        match self {
            Node::All(nodes) | Node::Any(nodes) | Node::AtLeast(_, nodes) => {
                for node in nodes {
                    node.collect_fields(fields);
                }
            }
            Node::Not(node) => node.collect_fields(fields),
            Node::Present(field) => fields.push(*field),
            Node::Some(field, predicates) => {
                fields.push(*field);
                fields.extend(predicates.iter().filter_map(|predicate| match predicate {
                    Predicate::Reference(other, ..) => Some(*other),
                    _ => None,
                }));
            }
            Node::Keyword(_) => {}
        }
    }

    /// The same node with its parts in the order of their cost, and nothing nested that need not be.
    fn sorted(self) -> Node {
        match self {
            Node::All(nodes) => match flat(nodes, |node| match node {
                Node::All(inner) => Ok(inner),
                other => Err(other),
            }) {
                mut nodes if nodes.len() == 1 => nodes.remove(0),
                nodes => Node::All(nodes),
            },
            Node::Any(nodes) => match flat(nodes, |node| match node {
                Node::Any(inner) => Ok(inner),
                other => Err(other),
            }) {
                mut nodes if nodes.len() == 1 => nodes.remove(0),
                nodes => Node::Any(nodes),
            },
            Node::AtLeast(least, nodes) => Node::AtLeast(least, nodes.into_iter().map(Node::sorted).collect()),
            Node::Not(node) => match node.sorted() {
                Node::Not(inner) => *inner,
                node => Node::Not(Box::new(node)),
            },
            Node::Some(field, predicates) => {
                let mut predicates = predicate::joined(predicates.into_vec());
                predicates.sort_by_key(Predicate::cost);
                Node::Some(field, predicates.into_boxed_slice())
            }
            leaf => leaf,
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Node::Present(_) => 1,
            Node::Some(_, predicates) => predicates.iter().fold(1, |sum, predicate| sum + predicate.cost()),
            Node::Keyword(pattern) => 30 * pattern.cost(),
            Node::Not(node) => node.cost(),
            Node::All(nodes) | Node::Any(nodes) | Node::AtLeast(_, nodes) => {
                nodes.iter().fold(1, |sum, node| sum + node.cost())
            }
        }
    }
}

fn flat(nodes: Vec<Node>, unwrap: impl Fn(Node) -> Result<Vec<Node>, Node>) -> Vec<Node> {
    let mut flat = Vec::with_capacity(nodes.len());
    for node in nodes {
        match unwrap(node.sorted()) {
            Ok(inner) => flat.extend(inner),
            Err(node) => flat.push(node),
        }
    }
    flat.sort_by_key(Node::cost);
    flat
}

fn insert(fields: &mut [u64; Field::WORDS], field: Field) {
    let index = field as usize;
    fields[index / 64] |= 1 << (index % 64);
}

fn contains(fields: &[u64; Field::WORDS], field: Field) -> bool {
    let index = field as usize;
    fields[index / 64] & (1 << (index % 64)) != 0
}

#[cfg(test)]
mod tests;
