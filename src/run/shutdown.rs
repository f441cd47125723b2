//! SIGTERM and SIGINT: the first asks everybody to end with what they have, and what has not ended soon after, or hears a
//! second one, is ended.

use crate::edge::source::Stop;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// After a signal a program has this long to end by itself: together with the end of the process under 5 s.
const GRACE: Duration = Duration::from_millis(4500);
/// What was read before the signal is judged for this long at most.
pub(super) const DRAIN: Duration = Duration::from_millis(2000);

/// Signals, once they have come.
pub(super) struct Shutdown {
    /// Asked as soon as a signal has come.
    pub(super) stop: Stop,
    status: Arc<AtomicU8>,
}

impl Shutdown {
    /// Begins to watch for signals. Without the watcher a signal ends the program at once, which is no worse than without
    /// this function.
    pub(super) fn watch() -> Shutdown {
        let shutdown = Shutdown {
            stop: Stop::default(),
            status: Arc::default(),
        };
        let (stop, status) = (shutdown.stop.clone(), shutdown.status.clone());
        let _ = std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || watch(&stop, &status));
        shutdown
    }

    /// The exit status that a shell knows the signal by that has come: 128 and its number.
    pub(super) fn status(&self) -> Option<u8> {
        match self.status.load(Ordering::Relaxed) {
            0 => None,
            status => Some(status),
        }
    }
}

fn watch(stop: &Stop, status: &AtomicU8) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return;
        };
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => 143,
                _ = interrupt.recv() => 130,
            }
        };
        let first = next().await;
        status.store(first, Ordering::Relaxed);
        stop.ask();
        let last = match tokio::time::timeout(GRACE, next()).await {
            Ok(second) => second,
            Err(_) => {
                let message = "stakeout: not done in time after the signal; ended without the rest";
                let _ = writeln!(std::io::stderr(), "{message}");
                first
            }
        };
        std::process::exit(i32::from(last));
    });
}
