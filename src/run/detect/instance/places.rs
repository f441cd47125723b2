//! Partitions that stay ours and are taken up anew, because their next record is not there any more.

use super::Instance;
use crate::edge::bus::Seat;
use anyhow::Context as _;

impl Instance {
    /// Takes up a partition anew that stays ours.
    fn take_up_again(&mut self, seat: Seat) -> anyhow::Result<()> {
        self.give_up(&seat);
        self.group.hold_back(&seat).context("holding a partition back")?;
        self.voice.metrics().up(&seat.topic, seat.partition).set(0);
        self.take_up(seat)?;
        Ok(())
    }

    /// Takes up the partitions anew whose next record is not there any more.
    pub(super) fn look_for_places(&mut self) -> anyhow::Result<()> {
        let held: Vec<(Seat, i64)> = self.held.values().map(|held| (held.seat.clone(), held.next)).collect();
        for (seat, next) in held {
            // Brokers that do not answer now are asked again when it is told again.
            if let Ok((low, high)) = self.restorer.shelf.bounds(&seat)
                && !(low..=high).contains(&next)
            {
                self.take_up_again(seat)?;
            }
        }
        Ok(())
    }
}
