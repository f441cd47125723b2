//! Whether a request bears the token: as a bearer's, as the password of HTTP basic authentication, or as an
//! Elasticsearch API key, since shippers know these.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Whether the request bears the token.
pub(super) fn bear(headers: &HeaderMap, token: &str) -> bool {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, borne)) = value.and_then(|value| value.split_once(' ')) else {
        return false;
    };
    let borne = borne.trim();
    if scheme.eq_ignore_ascii_case("Bearer") {
        return is_same(borne, token);
    }
    // What follows the first colon is the password, or the key; a key may also stand alone.
    let behind_colon = || {
        let decoded = STANDARD.decode(borne).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        text.split_once(':').map(|(_, secret)| secret.to_owned())
    };
    if scheme.eq_ignore_ascii_case("Basic") {
        return behind_colon().is_some_and(|secret| is_same(&secret, token));
    }
    scheme.eq_ignore_ascii_case("ApiKey")
        && (is_same(borne, token) || behind_colon().is_some_and(|secret| is_same(&secret, token)))
}

/// Compares in a time that does not tell where two texts differ.
fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    one.len() == other.len() && one.iter().zip(other).fold(0u8, |held, (a, b)| held | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_known_in_each_scheme_and_nothing_else_is() {
        for (header, expected) in [
            ("Bearer s3cret", true),
            ("bearer s3cret", true),
            ("Bearer s3cre", false),
            ("Bearer s3cretx", false),
            ("s3cret", false),
            // elastic:s3cret
            ("Basic ZWxhc3RpYzpzM2NyZXQ=", true),
            // s3cret without a user
            ("Basic czNjcmV0", false),
            // elastic:wrong
            ("Basic ZWxhc3RpYzp3cm9uZw==", false),
            // key-id:s3cret
            ("ApiKey a2V5LWlkOnMzY3JldA==", true),
            ("ApiKey s3cret", true),
            ("ApiKey !!!", false),
            ("Digest s3cret", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, header.parse().expect("a header"));
            assert_eq!(bear(&headers, "s3cret"), expected, "{header}");
        }
        assert!(!bear(&HeaderMap::new(), "s3cret"));
    }
}
