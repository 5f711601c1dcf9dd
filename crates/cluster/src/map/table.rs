//! Who holds each slot, as a table of the configurations that there are and each slot's row in it.
//!
//! Slots that have the same history have the same configuration, so there are few rows: hundreds in a cluster of a few
//! nodes, however many slots a change touches. A change is worked out once for each row; a new version of the map copies
//! two bytes a slot and a pointer a row; and what is asked of all slots is asked of the rows.
//!
//! Invariants: each slot's row is in the table; a row's count is the number of its slots, and rows of none are free.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringhold_types::id::MapIdx;
use ringhold_types::slot::{SLOTS, Slot};

use super::Config;
use crate::slots::SlotSet;

const COUNT: usize = SLOTS as usize;

/// The configurations of all slots. Copies share what neither changes.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The row of each slot.
    places: Arc<[u16; COUNT]>,
    rows: Arc<Rows>,
}

#[derive(Clone, Debug)]
struct Rows {
    all: Vec<Row>,
    /// The rows without a slot.
    free: Vec<u16>,
}

#[derive(Clone, Debug)]
struct Row {
    config: Arc<Config>,
    /// The configuration's, beside the others'.
    ver: MapIdx,
    count: u16,
}

impl Rows {
    /// The row of a configuration that has no slot yet.
    fn add(&mut self, config: Config) -> u16 {
        let row = Row { ver: config.ver, config: Arc::new(config), count: 0 };
        if let Some(place) = self.free.pop() {
            self.all[usize::from(place)] = row;
            return place;
        }
        self.all.push(row);
        u16::try_from(self.all.len() - 1).expect("rows have slots, which are fewer")
    }

    /// A slot goes from one row to another.
    fn pass(&mut self, from: u16, to: u16) {
        self.all[usize::from(to)].count += 1;
        let row = &mut self.all[usize::from(from)];
        row.count -= 1;
        if row.count == 0 {
            self.free.push(from);
        }
    }
}

/// What a change made of a row.
#[derive(Clone, Copy)]
enum Became {
    Untried,
    Same,
    Other(u16),
}

impl Table {
    /// All slots of one configuration.
    pub(crate) fn of(config: Config) -> Self {
        let row = Row { ver: config.ver, config: Arc::new(config), count: SLOTS };
        let rows = Rows { all: vec![row], free: Vec::new() };
        Self { places: Arc::new([0; COUNT]), rows: Arc::new(rows) }
    }

    /// Slot by slot, from the first on: runs of equal configurations, each with its length.
    ///
    /// # Panics
    ///
    /// Unless the lengths sum up to the number of slots.
    pub(crate) fn of_runs(runs: Vec<(usize, Config)>) -> Self {
        let mut known: BTreeMap<Config, u16> = BTreeMap::new();
        let mut rows = Rows { all: Vec::new(), free: Vec::new() };
        let mut places = [0; COUNT];
        let mut rest = &mut places[..];
        for (count, config) in runs {
            let place = *known.entry(config).or_insert_with_key(|config| rows.add(config.clone()));
            let (run, after) = rest.split_at_mut(count);
            run.fill(place);
            rest = after;
        }
        assert!(rest.is_empty(), "every slot is in a run");
        places.iter().for_each(|place| rows.all[usize::from(*place)].count += 1);
        let empty = (0..).zip(&rows.all).filter(|(_, row)| row.count == 0).map(|(place, _)| place);
        rows.free = empty.collect();
        Self { places: Arc::new(places), rows: Arc::new(rows) }
    }

    fn row(&self, slot: Slot) -> &Row {
        &self.rows.all[usize::from(self.places[slot.index()])]
    }

    /// The configuration of a slot.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> &Config {
        &self.row(slot).config
    }

    /// The configurations that there are, each with the number of its slots.
    pub(crate) fn configs(&self) -> impl Iterator<Item = (&Config, u16)> {
        let used = self.rows.all.iter().filter(|row| row.count > 0);
        used.map(|row| (&*row.config, row.count))
    }

    /// The slots of whose configuration `is_it` holds.
    pub(crate) fn slots_where(&self, is_it: impl Fn(&Config) -> bool) -> SlotSet {
        let are: Vec<bool> =
            self.rows.all.iter().map(|row| row.count > 0 && is_it(&row.config)).collect();
        Slot::all().filter(|slot| are[usize::from(self.places[slot.index()])]).collect()
    }

    /// Does `change` to the configurations of `slots`, once to equal ones; it says whether it did anything.
    pub(crate) fn change(
        &mut self,
        slots: impl Iterator<Item = Slot>,
        mut change: impl FnMut(&mut Config) -> bool,
    ) {
        let mut became = vec![Became::Untried; self.rows.all.len()];
        for slot in slots {
            let before = self.places[slot.index()];
            let known = &mut became[usize::from(before)];
            if matches!(known, Became::Untried) {
                let mut config = (*self.rows.all[usize::from(before)].config).clone();
                *known = if change(&mut config) {
                    Became::Other(Arc::make_mut(&mut self.rows).add(config))
                } else {
                    Became::Same
                };
            }
            if let Became::Other(after) = *known {
                Arc::make_mut(&mut self.places)[slot.index()] = after;
                Arc::make_mut(&mut self.rows).pass(before, after);
            }
        }
    }

    /// The slots, every 2^`log2`-th from `first` on, whose configuration is another one in `older`. `is_one_log`: both are
    /// of one log, where configurations of equal ver are equal.
    pub(crate) fn changed<'t>(
        &'t self,
        older: &'t Self,
        (first, log2): (usize, u32),
        is_one_log: bool,
    ) -> impl Iterator<Item = Slot> + 't {
        let is_same = move |new: &Row, old: &Row| {
            new.ver == old.ver && (is_one_log || new.config == old.config)
        };
        // Most slots are in the row that they were in: whether that is still the same is found once.
        let rows = self.rows.all.iter().zip(&older.rows.all);
        let are_same: Vec<bool> = rows.map(|(new, old)| is_same(new, old)).collect();
        let is_shared =
            Arc::ptr_eq(&self.places, &older.places) && Arc::ptr_eq(&self.rows, &older.rows);
        let slots = if is_shared { 0..0 } else { first..COUNT };
        slots.step_by(1 << log2).filter_map(move |slot| {
            let (new, old) = (self.places[slot], older.places[slot]);
            let is_same = if new == old {
                are_same[usize::from(new)]
            } else {
                is_same(&self.rows.all[usize::from(new)], &older.rows.all[usize::from(old)])
            };
            let number = u16::try_from(slot).ok().filter(|_| !is_same);
            number.and_then(Slot::new)
        })
    }

    /// Checks what must always hold.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub(crate) fn check_invariants(&self) {
        let mut counts = vec![0u16; self.rows.all.len()];
        self.places.iter().for_each(|place| counts[usize::from(*place)] += 1);
        for ((place, row), count) in (0..).zip(&self.rows.all).zip(counts) {
            assert_eq!(row.count, count, "a row's slots are counted");
            assert_eq!(row.ver, row.config.ver, "a row has the ver of its configuration");
            let free = self.rows.free.iter().filter(|other| **other == place).count();
            assert_eq!(free, usize::from(count == 0), "rows without slots are free, once");
        }
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        let is_shared =
            Arc::ptr_eq(&self.places, &other.places) && Arc::ptr_eq(&self.rows, &other.rows);
        // Whatever the rows are that the configurations are in.
        is_shared || Slot::all().all(|slot| self.row(slot).config == other.row(slot).config)
    }
}

impl Eq for Table {}
