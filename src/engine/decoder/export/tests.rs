//! Tests of exported flows: datagrams built by hand, lies about lengths, and broken bytes.

use super::ExportDecoder;
use crate::domain::{Duration, Event, Field, Timestamp};
use crate::engine::decoder::log::check::{check_event, show};
use crate::engine::decoder::{Output, Tally};
use std::net::IpAddr;

const NOW: i64 = 1_780_905_883;
const UPTIME: u32 = 5_000_000;

fn exporter() -> IpAddr {
    "192.0.2.1".parse().expect("an address")
}

fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn shorts(shorts: &[u16]) -> Vec<u8> {
    shorts.iter().flat_map(|short| short.to_be_bytes()).collect()
}

fn read(datagrams: &[Vec<u8>]) -> Output {
    let (mut decoder, mut output) = (ExportDecoder::new(), Output::default());
    for datagram in datagrams {
        decoder.datagram(exporter(), now(), datagram, &mut output);
    }
    decoder.finish(&mut output);
    account(&output.tally);
    output
}

fn account(tally: &Tally) {
    let sum = tally.decoded + tally.ignored.values().sum::<u64>() + tally.refused.values().sum::<u64>();
    assert_eq!(tally.records, sum, "{tally:?}");
}

#[track_caller]
fn only(output: &Output) -> &Event {
    let [event] = output.events.as_slice() else {
        panic!(
            "{:?}, {:?}",
            output.events.iter().map(show).collect::<Vec<_>>(),
            output.tally
        );
    };
    event
}

/// A record of version 5: addresses, ports, packets and bytes, milliseconds before the header's, flags, protocol.
fn record5(ends: [u32; 2], ports: [u16; 2], counts: [u32; 2], ago: [u32; 2], kind: [u8; 2]) -> Vec<u8> {
    let mut record = words(&[
        ends[0],
        ends[1],
        0,
        0,
        counts[0],
        counts[1],
        UPTIME - ago[0],
        UPTIME - ago[1],
    ]);
    record.extend(shorts(&ports));
    record.extend([0, kind[0], kind[1], 0]);
    record.extend([0; 8]);
    record
}

fn netflow5(records: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = shorts(&[5, records.len() as u16]);
    datagram.extend(words(&[UPTIME, NOW as u32, 0, 1, 0]));
    datagram.extend(records.concat());
    datagram
}

const CLIENT: u32 = 0x0a00_0007;
const SERVER: u32 = 0x0a00_0008;

#[test]
fn both_directions_of_version_5_are_one_flow_from_the_side_that_began() {
    let request = record5([CLIENT, SERVER], [40_000, 443], [5, 500], [2000, 1000], [0x1b, 6]);
    let answer = record5([SERVER, CLIENT], [443, 40_000], [4, 4000], [1999, 900], [0x1b, 6]);
    let expected = "event.category=network event.dataset=flow source.ip=10.0.0.7 source.port=40000 destination.ip=10.0.0.8 \
                    destination.port=443 network.transport=tcp network.type=ipv4 source.bytes=500 source.packets=5 \
                    destination.bytes=4000 destination.packets=4 network.bytes=4500 network.packets=9 \
                    event.duration=1100000000 zeek.connection.state=SF";
    for records in [[request.clone(), answer.clone()], [answer, request]] {
        let output = read(&[netflow5(&records)]);
        let event = only(&output);
        check_event(event, expected);
        assert_eq!(event.time(), now().minus(Duration::from_millis(900)));
        assert_eq!(output.tally.decoded, 2);
    }
}

