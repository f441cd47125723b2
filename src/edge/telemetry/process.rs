//! What the process itself uses, under the names that Prometheus' own clients give it. Read from `/proc` when it is
//! asked for; where that can't be read, nothing is told.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells of the process.
pub(super) struct ProcessCollector {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    virtual_bytes: IntGauge,
    threads: IntGauge,
    open_files: IntGauge,
    open_files_max: IntGauge,
    start_seconds: Gauge,
}

/// What `/proc/self/stat` tells.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    threads: i64,
    virtual_bytes: i64,
    resident_pages: i64,
}

impl ProcessCollector {
    /// A collector for a process that starts now.
    pub(super) fn new() -> Result<ProcessCollector, prometheus::Error> {
        let start_seconds = Gauge::new("process_start_time_seconds", "When the process started")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        start_seconds.set(now.as_secs_f64());
        Ok(ProcessCollector {
            cpu_seconds: Counter::new("process_cpu_seconds_total", "CPU time, user and system together")?,
            resident_bytes: IntGauge::new("process_resident_memory_bytes", "Memory in use")?,
            virtual_bytes: IntGauge::new("process_virtual_memory_bytes", "Address space in use")?,
            threads: IntGauge::new("process_threads", "Threads")?,
            open_files: IntGauge::new("process_open_fds", "Open files and sockets")?,
            open_files_max: IntGauge::new("process_max_fds", "Files and sockets that may be open")?,
            start_seconds,
        })
    }

    fn parts(&self) -> [&dyn Collector; 7] {
        [
            &self.cpu_seconds,
            &self.resident_bytes,
            &self.virtual_bytes,
            &self.threads,
            &self.open_files,
            &self.open_files_max,
            &self.start_seconds,
        ]
    }

    fn read(&self) -> Option<()> {
        let stat = Stat::read(&std::fs::read_to_string("/proc/self/stat").ok()?)?;
        let cpu = stat.cpu_ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        // Two who ask at once may both find the same time.
        self.cpu_seconds.inc_by((cpu - self.cpu_seconds.get()).max(0.0));
        self.virtual_bytes.set(stat.virtual_bytes);
        self.resident_bytes
            .set(stat.resident_pages.saturating_mul(rustix::param::page_size() as i64));
        self.threads.set(stat.threads);
        self.open_files
            .set(std::fs::read_dir("/proc/self/fd").ok()?.count() as i64);
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        self.open_files_max
            .set(most.map_or(i64::MAX, |most| i64::try_from(most).unwrap_or(i64::MAX)));
        Some(())
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        match self.read() {
            Some(()) => self.parts().into_iter().flat_map(Collector::collect).collect(),
            None => Vec::new(),
        }
    }
}

impl Stat {
    fn read(text: &str) -> Option<Stat> {
        // The second field is the program's name in brackets, and may hold anything; the third comes first here.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3);
        Some(Stat {
            cpu_ticks: field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?,
            threads: field(20)?.parse().ok()?,
            virtual_bytes: field(23)?.parse().ok()?,
            resident_pages: field(24)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_shifts_nothing() {
        let text = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 12 0 99 1048576 256 18446744073709551615";
        let expected = Stat {
            cpu_ticks: 300,
            threads: 12,
            virtual_bytes: 1_048_576,
            resident_pages: 256,
        };
        assert_eq!(Stat::read(text), Some(expected));
        assert_eq!(Stat::read("7 (a"), None);
    }

    #[test]
    fn this_process_has_memory_and_threads_and_its_cpu_time_never_falls() {
        let collector = ProcessCollector::new().expect("names that differ");
        collector.collect();
        let before = collector.cpu_seconds.get();
        collector.collect();
        assert!(collector.resident_bytes.get() > 100_000);
        assert!(collector.threads.get() >= 1 && collector.open_files.get() >= 3);
        assert!(collector.cpu_seconds.get() >= before);
    }
}
