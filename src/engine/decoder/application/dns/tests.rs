use super::*;
use crate::domain::{Timestamp, Value};
use crate::engine::decoder::application::tests::Random;

/// `www.example.co.uk` asked for A, answered by an alias and an address, with an EDNS record that adds to the rcode.
pub(super) const ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\x01\
    \x03wWw\x07EXAMPLE\x02co\x02uk\0\0\x01\0\x01\
    \xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x06\x03cdn\xc0\x10\
    \xc0\x2f\0\x01\0\x01\0\0\0\x05\0\x04\x0a\0\0\x07\
    \0\0\x29\x10\0\0\0\0\0\0\0";

fn describe(message: &Message<'_>) -> Vec<String> {
    let mut event = Event::new(Timestamp::from_seconds(0));
    message.describe(&mut event);
    event
        .fields()
        .filter(|(field, _)| field.name().starts_with("dns.") || *field == Field::EventOutcome)
        .map(|(field, value)| match value {
            Value::Str(text) => format!("{}={text}", field.name()),
            Value::U64(number) => format!("{}={number}", field.name()),
            Value::Ip(address) => format!("{}={address}", field.name()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn an_answer_fills_the_fields_of_ecs() {
    let message = Message::parse(ANSWER).expect("a message");
    assert!(message.exact);
    assert_eq!(message.damage, None);
    assert_eq!(
        describe(&message),
        [
            "dns.type=answer",
            "dns.id=4660",
            "dns.op_code=QUERY",
            "dns.header_flags=RD",
            "dns.header_flags=RA",
            "dns.question.name=www.example.co.uk",
            "dns.question.registered_domain=example.co.uk",
            "dns.question.top_level_domain=co.uk",
            "dns.question.subdomain=www",
            "dns.question.type=A",
            "dns.question.class=IN",
            "dns.response_code=NOERROR",
            "event.outcome=success",
            "dns.answers_count=2",
            "dns.answers.name=www.example.co.uk",
            "dns.answers.type=CNAME",
            "dns.answers.ttl=60",
            "dns.answers.data=cdn.example.co.uk",
            "dns.answers.name=cdn.example.co.uk",
            "dns.answers.type=A",
            "dns.answers.ttl=5",
            "dns.answers.data=10.0.0.7",
            "dns.resolved_ip=10.0.0.7",
        ]
    );
}

#[test]
fn edns_adds_the_upper_bits_of_the_response_code() {
    let mut bytes = ANSWER.to_vec();
    let ttl = bytes.len() - 6;
    bytes[ttl] = 1;
    bytes[3] = 0x87;
    let message = Message::parse(&bytes).expect("a message");
    assert_eq!(message.rcode, 23);
    assert_eq!(rcode_name(message.rcode), Some("BADCOOKIE"));
}

#[test]
fn data_of_every_known_type_is_told_as_text() {
    for (kind, data, expected) in [
        (28u16, &b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"[..], "2001:db8::1"),
        (2, b"\x02NS\x01b\0", "ns.b"),
        (15, b"\0\x0a\x02mx\x01b\0", "10 mx.b"),
        (16, b"\x03a b\x00\x03c\x00\xff", "a b  c\\000\\255"),
        (33, b"\0\x01\0\x02\x01\xbb\x01h\x01b\0", "1 2 443 h.b"),
        (
            6,
            b"\x01m\x01b\0\x01r\x01b\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05",
            "m.b r.b 1 2 3 4 5",
        ),
        (35, b"\0\x01\0\x02\x01u\x03E2U\x02!x\0", "1 2 \"u\" \"E2U\" \"!x\" ."),
        (65, b"\0\x01\0\0\x01\0\x03\x02h2", "1 ."),
        (257, b"\0\x05issuele.org", "0 issue \"le.org\""),
        (1, b"\x01\x02\x03", "\\# 3 010203"),
        (10, b"\xab\xcd", "\\# 2 abcd"),
        (16, b"\x05ab", "\\# 3 056162"),
    ] {
        let mut bytes = b"\0\x01\x80\0\0\0\0\x01\0\0\0\0\x01n\0".to_vec();
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(b"\0\x01\0\0\0\0");
        bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
        bytes.extend_from_slice(data);
        let message = Message::parse(&bytes).expect("a message");
        let mut text = String::new();
        message.answers().next().expect("an answer").write_data(&mut text);
        assert_eq!(text, expected, "type {kind}");
    }
}

#[test]
fn odd_labels_are_escaped_and_loops_are_refused() {
    let read = |name: &[u8]| {
        let mut bytes = b"\0\x01\0\0\0\x01\0\0\0\0\0\0".to_vec();
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(b"\0\x01\0\x01");
        Message::parse(&bytes).map(|message| message.question.expect("a question").name)
    };
    assert_eq!(read(b"\x05a.B\\\x07\0").as_deref(), Ok("a\\.b\\\\\\007"));
    assert_eq!(read(b"\0").as_deref(), Ok("."));
    assert_eq!(read(b"\xc0\x0c"), Err(Refusal::BadPointer));
    assert_eq!(read(b"\x01a\xc0\x0c"), Err(Refusal::BadPointer));
    assert_eq!(read(b"\x40a\0"), Err(Refusal::BadName));
    assert_eq!(read(b"\x3f"), Err(Refusal::TooShort));
    let mut long = Vec::new();
    for _ in 0..64 {
        long.extend_from_slice(b"\x03abc");
    }
    long.push(0);
    assert_eq!(read(&long), Err(Refusal::BadName));
    assert_eq!(Message::parse(b"\0\0").map(|_| ()), Err(Refusal::TooShort));
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = Random::new(1);
    for _ in 0..20_000 {
        let bytes = random.mutate(ANSWER);
        if let Ok(message) = Message::parse(&bytes) {
            let mut event = Event::new(Timestamp::from_seconds(0));
            message.describe(&mut event);
        }
    }
}
