//! Plain simulators of eviction policies, entry by entry, by bytes.

use std::collections::VecDeque;

use super::requests::entry_len;

/// A cache that is filled on a miss.
pub(super) trait Cache {
    /// Asks for a key and stores it when it is missing; whether it was there.
    fn get(&mut self, key: u32) -> bool;
}

/// A doubly linked list over dense numbers, by index.
pub(super) struct List {
    before: Vec<u32>,
    after: Vec<u32>,
    end: u32,
}

impl List {
    pub(super) fn new(count: u32) -> Self {
        let all: Vec<u32> = (0..=count).collect();
        Self { before: all.clone(), after: all, end: count }
    }

    /// The element put in first; `None` when there is none.
    pub(super) fn first(&self) -> Option<u32> {
        Some(self.after[self.end as usize]).filter(|&first| first != self.end)
    }

    /// The element put in after this one.
    pub(super) fn next(&self, key: u32) -> Option<u32> {
        Some(self.after[key as usize]).filter(|&next| next != self.end)
    }

    pub(super) fn push(&mut self, key: u32) {
        let last = self.before[self.end as usize];
        self.after[last as usize] = key;
        self.before[key as usize] = last;
        self.after[key as usize] = self.end;
        self.before[self.end as usize] = key;
    }

    pub(super) fn remove(&mut self, key: u32) {
        let (before, after) = (self.before[key as usize], self.after[key as usize]);
        self.after[before as usize] = after;
        self.before[after as usize] = before;
    }
}

/// The least recently used goes.
pub(super) struct Lru {
    list: List,
    is_in: Vec<bool>,
    bytes: u64,
    budget: u64,
}

impl Lru {
    pub(super) fn new(budget: u64, count: u32) -> Self {
        Self { list: List::new(count), is_in: vec![false; count as usize], bytes: 0, budget }
    }
}

impl Cache for Lru {
    fn get(&mut self, key: u32) -> bool {
        let is_hit = self.is_in[key as usize];
        if is_hit {
            self.list.remove(key);
        } else {
            self.bytes += entry_len(key);
            self.is_in[key as usize] = true;
        }
        self.list.push(key);
        while self.bytes > self.budget
            && let Some(oldest) = self.list.first()
        {
            self.list.remove(oldest);
            self.is_in[oldest as usize] = false;
            self.bytes -= entry_len(oldest);
        }
        is_hit
    }
}

/// A new entry has the credit of a known one that is so many times as long.
const NEW_PART: f64 = 4.0;

/// How S3-FIFO judges.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Judge {
    /// As in its paper (Yang and others, SOSP 2023): used more than once goes on.
    Paper,
    /// The engine's: with size credits, from the first write on, and a Main that takes over what Small gives up while it
    /// is below its least share.
    Credits,
}

