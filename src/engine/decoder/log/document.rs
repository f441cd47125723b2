//! JSON documents that are written over several lines, as `evtx_dump`, `jq` and PowerShell print them, one after the
//! other or in a list. A document begins with a line that is `{` alone and ends with the line of equal indent that
//! begins with `}`.

use super::lines::LINE_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// Puts documents together from their lines. A document is held until its end, within `LINE_BYTES_MAX` bytes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Documents {
    text: String,
    lines: u64,
    indent: usize,
}

/// What a line has made of the documents so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// It is a document, or none.
    Whole(&'a str),
    /// It ended a document of so many lines.
    Document(String, u64),
    /// It belongs to a document that has not ended.
    Part,
    /// It stands between documents: the brackets of a list, `Record 7`.
    Between,
}

/// Whether an input that begins with these bytes holds documents of several lines.
pub(super) fn begin(head: &[u8]) -> bool {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"Record "));
    let first = lines.next();
    let second = lines.next();
    match first {
        Some(b"{") => second.is_some_and(|line| line.starts_with(b"\"")),
        Some(b"[") => second.is_some_and(|line| line.starts_with(b"{")),
        _ => false,
    }
}

impl Documents {
    /// Takes a line. Gives what it made, and of how many lines before it nothing can come any more.
    pub(super) fn take<'a>(&mut self, line: &'a str) -> (u64, Piece<'a>) {
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        let mut given_up = 0;
        if self.lines > 0 {
            let ended = trimmed.starts_with('}') && indent == self.indent;
            let too_long = self.text.len().saturating_add(trimmed.len()) >= LINE_BYTES_MAX;
            let begins_anew = trimmed.starts_with('{') && indent <= self.indent;
            if !too_long && !begins_anew {
                self.text.push_str(trimmed);
                self.text.push('\n');
                self.lines += 1;
                if !ended {
                    return (0, Piece::Part);
                }
                let text = std::mem::take(&mut self.text);
                let text = text.trim_end().trim_end_matches(',').to_owned();
                return (0, Piece::Document(text, std::mem::take(&mut self.lines)));
            }
            given_up = self.give_up();
        }
        let piece = match trimmed {
            "{" => {
                self.text.push_str("{\n");
                (self.lines, self.indent) = (1, indent);
                Piece::Part
            }
            "[" | "]" => Piece::Between,
            _ if trimmed.starts_with("Record ") => Piece::Between,
            _ => Piece::Whole(trimmed.strip_suffix(',').unwrap_or(trimmed)),
        };
        (given_up, piece)
    }

    /// Lets go of a document that has no end. Gives how many lines it has.
    pub(super) fn give_up(&mut self) -> u64 {
        self.text = String::new();
        std::mem::take(&mut self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::decoder::log::check::{decode_bytes, mutate};
    use crate::engine::decoder::log::{Format, detect};

    const PRINTED: &str = "Record 1\n{\n  \"Event\": {\n    \"System\": {\n      \"EventID\": 4625,\n      \"Channel\": \"Security\",\n      \
        \"Computer\": \"DC1.corp.example\",\n      \"TimeCreated\": {\n        \"#attributes\": {\n          \
        \"SystemTime\": \"2026-06-08T08:04:43.123456Z\"\n        }\n      }\n    },\n    \"EventData\": {\n      \
        \"TargetUserName\": \"bob\",\n      \"LogonType\": 3,\n      \"IpAddress\": \"10.0.0.7\"\n    }\n  }\n}\n";

    #[test]
    fn a_document_of_several_lines_is_one_event() {
        let text = PRINTED.repeat(2);
        assert_eq!(detect(text.as_bytes()), Some(Format::Json));
        let output = decode_bytes(Format::Json, text.as_bytes());
        assert_eq!(output.events.len(), 2, "{:?}", output.tally);
        assert_eq!((output.tally.decoded, output.tally.ignored["between_json"]), (38, 2));
    }

    #[test]
    fn a_list_of_documents_is_read_whether_they_have_one_line_or_several() {
        let several = "[\n  {\n    \"EventID\": 4624,\n    \"Channel\": \"Security\",\n    \"EventTime\": \"2026-06-08 08:04:43\"\n  },\n  {\n    \
            \"EventID\": 4624,\n    \"Channel\": \"Security\",\n    \"EventTime\": \"2026-06-08 08:04:44\"\n  }\n]\n";
        let one = "[\n{\"EventID\":4624,\"Channel\":\"Security\",\"EventTime\":\"2026-06-08 08:04:43\"},\n\
            {\"EventID\":4624,\"Channel\":\"Security\",\"EventTime\":\"2026-06-08 08:04:44\"}\n]\n";
        for text in [several, one] {
            assert_eq!(detect(text.as_bytes()), Some(Format::Json), "{text}");
            assert_eq!(decode_bytes(Format::Json, text.as_bytes()).events.len(), 2, "{text}");
        }
    }

    #[test]
    fn a_document_without_an_end_is_refused_and_hides_nothing_behind_it() {
        let line = "{\"EventID\":4624,\"Channel\":\"Security\",\"EventTime\":\"2026-06-08 08:04:43\"}\n";
        let output = decode_bytes(Format::Json, format!("{{\n\"a\": 1,\n{line}{{\n\"b\"\n").as_bytes());
        assert_eq!(output.events.len(), 1);
        assert_eq!(output.tally.refused["unfinished_json"], 4);
    }

    #[test]
    fn a_document_is_held_only_within_its_bound() {
        let part = format!("  \"a\": \"{}\",\n", "x".repeat(1000));
        let output = decode_bytes(Format::Json, format!("{{\n{}", part.repeat(3000)).as_bytes());
        assert!(output.events.is_empty());
        let mut documents = Documents::default();
        documents.take("{");
        for _ in 0..3000 {
            documents.take(&part);
            assert!(documents.text.len() <= LINE_BYTES_MAX);
        }
    }

    #[test]
    fn prose_and_single_lines_are_no_documents() {
        for head in [
            "",
            "{",
            "{\n",
            "{\nsome text",
            "[\n1,\n2",
            "[2026-01-01]\n{",
            "{\"a\":1}\n{",
        ] {
            assert!(!begin(head.as_bytes()), "{head:?}");
        }
    }

    #[test]
    fn broken_documents_are_accounted_for() {
        mutate(Format::Json, PRINTED, 500);
    }
}