#[test]
fn a_direction_without_the_other_waits_ten_seconds_and_goes_alone() {
    let scan = record5([CLIENT, SERVER], [40_000, 23], [1, 40], [5, 5], [2, 6]);
    let (mut decoder, mut output) = (ExportDecoder::new(), Output::default());
    decoder.datagram(exporter(), now(), &netflow5(std::slice::from_ref(&scan)), &mut output);
    decoder.advance(now().plus(Duration::from_millis(9999)), &mut output);
    assert!(output.events.is_empty());
    decoder.advance(now().plus(Duration::from_seconds(10)), &mut output);
    check_event(
        only(&output),
        "zeek.connection.state=S0 source.packets=1 destination.packets=0 source.port=40000",
    );
    // The same direction again is the next part of it, not its answer.
    assert_eq!(read(&[netflow5(&[scan.clone(), scan])]).events.len(), 2);
}

#[test]
fn what_exporters_say_of_time_is_believed_within_a_day() {
    let mut datagram = netflow5(&[record5([CLIENT, SERVER], [1, 2], [1, 40], [3000, 1000], [0, 17])]);
    let seconds =
        |seconds: i64, datagram: &mut Vec<u8>| datagram[8..12].copy_from_slice(&(seconds as u32).to_be_bytes());
    for (clock, ends) in [
        (NOW - 3600, NOW - 3601),
        (NOW + 60, NOW + 59),
        (NOW + 86_400, NOW),
        (0, NOW),
        (i64::from(u32::MAX), NOW),
    ] {
        seconds(clock, &mut datagram);
        let output = read(std::slice::from_ref(&datagram));
        let event = only(&output);
        assert_eq!(event.time(), Timestamp::from_seconds(ends), "a clock at {clock}");
        check_event(event, "event.duration=2000000000");
    }
}

#[test]
fn sampling_of_version_5_is_made_up_for() {
    let mut datagram = netflow5(&[record5([CLIENT, SERVER], [1, 2], [3, 400], [0, 0], [0, 17])]);
    datagram[22..24].copy_from_slice(&0x4064u16.to_be_bytes());
    check_event(only(&read(&[datagram])), "source.packets=300 source.bytes=40000");
}

/// The set of a number with this content.
fn set(number: u16, content: &[u8]) -> Vec<u8> {
    [shorts(&[number, content.len() as u16 + 4]), content.to_vec()].concat()
}

fn netflow9(sets: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = shorts(&[9, sets.len() as u16]);
    datagram.extend(words(&[UPTIME, NOW as u32, 1, 7]));
    datagram.extend(sets.concat());
    datagram
}

fn ipfix(sets: &[Vec<u8>]) -> Vec<u8> {
    let sets = sets.concat();
    let mut datagram = shorts(&[10, sets.len() as u16 + 16]);
    datagram.extend(words(&[NOW as u32, 1, 7]));
    datagram.extend(sets);
    datagram
}

/// Addresses, ports, protocol, flags, packets, bytes, first, last.
const TEMPLATE9: [u16; 22] = [300, 10, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 6, 1, 2, 4, 1, 4, 22, 4, 21, 4];

fn record9() -> Vec<u8> {
    let mut record = words(&[CLIENT, SERVER]);
    record.extend(shorts(&[40_000, 53]));
    record.extend([17, 0]);
    record.extend(words(&[2, 140, UPTIME - 3000, UPTIME - 1000]));
    record
}

#[test]
fn version_9_needs_its_template() {
    let (template, data) = (set(0, &shorts(&TEMPLATE9)), set(300, &[record9(), vec![0; 2]].concat()));
    let output = read(&[
        netflow9(std::slice::from_ref(&data)),
        netflow9(&[template, data.clone()]),
        netflow9(&[data]),
    ]);
    assert_eq!(output.tally.refused.get("no_template"), Some(&1));
    assert_eq!((output.tally.decoded, output.events.len()), (2, 2));
    check_event(
        &output.events[0],
        "source.ip=10.0.0.7 destination.ip=10.0.0.8 destination.port=53 network.transport=udp source.bytes=140 \
         source.packets=2 event.duration=2000000000 zeek.connection.state=S0",
    );
    assert_eq!(output.events[0].time(), now().minus(Duration::from_seconds(1)));
}

