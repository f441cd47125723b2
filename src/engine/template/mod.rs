//! Log templates: the shape of a message, with what varies from one line to the next taken out, and an id for it.
//!
//! The template is a function of the message alone. Nothing is learned, so nothing is kept, saved or bounded but the
//! message itself, and a template has the same id in every process, partition, site and version of an input
//! (`docs/decisions/0023-a-template-is-the-shape-of-its-message.md`). Miners that learn (Drain: He et al., ICWS 2017) give a
//! group the shape of what came first; the study of He's successors (Zhu et al., ICSE-SEIP 2019; Khan et al., ICSE 2022)
//! finds that what is masked beforehand decides how good they are, so that is where the work is here.
//!
//! What is taken out, each by what a programmer does when writing a message, not by what some log holds:
//!
//! - whatever has a digit in it, with what is glued to it: numbers, addresses, times, hexadecimal, `blk_38`, `eth0`;
//! - units behind numbers, months, weekdays and zones beside them, signs and bounds in front of them;
//! - paths, URLs, mail addresses, host names with their port, dotted names of three labels or more (hosts, classes);
//! - hexadecimal without a digit: eight letters or more, and groups between colons;
//! - what stands behind `=`, but for yes and no, and for keys that say what happened (`msg=`, `action=`, `status=`);
//! - quoted text, but for the keys of an object, and for the method of a web request;
//! - who is named: the word behind `user` and `account`, between `for` and `from`, in front of `(uid=` and
//!   ` : TTY=`; commands that ran;
//! - how many there are: lists of placeholders, and groups of up to four words that repeat, are written once.
//!
//! Sketch: one pass over at most [`MESSAGE_BYTES_MAX`] bytes, with no allocation once the buffers have grown; some 0.4 µs for
//! a line of 80 bytes.

mod mask;
#[cfg(test)]
mod tests;
mod words;

use xxhash_rust::xxh3::xxh3_64;

/// What stands in a template where something was taken out.
pub const PLACEHOLDER: &[u8] = b"<*>";
/// Bytes of a message that are looked at. A longer one is cut at the last blank before it.
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// Words of a template. What stands behind them is left out.
pub const WORDS_MAX: usize = 256;

/// The shape of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template<'a> {
    /// The hash of the text, the same everywhere.
    pub id: u64,
    /// The message with placeholders. Of a message in UTF-8 it is UTF-8.
    pub text: &'a [u8],
}

impl Template<'_> {
    /// The id as events carry it: 16 hexadecimal digits.
    pub fn name(&self) -> String {
        format!("{:016x}", self.id)
    }
}

/// Makes templates of messages. It holds buffers alone: what it gave before changes nothing.
#[derive(Debug, Default)]
pub struct Templates {
    mask: mask::Mask,
}

impl Templates {
    /// The template of a message. An empty message, or one of blanks, has an empty template.
    pub fn of(&mut self, message: &[u8]) -> Template<'_> {
        let text = self.mask.apply(bounded(message));
        Template {
            id: xxh3_64(text),
            text,
        }
    }
}

/// The message, cut where it is too long: at a blank, or where a character begins.
fn bounded(message: &[u8]) -> &[u8] {
    let Some(head) = message.get(..MESSAGE_BYTES_MAX) else {
        return message;
    };
    if message.len() == MESSAGE_BYTES_MAX {
        return message;
    }
    let is_start = |at: usize| message.get(at).is_none_or(|byte| byte & 0xc0 != 0x80);
    let end = memchr::memrchr2(b' ', b'\t', head)
        .or_else(|| {
            (MESSAGE_BYTES_MAX - 4..=MESSAGE_BYTES_MAX)
                .rev()
                .find(|at| is_start(*at))
        })
        .unwrap_or(MESSAGE_BYTES_MAX);
    message.get(..end).unwrap_or(message)
}
