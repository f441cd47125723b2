//! The table of open flows: found by key, ended by a timing wheel.
//!
//! A flow stands in one slot (one second of event time) of the wheel and is looked at when that second has passed; a
//! flow that had packets since is put into a later slot. So a packet costs the wheel nothing, and no step visits all
//! flows. At the bound, the flow that stands nearest to its end makes room.

use super::flow::{Flow, FlowKey};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Slots of the wheel, one second each; what ends later is looked at once on the way.
const SLOTS: usize = 512;
const TICK_NANOS: i64 = 1_000_000_000;
const NONE: u32 = u32::MAX;

struct Place {
    flow: Option<Flow>,
    previous: u32,
    next: u32,
    slot: u16,
}

/// All open flows.
pub(crate) struct FlowTable {
    index: HashTable<u32>,
    places: Vec<Place>,
    free: Vec<u32>,
    heads: Vec<u32>,
    tails: Vec<u32>,
    /// The second up to which flows were ended.
    tick: i64,
    flows_max: usize,
}

impl FlowTable {
    /// An empty table for at most `flows_max` flows.
    pub(crate) fn new(flows_max: usize) -> Self {
        FlowTable {
            index: HashTable::new(),
            places: Vec::new(),
            free: Vec::new(),
            heads: vec![NONE; SLOTS],
            tails: vec![NONE; SLOTS],
            tick: i64::MIN,
            flows_max: flows_max.clamp(1, NONE as usize - 1),
        }
    }

    /// How many flows are open.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether a further flow needs room to be made first.
    pub(crate) fn is_full(&self) -> bool {
        self.index.len() >= self.flows_max
    }

