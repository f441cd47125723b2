//! Every record of any input is counted once, as decoded, ignored or refused with a reason: lines and frames that are right,
//! broken, of another format, or nothing but noise. Seeded; the seed of what fails is printed.

mod support;

use stakeout::domain::Timestamp;
use stakeout::edge::source::{Capture, Stop, open};
use stakeout::engine::decoder::log::lines::{LINE_TOO_LONG, Line, LineSplitter};
use stakeout::engine::decoder::log::{Format, LineContext, detect};
use stakeout::engine::decoder::packet::{LinkType, PacketDecoder, PacketOptions};
use stakeout::engine::decoder::{Output, Tally};
use std::path::Path;
use support::scenarios;

const SEEDS: u64 = 300;
const LINE_BYTES_MAX: usize = 2000;

/// Lines as programs write them, of every decoder and of every kind of document that one reads.
const SAMPLES: &[&str] = &[
    "#separator \\x09\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\n1772442761.5\tC1\t10.0.0.7\t4000\t10.0.0.9\t80\ttcp",
    r#"{"_path":"dns","ts":1772442761.5,"uid":"C1","id.orig_h":"10.0.0.7","id.orig_p":4000,"id.resp_h":"10.0.0.2","id.resp_p":53,"query":"a.example.org","qtype_name":"A"}"#,
    r#"{"timestamp":"2026-03-02T09:12:41.123456+0000","event_type":"flow","src_ip":"10.0.0.7","dest_ip":"10.0.0.9","proto":"TCP","flow":{"pkts_toserver":3}}"#,
    r#"{"EventID":4625,"Channel":"Security","EventTime":"2026-03-02 09:12:41","TargetUserName":"bob","IpAddress":"10.0.0.7"}"#,
    r#"{"@timestamp":"2026-03-02T09:12:41Z","winlog":{"event_id":4624,"channel":"Security","event_data":{"TargetUserName":"bob","LogonType":"3"}}}"#,
    r#"{"@timestamp":"2026-03-02T09:12:41Z","ecs":{"version":"8.11"},"event":{"category":["process"]},"host":{"name":"web"}}"#,
    r#"{"log":"Mar  2 09:12:41 web sshd[7]: Failed password for bob from 10.0.0.7 port 4000 ssh2\n","stream":"stdout","time":"2026-03-02T09:12:41.5Z"}"#,
    r#"{"__REALTIME_TIMESTAMP":"1772442761500000","SYSLOG_IDENTIFIER":"sudo","_HOSTNAME":"web","MESSAGE":"bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls"}"#,
    "{\n  \"EventID\": 4624,\n  \"Channel\": \"Security\",\n  \"EventTime\": \"2026-03-02 09:12:41\"\n}",
    "type=SYSCALL msg=audit(1772442761.500:7): arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7f a2=0 a3=0 items=1 ppid=5 pid=6 auid=1000 comm=\"cat\" exe=\"/bin/cat\"\ntype=PATH msg=audit(1772442761.500:7): item=0 name=\"/srv/a\" mode=0100644 nametype=NORMAL\ntype=EOE msg=audit(1772442761.500:7): ",
    "10.0.0.7 - bob [02/Mar/2026:09:12:41 +0000] \"GET /a HTTP/1.1\" 200 12 \"-\" \"curl/8\"",
    "2026/03/02 09:12:41 [error] 12#12: *3 open() \"/srv/a\" failed (2: No such file or directory), client: 10.0.0.7, server: web, request: \"GET /a HTTP/1.1\"",
    "[Mon Mar 02 09:12:41.123456 2026] [core:error] [pid 12] [client 10.0.0.7:4000] AH00124: Request exceeded the limit",
    "Mar  2 09:12:41 web sshd[7]: Accepted publickey for bob from 10.0.0.7 port 4000 ssh2: ED25519 SHA256:x",
    "Mar  2 09:12:41 web sshd[7]: message repeated 3 times: [ Failed password for bob from 10.0.0.7 port 4000 ssh2]",
    "<34>1 2026-03-02T09:12:41Z web su 12 ID [a@1 b=\"c\"] pam_unix(su:auth): authentication failure; user=root",
    "2026-03-02T09:12:41.5+01:00 web audispd: node=web type=USER_AUTH msg=audit(1772442761.500:9): pid=7 auid=1000 res=failed",
    "Mar  2 09:12:41 web kernel: [ 7.1] IN=eth0 OUT= SRC=10.0.0.7 DST=10.0.0.9 PROTO=TCP SPT=4000 DPT=22",
];

