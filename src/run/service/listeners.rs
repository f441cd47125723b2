//! Starts the collectors that wait for what is sent to them, and those of standard input and the journal.

use super::collecting::Collecting;
use crate::config::{Inputs, ListenTransport, NetflowInput, SyslogInput};
use crate::domain::{Event, Timestamp};
use crate::edge::collector::{
    DatagramDecoder, ExportListener, ExportSocket, JournalCollector, ListenProblem, Origin, StdinCollector,
    SyslogListener, SyslogSocket, SyslogTransport,
};
use crate::edge::source::Stop;
use crate::edge::telemetry::CollectorMetrics;
use crate::edge::tls::TlsFiles;
use crate::engine::decoder::Output;
use crate::engine::decoder::export::ExportDecoder;
use anyhow::Context as _;
use std::net::IpAddr;

/// Sockets that are open and not read yet.
pub(super) struct Listeners {
    syslog: Vec<(String, SyslogSocket)>,
    netflow: Vec<(String, ExportSocket)>,
}

fn syslog_name(input: &SyslogInput) -> String {
    format!("syslog:{}", input.listen)
}

fn netflow_name(input: &NetflowInput) -> String {
    format!("netflow:{}", input.listen)
}

/// The names of the inputs that have sockets.
pub(super) fn names(inputs: &Inputs) -> Vec<String> {
    let syslog = inputs.syslog.iter().map(syslog_name);
    syslog.chain(inputs.netflow.iter().map(netflow_name)).collect()
}

/// Opens the sockets that are configured and wanted by name. At the start that may need privileges.
pub(super) fn open(inputs: &Inputs, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Listeners> {
    let syslog = inputs.syslog.iter().map(|input| (syslog_name(input), input));
    let syslog = syslog.filter(|(name, _)| is_wanted(name)).map(|(name, input)| {
        let socket = SyslogSocket::open(&transport(input), input.address)?;
        Ok((name, socket))
    });
    let netflow = inputs.netflow.iter().map(|input| (netflow_name(input), input));
    let netflow = netflow.filter(|(name, _)| is_wanted(name)).map(|(name, input)| {
        let socket = ExportSocket::open(input.address)?;
        Ok((name, socket))
    });
    let opened: Result<_, ListenProblem> = syslog.collect();
    let syslog = opened?;
    let opened: Result<_, ListenProblem> = netflow.collect();
    Ok(Listeners {
        syslog,
        netflow: opened?,
    })
}

impl Collecting {
    /// Starts to read the sockets.
    pub(super) fn listen(&self, listeners: Listeners) -> anyhow::Result<()> {
        let _runtime = self.runtime.enter();
        let metrics = &self.status.metrics.collectors;
        for (name, socket) in listeners.syslog {
            let listener = SyslogListener {
                socket,
                input: self.store.input_number(&name)?,
                queue: self.queue.clone(),
                metrics: metrics.clone(),
                stopping: self.ends.new_socket(&name),
            };
            let address = listener.start().with_context(|| format!("starting {name}"))?;
            tracing::info!(%address, "collecting {name}");
        }
        for (name, socket) in listeners.netflow {
            let listener = ExportListener {
                socket,
                input: self.store.input_number(&name)?,
                decoder: Exports::new(metrics.clone()),
                queue: self.queue.clone(),
                metrics: metrics.clone(),
                stopping: self.ends.new_socket(&name),
            };
            let address = listener.start().with_context(|| format!("starting {name}"))?;
            tracing::info!(%address, "collecting {name}");
        }
        Ok(())
    }

    /// Starts to read standard input and the journal, as far as they are wanted.
    pub(super) fn streams(&mut self, inputs: &Inputs) -> anyhow::Result<()> {
        let metrics = self.status.metrics.collectors.clone();
        let stop = Stop::from(self.ends.flag().clone());
        if inputs.stdin {
            let number = self.store.input_number("stdin")?;
            let collector = StdinCollector::new(number, self.queue.clone(), metrics.clone(), stop.clone());
            self.thread("stdin", move || collector.run())?;
        }
        if inputs.journal {
            let number = self.store.input_number("journal")?;
            let position = self
                .store
                .position(number)
                .context("asking where the journal goes on")?;
            let collector = JournalCollector::new(number, position, self.queue.clone(), metrics, stop);
            self.thread("journal", move || collector.run())?;
        }
        Ok(())
    }
}

/// The engine's decoder of exports, with its refusals as metrics.
struct Exports {
    decoder: ExportDecoder,
    output: Output,
    metrics: CollectorMetrics,
}

impl Exports {
    fn new(metrics: CollectorMetrics) -> Exports {
        Exports {
            decoder: ExportDecoder::new(),
            output: Output::default(),
            metrics,
        }
    }

    fn give(&mut self, events: &mut Vec<Event>) {
        events.append(&mut self.output.events);
        for (reason, count) in std::mem::take(&mut self.output.tally).refused {
            self.metrics.refused(Origin::Netflow, reason).inc_by(count);
        }
    }
}

impl DatagramDecoder for Exports {
    fn datagram(&mut self, from: IpAddr, received: Timestamp, bytes: &[u8], events: &mut Vec<Event>) {
        self.decoder.datagram(from, received, bytes, &mut self.output);
        self.give(events);
    }

    fn advance(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        self.decoder.advance(now, &mut self.output);
        self.give(events);
    }

    fn finish(&mut self, events: &mut Vec<Event>) {
        self.decoder.finish(&mut self.output);
        self.give(events);
    }
}

fn transport(input: &SyslogInput) -> SyslogTransport {
    match input.transport.clone() {
        ListenTransport::Udp => SyslogTransport::Udp,
        ListenTransport::Tcp => SyslogTransport::Tcp,
        ListenTransport::Tls {
            certificate,
            key,
            client_ca,
        } => SyslogTransport::Tls(TlsFiles {
            certificate,
            key,
            client_ca,
        }),
    }
}
