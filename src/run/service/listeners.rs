//! Starts the collectors that wait for what is sent to them, and those of standard input and the journal.

use super::collecting::Collecting;
use crate::config::{Inputs, ListenTransport, NetflowInput, SyslogInput};
use crate::edge::collector::{
    ExportListener, ExportSocket, JournalCollector, ListenProblem, StdinCollector, SyslogListener, SyslogSocket,
    SyslogTransport,
};
use crate::edge::source::Stop;
use crate::edge::tls::TlsFiles;
use anyhow::Context as _;

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
