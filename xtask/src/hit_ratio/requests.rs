//! Where requests come from: traces, seeded generators, and the sizes that keys have.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use ringhold_types::prng::Prng;

/// Bytes of every key.
pub(super) const KEY_LEN: u64 = 16;
/// Bytes of an item beside its key and value, and of the word and ghost that an entry takes (ENGINE.md, 2 and 7).
const HEADER_LEN: u64 = 12;
const ENTRY_OVERHEAD: u64 = 12;
/// The longest value, in bytes: the tail of the distribution has no end.
pub(crate) const VALUE_LEN_CUT: usize = 200_000;
/// A replay never has more requests.
const REQUESTS_MAX: usize = 6_000_000;
/// The keys of a replay take this many times the budget, at least, when the trace is repeated.
const FOOTPRINT: u64 = 3;
/// Keys and requests of a generator.
const KEYS: u32 = 100_000;
const REQUESTS: usize = 1_000_000;

/// A sequence of requests: keys as dense numbers.
pub(super) struct Requests {
    pub(super) name: String,
    keys: Vec<u32>,
    count: u32,
}

/// The length of a key's value, drawn once from its number: Facebook's ETC pool, a generalized Pareto distribution with
/// scale 214.476 and shape 0.348238, mean 329 bytes (Atikoglu and others, "Workload Analysis of a Large-Scale Key-Value
/// Store", SIGMETRICS 2012, table 5).
pub(crate) fn value_len(key: u32) -> u64 {
    let drawn = Prng::new(u64::from(key) ^ 0x51E5).below(1 << 53);
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let uniform = drawn as f64 / (1u64 << 53) as f64;
    let len = 214.476 * ((1.0 - uniform).powf(-0.348_238) - 1.0) / 0.348_238;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within 0 and the longest value"
    )]
    let len = len.min(VALUE_LEN_CUT as f64) as u64;
    len.max(1)
}

/// What an entry of this key takes, as all policies count it.
pub(super) fn entry_len(key: u32) -> u64 {
    (HEADER_LEN + KEY_LEN + value_len(key)).next_multiple_of(4) + ENTRY_OVERHEAD
}

