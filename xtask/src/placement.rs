//! `cargo xtask bench placement`: the ring beside ketama, jump and rendezvous hashing.
//!
//! Three questions for clusters of equal nodes: how even the nodes are (most over mean), how much moves when one node joins or leaves (over the share of that node: what must
//! move), and how long a look-up takes. The ring places 16384 slots with one copy and looks up in the table of slots; the others, which place keys, are given each slot's number as a key, so that
//! all answer the same question. Their look-ups are what their users run: no table. The first node is the one that leaves; jump hashing, which can lose only its last node, loses the last.

mod hashes;

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use ringhold_ring::node::Node;
use ringhold_ring::owners::Owners;
use ringhold_ring::placement::{Placement, Request, place};
use ringhold_types::node::Weight;
use ringhold_types::slot::SLOTS;
use serde_json::{Value, json};

use crate::clock::thread_time;
use crate::record::{self, median, say, verdict};
use hashes::{Hash, Jump, Ketama, Rendezvous};

const NODES: [usize; 4] = [3, 10, 100, 1000];
/// Look-ups of a round; rendezvous hashing, which looks at every node, does fewer.
const LOOKUPS: u64 = 1 << 20;
/// What must be reached: moved over the minimum, most over mean where whole slots allow it, a plan of 1000 nodes, a look-up.
const MOVED_MAX: f64 = 1.05;
const PLAN_MS_MAX: f64 = 100.0;
const LOOKUP_NS_MAX: f64 = 5.0;

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    rounds: usize,
}

impl Plan {
    /// Reads the flags.
    pub(crate) fn parse(flags: &[&str]) -> anyhow::Result<Self> {
        let mut plan = Self { rounds: 5 };
        for pair in flags.chunks(2) {
            match *pair {
                ["--rounds", number] => plan.rounds = number.parse().context("--rounds")?,
                _ => bail!("bench placement knows --rounds N"),
            }
        }
        ensure!(plan.rounds > 0, "at least one round");
        Ok(plan)
    }
}

/// What is found out about one way of placing slots on so many nodes.
struct Figures {
    most: f64,
    joined: f64,
    left: f64,
    lookup_ns: f64,
}

/// Measures all and writes the record.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    let mut text = "Equal nodes, 16384 slots, one copy of each. *Most*: slots of the fullest node over the mean. *Joins*, *leaves*: slots that \
                    change their node when one joins or leaves, over the slots of that node's share, which must move. Look-ups: ns of \
                    processor time from a slot's number to its node.\n\n\
                    | nodes | hash | most | joins | leaves | look-up, ns |\n|--:|---|--:|--:|--:|--:|\n"
        .to_owned();
    let mut figures = Vec::new();
    for nodes in NODES {
        let rows = [
            ("ring", of_ring(nodes, plan.rounds)?),
            ("ketama", of_hash::<Ketama>(nodes, plan.rounds)),
            ("jump", of_hash::<Jump>(nodes, plan.rounds)),
            ("rendezvous", of_hash::<Rendezvous>(nodes, plan.rounds)),
        ];
        for (name, row) in rows {
            let (is_ours, Figures { most, joined, left, lookup_ns }) = (name == "ring", &row);
            let must = |is_met: bool| {
                if is_ours { format!(" {}", verdict(is_met)) } else { String::new() }
            };
            writeln!(
                text,
                "| {nodes} | {name} | {most:.3} | {joined:.3}{} | {left:.3}{} | {lookup_ns:.1}{} |",
                must(*joined <= MOVED_MAX),
                must(*left <= MOVED_MAX),
                must(*lookup_ns <= LOOKUP_NS_MAX)
            )?;
            figures.push(json!({ "nodes": nodes, "hash": name, "most": most, "joined": joined,
                "left": left, "lookup_ns": lookup_ns }));
        }
        say(&format!("{nodes} nodes done"))?;
    }
    let (page, plans) = plans(plan.rounds)?;
    text.push_str(&page);
    let command = format!("cargo xtask bench placement --rounds {}", plan.rounds);
    let all = json!({ "hashes": figures, "plans": plans });
    record::write(root, ("placement", "Placement"), &command, &text, &all)
}

/// Names of nodes.
fn names(nodes: usize) -> Vec<String> {
    (0..nodes).map(|idx| format!("node-{idx}")).collect()
}

