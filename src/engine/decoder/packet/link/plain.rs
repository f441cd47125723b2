//! The frame that nearly every frame is, read in one step: Ethernet without tags, IPv4 without options, TCP or UDP.
//!
//! Every other frame, and what can't be read, is left to the steps of `link`, which would give the same.

use super::{Datagram, Layers, is_tunnel_port, mapped};

/// The headers of a plain frame: Ethernet, its type, IPv4.
const PLAIN_DEPTH: u32 = 3;

/// The datagram of a plain frame that is neither fragment nor tunnel.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> Option<Datagram<'_>> {
    let (&header, rest) = bytes.split_first_chunk::<34>()?;
    let [
        macs @ ..,
        0x08,
        0x00,
        0x45,
        _,
        l1,
        l2,
        i1,
        i2,
        f1,
        f2,
        _ttl,
        protocol @ (6 | 17),
        _,
        _,
        s1,
        s2,
        s3,
        s4,
        d1,
        d2,
        d3,
        d4,
    ] = header
    else {
        return None;
    };
    let is_whole = u16::from_be_bytes([f1, f2]) & 0x3fff == 0;
    let length = u32::from(u16::from_be_bytes([l1, l2]));
    let payload_length = length.checked_sub(20).filter(|_| is_whole)?;
    let payload = rest.get(..payload_length as usize).unwrap_or(rest);
    if protocol == 17
        && let [_, _, p1, p2, ..] = payload
        && is_tunnel_port(u16::from_be_bytes([*p1, *p2]))
    {
        return None;
    }
    Some(Datagram {
        source: mapped(s1, s2, s3, s4),
        destination: mapped(d1, d2, d3, d4),
        is_v6: false,
        protocol,
        length,
        identification: u16::from_be_bytes([i1, i2]),
        fragment: None,
        payload,
        payload_length,
        layers: Layers {
            macs: Some(macs),
            depth: PLAIN_DEPTH,
            ..Layers::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::{LinkType, unwrap_any};
    use super::*;

    /// A UDP datagram to this port, in Ethernet.
    fn frame(port: u16) -> Vec<u8> {
        let mut frame: Vec<u8> = (1..=12).collect();
        frame.extend([8, 0, 0x45, 0, 0, 40, 7, 8, 0x40, 0, 64, 17, 0, 0]);
        frame.extend([10, 0, 0, 1, 10, 9, 9, 9, 0x20, 0]);
        frame.extend(port.to_be_bytes());
        frame.extend([0, 20, 0, 0, 8, 0, 0, 0, 1, 2, 3, 0, 9, 9, 9, 9, 0, 0]);
        frame
    }

    #[test]
    fn what_is_read_in_one_step_is_what_is_read_step_by_step() {
        let mut plainly_read = 0;
        for port in [53, 4789, 8472, 6081] {
            let whole = frame(port);
            for length in 0..=whole.len() {
                for place in 0..whole.len().min(38) {
                    for byte in [0, 1, 4, 6, 8, 0x20, 0x45, 0x46, 0x60, 0x81, 255] {
                        let mut changed = whole.clone();
                        changed[place] = byte;
                        changed.truncate(length);
                        if let Some(datagram) = plain(&changed) {
                            let stepwise = unwrap_any(LinkType::Ethernet, whole.len() as u32, &changed);
                            assert_eq!(Ok(datagram), stepwise, "{changed:?}");
                            plainly_read += 1;
                        }
                    }
                }
            }
        }
        assert!(plainly_read > 1000, "{plainly_read}");
    }
}
