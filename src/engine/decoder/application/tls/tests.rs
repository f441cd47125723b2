use super::*;
use crate::domain::Timestamp;
use crate::engine::decoder::application::tests::Random;

fn block16(bytes: &[u8]) -> Vec<u8> {
    let mut block = (bytes.len() as u16).to_be_bytes().to_vec();
    block.extend_from_slice(bytes);
    block
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend_from_slice(&block16(content));
    bytes
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0];
    bytes.extend_from_slice(&block16(body));
    bytes
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 3, 3];
    bytes.extend_from_slice(&block16(content));
    bytes
}

fn client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[2, 9, 9]);
    body.extend_from_slice(&block16(&[0x0a, 0x0a, 0x13, 0x01, 0xc0, 0x2f]));
    body.extend_from_slice(&[1, 0]);
    let mut extensions = extension(0, b"\0\x0e\0\0\x0bWWW.Test.DE");
    extensions.extend(extension(16, b"\0\x0c\x02h2\x08http/1.1"));
    extensions.extend(extension(43, b"\x04\x03\x04\x03\x03"));
    extensions.extend(extension(13, b"\0\x04\x04\x03\x08\x04"));
    body.extend_from_slice(&block16(&extensions));
    message(1, &body)
}

fn server_hello(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[8; 32]);
    body.extend_from_slice(&[2, 9, 9, 0xc0, 0x2f, 0]);
    body.extend_from_slice(&block16(extensions));
    message(2, &body)
}

/// A handshake of TLS 1.2 that goes on with a session of before.
fn both() -> [(Side, Vec<u8>); 4] {
    let mut server = record(HANDSHAKE, &server_hello(&extension(16, b"\0\x03\x02h2")));
    server.extend(record(CHANGE_CIPHER, &[1]));
    server.extend(record(HANDSHAKE, &[0xee; 40]));
    let mut client = record(CHANGE_CIPHER, &[1]);
    client.extend(record(HANDSHAKE, &[0xdd; 40]));
    [
        (Side::Originator, record(HANDSHAKE, &client_hello())),
        (Side::Responder, server),
        (Side::Originator, client),
        (Side::Responder, record(DATA, &[1, 2, 3])),
    ]
}

fn describe(handshake: &Handshake) -> Event {
    let mut event = Event::new(Timestamp::from_seconds(0));
    handshake.describe(&mut event);
    event
}

#[test]
fn a_handshake_fills_the_event_wherever_its_segments_end() {
    for size in [1, 2, 3, 7, 50, 1000] {
        let mut handshake = Handshake::new();
        for (side, bytes) in both() {
            for segment in bytes.chunks(size) {
                handshake.piece(side, Piece::Data(segment)).expect("a handshake");
            }
        }
        assert!(handshake.is_over());
        let event = describe(&handshake);
        assert_eq!(event.str(Field::TlsClientServerName), Some("www.test.de"));
        assert_eq!(event.str(Field::TlsVersion), Some("1.2"));
        assert_eq!(event.str(Field::TlsVersionProtocol), Some("tls"));
        assert_eq!(
            event.str(Field::TlsCipher),
            Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
        );
        assert_eq!(event.str(Field::TlsNextProtocol), Some("h2"));
        assert!(
            event
                .str(Field::TlsClientJa4)
                .is_some_and(|ja4| ja4.starts_with("t13d0204h2_"))
        );
        assert!(
            event
                .fields()
                .any(|field| field == (Field::TlsResumed, crate::domain::Value::Bool(true)))
        );
        assert_eq!(event.str(Field::EventOutcome), Some("success"));
    }
}

#[test]
fn a_hello_may_be_spread_over_records() {
    let hello = client_hello();
    let mut handshake = Handshake::new();
    for part in hello.chunks(20) {
        handshake
            .piece(Side::Originator, Piece::Data(&record(HANDSHAKE, part)))
            .expect("a record");
    }
    assert_eq!(
        handshake.client.and_then(|client| client.server_name).as_deref(),
        Some("www.test.de")
    );
}

#[test]
fn tls_1_3_is_established_when_both_sides_speak_in_secret() {
    let mut handshake = Handshake::new();
    let hello = record(HANDSHAKE, &client_hello());
    handshake.piece(Side::Originator, Piece::Data(&hello)).expect("a hello");
    let hello = record(HANDSHAKE, &server_hello(&extension(43, &[3, 4])));
    handshake.piece(Side::Responder, Piece::Data(&hello)).expect("a hello");
    handshake
        .piece(Side::Responder, Piece::Data(&record(DATA, &[1; 9])))
        .expect("data");
    handshake
        .piece(Side::Originator, Piece::Data(&record(CHANGE_CIPHER, &[1])))
        .expect("a record");
    assert!(!handshake.is_over());
    handshake
        .piece(Side::Originator, Piece::Data(&record(DATA, &[1; 9])))
        .expect("data");
    assert!(handshake.is_established());
    assert_eq!(describe(&handshake).str(Field::TlsVersion), Some("1.3"));
}

