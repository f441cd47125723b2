//! Live capture from a network interface: AF_PACKET through libpcap.
//!
//! The kernel writes frames into a ring that is read without being waited for, so that telling the collector to stop ends
//! it within a poll. What the kernel had to drop because the ring was full, and what the interface dropped before it, is
//! counted over each second.

use crate::domain::Timestamp;
use crate::edge::source::Frame;
use pcap::{Active, Capture, Device, Precision};
use rustix::event::{PollFd, PollFlags, poll};
use std::time::{Duration, Instant};

/// How long the kernel gathers frames before it hands on a block of its ring.
const GATHER_MILLIS: i32 = 20;
/// How often a lost interface is opened again.
const OPEN_AGAIN_EVERY: Duration = Duration::from_secs(2);

/// How an interface is captured from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSettings {
    /// Its name, such as `eth1`; `any` for all.
    pub name: String,
    /// Which frames, in libpcap's filter language. All without it.
    pub filter: Option<String>,
    /// Bytes of each frame that are kept.
    pub snap_bytes: u32,
    /// Bytes of the ring.
    pub buffer_bytes: u32,
    /// Whether frames for others are taken too, as a mirror port has them.
    pub promiscuous: bool,
}

/// Why an interface can't be captured from.
#[derive(Debug, thiserror::Error)]
#[error("capturing on {name}: {problem}")]
pub struct InterfaceFailure {
    name: String,
    problem: String,
}

/// Frames that never reached the decoder, since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Frames that came, dropped ones included.
    pub received: u64,
    /// Frames that the kernel dropped because the ring was full.
    pub dropped_by_kernel: u64,
    /// Frames that the interface or its driver dropped.
    pub dropped_by_interface: u64,
}

impl Loss {
    /// The lost share of all frames, 0 to 1.
    pub fn share(&self) -> f64 {
        let lost = self.dropped_by_kernel + self.dropped_by_interface;
        let all = self.received.max(self.dropped_by_kernel) + self.dropped_by_interface;
        if all == 0 { 0.0 } else { lost as f64 / all as f64 }
    }
}

/// An interface that is captured from.
pub struct Interface {
    settings: InterfaceSettings,
    open: Option<Open>,
    tried: Instant,
}

struct Open {
    capture: Capture<Active>,
    link_number: u32,
    before: pcap::Stat,
}

impl Interface {
    /// Opens an interface. Needs CAP_NET_RAW.
    pub fn open(settings: InterfaceSettings) -> Result<Interface, InterfaceFailure> {
        let open = Open::new(&settings)?;
        Ok(Interface {
            settings,
            open: Some(open),
            tried: Instant::now(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether it is captured from now.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Waits until frames are there, at most so long.
    pub fn wait(&self, most: Duration) {
        let Some(open) = &self.open else {
            std::thread::sleep(most);
            return;
        };
        let timeout = rustix::time::Timespec {
            tv_sec: most.as_secs() as i64,
            tv_nsec: i64::from(most.subsec_nanos()),
        };
        // A poll that was interrupted is a short one.
        let _ = poll(&mut [PollFd::new(&open.capture, PollFlags::IN)], Some(&timeout));
    }

    /// Takes the frames that are there, at most so many. A failure means that the interface is lost: it is opened again
    /// when it is back, as long as the process may.
    pub fn take(&mut self, most: usize, mut frame: impl FnMut(Frame<'_>)) -> Result<usize, InterfaceFailure> {
        let Some(open) = &mut self.open else {
            if self.tried.elapsed() >= OPEN_AGAIN_EVERY {
                self.tried = Instant::now();
                self.open = Some(Open::new(&self.settings)?);
            }
            return Ok(0);
        };
        let link_number = open.link_number;
        let taken = open.capture.dispatch(Some(most), |packet| {
            let header = packet.header;
            // With nanosecond precision libpcap keeps nanoseconds in tv_usec.
            let nanos = header.ts.tv_sec.saturating_mul(1_000_000_000);
            frame(Frame {
                time: Timestamp::from_nanos(nanos.saturating_add(header.ts.tv_usec)),
                original_length: header.len,
                link_number,
                bytes: packet.data,
            });
        });
        taken.map_err(|error| {
            self.open = None;
            self.tried = Instant::now();
            failure(&self.settings, error.to_string())
        })
    }

    /// What was lost since the last look.
    pub fn loss(&mut self) -> Loss {
        let Some(open) = &mut self.open else {
            return Loss::default();
        };
        let Ok(now) = open.capture.stats() else {
            return Loss::default();
        };
        // The counters have 32 bits and begin anew after 4 billion frames.
        let since = |now: u32, before: u32| u64::from(now.wrapping_sub(before));
        let loss = Loss {
            received: since(now.received, open.before.received),
            dropped_by_kernel: since(now.dropped, open.before.dropped),
            dropped_by_interface: since(now.if_dropped, open.before.if_dropped),
        };
        open.before = now;
        loss
    }
}

impl Open {
    fn new(settings: &InterfaceSettings) -> Result<Open, InterfaceFailure> {
        let refused = |error: pcap::Error| failure(settings, explained(&error, &settings.name));
        let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let capture = Capture::from_device(Device::from(settings.name.as_str()))
            .map_err(refused)?
            .promisc(settings.promiscuous)
            .snaplen(whole(settings.snap_bytes))
            .buffer_size(whole(settings.buffer_bytes))
            .timeout(GATHER_MILLIS)
            .precision(Precision::Nano)
            .open()
            .map_err(refused)?;
        let mut capture = capture.setnonblock().map_err(refused)?;
        if let Some(filter) = &settings.filter {
            capture
                .filter(filter, true)
                .map_err(|error| failure(settings, format!("the filter `{filter}`: {error}; see pcap-filter(7)")))?;
        }
        let before = capture.stats().map_err(refused)?;
        Ok(Open {
            link_number: u32::try_from(capture.get_datalink().0).unwrap_or(u32::MAX),
            capture,
            before,
        })
    }
}

fn failure(settings: &InterfaceSettings, problem: String) -> InterfaceFailure {
    InterfaceFailure {
        name: settings.name.clone(),
        problem,
    }
}

/// libpcap's words with the next step.
fn explained(error: &pcap::Error, name: &str) -> String {
    let said = error.to_string();
    let lower = said.to_lowercase();
    if lower.contains("permission") || lower.contains("not permitted") {
        format!("{said}; it needs CAP_NET_RAW: start it as root, or `setcap cap_net_raw=ep` the program")
    } else if lower.contains("no such device") || lower.contains("does not exist") {
        format!("{said}; `ip link` lists the interfaces, and {name} is not among them")
    } else {
        said
    }
}
