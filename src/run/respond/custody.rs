//! Which partitions of the alerts are in this instance's hands, since when, and how far each is done: an alert is done when
//! every sink has delivered it, and a record that is none when its dead letter has.
//!
//! A partition that is taken away is out of custody at once: what the outbox holds of it is passed over by the sinks, and
//! delivered by whoever holds it from then on, from where the group was told that everything is done.

use crate::edge::bus::Holder;
use crate::edge::store::{Commit, Store, StoreFailure};
use crate::run::service::worker::{Tenures, Whence};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where an alert that was taken stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    partition: i32,
    next: i64,
    tenure: u64,
    is_history: bool,
    /// It stands before one that was taken: the topic was made anew.
    is_back: bool,
}

impl Stand {
    /// Whether it was delivered before the partition came here.
    pub(super) const fn is_history(&self) -> bool {
        self.is_history
    }

    /// Whether it stands before one that was taken already: the topic was made anew.
    pub(super) const fn is_back(&self) -> bool {
        self.is_back
    }
}

/// An alert that is not in the outbox yet, as the outbox keeps it.
pub(super) struct Taken {
    pub(super) stand: Stand,
    pub(super) told: Vec<u8>,
}

/// The partitions in this instance's hands.
pub(super) struct Custody {
    store: Arc<Store>,
    /// Whose cursors say what is delivered.
    sinks: Vec<String>,
    held: Mutex<Held>,
}

struct Held {
    tenures: BTreeMap<i32, Tenure>,
    /// The number of the next alert in the outbox.
    next: u64,
    /// As many of the alerts that were taken may be in the outbox although it was said that they could not be put there.
    doubtful: u64,
    /// The number of the next tenure.
    next_tenure: u64,
}

/// One partition, from when it was given until it is taken away.
struct Tenure {
    number: u64,
    /// The first alert in the outbox that may be of it.
    first: u64,
    /// The offset at which its records begin, if that is known.
    begin: Option<i64>,
    /// The offset of the last record that came.
    last: Option<i64>,
    /// The offset behind the last record that was taken and is no history.
    next: Option<i64>,
    /// Alerts that were taken and are not in the outbox yet.
    gathered: usize,
    /// Alerts in the outbox that are not done, as far as is known: their numbers, and the offsets behind them.
    waiting: VecDeque<(u64, i64)>,
    /// The offset before which everything is done.
    done: Option<i64>,
    /// What the group was told of that.
    told: Option<i64>,
    stopped: bool,
    at_end: bool,
}

/// What is told of a partition.
pub(super) struct About {
    pub(super) partition: i32,
    pub(super) tenure: u64,
    pub(super) done: Option<i64>,
    /// It stands in front of a record that it may not pass.
    pub(super) stopped: bool,
    /// Everything that is there now is done.
    pub(super) is_done: bool,
}

