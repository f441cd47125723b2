//! What is left of a condition once some of an event's fields are known.

use super::{Matcher, Node};
use crate::domain::{Event, Field};
use crate::engine::select::predicate::Predicate;

/// A condition for events that have the same fields, and the same values in some of them.
#[derive(Clone, Debug)]
pub enum Given {
    /// It is met, or not, whatever the other fields hold.
    Decided(bool),
    /// This must still be met.
    Open(Matcher),
}

impl Matcher {
    /// The condition for all events that have exactly the fields of this one, and its values in those fields that are
    /// `known` by their number.
    pub fn given(&self, event: &Event, known: &[bool; Field::ALL.len()]) -> Given {
        let lacks = self
            .required
            .iter()
            .zip(event.present())
            .any(|(required, present)| required & !present != 0);
        if lacks {
            return Given::Decided(false);
        }
        match self.root.given(event, known) {
            Ok(met) => Given::Decided(met),
            Err(root) => Given::Open(Matcher {
                required: [0; Field::WORDS],
                root,
            }),
        }
    }
}

impl Node {
    /// Whether the node is met, or what is left of it.
    fn given(&self, event: &Event, known: &[bool; Field::ALL.len()]) -> Result<bool, Node> {
        match self {
            Node::All(nodes) => {
                let mut left = Vec::new();
                for node in nodes {
                    match node.given(event, known) {
                        Ok(true) => {}
                        Ok(false) => return Ok(false),
                        Err(node) => left.push(node),
                    }
                }
                lone_or(left, Node::All).map_or(Ok(true), Err)
            }
            Node::Any(nodes) => {
                let mut left = Vec::new();
                for node in nodes {
                    match node.given(event, known) {
                        Ok(true) => return Ok(true),
                        Ok(false) => {}
                        Err(node) => left.push(node),
                    }
                }
                lone_or(left, Node::Any).map_or(Ok(false), Err)
            }
            Node::AtLeast(least, nodes) => {
                let (mut met, mut left) = (0, Vec::new());
                for node in nodes {
                    match node.given(event, known) {
                        Ok(is_met) => met += u64::from(is_met),
                        Err(node) => left.push(node),
                    }
                }
                let wanted = least.saturating_sub(met);
                if wanted == 0 || wanted > left.len() as u64 {
                    return Ok(wanted == 0);
                }
                Err(Node::AtLeast(wanted, left))
            }
            Node::Not(node) => match node.given(event, known) {
                Ok(met) => Ok(!met),
                Err(node) => Err(Node::Not(Box::new(node))),
            },
            Node::Present(field) => Ok(event.has(*field)),
            Node::Some(field, predicates) => {
                let is_known = |field: Field| known[field as usize] || !event.has(field);
                let decided = is_known(*field)
                    && predicates.iter().all(|predicate| match predicate {
                        Predicate::Reference(other, ..) => is_known(*other),
                        _ => true,
                    });
                if decided {
                    Ok(self.matches(event))
                } else {
                    Err(self.clone())
                }
            }
            Node::Keyword(_) => Err(self.clone()),
        }
    }
}

/// The only node, or several as one; nothing when there is none.
fn lone_or(mut nodes: Vec<Node>, join: impl FnOnce(Vec<Node>) -> Node) -> Option<Node> {
    match nodes.len() {
        0 => None,
        1 => nodes.pop(),
        _ => Some(join(nodes)),
    }
}
