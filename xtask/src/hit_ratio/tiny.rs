//! `W-TinyLFU` (Einziger, Friedman, Manes, "`TinyLFU`: A Highly Efficient Cache Admission Policy", ACM TOS 2017), by bytes.
//!
//! A window of 1 %, the rest a segmented LRU whose protected part is 80 %. A candidate from the window is admitted when
//! the sketch has seen it more often than all entries together that would have to go for it, as moka does for unequal
//! sizes.

use ringhold_types::prng::Prng;

use super::policies::{Cache, List};
use super::requests::entry_len;

const ROWS: usize = 4;
/// The sketch is halved after so many increments per entry that fits.
const SAMPLE: u64 = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Out,
    Window,
    Probation,
    Protected,
}

pub(super) struct TinyLfu {
    place: Vec<Place>,
    lists: [List; 3],
    bytes: [u64; 3],
    budget: u64,
    sketch: Sketch,
}

struct Sketch {
    counters: Vec<u8>,
    mask: u64,
    added: u64,
    period: u64,
}

impl Sketch {
    fn new(entries: u64) -> Self {
        let width = entries.next_power_of_two().max(1024);
        let len = usize::try_from(width).unwrap_or(1024) * ROWS;
        Self { counters: vec![0; len], mask: width - 1, added: 0, period: entries * SAMPLE }
    }

    fn places(&self, key: u32) -> [usize; ROWS] {
        let mut prng = Prng::new(u64::from(key));
        core::array::from_fn(|row| {
            usize::try_from(prng.next_u64() & self.mask).unwrap_or(0) * ROWS + row
        })
    }

    fn add(&mut self, key: u32) {
        for place in self.places(key) {
            self.counters[place] = (self.counters[place] + 1).min(15);
        }
        self.added += 1;
        if self.added >= self.period {
            self.counters.iter_mut().for_each(|counter| *counter /= 2);
            self.added /= 2;
        }
    }

    fn count(&self, key: u32) -> u32 {
        self.places(key).iter().map(|&place| u32::from(self.counters[place])).min().unwrap_or(0)
    }
}

impl TinyLfu {
    pub(super) fn new(budget: u64, count: u32) -> Self {
        let entries = budget / 380;
        Self {
            place: vec![Place::Out; count as usize],
            lists: core::array::from_fn(|_| List::new(count)),
            bytes: [0; 3],
            budget,
            sketch: Sketch::new(entries.max(1)),
        }
    }

    fn leave(&mut self, key: u32) {
        let list = match self.place[key as usize] {
            Place::Out => return,
            Place::Window => 0,
            Place::Probation => 1,
            Place::Protected => 2,
        };
        self.lists[list].remove(key);
        self.bytes[list] -= entry_len(key);
        self.place[key as usize] = Place::Out;
    }

    fn enter(&mut self, key: u32, place: Place) {
        let list = match place {
            Place::Out => return,
            Place::Window => 0,
            Place::Probation => 1,
            Place::Protected => 2,
        };
        self.lists[list].push(key);
        self.bytes[list] += entry_len(key);
        self.place[key as usize] = place;
    }

    /// Takes the window's oldest into the main part, if it is worth those that have to go.
    fn judge(&mut self, candidate: u32) {
        self.leave(candidate);
        let main = self.budget - self.budget / 100;
        let need = entry_len(candidate);
        if need > main {
            return;
        }
        let (mut victims, mut freed, mut count) = (Vec::new(), 0, 0);
        let mut at = self.lists[1].first();
        while self.bytes[1] + self.bytes[2] + need > main + freed {
            let Some(victim) = at.or_else(|| self.lists[2].first()) else { break };
            victims.push(victim);
            freed += entry_len(victim);
            count += self.sketch.count(victim);
            at = self.lists[1].next(victim);
            if at.is_none() && victims.len() > 1000 {
                break;
            }
        }
        if victims.is_empty() || self.sketch.count(candidate) > count {
            victims.into_iter().for_each(|victim| self.leave(victim));
            self.enter(candidate, Place::Probation);
        }
    }
}

impl Cache for TinyLfu {
    fn get(&mut self, key: u32) -> bool {
        self.sketch.add(key);
        let place = self.place[key as usize];
        match place {
            Place::Out => self.enter(key, Place::Window),
            Place::Window => {
                self.leave(key);
                self.enter(key, Place::Window);
            }
            Place::Probation | Place::Protected => {
                self.leave(key);
                self.enter(key, Place::Protected);
            }
        }
        let protected = (self.budget - self.budget / 100) / 5 * 4;
        while self.bytes[2] > protected
            && let Some(oldest) = self.lists[2].first()
        {
            self.leave(oldest);
            self.enter(oldest, Place::Probation);
        }
        while self.bytes[0] > self.budget / 100
            && let Some(oldest) = self.lists[0].first()
        {
            self.judge(oldest);
        }
        place != Place::Out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_often_stays_when_what_is_new_passes() {
        let bytes: u64 = (0..200).map(entry_len).sum::<u64>() * 3;
        let mut cache = TinyLfu::new(bytes, 100_000);
        for round in 0..50 {
            for key in 0..200 {
                let _is_hit = cache.get(key);
            }
            for key in 0..500 {
                let _is_hit = cache.get(200 + round * 500 + key);
            }
        }
        let hits = (0..200).filter(|&key| cache.get(key)).count();
        assert!(hits > 180, "{hits}");
        assert!(cache.bytes.iter().sum::<u64>() <= bytes, "the budget holds");
    }
}