fn of_ring(nodes: usize, rounds: usize) -> anyhow::Result<Figures> {
    let names = names(nodes + 1);
    let fresh = vec![Owners::NONE; usize::from(SLOTS)];
    let placed = placed(&names[..nodes], None, &fresh, 1)?.owners;
    let joined = self::placed(&names, None, &placed, 1)?;
    let left = self::placed(&names[..nodes], Some(0), &placed, 1)?;
    let mut held = vec![0u64; nodes];
    placed.iter().flat_map(|owners| owners.iter()).for_each(|node| held[node.index()] += 1);
    let lookup = |number: u64| {
        let slot = usize::try_from(number % u64::from(SLOTS)).unwrap_or(0);
        placed.get(slot).and_then(Owners::primary).unwrap_or_default().index()
    };
    Ok(Figures {
        most: most(&held),
        joined: joined.copies.made as f64 / share(nodes + 1),
        left: left.copies.made as f64 / held[0] as f64,
        lookup_ns: lookup_ns(rounds, LOOKUPS, lookup),
    })
}

fn placed(
    names: &[String],
    gone: Option<usize>,
    present: &[Owners],
    replicas: u8,
) -> anyhow::Result<Placement> {
    let node = |(idx, name)| {
        let is_eligible = gone != Some(idx);
        Node { name, weight: Weight::ONE, zone: "", is_eligible }
    };
    let nodes: Vec<Node<'_>> = names.iter().map(String::as_str).enumerate().map(node).collect();
    Ok(place(&Request { nodes: &nodes, present, replicas, overrides: &[] })?)
}

fn of_hash<H: Hash>(nodes: usize, rounds: usize) -> Figures {
    let names = names(nodes + 1);
    let before = H::new(&names[..nodes]);
    let joined = H::new(&names);
    let gone = H::leaver(nodes);
    let kept: Vec<String> =
        (0..nodes).filter(|&idx| idx != gone).map(|idx| names[idx].clone()).collect();
    let left = H::new(&kept);
    let old_idx = |idx: usize| idx + usize::from(idx >= gone);
    let mut held = vec![0u64; nodes];
    let (mut joining, mut leaving) = (0u64, 0u64);
    for slot in 0..u64::from(SLOTS) {
        let node = before.node_of(slot);
        held[node] += 1;
        joining += u64::from(joined.node_of(slot) != node);
        leaving += u64::from(old_idx(left.node_of(slot)) != node);
    }
    let count = LOOKUPS / if H::IS_LINEAR { nodes as u64 } else { 1 };
    Figures {
        most: most(&held),
        joined: joining as f64 / share(nodes + 1),
        left: leaving as f64 / held[gone] as f64,
        lookup_ns: lookup_ns(rounds, count, |slot| before.node_of(slot % u64::from(SLOTS))),
    }
}

/// The fullest node over the mean.
fn most(held: &[u64]) -> f64 {
    held.iter().copied().max().unwrap_or(0) as f64 / share(held.len())
}

/// The slots of one of so many equal nodes.
fn share(nodes: usize) -> f64 {
    f64::from(SLOTS) / nodes as f64
}

fn lookup_ns(rounds: usize, count: u64, lookup: impl Fn(u64) -> usize) -> f64 {
    let round = |_| {
        let start = thread_time();
        for number in 0..count {
            // An odd step visits all slots, not in order.
            black_box(lookup(black_box(number.wrapping_mul(7919))));
        }
        (thread_time() - start).as_nanos() as f64 / count as f64
    };
    median(&(0..rounds).map(round).collect::<Vec<f64>>())
}

/// How long it takes to place two copies of every slot on 1000 nodes, and to find the way there.
fn plans(rounds: usize) -> anyhow::Result<(String, Value)> {
    let names = names(1001);
    let fresh = vec![Owners::NONE; usize::from(SLOTS)];
    let before = placed(&names[..1000], None, &fresh, 2)?.owners;
    let time = |names: &[String], gone: Option<usize>, present: &[Owners]| {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let start = thread_time();
            let wanted = placed(names, gone, present, 2)?;
            black_box(ringhold_ring::plan::Plan::between(present, &wanted.owners));
            times.push((thread_time() - start).as_secs_f64() * 1e3);
        }
        anyhow::Ok(median(&times))
    };
    let fresh_ms = time(&names[..1000], None, &fresh)?;
    let joins_ms = time(&names, None, &before)?;
    let leaves_ms = time(&names[..1000], Some(0), &before)?;
    let text = format!(
        "\nPlacement and plan of two copies on 1000 nodes, ms of processor time (must: {PLAN_MS_MAX:.0}): from nothing {fresh_ms:.1}, one joins {joins_ms:.1}, \
         one leaves {leaves_ms:.1}: {}.\n",
        verdict(fresh_ms.max(joins_ms).max(leaves_ms) < PLAN_MS_MAX)
    );
    let figures = json!({ "fresh_ms": fresh_ms, "joins_ms": joins_ms, "leaves_ms": leaves_ms });
    Ok((text, figures))
}
