//! Numbers of a text.

use super::rounded;

/// Bytes of a text that are looked at, from its beginning.
const BYTES_MAX: usize = 1024;

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(BYTES_MAX)]
}

/// The entropy of a text's bytes, in bits a byte.
pub(super) fn entropy(text: &str) -> f64 {
    let text = beginning(text).as_bytes();
    let mut counts = [0u16; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let length = text.len().max(1) as f64;
    let bits = |count: &u16| {
        let share = f64::from(*count) / length;
        -share * share.log2()
    };
    rounded(counts.iter().filter(|count| **count > 0).map(bits).sum())
}

/// How many folders a path names.
pub(super) fn depth(text: &str) -> f64 {
    let separators = text.bytes().filter(|byte| matches!(byte, b'/' | b'\\'));
    separators.count() as f64
}

/// The share of a text's characters that are such.
pub(super) fn share(text: &str, is_such: impl Fn(char) -> bool) -> f64 {
    let (mut all, mut such) = (0u32, 0u32);
    for character in beginning(text).chars() {
        all += 1;
        such += u32::from(is_such(character));
    }
    f64::from(such) / f64::from(all.max(1))
}

/// The length of the longest run of letters without a vowel.
pub(super) fn consonants(text: &str) -> f64 {
    let (mut longest, mut run) = (0u32, 0u32);
    for character in beginning(text).chars() {
        let is_vowel = matches!(character.to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u' | 'y');
        run = if character.is_alphabetic() && !is_vowel {
            run + 1
        } else {
            0
        };
        longest = longest.max(run);
    }
    f64::from(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_measured_by_its_characters() {
        assert_eq!((entropy(""), entropy("aaaa"), entropy("abababab")), (0.0, 0.0, 1.0));
        assert!((entropy("0123456789abcdef") - 4.0).abs() < 1e-9);
        assert_eq!(depth(r"C:\Users\ann"), 2.0);
        assert_eq!(share("a1b2", |c| c.is_ascii_digit()), 0.5);
        assert_eq!(share("", |c| c.is_ascii_digit()), 0.0);
        assert_eq!(
            (consonants("wikipedia"), consonants("xkcdqwrtz7bcd"), consonants("")),
            (1.0, 9.0, 0.0)
        );
        assert!(entropy(&"é".repeat(4096)).is_finite());
    }
}
