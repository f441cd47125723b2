//! Datagrams of NetFlow, IPFIX and sFlow one after the other: every record is accounted for once, and no time lies far
//! from the clock.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::domain::{Duration, Timestamp};
use stakeout::engine::decoder::Output;
use stakeout::engine::decoder::export::ExportDecoder;
use std::net::{IpAddr, Ipv4Addr};

fuzz_target!(|data: &[u8]| {
    let (mut decoder, mut output) = (ExportDecoder::new(), Output::default());
    let mut now = Timestamp::from_seconds(1_700_000_000);
    let begun = now;
    let mut rest = data;
    // Each datagram has its exporter and its length in front of it.
    while let [exporter, high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (datagram, next) = behind.split_at(length);
        let exporter = IpAddr::V4(Ipv4Addr::new(192, 0, 2, *exporter));
        decoder.datagram(exporter, now, datagram, &mut output);
        now = now.plus(Duration::from_seconds(1));
        rest = next;
    }
    decoder.finish(&mut output);
    let tally = &output.tally;
    let told = tally.decoded + tally.ignored.values().sum::<u64>() + tally.refused.values().sum::<u64>();
    assert_eq!(tally.records, told, "{tally:?}");
    for event in &output.events {
        assert!(event.time() <= now.plus(Duration::from_seconds(300)));
        assert!(event.time() >= begun.minus(Duration::from_seconds(86_400)));
    }
});
