//! Partitions that were given are taken up each on a thread of its own, while others go on.

use crate::edge::bus::Seat;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long to wait before what could not be taken up is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// The partitions that are being taken up, and what came of them.
pub(super) struct TakingUp<T> {
    asked: BTreeMap<Seat, Asked>,
    done: Sender<Done<T>>,
    came: Receiver<Done<T>>,
}

/// That a partition is wanted: whoever takes it up stops when this goes.
struct Asked(Arc<AtomicBool>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Done<T> {
    seat: Seat,
    what: T,
    /// Who asked: another asks anew.
    stop: Arc<AtomicBool>,
}

impl<T: Send + 'static> TakingUp<T> {
    pub(super) fn new() -> TakingUp<T> {
        let (done, came) = channel();
        TakingUp {
            asked: BTreeMap::new(),
            done,
            came,
        }
    }

    /// Begins to take a partition up by `restore`, which is tried until it succeeds or is told to stop. What was begun
    /// for the same partition before is forgotten.
    pub(super) fn start(
        &mut self,
        seat: Seat,
        restore: impl Fn(&Seat, &AtomicBool) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, told, done) = (seat.clone(), stop.clone(), self.done.clone());
        let work = move || {
            while !told.load(Ordering::Relaxed) {
                match restore(&seat, &told) {
                    Ok(what) => {
                        let stop = told;
                        // Nobody is there any more when everything ends.
                        let _ = done.send(Done { seat, what, stop });
                        return;
                    }
                    Err(_) if told.load(Ordering::Relaxed) => return,
                    Err(problem) => {
                        tracing::error!("{}/{} can't be taken up: {problem:#}", seat.topic, seat.partition);
                        std::thread::sleep(AGAIN);
                    }
                }
            }
        };
        let name = format!("restore-{}", asked.partition);
        let thread = std::thread::Builder::new().name(name).spawn(work);
        thread.context("starting to take a partition up")?;
        self.asked.insert(asked, Asked(stop));
        Ok(())
    }

    /// The next partition that was taken up and is still wanted.
    pub(super) fn next(&mut self) -> Option<(Seat, T)> {
        while let Ok(Done { seat, what, stop }) = self.came.try_recv() {
            if self.asked.get(&seat).is_some_and(|asked| Arc::ptr_eq(&asked.0, &stop)) {
                self.asked.remove(&seat);
                return Some((seat, what));
            }
        }
        None
    }

    /// A partition is not wanted any more.
    pub(super) fn forget(&mut self, seat: &Seat) {
        self.asked.remove(seat);
    }

    /// The partitions that are being taken up.
    pub(super) fn seats(&self) -> impl ExactSizeIterator<Item = &Seat> {
        self.asked.keys()
    }
}
