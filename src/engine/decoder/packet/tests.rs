//! The decoder as a whole: frames in, events and the account of frames out.

use super::*;
use crate::domain::{Event, Field};
use crate::engine::decoder::application::tests::Random;

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [192, 0, 2, 80];

/// A frame and when it comes.
#[derive(Clone)]
struct Frame {
    seconds: f64,
    bytes: Vec<u8>,
}

fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, identification: u16, offset: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((20 + body.len() as u16).to_be_bytes());
    bytes.extend(identification.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend([64, protocol, 0, 0]);
    bytes.extend(source);
    bytes.extend(destination);
    bytes.extend(body);
    bytes
}

fn ipv6(protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend([protocol, 64]);
    for last in [1, 2] {
        bytes.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    bytes.extend(body);
    bytes
}

fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [source, destination, 8 + payload.len() as u16, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(payload);
    bytes
}

fn tcp(ports: (u16, u16), sequence: u32, acknowledged: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledged.to_be_bytes());
    bytes.extend([0x50, flags, 4, 0, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

fn ethernet(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(body);
    bytes
}

fn before(header: &[u8], body: &[u8]) -> Vec<u8> {
    [header, body].concat()
}

/// A DNS question (or its answer, which says that there is no such name) for `a.example.org`.
fn dns(id: u8, is_answer: bool) -> Vec<u8> {
    let flags = if is_answer { [0x81, 0x83] } else { [0x01, 0x00] };
    let mut bytes = vec![0, id, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend(b"\x01a\x07example\x03org\x00\x00\x01\x00\x01");
    bytes
}

/// Frames of a whole TCP connection with `request` and `response` as its payload.
fn connection(begin: f64, client_port: u16, request: &[u8], response: &[u8]) -> Vec<Frame> {
    let (there, back) = ((client_port, 80), (80, client_port));
    let (sent, answered) = (101 + request.len() as u32, 901 + response.len() as u32);
    let mut identification = client_port;
    let mut frames = Vec::new();
    for (offset, is_there, body) in [
        (0.00, true, tcp(there, 100, 0, flag::SYN, b"")),
        (0.01, false, tcp(back, 900, 101, flag::SYN | flag::ACK, b"")),
        (0.02, true, tcp(there, 101, 901, flag::ACK, b"")),
        (0.03, true, tcp(there, 101, 901, flag::ACK, request)),
        (0.04, false, tcp(back, 901, sent, flag::ACK, response)),
        (0.05, true, tcp(there, sent, answered, flag::FIN | flag::ACK, b"")),
        (0.06, false, tcp(back, answered, sent + 1, flag::FIN | flag::ACK, b"")),
        (0.07, true, tcp(there, sent + 1, answered + 1, flag::ACK, b"")),
    ] {
        identification = identification.wrapping_add(1);
        let datagram = if is_there {
            ipv4(CLIENT, SERVER, 6, identification, 0, &body)
        } else {
            ipv4(SERVER, CLIENT, 6, identification, 0, &body)
        };
        frames.push(Frame {
            seconds: begin + offset,
            bytes: ethernet(0x0800, &datagram),
        });
    }
    frames
}

fn time(seconds: f64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + (seconds * 1e9) as i64)
}

fn run_with(options: PacketOptions, link: LinkType, frames: &[Frame]) -> (Output, PacketDecoder) {
    let mut decoder = PacketDecoder::new(options);
    let mut output = Output::default();
    for frame in frames {
        let length = frame.bytes.len() as u32;
        decoder.frame(link, time(frame.seconds), length, &frame.bytes, &mut output);
    }
    decoder.finish(&mut output);
    check_account(&output);
    (output, decoder)
}

fn run(frames: &[Frame]) -> (Output, PacketDecoder) {
    run_with(PacketOptions::default(), LinkType::Ethernet, frames)
}

fn check_account(output: &Output) {
    let tally = &output.tally;
    let others: u64 = tally.ignored.values().chain(tally.refused.values()).sum();
    assert_eq!(tally.records, tally.decoded + others, "{tally:?}");
}

fn flows(output: &Output) -> Vec<&Event> {
    of_dataset(output, "flow")
}

fn of_dataset<'a>(output: &'a Output, dataset: &str) -> Vec<&'a Event> {
    output
        .events
        .iter()
        .filter(|event| event.str(Field::EventDataset) == Some(dataset))
        .collect()
}

#[test]
fn every_link_layer_and_tunnel_leads_to_the_same_flow() {
    let inner = ipv4(CLIENT, SERVER, 17, 7, 0, &udp(5000, 6000, b"hello"));
    let frame = ethernet(0x0800, &inner);
    let six = ipv6(17, &udp(5000, 6000, b"hello"));
    let tunnel =
        |protocol: u8, body: &[u8]| ethernet(0x0800, &ipv4([172, 16, 0, 1], [172, 16, 0, 2], protocol, 1, 0, body));
    let mut vxlan = vec![8, 0, 0, 0, 0, 0, 5, 0];
    vxlan.extend(&frame);
    let mut geneve = vec![1, 0, 0x65, 0x58, 0, 0, 5, 0, 1, 2, 3, 4];
    geneve.extend(&frame);
    let mut cooked = vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
    cooked.extend(&inner);
    let mut cooked_2 = vec![8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    cooked_2.extend(&inner);
    let extensions = ipv6(
        0,
        &before(
            &[60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0],
            &udp(5000, 6000, b"hello"),
        ),
    );
    let cases: Vec<(&str, LinkType, Vec<u8>, Option<&str>)> = vec![
        ("plain", LinkType::Ethernet, frame.clone(), None),
        ("padding", LinkType::Ethernet, before(&frame, &[0; 13]), None),
        (
            "vlan",
            LinkType::Ethernet,
            ethernet(0x8100, &before(&[0, 5, 8, 0], &inner)),
            None,
        ),
        (
            "qinq",
            LinkType::Ethernet,
            ethernet(0x88a8, &before(&[0, 5, 0x81, 0, 0, 6, 8, 0], &inner)),
            None,
        ),
        (
            "mpls",
            LinkType::Ethernet,
            ethernet(0x8847, &before(&[0, 1, 0, 64, 0, 2, 1, 64], &inner)),
            None,
        ),
        (
            "mpls pseudowire",
            LinkType::Ethernet,
            ethernet(0x8847, &before(&[0, 2, 1, 64, 0, 0, 0, 0], &frame)),
            None,
        ),
        (
            "pppoe",
            LinkType::Ethernet,
            ethernet(0x8864, &before(&[0x11, 0, 0, 1, 0, 50, 0, 0x21], &inner)),
            None,
        ),
        (
            "snap",
            LinkType::Ethernet,
            ethernet(60, &before(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &inner)),
            None,
        ),
        (
            "gre",
            LinkType::Ethernet,
            tunnel(47, &before(&[0x20, 0, 8, 0, 0, 0, 0, 9], &inner)),
            Some("gre"),
        ),
        (
            "gre bridge",
            LinkType::Ethernet,
            tunnel(47, &before(&[0, 0, 0x65, 0x58], &frame)),
            Some("gre"),
        ),
        ("ipip", LinkType::Ethernet, tunnel(4, &inner), Some("ipip")),
        ("6in4", LinkType::Ethernet, tunnel(41, &six), Some("6in4")),
        (
            "vxlan",
            LinkType::Ethernet,
            tunnel(17, &udp(999, 4789, &vxlan)),
            Some("vxlan"),
        ),
        (
            "geneve",
            LinkType::Ethernet,
            tunnel(17, &udp(999, 6081, &geneve)),
            Some("geneve"),
        ),
        (
            "tunnel in tunnel",
            LinkType::Ethernet,
            tunnel(4, &ipv4(CLIENT, SERVER, 4, 1, 0, &inner)),
            Some("ipip"),
        ),
        ("ipv6", LinkType::Ethernet, ethernet(0x86dd, &six), None),
        (
            "ipv6 extensions",
            LinkType::Ethernet,
            ethernet(0x86dd, &extensions),
            None,
        ),
        ("raw", LinkType::RawIp, inner.clone(), None),
        ("loopback", LinkType::Loopback, before(&[2, 0, 0, 0], &inner), None),
        ("cooked", LinkType::LinuxCooked, cooked, None),
        ("cooked 2", LinkType::LinuxCooked2, cooked_2, None),
        ("ppp", LinkType::Ppp, before(&[0xff, 3, 0, 0x21], &inner), None),
        (
            "cisco hdlc",
            LinkType::CiscoHdlc,
            before(&[0x0f, 0, 8, 0], &inner),
            None,
        ),
    ];
    for (name, link, bytes, tunnel) in cases {
        let (output, _) = run_with(PacketOptions::default(), link, &[Frame { seconds: 0.0, bytes }]);
        let events = flows(&output);
        assert_eq!(events.len(), 1, "{name}: {:?}", output.tally);
        let event = events[0];
        assert_eq!(event.u64(Field::SourcePort), Some(5000), "{name}");
        assert_eq!(event.u64(Field::DestinationPort), Some(6000), "{name}");
        assert_eq!(event.str(Field::TunnelType), tunnel, "{name}");
        let expected = if event.str(Field::NetworkType) == Some("ipv4") {
            33
        } else {
            53
        };
        let expected = if name == "ipv6 extensions" { 69 } else { expected };
        assert_eq!(event.u64(Field::SourceBytes), Some(expected), "{name}");
        let vlans = (event.str(Field::NetworkVlanId), event.str(Field::NetworkInnerVlanId));
        let expected = match name {
            "vlan" => (Some("5"), None),
            "qinq" => (Some("5"), Some("6")),
            _ => (None, None),
        };
        assert_eq!(vlans, expected, "{name}");
        if name == "plain" || name == "cooked" {
            assert_eq!(event.str(Field::SourceMac), Some("02-00-00-00-00-01"), "{name}");
        }
    }
}

#[test]
fn frames_without_ip_are_ignored_by_kind_and_broken_ones_refused_by_reason() {
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (ethernet(0x0806, &[0; 28]), "arp"),
        (ethernet(0x88cc, &[0; 28]), "lldp"),
        (ethernet(39, &[0x42, 0x42, 3, 0]), "stp"),
        (ethernet(0x1234, &[0; 28]), "other_ethertype"),
        (ethernet(0x0800, &[]), "short_ip_header"),
        (ethernet(0x0800, &[0x45; 12]), "short_ip_header"),
        (ethernet(0x0800, &[0x75; 40]), "bad_ip_version"),
        (ethernet(0x0800, &[0x41; 40]), "bad_ip_header_length"),
        (
            ethernet(0x0800, &ipv4(CLIENT, SERVER, 6, 1, 0, &[0; 8])),
            "short_tcp_header",
        ),
        (
            ethernet(0x0800, &ipv4(CLIENT, SERVER, 6, 1, 0, &[0; 24])),
            "bad_tcp_header_length",
        ),
        (
            ethernet(0x0800, &ipv4(CLIENT, SERVER, 17, 1, 0, &[0; 4])),
            "short_udp_header",
        ),
        (
            ethernet(0x0800, &ipv4(CLIENT, SERVER, 17, 1, 0x2000, &[])),
            "bad_fragment",
        ),
        (
            ethernet(0x0800, &ipv4(CLIENT, SERVER, 17, 1, 9, b"later")),
            "fragment_without_beginning",
        ),
        (vec![0; 5], "short_link_header"),
        (ethernet(0x8847, &[0; 400]), "too_many_layers"),
    ];
    for (bytes, reason) in cases {
        let (output, _) = run(&[Frame { seconds: 0.0, bytes }]);
        let tally = &output.tally;
        let told: Vec<_> = tally.ignored.keys().chain(tally.refused.keys()).collect();
        assert_eq!(told, [&reason]);
        assert!(output.events.is_empty());
    }
}

#[test]
fn a_connection_is_one_event_with_its_state_and_counts() {
    let (output, decoder) = run(&connection(0.0, 40_000, b"ask", b"answer!"));
    let events = flows(&output);
    assert_eq!(events.len(), 1);
    let event = events[0];
    assert_eq!(event.str(Field::ZeekConnectionState), Some("SF"));
    assert_eq!(event.str(Field::ZeekConnectionHistory), Some("ShADdFf"));
    assert_eq!(event.u64(Field::SourcePort), Some(40_000));
    assert_eq!(event.u64(Field::SourcePackets), Some(5));
    assert_eq!(event.u64(Field::DestinationPackets), Some(3));
    assert_eq!(event.u64(Field::SourceBytes), Some(5 * 40 + 3));
    assert_eq!(event.u64(Field::DestinationBytes), Some(3 * 40 + 7));
    assert_eq!(event.u64(Field::NetworkBytes), Some(8 * 40 + 10));
    assert_eq!(event.time(), time(0.07));
    assert_eq!(event.start(), Some(time(0.0)));
    assert_eq!(event.u64(Field::EventDuration), Some(70_000_000));
    assert_eq!(decoder.counters().flows_open, 0);
}

#[test]
fn frames_cut_by_the_capture_say_what_is_left_of_their_heads() {
    let request = b"GET /setup.exe HTTP/1.1\r\nHost: a.example.org\r\nUser-Agent: Wget/1.21\r\nAccept: */*\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 4\r\n\r\nbody";
    let mut frames = connection(0.0, 40_000, request, response);
    for frame in &mut frames {
        frame.bytes.truncate(54 + 75);
    }
    let (output, _) = run(&frames);
    let heads = of_dataset(&output, "http");
    assert_eq!(heads.len(), 1);
    assert_eq!(heads[0].str(Field::UserAgentOriginal), Some("Wget/1.21"));
    assert_eq!(heads[0].str(Field::UrlPath), Some("/setup.exe"));
    assert_eq!(heads[0].number(Field::HttpResponseStatusCode), Some(200.0));
    assert_eq!(heads[0].number(Field::HttpRequestBytes), None);
    for frame in &mut frames {
        frame.bytes.truncate(54 + 60);
    }
    let (output, _) = run(&frames);
    let heads = of_dataset(&output, "http");
    assert_eq!(heads[0].str(Field::UrlDomain), Some("a.example.org"));
    assert_eq!(heads[0].str(Field::UserAgentOriginal), None);
}

#[test]
fn a_frame_seen_twice_by_the_mirror_counts_once_and_a_retransmission_counts() {
    let mut frames = Vec::new();
    for frame in connection(0.0, 40_000, b"ask", b"answer!") {
        frames.push(frame.clone());
        // The copy has another VLAN, MAC and TTL, and comes 2 ms later.
        let mut datagram = frame.bytes[14..].to_vec();
        datagram[8] -= 1;
        let mut bytes = ethernet(0x8100, &before(&[0, 9, 8, 0], &datagram));
        bytes[5] = 77;
        frames.push(Frame {
            seconds: frame.seconds + 0.002,
            bytes,
        });
    }
    // The request once more, 300 ms later, under another IP identification.
    let again = ipv4(
        CLIENT,
        SERVER,
        6,
        999,
        0,
        &tcp((40_000, 80), 101, 901, flag::ACK, b"ask"),
    );
    frames.push(Frame {
        seconds: 0.33,
        bytes: ethernet(0x0800, &again),
    });
    let (output, decoder) = run(&frames);
    let event = flows(&output)[0];
    assert_eq!(event.u64(Field::NetworkPackets), Some(9));
    assert_eq!(event.u64(Field::StakeoutFlowDuplicates), Some(8));
    assert_eq!(event.u64(Field::StakeoutFlowRetransmits), Some(1));
    assert_eq!(decoder.counters().duplicates, 8);
}

#[test]
fn fragments_are_joined_in_any_order_and_count_in_their_flow() {
    let whole = udp(5353, 53, &dns(1, false));
    let (first, rest) = whole.split_at(16);
    let (second, third) = rest.split_at(8);
    let piece = |offset: u16, body: &[u8]| Frame {
        seconds: f64::from(offset & 0x1fff) / 1000.0,
        bytes: ethernet(0x0800, &ipv4(CLIENT, SERVER, 17, 77, offset, body)),
    };
    let pieces = [piece(0x2000, first), piece(0x2002, second), piece(3, third)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let frames: Vec<Frame> = order.iter().map(|number| pieces[*number].clone()).collect();
        let (output, decoder) = run(&frames);
        assert_eq!(flows(&output)[0].u64(Field::NetworkPackets), Some(3), "{order:?}");
        assert_eq!(
            flows(&output)[0].u64(Field::NetworkBytes),
            Some(60 + whole.len() as u64)
        );
        let names = of_dataset(&output, "dns");
        assert_eq!(names[0].str(Field::DnsQuestionName), Some("a.example.org"), "{order:?}");
        assert_eq!(decoder.counters().fragments, 3);
    }
    // Without the last piece, what came counts after the wait.
    let mut frames = pieces[..2].to_vec();
    frames.extend(connection(100.0, 40_000, b"", b""));
    let (output, _) = run(&frames);
    assert_eq!(flows(&output)[0].u64(Field::NetworkPackets), Some(2));
}

fn datagram(seconds: f64, identification: u16, is_there: bool, payload: &[u8]) -> Frame {
    let datagram = if is_there {
        ipv4(CLIENT, SERVER, 17, identification, 0, &udp(5000, 53, payload))
    } else {
        ipv4(SERVER, CLIENT, 17, identification, 0, &udp(53, 5000, payload))
    };
    Frame {
        seconds,
        bytes: ethernet(0x0800, &datagram),
    }
}

#[test]
fn a_flow_ends_when_it_is_idle_and_a_long_one_is_told_in_parts() {
    let (output, _) = run(&[
        datagram(0.0, 1, true, b"x"),
        datagram(59.0, 2, false, b"x"),
        datagram(118.0, 3, true, b"x"),
        datagram(180.0, 4, true, b"x"),
    ]);
    let packets: Vec<_> = flows(&output)
        .iter()
        .map(|event| event.u64(Field::NetworkPackets))
        .collect();
    assert_eq!(packets, [Some(3), Some(1)]);
    let frames: Vec<Frame> = (0..80)
        .map(|n| datagram(f64::from(n) * 50.0, n as u16 + 1, true, b"x"))
        .collect();
    let (output, _) = run(&frames);
    let packets: Vec<_> = flows(&output)
        .iter()
        .map(|event| event.u64(Field::NetworkPackets))
        .collect();
    assert_eq!(packets, [Some(36), Some(36), Some(8)]);
    assert_eq!(flows(&output)[1].start(), Some(time(1800.0)));
}

#[test]
fn a_question_without_an_answer_is_told_after_ten_seconds() {
    let (output, _) = run(&[
        datagram(0.0, 1, true, &dns(1, false)),
        datagram(0.5, 2, true, &dns(2, false)),
        datagram(0.7, 3, false, &dns(2, true)),
        datagram(20.0, 4, true, &dns(3, false)),
        datagram(20.1, 5, false, &dns(3, true)),
    ]);
    let told: Vec<_> = of_dataset(&output, "dns")
        .iter()
        .map(|event| (event.str(Field::DnsId).unwrap_or(""), event.str(Field::DnsResponseCode)))
        .collect();
    assert_eq!(told, [("2", Some("NXDOMAIN")), ("1", None), ("3", Some("NXDOMAIN"))]);
    let unanswered = of_dataset(&output, "dns")[1];
    assert!((10.0..=12.0).contains(&unanswered.time().since(time(0.0)).as_seconds()));
    assert_eq!(flows(&output)[0].str(Field::NetworkProtocol), Some("dns"));
}

#[test]
fn the_table_keeps_its_bound_and_tells_what_it_pushes_out() {
    let mut frames = Vec::new();
    for number in 0..50u16 {
        let body = udp(20_000 + number, 6000, b"x");
        frames.push(Frame {
            seconds: f64::from(number) * 0.1,
            bytes: ethernet(0x0800, &ipv4(CLIENT, SERVER, 17, number + 1, 0, &body)),
        });
    }
    let options = PacketOptions {
        flows_max: 10,
        ..PacketOptions::default()
    };
    let (output, decoder) = run_with(options, LinkType::Ethernet, &frames);
    assert_eq!(flows(&output).len(), 50);
    assert_eq!(decoder.counters().flows_evicted, 40);
    let ports: Vec<_> = flows(&output)
        .iter()
        .filter_map(|event| event.u64(Field::SourcePort))
        .collect();
    assert!(ports.is_sorted(), "the oldest idle flow goes first: {ports:?}");
}

#[test]
fn a_mirror_that_shows_one_direction_is_recognised() {
    let mut frames = Vec::new();
    for number in 0..60u16 {
        for frame in connection(f64::from(number), 40_000 + number, b"ask", b"") {
            if frame.bytes[26..30] == CLIENT {
                frames.push(frame);
            }
        }
    }
    let (output, decoder) = run(&frames);
    assert!(decoder.counters().is_one_way);
    assert!(
        flows(&output)
            .iter()
            .all(|event| event.get(Field::StakeoutFlowOneWay).is_some())
    );
    let (output, decoder) = run(&connection(0.0, 40_000, b"ask", b""));
    assert!(!decoder.counters().is_one_way);
    assert!(flows(&output)[0].get(Field::StakeoutFlowOneWay).is_none());
}

#[test]
fn ports_that_are_used_again_begin_another_flow() {
    let mut frames = connection(0.0, 40_000, b"ask", b"answer");
    let mut later = connection(1.0, 40_000, b"ask", b"answer");
    for frame in &mut later {
        // Another beginning of both sides' numbers.
        for place in [38, 42] {
            frame.bytes[place] = frame.bytes[place].wrapping_add(9);
        }
        frame.bytes[18] = 99;
    }
    frames.extend(later);
    let (output, _) = run(&frames);
    let states: Vec<_> = flows(&output)
        .iter()
        .map(|event| event.str(Field::ZeekConnectionState))
        .collect();
    assert_eq!(states, [Some("SF"), Some("SF")]);
}

/// A mix of everything, for properties.
fn mixture() -> Vec<Frame> {
    let mut frames = Vec::new();
    for number in 0..40u16 {
        let begin = f64::from(number) * 7.3;
        frames.extend(connection(
            begin,
            40_000 + number,
            b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
            b"HTTP/1.1 204 No\r\n\r\n",
        ));
        frames.push(datagram(begin + 0.5, number * 2 + 1, true, &dns(number as u8, false)));
        if number % 3 == 0 {
            frames.push(datagram(begin + 0.6, number * 2 + 2, false, &dns(number as u8, true)));
        }
        let half = udp(6000 + number, 7000, &[number as u8; 64]);
        frames.push(Frame {
            seconds: begin + 0.7,
            bytes: ethernet(0x0800, &ipv4(CLIENT, SERVER, 17, number, 0x2000, &half[..32])),
        });
        let mut vxlan = vec![8, 0, 0, 0, 0, 0, 5, 0];
        vxlan.extend(ethernet(0x86dd, &ipv6(17, &udp(number, 53, &dns(1, false)))));
        let outer = ipv4([172, 16, 0, 1], [172, 16, 0, 2], 17, number, 0, &udp(999, 4789, &vxlan));
        frames.push(Frame {
            seconds: begin + 0.8,
            bytes: ethernet(0x0800, &outer),
        });
    }
    frames.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    frames
}

#[test]
fn telling_the_time_anywhere_changes_nothing() {
    let frames = mixture();
    let (expected, _) = run(&frames);
    let mut random = Random::new(11);
    for _ in 0..5 {
        let mut decoder = PacketDecoder::new(PacketOptions::default());
        let mut output = Output::default();
        let mut last = 0.0;
        for frame in &frames {
            for _ in 0..random.below(4) {
                last += (frame.seconds - last) * (random.below(1000) as f64 / 1000.0);
                decoder.advance(time(last), &mut output);
            }
            let length = frame.bytes.len() as u32;
            decoder.frame(
                LinkType::Ethernet,
                time(frame.seconds),
                length,
                &frame.bytes,
                &mut output,
            );
            last = frame.seconds;
        }
        decoder.finish(&mut output);
        assert_eq!(output.events, expected.events);
    }
}

#[test]
fn mutated_frames_neither_panic_nor_escape_the_account() {
    let frames = mixture();
    let mut random = Random::new(7);
    for link in [
        LinkType::Ethernet,
        LinkType::RawIp,
        LinkType::LinuxCooked,
        LinkType::LinuxCooked2,
        LinkType::Ppp,
        LinkType::PppoeSession,
        LinkType::Loopback,
        LinkType::CiscoHdlc,
    ] {
        let options = PacketOptions {
            flows_max: 100,
            fragments_max: 5,
            ..PacketOptions::default()
        };
        let mut decoder = PacketDecoder::new(options);
        let mut output = Output::default();
        for _ in 0..10 {
            for frame in &frames {
                let cut = if link == LinkType::Ethernet {
                    0
                } else {
                    random.below(15)
                };
                let bytes = random.mutate(&frame.bytes[cut..]);
                let jump = if random.below(50) == 0 { random.next() as i64 } else { 0 };
                let when = time(frame.seconds).nanos().wrapping_add(jump);
                let length = random.next() as u32;
                decoder.frame(link, Timestamp::from_nanos(when), length, &bytes, &mut output);
                output.events.clear();
            }
        }
        decoder.finish(&mut output);
        check_account(&output);
        assert_eq!(decoder.counters().flows_open, 0);
    }
}