impl Requests {
    /// Reads a trace: one number a line; `.xz` goes through the program of that name.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let is_packed = path.extension().is_some_and(|extension| extension == "xz");
        let text = if is_packed {
            let output = Command::new("xz").arg("-dc").arg(path).output().context("xz")?;
            ensure!(output.status.success(), "xz cannot read {}", path.display());
            String::from_utf8(output.stdout)?
        } else {
            std::fs::read_to_string(path)?
        };
        let keys: Vec<u32> = text.lines().map(str::parse).collect::<Result<_, _>>()?;
        let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let count = keys.iter().max().map_or(0, |max| max + 1);
        Ok(Self { name, keys, count })
    }

    /// Reads every `.xz` trace of a folder, in the order of their names.
    pub(super) fn read_folder(folder: &Path) -> anyhow::Result<Vec<Self>> {
        let files = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let mut paths = files.map(|file| Ok(file?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "xz"));
        paths.sort();
        ensure!(!paths.is_empty(), "no trace in {}", folder.display());
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// The seeded generators.
    pub(super) fn generated() -> Vec<Self> {
        let zipf = |skew: f64| {
            let zipf = Zipf::new(KEYS, skew);
            Self::made(&format!("zipf {skew}"), move |prng, _| zipf.draw(prng))
        };
        let over = Zipf::new(KEYS / 2, 0.99);
        let shifting = Zipf::new(KEYS / 10, 0.8);
        let once = Zipf::new(KEYS / 2, 0.99);
        vec![
            zipf(0.8),
            zipf(0.99),
            zipf(1.2),
            // A scan of the upper half passes while the lower half is used.
            Self::made("scan over zipf", move |prng, at| {
                if at % 3 == 0 { KEYS / 2 + at / 3 % (KEYS / 2) } else { over.draw(prng) }
            }),
            Self::made("loop", |_, at| at % (KEYS / 2)),
            // A tenth of the keys is hot, another tenth after each tenth of the requests.
            Self::made("shifting", move |prng, at| {
                let phase = at / u32::try_from(REQUESTS / 10).unwrap_or(1);
                phase * (KEYS / 10) + shifting.draw(prng)
            }),
            Self::made(
                "half once",
                move |prng, at| {
                    if at % 2 == 0 { KEYS / 2 + at / 2 } else { once.draw(prng) }
                },
            ),
        ]
    }

    fn made(name: &str, next: impl Fn(&mut Prng, u32) -> u32) -> Self {
        let mut prng = Prng::new(1);
        let ats = 0..u32::try_from(REQUESTS).unwrap_or(u32::MAX);
        let keys: Vec<u32> = ats.map(|at| next(&mut prng, at)).collect();
        let count = keys.iter().max().map_or(0, |max| max + 1);
        Self { name: name.to_owned(), keys, count }
    }

    /// The requests for a cache of `budget` bytes. A trace whose keys are too few is repeated with shifted keys: the
    /// copies take turns, each beginning at another place.
    pub(super) fn for_budget(&self, budget: u64) -> Replay {
        let mut is_used = vec![false; self.count as usize];
        self.keys.iter().for_each(|&key| is_used[key as usize] = true);
        let used = (0..self.count).filter(|&key| is_used[key as usize]);
        let bytes: u64 = used.map(entry_len).sum();
        let copies = (FOOTPRINT * budget).div_ceil(bytes.max(1)).max(1);
        let copies = u32::try_from(copies).unwrap_or(u32::MAX);
        let each = self.keys.len().min(REQUESTS_MAX / copies as usize);
        let stride = self.keys.len() / copies as usize;
        let keys = (0..each).flat_map(|at| {
            (0..copies).map(move |copy| {
                let at = (at + copy as usize * stride) % self.keys.len();
                copy * self.count + self.keys[at]
            })
        });
        Replay { keys: keys.collect(), count: copies * self.count, copies }
    }
}

/// The requests of one run.
pub(super) struct Replay {
    pub(super) keys: Vec<u32>,
    /// All keys are below it.
    pub(super) count: u32,
    pub(super) copies: u32,
}

/// Numbers whose frequencies fall with a power of their rank; ranks are shuffled over the numbers.
pub(crate) struct Zipf {
    sums: Vec<f64>,
    numbers: Vec<u32>,
}

impl Zipf {
    /// Of numbers below `count`.
    pub(crate) fn new(count: u32, skew: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += f64::from(rank).powf(-skew);
            sum
        });
        let sums = sums.collect();
        let mut numbers: Vec<u32> = (0..count).collect();
        let mut prng = Prng::new(2);
        for at in (1..numbers.len()).rev() {
            let other = usize::try_from(prng.below(at as u64 + 1)).unwrap_or(0);
            numbers.swap(at, other);
        }
        Self { sums, numbers }
    }

    /// The next number.
    pub(crate) fn draw(&self, prng: &mut Prng) -> u32 {
        let most = self.sums.last().copied().unwrap_or(0.0);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let drawn = prng.below(1 << 53) as f64 / (1u64 << 53) as f64 * most;
        let rank = self.sums.partition_point(|&sum| sum < drawn);
        self.numbers[rank.min(self.numbers.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_mean_of_the_paper_and_copies_have_keys_of_their_own() {
        let sum: u64 = (0..100_000).map(value_len).sum();
        assert!((310..350).contains(&(sum / 100_000)), "{}", sum / 100_000);
        let few = Requests { name: String::new(), keys: vec![0, 1, 0, 2], count: 3 };
        let replay = few.for_budget(10_000);
        assert!(replay.copies > 20 && replay.keys.len() == 4 * replay.copies as usize);
        assert!(replay.keys.iter().all(|&key| key < replay.count));
        let first_keys: Vec<u32> =
            replay.keys.iter().copied().step_by(replay.copies as usize).collect();
        assert_eq!(first_keys, [0, 1, 0, 2]);
    }
}