impl Custody {
    pub(super) fn new(store: Arc<Store>, sinks: Vec<String>) -> Result<Custody, StoreFailure> {
        let next = store.next_told()?;
        Ok(Custody {
            store,
            sinks,
            held: Mutex::new(Held {
                tenures: BTreeMap::new(),
                next,
                doubtful: 0,
                next_tenure: 0,
            }),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the first alert that some sink has not delivered.
    fn delivered(&self) -> Result<u64, StoreFailure> {
        let mut least = u64::MAX;
        for sink in &self.sinks {
            least = least.min(self.store.cursor(sink)?);
        }
        Ok(least)
    }

    /// Takes a record. Gives where it stands; nothing where its partition is not in custody, or has stopped.
    pub(super) fn take(&self, partition: i32, offset: i64) -> Option<Stand> {
        let mut held = self.held();
        let tenure = held.tenures.get_mut(&partition).filter(|tenure| !tenure.stopped)?;
        tenure.at_end = false;
        let is_back = tenure.last.replace(offset).is_some_and(|last| offset <= last);
        if is_back {
            tenure.begin = None;
        }
        Some(Stand {
            partition,
            next: offset.saturating_add(1),
            tenure: tenure.number,
            is_history: tenure.begin.is_some_and(|begin| offset < begin),
            is_back,
        })
    }

    /// An alert was taken.
    pub(super) fn gathered(&self, stand: &Stand) {
        if let Some(tenure) = self.held().tenure(stand) {
            tenure.gathered += 1;
            tenure.pass(stand);
        }
    }

    /// A record that is no alert was dealt with.
    pub(super) fn pass(&self, stand: &Stand) {
        if let Some(tenure) = self.held().tenure(stand) {
            tenure.pass(stand);
        }
    }

    /// A partition stops in front of a record.
    pub(super) fn stop(&self, stand: &Stand) {
        if let Some(tenure) = self.held().tenure(stand) {
            tenure.stopped = true;
        }
    }

    /// Nothing more is there of a partition now.
    pub(super) fn ended(&self, partition: i32) {
        if let Some(tenure) = self.held().tenures.get_mut(&partition) {
            tenure.at_end = true;
        }
    }

    /// Puts what was taken into the outbox, but for that of partitions that were taken away meanwhile. When that fails it
    /// is tried again as it was, since it may be there all the same; more may stand behind it then.
    pub(super) fn put(&self, taken: &mut Vec<Taken>) -> Result<(), StoreFailure> {
        // The sinks ask for what is in custody behind this lock: no alert is seen before it is counted.
        let mut held = self.held();
        let mut numbers = 0..;
        let doubtful = held.doubtful;
        taken.retain(|taken| {
            let is_doubtful = numbers.next().is_some_and(|number: u64| number < doubtful);
            is_doubtful || held.tenure(&taken.stand).is_some()
        });
        if taken.is_empty() {
            return Ok(());
        }
        let told = taken.iter().map(|taken| {
            let whence = Whence {
                partition: taken.stand.partition,
                is_history: taken.stand.is_history,
            };
            whence.behind(taken.told.clone())
        });
        let commit = Commit {
            told: told.collect(),
            ..Commit::default()
        };
        if let Err(failure) = self.store.commit(&commit) {
            held.doubtful = taken.len() as u64;
            return Err(failure);
        }
        held.doubtful = 0;
        for taken in taken.drain(..) {
            let number = held.next;
            held.next += 1;
            if let Some(tenure) = held.tenure(&taken.stand) {
                tenure.gathered -= 1;
                if !taken.stand.is_history {
                    tenure.waiting.push_back((number, taken.stand.next));
                }
            }
        }
        Ok(())
    }

    /// Alerts in the outbox that some sink has not delivered.
    pub(super) fn waiting(&self) -> Result<u64, StoreFailure> {
        let delivered = self.delivered()?;
        Ok(self.held().next.saturating_sub(delivered))
    }

    /// Offsets before which everything is done and which the group was not told yet. They count as told.
    pub(super) fn to_tell(&self) -> Result<Vec<(i32, i64)>, StoreFailure> {
        let delivered = self.delivered()?;
        let mut held = self.held();
        let mut found = Vec::new();
        for (partition, tenure) in &mut held.tenures {
            tenure.settle(delivered);
            if let Some(done) = tenure.done
                && tenure.told != Some(done)
            {
                tenure.told = Some(done);
                found.push((*partition, done));
            }
        }
        Ok(found)
    }

    /// What is in custody.
    pub(super) fn about(&self) -> Vec<About> {
        let held = self.held();
        let about = held.tenures.iter().map(|(partition, tenure)| About {
            partition: *partition,
            tenure: tenure.number,
            done: tenure.done,
            stopped: tenure.stopped,
            is_done: tenure.at_end && tenure.waiting.is_empty() && tenure.gathered == 0,
        });
        about.collect()
    }

    /// Nothing is in custody any more.
    pub(super) fn close(&self) {
        self.held().tenures.clear();
    }
}

impl Held {
    /// The tenure in which a record was taken, if it lasts.
    fn tenure(&mut self, stand: &Stand) -> Option<&mut Tenure> {
        let tenure = self.tenures.get_mut(&stand.partition)?;
        (tenure.number == stand.tenure).then_some(tenure)
    }
}

impl Tenure {
    fn pass(&mut self, stand: &Stand) {
        if !stand.is_history {
            self.next = Some(stand.next);
        }
    }

    /// Takes into account that everything before this number of the outbox was delivered.
    fn settle(&mut self, delivered: u64) {
        while let Some((number, next)) = self.waiting.front().copied()
            && number < delivered
        {
            self.done = Some(next);
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() && self.gathered == 0 && self.next.is_some() {
            self.done = self.next;
        }
    }
}

impl Holder for Custody {
    fn given(&self, partition: i32, begin: Option<i64>) {
        let mut held = self.held();
        // What is tried again may be of the tenure before this one.
        let (number, first) = (held.next_tenure, held.next + held.doubtful);
        held.next_tenure += 1;
        let tenure = Tenure {
            number,
            first,
            begin,
            last: None,
            next: begin,
            gathered: 0,
            waiting: VecDeque::new(),
            done: begin,
            // A group that knows nothing of the partition is told where it has begun.
            told: None,
            stopped: false,
            at_end: false,
        };
        held.tenures.insert(partition, tenure);
    }

    fn taken(&self, partition: i32) -> Option<i64> {
        // Without an answer of the store what was done before is told.
        let delivered = self.delivered().unwrap_or(0);
        let mut tenure = self.held().tenures.remove(&partition)?;
        tenure.settle(delivered);
        tenure.done.filter(|done| tenure.told != Some(*done))
    }

    fn not_told(&self) {
        for tenure in self.held().tenures.values_mut() {
            tenure.told = None;
        }
    }
}

impl Tenures for Custody {
    fn tenures(&self) -> BTreeMap<i32, u64> {
        let held = self.held();
        let first = |(partition, tenure): (&i32, &Tenure)| (*partition, tenure.first);
        held.tenures.iter().map(first).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::folder::Folder;

    /// A custody of one sink, whose cursor is moved by hand.
    fn custody(folder: &Folder) -> Custody {
        let store = Arc::new(Store::open(&folder.0).expect("a store"));
        store.cursor("sink").expect("a cursor");
        Custody::new(store, vec!["sink".to_owned()]).expect("a custody")
    }

    fn take(custody: &Custody, partition: i32, offsets: std::ops::Range<i64>) -> Vec<Taken> {
        let stands = offsets.map(|offset| custody.take(partition, offset).expect("in custody"));
        let take = |stand| {
            custody.gathered(&stand);
            let told = Vec::new();
            Taken { stand, told }
        };
        stands.map(take).collect()
    }

    fn delivered(custody: &Custody, next: u64) {
        custody.store.set_cursor("sink", next).expect("a cursor");
    }

    #[test]
    fn a_partition_is_done_up_to_what_every_sink_has_delivered() {
        let folder = Folder::new("custody-done");
        let custody = custody(&folder);
        custody.given(0, Some(5));
        assert_eq!(custody.to_tell().expect("a store"), [(0, 5)], "where it begins");
        // Two of history, then three alerts.
        let mut taken = take(&custody, 0, 3..8);
        custody.put(&mut taken).expect("a store");
        assert_eq!(custody.to_tell().expect("a store"), []);
        delivered(&custody, 3);
        assert_eq!(custody.to_tell().expect("a store"), [(0, 6)]);
        // A record that is no alert is done with those before it, not earlier.
        custody.pass(&custody.take(0, 8).expect("in custody"));
        delivered(&custody, 4);
        assert_eq!(custody.to_tell().expect("a store"), [(0, 7)]);
        delivered(&custody, 5);
        assert_eq!(custody.to_tell().expect("a store"), [(0, 9)]);
        assert_eq!(custody.to_tell().expect("a store"), [], "told once");
        custody.not_told();
        assert_eq!(custody.to_tell().expect("a store"), [(0, 9)]);
    }

    #[test]
    fn a_topic_that_was_made_anew_under_it_is_delivered_from_its_beginning() {
        let folder = Folder::new("custody-anew");
        let custody = custody(&folder);
        custody.given(0, Some(7));
        let mut taken = take(&custody, 0, 5..9);
        assert!(taken.iter().all(|taken| !taken.stand.is_back()));
        taken.extend(take(&custody, 0, 0..2));
        assert!(taken[4].stand.is_back() && !taken[4].stand.is_history());
        assert!(!taken[5].stand.is_back());
        custody.put(&mut taken).expect("a store");
        delivered(&custody, 4);
        assert_eq!(custody.to_tell().expect("a store"), [(0, 9)]);
        delivered(&custody, 6);
        assert_eq!(custody.to_tell().expect("a store"), [(0, 2)]);
    }

    #[test]
    fn what_is_gathered_and_not_in_the_outbox_is_not_done() {
        let folder = Folder::new("custody-gathered");
        let custody = custody(&folder);
        custody.given(0, Some(0));
        let mut taken = take(&custody, 0, 0..2);
        custody.pass(&custody.take(0, 2).expect("in custody"));
        assert_eq!(custody.to_tell().expect("a store"), [(0, 0)]);
        custody.put(&mut taken).expect("a store");
        delivered(&custody, 1);
        assert_eq!(custody.to_tell().expect("a store"), [(0, 1)]);
        assert_eq!(custody.waiting().expect("a store"), 1);
        delivered(&custody, 2);
        assert_eq!(custody.to_tell().expect("a store"), [(0, 3)]);
    }

    #[test]
    fn a_partition_that_comes_back_begins_anew() {
        let folder = Folder::new("custody-back");
        let custody = custody(&folder);
        custody.given(0, Some(0));
        let mut taken = take(&custody, 0, 0..3);
        custody.put(&mut taken).expect("a store");
        let mut late = take(&custody, 0, 3..4);
        delivered(&custody, 2);
        assert_eq!(custody.taken(0), Some(2), "the third was not delivered");
        assert!(custody.tenures().is_empty());
        assert_eq!(custody.take(0, 4), None);
        custody.given(0, Some(2));
        // What was taken before it went is left to whoever holds it now.
        custody.put(&mut late).expect("a store");
        assert!(late.is_empty());
        assert_eq!(custody.tenures(), BTreeMap::from([(0, 3)]));
        // That the sink passes over what it does not hold says nothing about the new tenure.
        delivered(&custody, 3);
        assert_eq!(custody.to_tell().expect("a store"), [(0, 2)]);
        custody.stop(&custody.take(0, 2).expect("in custody"));
        assert_eq!(custody.take(0, 2), None);
        custody.close();
        assert_eq!(custody.taken(0), None);
    }

    #[test]
    fn what_may_be_in_the_outbox_already_is_put_there_as_it_was() {
        let folder = Folder::new("custody-doubtful");
        let custody = custody(&folder);
        custody.given(0, Some(0));
        custody.given(1, Some(0));
        let mut taken = take(&custody, 0, 0..3);
        taken.extend(take(&custody, 1, 0..2));
        // It becomes durable, and the system says that it did not.
        custody.store.fail_after_next_commit();
        custody.put(&mut taken).expect_err("a failure");
        assert_eq!(taken.len(), 5);
        let before = custody.store.told(0, 9).expect("a store");
        // Meanwhile a partition goes and comes back, and is read again from where the group was told.
        custody.taken(0);
        custody.given(0, Some(0));
        taken.extend(take(&custody, 0, 0..1));
        custody.put(&mut taken).expect("a store");
        let after = custody.store.told(0, 9).expect("a store");
        assert_eq!((before.len(), after.len()), (5, 6));
        assert_eq!(before, after[..5]);
        // What is of the tenure before is passed over, and counts for nobody.
        assert_eq!(custody.tenures(), BTreeMap::from([(0, 5), (1, 0)]));
        delivered(&custody, 4);
        assert_eq!(custody.to_tell().expect("a store"), [(0, 0), (1, 1)]);
        delivered(&custody, 6);
        assert_eq!(custody.to_tell().expect("a store"), [(0, 1), (1, 2)]);
        assert_eq!(custody.waiting().expect("a store"), 0);
    }
}
