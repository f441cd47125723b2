//! Frames of every link type, with times that may jump: every frame is accounted for, whatever it holds.
//!
//! Input: one byte chooses the link type; then for each frame one byte of time, two of length, and its bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::domain::Timestamp;
use stakeout::engine::decoder::Output;
use stakeout::engine::decoder::packet::{LinkType, PacketDecoder, PacketOptions};

/// LINKTYPE numbers of tcpdump.org: loopback, Ethernet, PPP, raw IP, Linux cooked 1 and 2, PPPoE and others.
const LINKS: [u32; 12] = [1, 0, 101, 113, 276, 108, 12, 9, 51, 228, 229, 105];

fuzz_target!(|data: &[u8]| {
    let Some((choice, mut rest)) = data.split_first() else {
        return;
    };
    let Some(link) = LinkType::from_number(LINKS[usize::from(*choice) % LINKS.len()]) else {
        return;
    };
    let options = PacketOptions {
        flows_max: 64,
        fragments_max: 8,
        ..PacketOptions::default()
    };
    let mut decoder = PacketDecoder::new(options);
    let mut output = Output::default();
    let mut milliseconds = 1_700_000_000_000i64;
    while let [step, high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (frame, behind) = behind.split_at(length);
        rest = behind;
        milliseconds += match step {
            0..=250 => i64::from(*step),
            251 => 10_000,
            252 => 120_000,
            253 => 7_200_000,
            254 => -2,
            255 => 40 * 86_400_000,
        };
        let time = Timestamp::from_nanos(milliseconds * 1_000_000);
        decoder.frame(
            link,
            time,
            u32::try_from(length).unwrap_or(0) + u32::from(*step & 1),
            frame,
            &mut output,
        );
        output.events.clear();
    }
    decoder.finish(&mut output);
    let tally = &output.tally;
    let told = tally.decoded + tally.ignored.values().sum::<u64>() + tally.refused.values().sum::<u64>();
    assert_eq!(tally.records, told, "{tally:?}");
});
