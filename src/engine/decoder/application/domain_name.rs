//! Domain names cut by the public suffix list, so that `dns.question.registered_domain` and its relatives mean the same
//! in every decoder.

use crate::domain::{Event, Field};

/// A domain name in its parts: `www.east` . `example` `.co.uk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainParts<'a> {
    /// What somebody registered: the public suffix and one label more (`example.co.uk`).
    pub registered: &'a str,
    /// What stands before it, where anything does (`www.east`).
    pub subdomain: Option<&'a str>,
    /// The public suffix (`co.uk`).
    pub top_level: &'a str,
}

/// Cuts a lower-case name without a final dot. Nothing for addresses, for single labels and for names that are public
/// suffixes themselves. A name whose last label is on no list is cut before its last two labels.
pub fn registered_domain(name: &str) -> Option<DomainParts<'_>> {
    // The list would take the last byte of 10.0.0.7 for a top level; no top level of the list begins with a digit.
    let last = name.rsplit('.').next()?;
    if last.starts_with(|c: char| c.is_ascii_digit()) || name.contains(':') {
        return None;
    }
    let found = psl::domain(name.as_bytes())?;
    let registered_bytes = found.as_bytes().len();
    let start = name.len().checked_sub(registered_bytes)?;
    let registered = name.get(start..)?;
    if registered.starts_with('.') {
        return None;
    }
    let suffix_start = name.len().checked_sub(found.suffix().as_bytes().len())?;
    let subdomain = name.get(..start)?.strip_suffix('.').filter(|text| !text.is_empty());
    Some(DomainParts {
        registered,
        subdomain,
        top_level: name.get(suffix_start..)?,
    })
}

/// Adds `dns.question.name` and the parts that the public suffix list gives it. For every decoder that reads DNS.
pub fn describe_question(name: &str, event: &mut Event) {
    event.add_str(Field::DnsQuestionName, name);
    if let Some(parts) = registered_domain(name) {
        event.add_str(Field::DnsQuestionRegisteredDomain, parts.registered);
        event.add_str(Field::DnsQuestionTopLevelDomain, parts.top_level);
        if let Some(subdomain) = parts.subdomain {
            event.add_str(Field::DnsQuestionSubdomain, subdomain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_where_the_public_suffix_list_says() {
        for (name, expected) in [
            ("example.com", Some(("example.com", None, "com"))),
            (
                "www.east.example.co.uk",
                Some(("example.co.uk", Some("www.east"), "co.uk")),
            ),
            ("a.b.example.co.jp", Some(("example.co.jp", Some("a.b"), "co.jp"))),
            ("printer.lan", Some(("printer.lan", None, "lan"))),
            ("x.y.corp.internal", Some(("corp.internal", Some("x.y"), "internal"))),
            ("com", None),
            ("co.uk", None),
            ("localhost", None),
            ("", None),
            (".", None),
            ("..com", None),
            ("10.0.0.7", None),
            ("::1", None),
        ] {
            let parts = registered_domain(name).map(|parts| (parts.registered, parts.subdomain, parts.top_level));
            assert_eq!(parts, expected, "{name}");
        }
    }
}