#[test]
fn templates_are_their_exporters_and_domains() {
    let template = netflow9(&[set(0, &shorts(&TEMPLATE9))]);
    let mut data = netflow9(&[set(300, &record9())]);
    // Another domain.
    data[19] = 8;
    let output = read(&[template.clone(), data]);
    assert_eq!(output.tally.refused.get("no_template"), Some(&1));
    let (mut decoder, mut output) = (ExportDecoder::new(), Output::default());
    decoder.datagram(exporter(), now(), &template, &mut output);
    let other = "192.0.2.2".parse().expect("an address");
    decoder.datagram(other, now(), &netflow9(&[set(300, &record9())]), &mut output);
    assert_eq!(output.tally.refused.get("no_template"), Some(&1));
}

#[test]
fn ipfix_tells_both_directions_variable_lengths_and_sampling() {
    let mut template = shorts(&[400, 10]);
    for (element, length) in [
        (27, 16),
        (28, 16),
        (7, 2),
        (11, 2),
        (4, 1),
        (1, 8),
        (2, 8),
        (82, u16::MAX),
    ] {
        template.extend(shorts(&[element, length]));
    }
    // The other direction's, with the enterprise of RFC 5103.
    for element in [1u16, 2] {
        template.extend(shorts(&[element | 0x8000, 4]));
        template.extend(words(&[29305]));
    }
    let options = [shorts(&[500, 2, 1, 10, 4, 34, 4])].concat();
    let address = |last: u8| [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[last]].concat();
    let record = |name: &[u8]| {
        let mut record = [address(7), address(8)].concat();
        record.extend(shorts(&[40_000, 443]));
        record.push(6);
        record.extend([&[0; 7][..], &[100], &[0; 7], &[2]].concat());
        record.extend(name);
        record.extend(words(&[1000, 3]));
        record
    };
    let long = [vec![255, 1, 0], vec![b'x'; 256]].concat();
    let output = read(&[
        ipfix(&[set(2, &template), set(3, &options)]),
        ipfix(&[set(500, &words(&[1, 10]))]),
        ipfix(&[set(
            400,
            &[record(b"\x03eth"), record(&long), record(b"\0"), vec![0; 3]].concat(),
        )]),
    ]);
    assert_eq!(output.events.len(), 3, "{:?}", output.tally);
    for event in &output.events {
        check_event(
            event,
            "source.ip=2001:db8::7 destination.ip=2001:db8::8 network.type=ipv6 source.bytes=1000 source.packets=20 \
             destination.bytes=10000 destination.packets=30 destination.port=443",
        );
        assert_eq!(event.time(), now());
    }
    assert_eq!(output.tally.ignored["options"], 1);
}

#[test]
fn totals_count_only_where_a_record_has_no_counts_of_its_own() {
    let template = |number: u16, counts: &[u16]| {
        let mut template = shorts(&[number, 5 + counts.len() as u16, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1]);
        template.extend(counts.iter().flat_map(|element| shorts(&[*element, 4])));
        set(2, &template)
    };
    let record = |port: u16, counts: &[u32]| {
        let mut record = words(&[CLIENT, SERVER]);
        record.extend(shorts(&[port, 53]));
        record.push(17);
        record.extend(words(counts));
        record
    };
    let both = [record(40_000, &[70, 7000, 1, 100]), record(40_001, &[0, 7000, 0, 100])].concat();
    let output = read(&[ipfix(&[
        template(400, &[1, 85, 2, 86]),
        template(401, &[85, 86]),
        set(400, &both),
        set(401, &record(40_002, &[7000, 100])),
    ])]);
    let told: Vec<_> = output
        .events
        .iter()
        .map(|event| (event.u64(Field::SourceBytes), event.u64(Field::SourcePackets)))
        .collect();
    assert_eq!(told, [(Some(70), Some(1)), (Some(7000), Some(100))]);
    assert_eq!(
        output.tally.ignored["no_flow"], 1,
        "nothing was sent since the record before"
    );
}

