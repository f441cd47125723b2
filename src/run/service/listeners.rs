//! Starts the collectors that wait for what is sent to them, and those of standard input and the journal.

use super::Collecting;
use crate::config::{Inputs, ListenTransport, SyslogInput};
use crate::domain::{Event, Timestamp};
use crate::edge::collector::{
    DatagramDecoder, ExportListener, ExportSocket, JournalCollector, ListenProblem, Origin, StdinCollector,
    SyslogListener, SyslogSocket, SyslogTransport, TlsFiles,
};
use crate::edge::source::Stop;
use crate::edge::telemetry::CollectorMetrics;
use crate::engine::decoder::Output;
use crate::engine::decoder::export::ExportDecoder;
use anyhow::Context as _;
use std::net::IpAddr;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Sockets that are open and not read yet.
pub(super) struct Listeners {
    syslog: Vec<(String, SyslogSocket)>,
    netflow: Vec<(String, ExportSocket)>,
}

/// Opens every socket that is configured, while that may need privileges.
pub(super) fn open(inputs: &Inputs) -> anyhow::Result<Listeners> {
    let syslog = inputs.syslog.iter().map(|input| {
        let socket = SyslogSocket::open(&transport(input), input.address)?;
        Ok((format!("syslog:{}", input.listen), socket))
    });
    let netflow = inputs.netflow.iter().map(|input| {
        let socket = ExportSocket::open(input.address)?;
        Ok((format!("netflow:{}", input.listen), socket))
    });
    let opened: Result<_, ListenProblem> = syslog.collect();
    let syslog = opened?;
    let opened: Result<_, ListenProblem> = netflow.collect();
    Ok(Listeners {
        syslog,
        netflow: opened?,
    })
}

impl Collecting<'_> {
    /// Starts to read the sockets. That ends after `stopping` has become true.
    pub(super) fn listen(
        &self,
        listeners: Listeners,
        runtime: &Handle,
        stopping: &watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let _runtime = runtime.enter();
        let metrics = &self.status.metrics.collectors;
        for (name, socket) in listeners.syslog {
            let listener = SyslogListener {
                socket,
                input: self.store.input_number(&name)?,
                queue: self.queue.clone(),
                metrics: metrics.clone(),
                stopping: stopping.clone(),
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
                stopping: stopping.clone(),
            };
            let address = listener.start().with_context(|| format!("starting {name}"))?;
            tracing::info!(%address, "collecting {name}");
        }
        Ok(())
    }

    /// Starts to read standard input and the journal, as far as they are wanted.
    pub(super) fn streams(&mut self) -> anyhow::Result<()> {
        let inputs = &self.service.inputs;
        let metrics = self.status.metrics.collectors.clone();
        let stop = Stop::from(self.stop.clone());
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