#[test]
fn a_hello_that_is_cut_anywhere_says_what_is_there_in_whole() {
    let [(_, client), (_, server), (_, finished), (_, data)] = both();
    let mut named = 0;
    for length in 0..client.len() {
        let mut handshake = Handshake::new();
        let lost = Piece::Lost((client.len() - length) as u64);
        let _ = handshake.piece(Side::Originator, Piece::Data(&client[..length]));
        let _ = handshake.piece(Side::Originator, lost);
        let event = describe(&handshake);
        let name = event.str(Field::TlsClientServerName);
        assert!(matches!(name, None | Some("www.test.de")), "{name:?} at {length}");
        assert!(!event.has(Field::TlsClientJa4), "at {length}");
        assert_eq!(event.str(Field::EventOutcome), Some("unknown"));
        assert!(!event.has(Field::TlsEstablished));
        named += u32::from(name.is_some());
        if name.is_none() {
            continue;
        }
        // What was lost lay inside the record, so that the next ones are read.
        for (side, bytes) in [
            (Side::Responder, &server),
            (Side::Originator, &finished),
            (Side::Responder, &data),
        ] {
            handshake.piece(side, Piece::Data(bytes)).expect("records");
        }
        let event = describe(&handshake);
        assert_eq!(event.str(Field::EventOutcome), Some("success"), "at {length}");
        assert_eq!(event.str(Field::TlsVersion), Some("1.2"));
        assert!(!event.has(Field::TlsResumed));
    }
    assert!(named > 20, "{named}");
    let mut handshake = Handshake::new();
    let cut = &client[..client.len() - 1];
    handshake.piece(Side::Originator, Piece::Data(cut)).expect("a hello");
    assert!(handshake.client.is_none());
    handshake.finish();
    assert_eq!(
        describe(&handshake).str(Field::TlsClientServerName),
        Some("www.test.de")
    );
}

#[test]
fn a_fatal_alert_ends_a_handshake_that_was_not_established() {
    let mut handshake = Handshake::new();
    let hello = record(HANDSHAKE, &client_hello());
    handshake.piece(Side::Originator, Piece::Data(&hello)).expect("a hello");
    handshake
        .piece(Side::Responder, Piece::Data(&record(ALERT, &[1, 112])))
        .expect("a warning");
    assert!(!handshake.is_over());
    handshake
        .piece(Side::Responder, Piece::Data(&record(ALERT, &[2, 40])))
        .expect("an alert");
    assert!(handshake.is_over());
    assert_eq!(describe(&handshake).str(Field::EventOutcome), Some("failure"));
}

#[test]
fn what_is_no_handshake_is_refused_once() {
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\n"[..], Refusal::NotTls),
        (b"\x80\x2e\x01\x03\x01\0\x15", Refusal::Ssl2),
        (b"\x16\x03\x01\0\x04\x0b\0\0\0", Refusal::NotHello),
        (b"\x16\x03\x01\0\x04\x01\x7f\0\0", Refusal::TooLong),
        (b"\x16\x03\x01\0\x06\x01\0\0\x02\x03\x03", Refusal::BadHello),
    ] {
        let mut handshake = Handshake::new();
        assert_eq!(handshake.piece(Side::Originator, Piece::Data(bytes)), Err(expected));
        assert_eq!(handshake.piece(Side::Originator, Piece::Data(bytes)), Ok(()));
    }
    let mut handshake = Handshake::new();
    assert_eq!(handshake.piece(Side::Responder, Piece::Lost(1)), Err(Refusal::Gap));
}

fn dtls_record(number: u8, fragment: &[u8]) -> Vec<u8> {
    let mut bytes = vec![HANDSHAKE, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, number];
    bytes.extend_from_slice(&block16(fragment));
    bytes
}

#[test]
fn a_hello_of_dtls_is_read_whole_or_in_fragments() {
    let hello = client_hello();
    let mut body = hello[4..].to_vec();
    // The cookie stands behind the session.
    body.insert(37, 0);
    for size in [body.len(), 50] {
        let mut handshake = Handshake::new();
        for (number, part) in body.chunks(size).enumerate() {
            let mut fragment = vec![1, 0];
            fragment.extend_from_slice(&(body.len() as u16).to_be_bytes());
            fragment.extend_from_slice(&[0, 0, 0]);
            fragment.extend_from_slice(&((number * size) as u16).to_be_bytes());
            fragment.push(0);
            fragment.extend_from_slice(&block16(part));
            handshake
                .datagram(Side::Originator, &dtls_record(number as u8, &fragment))
                .expect("a record");
        }
        let event = describe(&handshake);
        assert_eq!(event.str(Field::TlsClientServerName), Some("www.test.de"));
        assert_eq!(event.str(Field::NetworkProtocol), Some("dtls"));
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = Random::new(5);
    for _ in 0..5000 {
        let mut handshake = Handshake::new();
        for (side, bytes) in both() {
            let bytes = random.mutate(&bytes);
            for segment in bytes.chunks(1 + random.below(60)) {
                let _ = handshake.piece(side, Piece::Data(segment));
            }
        }
        let _ = describe(&handshake);
        let mut handshake = Handshake::new();
        let _ = handshake.datagram(Side::Originator, &random.mutate(&dtls_record(0, &client_hello())));
        let _ = describe(&handshake);
    }
}
