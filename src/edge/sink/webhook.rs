//! A webhook: one signed request for each form of an alert, after the Standard Webhooks specification 1.0
//! (`webhook-id`, `webhook-timestamp`, `webhook-signature`: HMAC-SHA-256 over `id.timestamp.body`).

use super::endpoint::Endpoint;
use super::{DocumentForm, Sink, SinkFailure, Told};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// A webhook.
#[derive(Debug)]
pub struct WebhookSink {
    endpoint: Endpoint,
    /// Nothing when requests are not signed.
    key: Option<Key>,
    form: DocumentForm,
}

/// What requests are signed with. Not shown.
struct Key(Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(..)")
    }
}

impl WebhookSink {
    /// A webhook. A secret that begins with `whsec_` is base64 behind it, as the specification writes secrets; any other
    /// is taken as it is.
    pub fn new(endpoint: Endpoint, secret: Option<&str>, form: DocumentForm) -> WebhookSink {
        let key = secret.map(|secret| {
            let encoded = secret.strip_prefix("whsec_");
            let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
            Key(decoded.unwrap_or_else(|| secret.as_bytes().to_vec()))
        });
        WebhookSink { endpoint, key, form }
    }

    fn headers(&self, id: String, seconds: u64, body: &str) -> Vec<(&'static str, String)> {
        let signed = self.key.as_ref().map(|key| signature(&key.0, &id, seconds, body));
        let mut headers = vec![("webhook-id", id), ("webhook-timestamp", seconds.to_string())];
        headers.extend(signed.map(|signature| ("webhook-signature", signature)));
        headers
    }
}

/// `v1,` and the base64 of the signature.
fn signature(key: &[u8], id: &str, seconds: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length serves");
    for part in [id, ".", &seconds.to_string(), ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

impl Sink for WebhookSink {
    fn deliver(&mut self, told: &[Told]) -> Result<(), SinkFailure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for told in told {
            let (id, count) = told.key();
            let body = told.document(self.form);
            let headers = self.headers(format!("{id}:{count}"), now.as_secs(), body);
            self.endpoint.post("", "application/json", &headers, body.as_bytes())?;
        }
        Ok(())
    }

    /// One at a time, so that a failure repeats none that arrived.
    fn together_max(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_signed_as_the_specification_says() {
        // The example of the Standard Webhooks specification's libraries.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
