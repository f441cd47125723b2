//! A text as this model reads it: bytes for characters, and, in a column of domain names, the longest label apart from
//! the public suffix, so that a name is told by what somebody chose and not by where it was registered.

/// Characters of a text that are looked at, from its beginning.
pub(super) const CHARACTERS_MAX: usize = 512;
/// Marks before the first character and after the last; no character is either.
pub(super) const BEGIN: u8 = 2;
/// See [`BEGIN`].
pub(super) const END: u8 = 3;
/// The first byte of characters beyond ASCII.
const BEYOND_ASCII: u8 = 128;

/// A text made ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// All characters, without the public suffix.
    pub(super) whole: Vec<u8>,
    /// The part that n-grams and the language are about: the longest label of a name, or else all.
    pub(super) main: Vec<u8>,
    /// The public suffix of a name; else nothing.
    pub(super) suffix: String,
}

impl Text {
    /// Makes `text` ready; `is_name` where the column holds domain names.
    pub(super) fn of(text: &str, is_name: bool) -> Text {
        let suffix = if is_name { suffix_of(text) } else { None };
        let Some(suffix) = suffix else {
            let whole: Vec<u8> = text.chars().take(CHARACTERS_MAX).map(byte_of).collect();
            return Text {
                main: whole.clone(),
                whole,
                suffix: String::new(),
            };
        };
        let rest = text[..text.len() - suffix.len()].trim_end_matches('.');
        let whole: Vec<u8> = rest.chars().take(CHARACTERS_MAX).map(byte_of).collect();
        let labels = whole.split(|byte| *byte == b'.');
        // Of labels of one length the first counts.
        let longest = labels.rev().max_by_key(|label| label.len()).unwrap_or_default();
        Text {
            main: longest.to_vec(),
            suffix: suffix.to_ascii_lowercase(),
            whole,
        }
    }

    /// The kinds of the main part's characters: vowels, consonants, digits, letters beyond ASCII, and signs as they are.
    pub(super) fn skeleton(&self) -> Vec<u8> {
        self.main.iter().map(|byte| kind_of(*byte)).collect()
    }
}

/// The public suffix of a domain name that has something before it; only suffixes that are on the list.
pub(super) fn suffix_of(text: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if text.len() > 255 || !text.bytes().all(plain) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let suffix = psl::suffix(lower.as_bytes()).filter(psl::Suffix::is_known)?;
    let start = text.len().checked_sub(suffix.as_bytes().len())?;
    (start > 1).then(|| &text[start..])
}

/// What kind of character a byte stands for.
pub(super) fn kind_of(byte: u8) -> u8 {
    match byte {
        b'a' | b'e' | b'i' | b'o' | b'u' => b'V',
        b'a'..=b'z' => b'C',
        b'0'..=b'9' => b'D',
        BEYOND_ASCII.. => b'U',
        sign => sign,
    }
}

/// A byte for a character: itself in lower case, one of 128 for those beyond ASCII, and one for the rarest controls.
fn byte_of(character: char) -> u8 {
    match character {
        '\u{0}'..='\u{8}' => 1,
        _ if character.is_ascii() => character.to_ascii_lowercase() as u8,
        _ => BEYOND_ASCII | (character as u32 % 128) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_longest_label_without_the_public_suffix() {
        for (text, main, suffix) in [
            ("example.co.uk", "example", "co.uk"),
            ("WWW.Example.com", "example", "com"),
            ("a.bcdef.ddns.net", "bcdef", "ddns.net"),
            ("com", "com", ""),
            ("report.txt", "report.txt", ""),
            ("jane@example.com", "jane@example.com", ""),
            ("", "", ""),
        ] {
            let read = Text::of(text, true);
            assert_eq!(
                (read.main.as_slice(), read.suffix.as_str()),
                (main.as_bytes(), suffix),
                "{text}"
            );
        }
        assert_eq!(Text::of("example.com", false).main, b"example.com");
    }

    #[test]
    fn any_text_is_read_up_to_a_bound() {
        for text in [
            "\u{0}\u{2}\u{3}",
            "é漢🦀",
            &"x".repeat(1 << 20),
            &".".repeat(300),
            ".com",
            "..com",
        ] {
            let read = Text::of(text, true);
            assert!(read.whole.len() <= CHARACTERS_MAX, "{text}");
            assert!(!read.main.contains(&BEGIN) && !read.main.contains(&END), "{text}");
        }
    }
}