impl Judge {
    fn entries_per_ghost(self) -> u64 {
        match self {
            Self::Paper => 1,
            Self::Credits => 2,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Out,
    Small,
    Main,
}

/// S3-FIFO: Small for what is new, Main for what was used, ghosts of what Small gave up.
pub(super) struct S3Fifo {
    judge: Judge,
    budget: u64,
    place: Vec<Place>,
    freq: Vec<u8>,
    credit: Vec<u8>,
    queues: [VecDeque<u32>; 2],
    bytes: [u64; 2],
    entries: u64,
    /// The number of the ghost of a key, 0 for none; a ghost is alive while it is among the newest.
    ghosts: Vec<u64>,
    ghost: u64,
    avg: f64,
}

impl S3Fifo {
    pub(super) fn new(judge: Judge, budget: u64, count: u32) -> Self {
        let count = count as usize;
        Self {
            judge,
            budget,
            place: vec![Place::Out; count],
            freq: vec![0; count],
            credit: vec![0; count],
            queues: [VecDeque::new(), VecDeque::new()],
            bytes: [0; 2],
            entries: 0,
            ghosts: vec![0; count],
            ghost: 0,
            avg: 0.0,
        }
    }

    /// The credit of an entry of `part` times the key's size.
    fn credit_of(&self, key: u32, part: f64) -> u8 {
        if self.judge == Judge::Paper {
            return 0;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 7"
        )]
        let credit = (self.avg / (entry_len(key) as f64 * part) - 0.2).clamp(0.0, 7.0) as u8;
        credit
    }

    fn is_kept(&self, key: u32, from: Place) -> bool {
        let freq = self.freq[key as usize];
        match self.judge {
            Judge::Paper if from == Place::Small => freq > 1,
            Judge::Paper => freq > 0,
            #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
            Judge::Credits => {
                let size = entry_len(key) as f64;
                freq == 3 || (freq > 0 && f64::from(1 + freq) * self.avg >= size)
            }
        }
    }

    fn put(&mut self, key: u32, place: Place) {
        let queue = usize::from(place == Place::Main);
        self.place[key as usize] = place;
        self.queues[queue].push_back(key);
        self.bytes[queue] += entry_len(key);
    }

    fn evict(&mut self) {
        let [small, main] = self.bytes;
        let from =
            if small == 0 || main > (small + main) / 10 * 9 { Place::Main } else { Place::Small };
        let queue = usize::from(from == Place::Main);
        let Some(key) = self.queues[queue].pop_front() else { return };
        let at = key as usize;
        self.bytes[queue] -= entry_len(key);
        let freq = if from == Place::Main { self.freq[at].saturating_sub(1) } else { 0 };
        if self.is_kept(key, from) {
            (self.freq[at], self.credit[at]) = (freq, self.credit_of(key, 1.0));
            return self.put(key, Place::Main);
        }
        if self.credit[at] > 0 {
            (self.freq[at], self.credit[at]) = (freq, self.credit[at] - 1);
            return self.put(key, Place::Main);
        }
        if self.judge == Judge::Credits
            && from == Place::Small
            && main + entry_len(key) < self.budget / 10 * 8
        {
            return self.put(key, Place::Main);
        }
        self.place[at] = Place::Out;
        self.entries -= 1;
        if from == Place::Small {
            self.ghost += 1;
            self.ghosts[at] = self.ghost;
        }
    }
}

impl Cache for S3Fifo {
    fn get(&mut self, key: u32) -> bool {
        let at = key as usize;
        if self.place[at] != Place::Out {
            self.freq[at] = (self.freq[at] + 1).min(3);
            return true;
        }
        #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
        let size = entry_len(key) as f64;
        self.avg = if self.avg == 0.0 { size } else { self.avg + (size - self.avg) / 512.0 };
        let is_ghost = self.ghosts[at] > 0
            && self.ghost - self.ghosts[at] < self.entries / self.judge.entries_per_ghost();
        self.ghosts[at] = 0;
        self.freq[at] = 0;
        self.credit[at] = self.credit_of(key, if is_ghost { 1.0 } else { NEW_PART });
        self.entries += 1;
        self.put(key, if is_ghost { Place::Main } else { Place::Small });
        while self.bytes[0] + self.bytes[1] > self.budget {
            self.evict();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(cache: &mut impl Cache, keys: impl Iterator<Item = u32>) -> usize {
        keys.filter(|&key| cache.get(key)).count()
    }

    #[test]
    fn lru_has_no_hit_in_a_loop_that_does_not_fit_and_all_in_one_that_does() {
        let bytes: u64 = (0..1000).map(entry_len).sum();
        let around = || (0..10_000).map(|at| at % 1000);
        assert_eq!(hits(&mut Lru::new(bytes * 9 / 10, 1000), around()), 0);
        assert_eq!(hits(&mut Lru::new(bytes, 1000), around()), 9000);
    }

    #[test]
    fn s3_fifo_outlives_a_scan_that_empties_lru() {
        // 100 keys are used all the time; each round a scan passes that is longer than the cache.
        let bytes: u64 = (0..100).map(entry_len).sum::<u64>() * 2;
        let round = |round: u32| {
            (0..100).chain((0..100).rev()).chain(0..100).chain(100 + round * 400..500 + round * 400)
        };
        let all = || (0..20).flat_map(round);
        let lru = hits(&mut Lru::new(bytes, 10_000), all());
        for judge in [Judge::Paper, Judge::Credits] {
            let s3 = hits(&mut S3Fifo::new(judge, bytes, 10_000), all());
            assert!(s3 > lru + 1000, "{s3} against {lru}");
        }
    }

    #[test]
    fn credits_keep_small_entries_longer_than_large_ones() {
        let mut cache = S3Fifo::new(Judge::Credits, 1 << 20, 1 << 20);
        assert_eq!(hits(&mut cache, 0..50_000), 0);
        let mean = |place_is_in: bool| {
            let of: Vec<u64> = (0..50_000)
                .filter(|&key| (cache.place[key as usize] != Place::Out) == place_is_in)
                .map(entry_len)
                .collect();
            of.iter().sum::<u64>() / of.len() as u64
        };
        assert!(mean(true) <= mean(false), "{} {}", mean(true), mean(false));
    }
}
