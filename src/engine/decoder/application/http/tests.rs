use super::*;
use crate::domain::{Event, Field};
use crate::engine::decoder::application::Stream;
use crate::engine::decoder::application::tests::Random;

/// Feeds `>` requests and `<` responses, a second apart, and shows what came out, one a line.
fn run(said: &[(char, &str)]) -> Vec<String> {
    let mut conversation = Conversation::new();
    let mut told = Vec::new();
    let mut seconds = 0;
    for (who, text) in said {
        seconds += 1;
        let (side, piece) = match who {
            '>' => (Side::Originator, Piece::Data(text.as_bytes())),
            '<' => (Side::Responder, Piece::Data(text.as_bytes())),
            '}' => (Side::Originator, Piece::Lost(text.parse().expect("a number"))),
            _ => (Side::Responder, Piece::Lost(text.parse().expect("a number"))),
        };
        let time = Timestamp::from_seconds(seconds);
        if let Err(refusal) = conversation.piece(side, piece, time, |transaction| told.push(show(&transaction))) {
            told.push(refusal.reason().into());
        }
    }
    conversation.finish(Timestamp::from_seconds(99), |transaction| told.push(show(&transaction)));
    if let Some(switch) = conversation.switch() {
        told.push(format!("{switch:?}"));
    }
    told
}

/// `start-end METHOD host target body -> status body`.
fn show(transaction: &Transaction) -> String {
    let mut text = format!("{}-{}", transaction.start.seconds(), transaction.end.seconds());
    if let Some(request) = &transaction.request {
        text.push_str(&format!(
            " {} {} {} {}",
            request.method, request.host, request.target, request.body_bytes
        ));
        text.push_str(if request.is_cut { " cut" } else { "" });
    }
    if let Some(response) = &transaction.response {
        text.push_str(&format!(" -> {} {}", response.status, response.body_bytes));
        text.push_str(if response.is_cut { " cut" } else { "" });
    }
    text
}