#[test]
fn a_template_is_taken_back() {
    let datagrams = [
        ipfix(&[set(2, &shorts(&TEMPLATE9))]),
        ipfix(&[set(300, &record9())]),
        ipfix(&[set(2, &shorts(&[300, 0]))]),
        ipfix(&[set(300, &record9())]),
    ];
    let output = read(&datagrams);
    assert_eq!((output.tally.decoded, output.tally.refused["no_template"]), (1, 1));
}

#[test]
fn lies_about_lengths_are_counted() {
    let template = |fields: &[u16]| set(0, &shorts(&[&[300, fields.len() as u16 / 2], fields].concat()));
    let mut long = netflow9(&[set(300, &record9())]);
    long[22..24].copy_from_slice(&2000u16.to_be_bytes());
    let mut zero = netflow9(&[set(300, &record9())]);
    zero[22..24].copy_from_slice(&0u16.to_be_bytes());
    let mut beyond = ipfix(&[set(2, &shorts(&TEMPLATE9))]);
    beyond[2..4].copy_from_slice(&9000u16.to_be_bytes());
    let mut many = netflow5(&[record5([1, 2], [1, 2], [1, 40], [0, 0], [0, 17])]);
    many[2..4].copy_from_slice(&30u16.to_be_bytes());
    for (datagrams, reason) in [
        // Records without a byte, which a set would hold any number of.
        (vec![netflow9(&[template(&[8, 0, 12, 0])])], "bad_template"),
        // More fields than it has.
        (vec![netflow9(&[set(0, &shorts(&[300, 200, 8, 4]))])], "bad_template"),
        (vec![netflow9(&[set(0, &shorts(&[300, 60_000]))])], "bad_template"),
        // Longer than the records are.
        (
            vec![
                netflow9(&[template(&[8, 4, 12, 4, 95, 60_000])]),
                netflow9(&[set(300, &record9())]),
            ],
            "bad_template_length",
        ),
        // A length in front of the value that reaches out of the set.
        (
            vec![
                ipfix(&[set(2, &shorts(&[300, 2, 8, 4, 82, u16::MAX]))]),
                ipfix(&[set(300, &[10, 0, 0, 7, 250, 1, 2])]),
            ],
            "bad_template_length",
        ),
        (vec![long], "bad_export_length"),
        (vec![zero], "bad_export_length"),
        (vec![beyond], "bad_export_length"),
        (vec![many], "short_export"),
        (vec![vec![0, 9]], "short_export"),
        (vec![vec![0, 9, 0, 1]], "short_export"),
        (vec![vec![0, 77, 0, 1]], "unknown_export"),
    ] {
        let output = read(&datagrams);
        assert!(
            output.tally.refused.contains_key(reason),
            "{reason}: {:?}",
            output.tally
        );
    }
}

#[test]
fn templates_and_exporters_are_bounded() {
    let templates: Vec<Vec<u8>> = (256..1256u16)
        .map(|number| netflow9(&[set(0, &shorts(&[number, 1, 8, 4]))]))
        .collect();
    assert_eq!(read(&templates).tally.refused["too_many_templates"], 1000 - 256);
    let (mut decoder, mut output) = (ExportDecoder::new(), Output::default());
    for number in 0..2000u32 {
        let exporter = std::net::Ipv4Addr::from_bits(number).into();
        decoder.datagram(exporter, now(), &netflow9(&[set(0, &shorts(&TEMPLATE9))]), &mut output);
    }
    assert_eq!(output.tally.refused["too_many_exporters"], 2000 - 1024);
}

/// A flow sample with one record.
fn sample(rate: u32, kind: u32, record: &[u8]) -> Vec<u8> {
    let mut sample = words(&[1, 3, rate, 1000, 0, 1, 2, 1, kind, record.len() as u32]);
    sample.extend(record);
    [words(&[1, sample.len() as u32]), sample].concat()
}