/// Numbers from a seed (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }

    fn noise(&mut self, bytes_max: usize) -> Vec<u8> {
        (0..self.below(bytes_max)).map(|_| self.next() as u8).collect()
    }

    /// Bytes with some of them changed, doubled or removed, or cut off.
    fn broken(&mut self, bytes: &[u8]) -> Vec<u8> {
        const MARKS: &[u8] = b" :=[]{}()\"'\\\n\r\t\0\xff09<>%-/,;?";
        let mut bytes = bytes.to_vec();
        for _ in 0..self.below(6) {
            let (from, length) = (self.below(bytes.len()), self.below(40));
            let to = (from + length).min(bytes.len());
            match self.below(5) {
                0 => bytes.truncate(from),
                1 => drop(bytes.drain(from..to)),
                2 => {
                    let copy = bytes[from..to].to_vec();
                    bytes.splice(from..from, copy);
                }
                _ if bytes.is_empty() => {}
                3 => bytes[from] = MARKS[self.below(MARKS.len())],
                _ => bytes[from] = self.next() as u8,
            }
        }
        bytes
    }

    /// An input of up to 40 pieces: whole samples, broken ones, noise, and lines over the bound.
    fn input(&mut self) -> Vec<u8> {
        let mut input = Vec::new();
        for _ in 0..self.below(40) {
            let sample = SAMPLES[self.below(SAMPLES.len())].as_bytes();
            let piece = match self.below(16) {
                0..6 => sample.to_vec(),
                6..12 => self.broken(sample),
                12..15 => self.noise(300),
                _ => sample.repeat(20),
            };
            input.extend(piece);
            input.extend_from_slice(if self.below(4) == 0 { b"\r\n" } else { b"\n" });
        }
        if self.below(2) == 0 {
            input.pop();
        }
        input
    }
}

fn accounted(tally: &Tally) -> u64 {
    tally.decoded + tally.ignored.values().sum::<u64>() + tally.refused.values().sum::<u64>()
}

/// Reads an input as `run` does, in pieces of any size, and gives its account beside the number of its records.
fn read(format: Format, input: &[u8], random: &mut Random) -> (Tally, u64) {
    let mut decoder = format.decoder(LineContext {
        year: 2026,
        offset_minutes: 0,
    });
    let mut splitter = LineSplitter::new(LINE_BYTES_MAX);
    let mut output = Output::default();
    let mut given = 0;
    let mut take = |line: Line<'_>| {
        given += 1;
        match line {
            Line::Whole(line) => decoder.line(line, &mut output),
            Line::TooLong => {
                output.tally.records += 1;
                output.tally.refuse(LINE_TOO_LONG);
            }
        }
    };
    let mut rest = input;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((1 + random.below(500)).min(rest.len()));
        splitter.feed(piece, &mut take);
        rest = behind;
    }
    splitter.finish(&mut take);
    decoder.advance(Timestamp::from_seconds(1_772_442_800), &mut output);
    decoder.finish(&mut output);
    (output.tally, given)
}

/// The lines of an input that hold anything.
fn lines(input: &[u8]) -> u64 {
    let line = |line: &&[u8]| !line.strip_suffix(b"\r").unwrap_or(line).is_empty();
    input.split(|byte| *byte == b'\n').filter(line).count() as u64
}

#[test]
fn every_line_of_any_input_is_counted_once_by_every_decoder() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let input = random.input();
        for format in Format::ALL {
            let (tally, given) = read(*format, &input, &mut random);
            assert_eq!(given, lines(&input), "seed {seed}, {}", format.name());
            assert_eq!(tally.records, given, "seed {seed}, {}: {tally:?}", format.name());
            assert_eq!(accounted(&tally), given, "seed {seed}, {}: {tally:?}", format.name());
        }
    }
}

#[test]
fn each_sample_is_read_by_the_decoder_that_knows_it() {
    // Else the property above would be about refused lines alone.
    for sample in SAMPLES {
        let format = detect(sample.as_bytes()).unwrap_or_else(|| panic!("nobody knows {sample}"));
        let (tally, given) = read(format, sample.as_bytes(), &mut Random::new(1));
        assert!(tally.decoded > 0, "{}: {tally:?} of {sample}", format.name());
        assert_eq!(accounted(&tally), given);
    }
}

#[test]
fn every_frame_of_any_capture_is_counted_once() {
    let frames = frames(400);
    assert_eq!(frames.len(), 400);
    for seed in 0..SEEDS / 10 {
        let mut random = Random::new(seed);
        for number in [0, 1, 12, 101, 105, 108, 113, 276] {
            let Some(link) = LinkType::from_number(number) else {
                continue;
            };
            let mut decoder = PacketDecoder::new(PacketOptions {
                flows_max: 50,
                fragments_max: 4,
                ..PacketOptions::default()
            });
            let mut output = Output::default();
            let given = 1 + random.below(frames.len());
            for _ in 0..given {
                let (nanos, frame) = &frames[random.below(frames.len())];
                let bytes = match random.below(4) {
                    0 => frame.clone(),
                    1 => random.noise(200),
                    _ => random.broken(frame),
                };
                let time = match random.below(30) {
                    0 => random.next() as i64,
                    _ => *nanos,
                };
                let length = bytes.len() as u32 + random.below(3) as u32;
                decoder.frame(link, Timestamp::from_nanos(time), length, &bytes, &mut output);
                output.events.clear();
            }
            decoder.finish(&mut output);
            let tally = &output.tally;
            assert_eq!(tally.records, given as u64, "seed {seed}, link {number}: {tally:?}");
            assert_eq!(accounted(tally), given as u64, "seed {seed}, link {number}: {tally:?}");
        }
    }
}

/// The first frames of a recorded capture, with their times.
fn frames(count: usize) -> Vec<(i64, Vec<u8>)> {
    let scenario = scenarios()
        .into_iter()
        .find(|scenario| scenario.name == "benign_network_a")
        .expect("a recorded network");
    let path = scenario.inputs().remove(0);
    let opened = open(Path::new(&path), &Stop::default()).expect("a file that is there");
    let mut capture = Capture::open(&path, opened).expect("a capture");
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = capture.next_frame() {
        frames.push((frame.time.nanos(), frame.bytes.to_vec()));
        if frames.len() == count {
            break;
        }
    }
    frames
}