#[test]
fn requests_are_paired_with_responses() {
    for (said, expected) in [
        (
            &[
                ('>', "GET /a HTTP/1.1\r\nHost: X.de\r\n\r\n"),
                ('<', "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"),
                ('<', "lo"),
                ('>', "POST /b HTTP/1.1\r\nhost:x.de:81\r\ncontent-length: 3\r\n\r\nabc"),
                ('<', "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"),
            ][..],
            &["1-3 GET x.de /a 0 -> 200 5", "4-5 POST x.de:81 /b 3 -> 404 0"][..],
        ),
        // Sent ahead, with a response to HEAD that announces a body.
        (
            &[
                (
                    '>',
                    "GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n",
                ),
                (
                    '<',
                    "HTTP/1.1 304 x\r\n\r\nHTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nHTTP/1.0 200 x\r\n\r\nall of it",
                ),
            ],
            &[
                "1-2 GET  /1 0 -> 304 0",
                "1-2 HEAD  /2 0 -> 200 0",
                "1-99 GET  /3 0 -> 200 9",
            ],
        ),
        // Chunks, with extensions and a trailer, cut anywhere; 100 before the response.
        (
            &[
                (
                    '>',
                    "PUT /c HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
                ),
                ('<', "HTTP/1.1 100 Continue\r\n\r\n"),
                ('>', "4;x=y\r\nab"),
                ('>', "cd\r\n1"),
                ('>', "0\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\nGET /d HTTP/1.1\r\n\r\n"),
                (
                    '<',
                    "HTTP/1.1 201 Created\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                ),
            ],
            &["1-6 PUT  /c 20 -> 201 3", "5-99 GET  /d 0"],
        ),
        (
            &[
                ('>', "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
                ('<', "HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\n\r\n\x01\x02"),
                ('>', "\x01\x02"),
            ],
            &["1-2 GET  /ws 0 -> 101 0", "Upgrade(\"websocket\")"],
        ),
        (
            &[
                ('>', "CONNECT a.de:443 HTTP/1.1\r\nHost: other\r\n\r\n"),
                ('<', "HTTP/1.1 200 OK\r\n\r\n\x16\x03"),
            ],
            &["1-2 CONNECT a.de:443 a.de:443 0 -> 200 0", "Tunnel"],
        ),
        // A response without its request, and empty lines before a request.
        (
            &[
                ('<', "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                ('>', "\r\n\r\nGET http://User@Y.de/p?q=1 HTTP/1.0\n\n"),
            ],
            &["1-1 -> 200 0", "2-99 GET y.de http://User@Y.de/p?q=1 0"],
        ),
        // An error that comes before the body has been sent.
        (
            &[
                ('>', "POST /e HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"),
                ('<', "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\n"),
                ('>', "defghij"),
                ('<', "no"),
            ],
            &["1-4 POST  /e 10 -> 413 2"],
        ),
    ] {
        assert_eq!(run(said), expected, "{said:?}");
    }
}

#[test]
fn lost_bytes_inside_a_body_are_counted_and_elsewhere_the_next_head_is_looked_for() {
    for (said, expected) in [
        (
            &[
                ('>', "GET /a HTTP/1.1\r\n\r\n"),
                ('<', "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"),
                ('{', "6"),
                ('<', "iHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
            ][..],
            &["1-4 GET  /a 0 -> 200 9", "4-4 -> 200 1"][..],
        ),
        (
            &[
                ('>', "GET /a HTTP/1.1\r\n\r\n"),
                ('<', "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"),
                ('{', "60"),
                ('<', "some body"),
                ('>', "GET /b HTTP/1.1\r\n\r\n"),
                ('<', "HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n"),
            ],
            &["1-3 GET  /a 0 -> 200 9", "5-6 GET  /b 0 -> 202 0"],
        ),
        // The whole response was lost: the request is told without, and the next ones are paired rightly.
        (
            &[
                ('>', "GET /a HTTP/1.1\r\n\r\n"),
                ('{', "200"),
                ('>', "GET /b HTTP/1.1\r\n\r\n"),
                ('<', "HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n"),
            ],
            &["1-3 GET  /a 0", "3-4 GET  /b 0 -> 202 0"],
        ),
        (
            &[
                ('>', "GET /a HT"),
                ('}', "4"),
                ('>', "x: y\r\n\r\n"),
                ('>', "GET /b HTTP/1.1\r\n\r\n"),
            ],
            &["4-99 GET  /b 0"],
        ),
    ] {
        assert_eq!(run(said), expected, "{said:?}");
    }
}

#[test]
fn a_head_whose_end_was_not_captured_is_told_as_far_as_its_lines_are_whole() {
    for (said, expected) in [
        // Each frame was cut: the request, then the response.
        (
            &[
                ('>', "GET /a HTTP/1.1\r\nHost: x.de\r\nUser-Agent: cu"),
                ('}', "40"),
                ('<', "HTTP/1.1 404 No\r\nContent-Type: text/html\r\nContent-Le"),
                ('{', "30"),
                ('>', "GET /b HTTP/1.1\r\nHost: x.de\r\n\r\n"),
                ('<', "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            ][..],
            &["1-4 GET x.de /a 0 cut -> 404 0 cut", "5-6 GET x.de /b 0 -> 200 0"][..],
        ),
        // Nothing came any more, from neither side.
        (&[('>', "GET /a HTTP/1.1\r\nHost: x.")], &["1-99 GET  /a 0 cut"]),
        (
            &[
                ('>', "GET /a HTTP/1.1\r\n\r\n"),
                ('<', "HTTP/1.1 200 OK\r\nContent-Len"),
            ],
            &["1-99 GET  /a 0 -> 200 0 cut"],
        ),
        // The server has answered, so that it has seen the rest.
        (
            &[
                ('>', "GET /a HTTP/1.1\r\nHost: x.de\r\nUser"),
                ('<', "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"),
            ],
            &["1-2 GET x.de /a 0 cut -> 200 2"],
        ),
        // Half a request line says nothing, half a status line neither.
        (&[('>', "GET /a?b=c HTTP/1."), ('}', "40")], &[]),
        (&[('<', "HTTP/1.1 20"), ('{', "40")], &[]),
    ] {
        assert_eq!(run(said), expected, "{said:?}");
    }
}

#[test]
fn a_request_that_is_cut_anywhere_says_nothing_that_was_not_sent() {
    let whole =
        "GET /a/b.php?c=d HTTP/1.1\r\nHost: www.test.de\r\nUser-Agent: curl/8.1\r\nReferer: http://x.de/y\r\n\r\n";
    let event_of = |length: usize| {
        let mut conversation = Conversation::new();
        let mut events = Vec::new();
        let mut tell = |transaction: Transaction| {
            let mut event = Event::new(transaction.end);
            transaction.describe(&mut event);
            events.push(event);
        };
        let time = Timestamp::from_seconds(1);
        let data = Piece::Data(&whole.as_bytes()[..length]);
        conversation
            .piece(Side::Originator, data, time, &mut tell)
            .expect("a head");
        let lost = Piece::Lost((whole.len() - length) as u64);
        conversation
            .piece(Side::Originator, lost, time, &mut tell)
            .expect("a gap");
        conversation.finish(time, &mut tell);
        events.pop()
    };
    let complete = event_of(whole.len()).expect("a whole request");
    assert!(complete.has(Field::HttpRequestBytes));
    let mut agents = 0;
    for length in 1..whole.len() {
        let line_end = whole.find("\r\n").map_or(0, |at| at + 2);
        let Some(event) = event_of(length) else {
            assert!(length < line_end, "the request line is there at {length}");
            continue;
        };
        assert!(length >= line_end, "{length}");
        for field in [
            Field::HttpRequestMethod,
            Field::UrlOriginal,
            Field::UrlPath,
            Field::UrlQuery,
            Field::UrlDomain,
            Field::UrlFull,
            Field::UserAgentOriginal,
            Field::HttpRequestReferrer,
        ] {
            assert!(
                !event.has(field) || event.str(field) == complete.str(field),
                "{field:?} at {length}: {:?}",
                event.str(field)
            );
        }
        assert!(!event.has(Field::HttpRequestBytes) && !event.has(Field::HttpRequestBodyBytes));
        agents += u32::from(event.has(Field::UserAgentOriginal));
    }
    assert!(agents > 10, "the agent is known from its line's end on: {agents}");
}

#[test]
fn what_is_no_http_is_refused_and_the_next_head_found() {
    for (said, expected) in [
        (
            &[('>', "\x16\x03\x01"), ('>', "xyz"), ('>', "GET /b HTTP/1.1\r\n\r\n")][..],
            &["http_not_http", "3-99 GET  /b 0"][..],
        ),
        (&[('<', "HTTX")], &["http_not_http"]),
        (&[('>', "GET / HTTP/2.0\r\n\r\n")], &["http_not_http"]),
        (
            &[
                ('>', "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
                ('<', "HTTP/1.1 400 x\r\nContent-Length: -1\r\n\r\n"),
            ],
            &["http_bad_length", "http_bad_length", "1-2 POST  / 0 -> 400 0"],
        ),
        (
            &[
                ('>', "GET / HTTP/1.1\r\n\r\n"),
                ('<', "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            ],
            &["1-2 GET  / 0 -> 200 0", "http_bad_chunk"],
        ),
    ] {
        let mut told = run(said);
        let mut expected: Vec<&str> = expected.to_vec();
        told.sort();
        expected.sort_unstable();
        assert_eq!(told, expected, "{said:?}");
    }
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000));
    assert_eq!(run(&[('>', &long)])[0].len(), "0-00 GET  / 0".len() + 8192 - 1);
    let (front, back) = long.split_at(66_000);
    assert_eq!(run(&[('>', front), ('>', back)]), ["http_head_too_long"]);
}

const REQUEST: &str = "GET /a/b.PNG?x=1#f HTTP/1.1\r\nHost: www.Example.co.uk:8080\r\nUser-Agent: curl/8\r\n\
    Referer: http://r/\r\nContent-Type: Text/Plain; charset=x\r\nContent-Length: 2\r\n\r\nab";
const RESPONSE: &str = "HTTP/1.1 500 Oh\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n\
    3\r\nabc\r\n0\r\n\r\n";

#[test]
fn a_transaction_fills_the_event_wherever_its_segments_end() {
    for size in [1, 2, 5, 17, 1000] {
        let mut conversation = Conversation::new();
        let mut event = Event::new(Timestamp::from_seconds(0));
        for (side, text) in [(Side::Originator, REQUEST), (Side::Responder, RESPONSE)] {
            for segment in text.as_bytes().chunks(size) {
                let piece = Piece::Data(segment);
                let result = conversation.piece(side, piece, Timestamp::from_seconds(7), |transaction| {
                    transaction.describe(&mut event);
                });
                assert_eq!(result, Ok(()));
            }
        }
        for (field, expected) in [
            (Field::HttpRequestMethod, "GET"),
            (Field::HttpVersion, "1.1"),
            (Field::UrlDomain, "www.example.co.uk"),
            (Field::UrlRegisteredDomain, "example.co.uk"),
            (Field::UrlPath, "/a/b.PNG"),
            (Field::UrlQuery, "x=1"),
            (Field::UrlExtension, "PNG"),
            (Field::UrlOriginal, "/a/b.PNG?x=1#f"),
            (Field::UrlFull, "http://www.example.co.uk:8080/a/b.PNG?x=1#f"),
            (Field::UserAgentOriginal, "curl/8"),
            (Field::HttpRequestReferrer, "http://r/"),
            (Field::HttpRequestMimeType, "text/plain"),
            (Field::HttpResponseMimeType, "text/html"),
            (Field::EventOutcome, "failure"),
        ] {
            assert_eq!(event.str(field), Some(expected), "segments of {size}");
        }
        for (field, expected) in [
            (Field::UrlPort, 8080),
            (Field::HttpRequestBodyBytes, 2),
            (Field::HttpResponseBodyBytes, 3),
            (Field::HttpResponseStatusCode, 500),
        ] {
            assert_eq!(event.u64(field), Some(expected), "segments of {size}");
        }
        assert_eq!(event.time().seconds(), 7);
    }
}

#[test]
fn a_body_is_not_held_while_a_hole_is_before_it() {
    let mut conversation = Conversation::new();
    let mut stream = Stream::new();
    stream.begin(0);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
    let mut told = 0;
    let body = head.len() as u32;
    for (sequence, payload) in [
        (0, &head[..]),
        (body + 1000, &[0; 1000]),
        (body + 2000, &[0; 3000]),
        (body, &[0; 1000]),
    ] {
        let mut feed = |piece: Piece<'_>| {
            conversation
                .piece(Side::Responder, piece, Timestamp::from_seconds(1), |transaction| {
                    told += transaction.response.map_or(0, |response| response.body_bytes);
                })
                .expect("a response");
        };
        stream.segment(sequence, payload, &mut feed);
        assert_eq!(stream.held_bytes(), 0);
        stream.skip(conversation.skip_bytes(Side::Responder));
    }
    assert_eq!(told, 5000);
}

#[test]
fn requests_without_responses_stay_inside_the_bound() {
    let mut conversation = Conversation::new();
    let mut told = 0;
    let mut refused = 0;
    for _ in 0..1000 {
        let piece = Piece::Data(b"GET /a HTTP/1.1\r\n\r\n");
        let result = conversation.piece(Side::Originator, piece, Timestamp::from_seconds(1), |_| told += 1);
        refused += usize::from(result.is_err());
        assert!(conversation.pending.len() <= Conversation::PENDING_MAX);
    }
    assert_eq!((told, refused), (1000 - Conversation::PENDING_MAX, 0));
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = Random::new(6);
    for _ in 0..5000 {
        let mut conversation = Conversation::new();
        for _ in 0..3 {
            for (side, text) in [(Side::Originator, REQUEST), (Side::Responder, RESPONSE)] {
                let bytes = random.mutate(text.as_bytes());
                for segment in bytes.chunks(1 + random.below(80)) {
                    let time = Timestamp::from_seconds(1);
                    let describe =
                        |transaction: Transaction| transaction.describe(&mut Event::new(Timestamp::from_seconds(0)));
                    let _ = conversation.piece(side, Piece::Data(segment), time, describe);
                    if random.below(20) == 0 {
                        let lost = Piece::Lost(random.below(9) as u64);
                        let _ = conversation.piece(side, lost, time, describe);
                    }
                    let _ = conversation.skip_bytes(side);
                }
            }
        }
        conversation.finish(Timestamp::from_seconds(2), |_| {});
    }
}