fn sflow(samples: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = words(&[5, 1, 0xc000_0201, 0, 1, UPTIME, samples.len() as u32]);
    datagram.extend(samples.concat());
    datagram
}

/// An Ethernet frame of 1,000 bytes on the wire, of which the headers were taken.
fn frame(from: u32, to: u32, ports: [u16; 2]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([0x81, 0, 0, 42, 8, 0, 0x45, 0]);
    frame.extend(shorts(&[982, 0, 0]));
    frame.extend([64, 6, 0, 0]);
    frame.extend(words(&[from, to]));
    frame.extend(shorts(&ports));
    frame.extend(words(&[1, 1]));
    frame.extend([0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    let mut record = words(&[1, 1004, 4, frame.len() as u32]);
    record.extend(frame);
    while !record.len().is_multiple_of(4) {
        record.push(0);
    }
    record
}

#[test]
fn samples_stand_for_as_many_packets_as_their_rate_says_and_add_up() {
    let output = read(&[sflow(&[
        sample(512, 1, &frame(SERVER, CLIENT, [443, 40_000])),
        sample(512, 1, &frame(CLIENT, SERVER, [40_000, 443])),
        sample(512, 1, &frame(SERVER, CLIENT, [443, 40_000])),
        // Counters of an interface.
        [words(&[2, 4]), words(&[0])].concat(),
    ])]);
    check_event(
        only(&output),
        "source.ip=10.0.0.7 source.port=40000 destination.port=443 source.packets=512 source.bytes=502784 \
         destination.packets=1024 destination.bytes=1005568 network.vlan.id=42 network.transport=tcp \
         !zeek.connection.state",
    );
    assert_eq!((output.tally.decoded, output.tally.ignored["sflow_counters"]), (3, 1));
}

#[test]
fn an_agent_may_have_read_the_header_itself() {
    let record = words(&[982, 17, CLIENT, SERVER, 40_000, 53, 0, 0]);
    check_event(
        only(&read(&[sflow(&[sample(100, 3, &record)])])),
        "source.packets=100 source.bytes=98200 destination.port=53 network.transport=udp",
    );
}

#[test]
fn broken_datagrams_neither_panic_nor_escape_the_account() {
    let mut template = shorts(&[400, 4, 8, 4, 12, 4, 82, u16::MAX, 0x8001, 4]);
    template.extend(words(&[29305]));
    let whole = [
        netflow5(&[record5([1, 2], [1, 2], [1, 40], [9, 3], [0, 17])]),
        netflow9(&[set(0, &shorts(&TEMPLATE9)), set(300, &record9())]),
        ipfix(&[
            set(2, &template),
            set(400, &[10, 0, 0, 7, 10, 0, 0, 8, 1, b'x', 0, 0, 0, 9]),
        ]),
        sflow(&[sample(512, 1, &frame(SERVER, CLIENT, [443, 40_000]))]),
    ];
    let mut state = 0x5eed_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    let (mut decoder, mut output) = (ExportDecoder::new(), Output::default());
    for round in 0..20_000 {
        let mut bytes = whole[round % whole.len()].clone();
        for _ in 0..random(6) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes.truncate(at),
                1 => drop(bytes.splice(at..at, [0, 255, 3].into_iter().take(random(4)))),
                _ if !bytes.is_empty() => bytes[at] = [0, 1, 255, 254, 127, random(256) as u8][random(6)],
                _ => {}
            }
        }
        decoder.datagram(exporter(), now(), &bytes, &mut output);
    }
    decoder.finish(&mut output);
    account(&output.tally);
    assert!(output.tally.decoded > 1000);
    let soonest = now().minus(Duration::from_seconds(2 * 86_400));
    assert!(output.events.iter().all(|event| event.time() > soonest));
    assert!(
        output
            .events
            .iter()
            .all(|event| event.u64(Field::SourcePackets).is_some())
    );
}