    /// The number of the flow with this key.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &FlowKey) -> Option<u32> {
        let places = &self.places;
        self.index
            .find(hash, |number| {
                flow_at(places, *number).is_some_and(|flow| flow.key == *key)
            })
            .copied()
    }

    /// The flow of a number.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Flow> {
        self.places.get_mut(number as usize)?.flow.as_mut()
    }

    /// Adds a flow that is to be looked at at `deadline`, and gives its number. Its key is not in the table.
    pub(crate) fn insert(&mut self, flow: Flow, deadline: i64) -> u32 {
        let hash = flow.hash;
        let key = flow.key;
        let place = Place {
            flow: Some(flow),
            previous: NONE,
            next: NONE,
            slot: 0,
        };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(old) = self.places.get_mut(number as usize) {
                    *old = place;
                }
                number
            }
            None => {
                self.places.push(place);
                (self.places.len() - 1) as u32
            }
        };
        let places = &self.places;
        let same = |other: &u32| flow_at(places, *other).is_some_and(|flow| flow.key == key);
        match self
            .index
            .entry(hash, same, |other| flow_at(places, *other).map_or(0, |flow| flow.hash))
        {
            Entry::Occupied(mut entry) => *entry.get_mut() = number,
            Entry::Vacant(entry) => {
                entry.insert(number);
            }
        }
        self.arm(number, deadline);
        number
    }

    /// Takes a flow out.
    pub(crate) fn remove(&mut self, number: u32) {
        let Some(flow) = flow_at(&self.places, number) else {
            return;
        };
        if let Ok(entry) = self.index.find_entry(flow.hash, |other| *other == number) {
            entry.remove();
        }
        self.disarm(number);
        if let Some(place) = self.places.get_mut(number as usize) {
            place.flow = None;
        }
        self.free.push(number);
    }

    /// Has a flow looked at at `deadline` and not before.
    pub(crate) fn rearm(&mut self, number: u32, deadline: i64) {
        self.disarm(number);
        self.arm(number, deadline);
    }

    /// Moves time on by one second, at most to `time`, and puts the flows to be looked at into `due`, emptied before;
    /// `None` once there is no second left. When nothing waits at all (`is_idle`), all seconds pass at once.
    pub(crate) fn tick(&mut self, time: i64, is_idle: bool, due: &mut Vec<u32>) -> Option<i64> {
        let target = time.div_euclid(TICK_NANOS);
        if self.tick >= target {
            return None;
        }
        due.clear();
        if is_idle {
            self.tick = target;
            return None;
        }
        self.tick += 1;
        let slot = slot_of(self.tick);
        let mut number = self.heads.get(slot).copied().unwrap_or(NONE);
        while let Some(place) = self.places.get(number as usize) {
            due.push(number);
            number = place.next;
        }
        Some(self.tick.saturating_mul(TICK_NANOS))
    }

    /// Time begins anew, perhaps earlier. The table is empty.
    pub(crate) fn forget_time(&mut self) {
        self.tick = i64::MIN;
    }

    /// Whether `time` lies in a second that has not been reached.
    #[inline]
    pub(crate) fn is_tick_due(&self, time: i64) -> bool {
        time.div_euclid(TICK_NANOS) > self.tick
    }

    /// The flow that the wheel comes to first, by its slot.
    pub(crate) fn nearest_to_end(&self) -> Option<u32> {
        (1..=SLOTS as i64)
            .map(|ahead| slot_of(self.tick.wrapping_add(ahead)))
            .filter_map(|slot| self.heads.get(slot).copied())
            .find(|head| *head != NONE)
    }

    /// Whether a flow that is to be looked at at `deadline` would stand in a later slot than it does.
    pub(crate) fn is_later(&self, number: u32, deadline: i64) -> bool {
        let slot = self
            .places
            .get(number as usize)
            .map_or(0, |place| usize::from(place.slot));
        slot_of(self.tick_of(deadline)) != slot
    }

    /// All open flows, in the order in which they began.
    pub(crate) fn numbers_by_age(&self) -> Vec<u32> {
        let mut numbers: Vec<(u64, u32)> = self
            .places
            .iter()
            .zip(0u32..)
            .filter_map(|(place, number)| place.flow.as_ref().map(|flow| (flow.number, number)))
            .collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|(_, number)| number).collect()
    }

    fn arm(&mut self, number: u32, deadline: i64) {
        let slot = slot_of(self.tick_of(deadline));
        let tail = self.tails.get(slot).copied().unwrap_or(NONE);
        if let Some(place) = self.places.get_mut(number as usize) {
            place.slot = slot as u16;
            place.previous = tail;
            place.next = NONE;
        }
        match self.places.get_mut(tail as usize) {
            Some(last) => last.next = number,
            None => set(&mut self.heads, slot, number),
        }
        set(&mut self.tails, slot, number);
    }

    /// The second at whose end a deadline has passed, inside of the wheel.
    fn tick_of(&self, deadline: i64) -> i64 {
        let exact = deadline.div_euclid(TICK_NANOS).saturating_add(1);
        exact.clamp(self.tick.saturating_add(1), self.tick.saturating_add(SLOTS as i64 - 1))
    }

    fn disarm(&mut self, number: u32) {
        let Some(place) = self.places.get(number as usize) else {
            return;
        };
        let (slot, previous, next) = (usize::from(place.slot), place.previous, place.next);
        match self.places.get_mut(previous as usize) {
            Some(before) => before.next = next,
            None => set(&mut self.heads, slot, next),
        }
        match self.places.get_mut(next as usize) {
            Some(after) => after.previous = previous,
            None => set(&mut self.tails, slot, previous),
        }
    }
}

#[inline]
fn flow_at(places: &[Place], number: u32) -> Option<&Flow> {
    places.get(number as usize)?.flow.as_ref()
}

fn slot_of(tick: i64) -> usize {
    tick.rem_euclid(SLOTS as i64) as usize
}

fn set(list: &mut [u32], slot: usize, number: u32) {
    if let Some(place) = list.get_mut(slot) {
        *place = number;
    }
}
