//! The allocator of the engine's memory: blocks in huge pages, given back to the system when they are free.
//!
//! The engine takes nearly all of its memory in blocks of few sizes: log segments (16 to 256 KiB) and pages of large values
//! (multiples of 4 KiB). A general allocator mixes them with everything else in small pages, so that a look-up misses the
//! translation buffer, and keeps what is freed between what is not. Here blocks of one size share chunks of 2 MiB, which the
//! system backs with one huge page each where it can (docs/decisions/0019); blocks that are freed beyond 4 MiB are
//! given back at once, in their chunk if all of it is free. All other sizes go to the system's allocator.
//!
//! A program that embeds a node sets it as its global allocator, or does not: it changes nothing but time, memory and
//! addresses.
//!
//! Invariants: a block is free or handed out; a chunk has blocks of one size; the list of a size has the chunks that have
//! both free blocks and others.
//!
//! The idea is that of slabs: J. Bonwick, "The Slab Allocator", USENIX Summer 1994.

#[cfg(test)]
mod tests;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks are multiples of this, in bytes: the page of most machines. Where pages are longer a block could not be given back
/// without its neighbours, and all memory is the system allocator's.
const STEP: usize = 4096;
/// Every multiple up to this is a size of its own, in bytes.
const STEPPED_MAX: usize = 64 * 1024;
/// The one larger size, in bytes: segments of the largest engines.
const LARGEST: usize = 256 * 1024;
/// The number of sizes, and the class of the largest.
const CLASSES: usize = STEPPED_MAX / STEP + 1;
/// A huge page, in bytes.
const CHUNK_LEN: usize = 2 << 20;
/// The most chunks: 1 TiB. What is beyond goes to the system's allocator.
const CHUNKS_MAX: usize = 1 << 19;
/// The words of a chunk's bitmap: it has 512 blocks at most.
const WORDS: usize = CHUNK_LEN / STEP / 64;
/// Bytes of free blocks that keep their memory, so that what is freed and taken again costs no system call.
const WARM_MAX: usize = 4 << 20;
/// Free chunks that keep their memory.
const SPARE_WARM_MAX: usize = 1;

/// The allocator; see the module.
#[derive(Debug, Default)]
pub struct BlockAllocator;

/// One huge page's blocks.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// A bit for each block that is free.
    free: [u64; WORDS],
    /// A bit for each free block without memory behind it.
    cold: [u64; WORDS],
    free_count: usize,
    class: usize,
    /// Of a spare chunk: whether it keeps its memory.
    is_warm: bool,
    /// Whether huge pages are wanted for it no longer: what is given back of one would come back with the next.
    is_split: bool,
    /// Neighbours in the list of the class, or in that of the spare chunks; each number is one more than a chunk's.
    before: usize,
    after: usize,
}

impl Chunk {
    const EMPTY: Self = Self {
        free: [0; WORDS],
        cold: [0; WORDS],
        free_count: 0,
        class: 0,
        is_warm: false,
        is_split: false,
        before: 0,
        after: 0,
    };
}

/// All blocks. At first all zero, so that it takes no memory in the program's file.
#[derive(Debug)]
struct Blocks {
    /// The address of the first chunk; 0 before the first block is taken, or when the system gives no room.
    base: usize,
    /// Whether room was asked for.
    is_asked: bool,
    /// How many chunks fit the room, and how many were ever used.
    room: usize,
    used: usize,
    /// By class, the first chunk of its list; one more than its number.
    heads: [usize; CLASSES],
    /// The first of the chunks without blocks, and how many of them keep their memory.
    spare: usize,
    spare_warm: usize,
    /// Bytes of free blocks that keep their memory.
    warm: usize,
    chunks: [Chunk; CHUNKS_MAX],
}

static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks::NONE);

/// The class of blocks of `size` bytes; `None`: the system's allocator has them.
fn class_of(size: usize) -> Option<usize> {
    match size {
        LARGEST => Some(CLASSES - 1),
        STEP..=STEPPED_MAX if size.is_multiple_of(STEP) => Some(size / STEP - 1),
        _ => None,
    }
}

/// The size of the blocks of a class, in bytes.
fn size_of_class(class: usize) -> usize {
    if class == CLASSES - 1 { LARGEST } else { (class + 1) * STEP }
}

/// Whether blocks of this size are those of segments and whole pages, which are read at random.
fn is_huge(size: usize) -> bool {
    size >= 16 * 1024 && size.is_power_of_two()
}

impl Blocks {
    const NONE: Self = Self {
        base: 0,
        is_asked: false,
        room: 0,
        used: 0,
        heads: [0; CLASSES],
        spare: 0,
        spare_warm: 0,
        warm: 0,
        chunks: [Chunk::EMPTY; CHUNKS_MAX],
    };

    /// The address of a block of this class; `None` when there is no room.
    fn take(&mut self, class: usize) -> Option<usize> {
        if !self.is_asked {
            self.is_asked = true;
            (self.base, self.room) = system::room(system::page_len()).unwrap_or((0, 0));
        }
        if self.heads[class] == 0 {
            self.start_chunk(class)?;
        }
        let number = self.heads[class] - 1;
        let size = size_of_class(class);
        let chunk = &mut self.chunks[number];
        let warm = (0..WORDS).find(|&word| chunk.free[word] & !chunk.cold[word] != 0);
        let word = warm.or_else(|| (0..WORDS).find(|&word| chunk.free[word] != 0));
        let Some(word) = word else { broken("a chunk of the list has a free block") };
        let among =
            if warm.is_some() { chunk.free[word] & !chunk.cold[word] } else { chunk.free[word] };
        let bit = among.trailing_zeros() as usize;
        chunk.free[word] &= !(1 << bit);
        chunk.cold[word] &= !(1 << bit);
        chunk.free_count -= 1;
        if chunk.free_count == 0 {
            self.unlink(number);
        }
        if warm.is_some() {
            self.warm -= size;
        }
        Some(self.base + number * CHUNK_LEN + (word * 64 + bit) * size)
    }

    /// Whether a block at `address` is one of these.
    fn has(&self, address: usize) -> bool {
        self.base != 0 && (self.base..self.base + self.used * CHUNK_LEN).contains(&address)
    }

    /// The size of the block at `address`, and whether its memory is more than free blocks keep.
    fn is_beyond(&self, address: usize) -> (usize, bool) {
        let size = size_of_class(self.chunks[self.number(address)].class);
        (size, self.warm + size > WARM_MAX)
    }

    fn number(&self, address: usize) -> usize {
        (address - self.base) / CHUNK_LEN
    }

    /// Notes that a chunk loses memory in its middle; whether huge pages were wanted for it until now.
    fn split_chunk(&mut self, number: usize) -> bool {
        let chunk = &mut self.chunks[number];
        is_huge(size_of_class(chunk.class)) && !std::mem::replace(&mut chunk.is_split, true)
    }

    /// Takes a block back, which is cold if its memory went already. The chunk that is in no list any more, if it was the
    /// last block of it and its memory has to go: [`Blocks::add_spare`] is to follow.
    fn give(&mut self, address: usize, is_cold: bool) -> Option<usize> {
        let number = self.number(address);
        let chunk = &mut self.chunks[number];
        let size = size_of_class(chunk.class);
        let block = (address - self.base) % CHUNK_LEN / size;
        let (word, bit) = (block / 64, 1u64 << (block % 64));
        if chunk.free[word] & bit != 0 {
            broken("a block is freed once");
        }
        chunk.free[word] |= bit;
        chunk.free_count += 1;
        let is_first = chunk.free_count == 1;
        let is_last = chunk.free_count == CHUNK_LEN / size;
        if is_cold {
            chunk.cold[word] |= bit;
        } else {
            self.warm += size;
        }
        if is_first {
            self.link(number);
        }
        if is_last { self.end_chunk(number) } else { None }
    }

    /// Begins the list of a class with a chunk of free blocks.
    fn start_chunk(&mut self, class: usize) -> Option<()> {
        let mut is_warm = false;
        let number = if self.spare > 0 {
            let number = self.spare - 1;
            self.spare = self.chunks[number].after;
            is_warm = self.chunks[number].is_warm;
            self.spare_warm -= usize::from(is_warm);
            number
        } else if self.used < self.room
            && system::open(self.base + self.used * CHUNK_LEN, CHUNK_LEN)
        {
            self.used += 1;
            self.used - 1
        } else {
            return None;
        };
        let size = size_of_class(class);
        let count = CHUNK_LEN / size;
        let mut all = [0; WORDS];
        for (word, bits) in all.iter_mut().enumerate() {
            let left = count.saturating_sub(word * 64);
            *bits = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
        }
        let start = self.base + number * CHUNK_LEN;
        if is_warm && self.warm + count * size > WARM_MAX {
            is_warm = false;
            system::forget(start, CHUNK_LEN);
        }
        self.warm += if is_warm { count * size } else { 0 };
        let cold = if is_warm { [0; WORDS] } else { all };
        self.chunks[number] = Chunk { free: all, cold, free_count: count, class, ..Chunk::EMPTY };
        system::prefer_huge(start, CHUNK_LEN, is_huge(size));
        self.link(number);
        Some(())
    }

    /// Puts a chunk all of whose blocks are free among the spare ones; or out of all lists, when its memory has to go first.
    fn end_chunk(&mut self, number: usize) -> Option<usize> {
        self.unlink(number);
        let chunk = self.chunks[number];
        let cold: u32 = chunk.cold.iter().map(|bits| bits.count_ones()).sum();
        self.warm -= (chunk.free_count - cold as usize) * size_of_class(chunk.class);
        if self.spare_warm >= SPARE_WARM_MAX {
            return Some(number);
        }
        self.spare_warm += 1;
        self.add_spare(number, true);
        None
    }

    fn add_spare(&mut self, number: usize, is_warm: bool) {
        self.chunks[number] = Chunk { after: self.spare, is_warm, ..Chunk::EMPTY };
        self.spare = number + 1;
    }

    fn link(&mut self, number: usize) {
        let class = self.chunks[number].class;
        let head = std::mem::replace(&mut self.heads[class], number + 1);
        self.chunks[number].before = 0;
        self.chunks[number].after = head;
        if head > 0 {
            self.chunks[head - 1].before = number + 1;
        }
    }

    fn unlink(&mut self, number: usize) {
        let Chunk { class, before, after, .. } = self.chunks[number];
        match before {
            0 => self.heads[class] = after,
            before => self.chunks[before - 1].after = after,
        }
        if after > 0 {
            self.chunks[after - 1].before = before;
        }
    }
}

/// Stops the process: an allocator may not unwind.
fn broken(_invariant: &str) -> ! {
    std::process::abort()
}

fn blocks() -> MutexGuard<'static, Blocks> {
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The class of the blocks that a layout gets; `None`: the system's allocator has it.
fn class_of_layout(size: usize, align: usize) -> Option<usize> {
    class_of(size).filter(|_| align <= STEP)
}

/// Takes a block back; false when it is none of these. The system is called without the lock: until it has answered, the
/// block, or the whole chunk, is in nobody's reach.
fn give_back(address: usize) -> bool {
    let mut all = blocks();
    if !all.has(address) {
        return false;
    }
    let (size, is_cold) = all.is_beyond(address);
    if is_cold {
        let number = all.number(address);
        let start = all.base + number * CHUNK_LEN;
        let is_split_now = all.split_chunk(number);
        drop(all);
        if is_split_now {
            system::prefer_huge(start, CHUNK_LEN, false);
        }
        system::forget(address, size);
        all = blocks();
    }
    if let Some(number) = all.give(address, is_cold) {
        let start = all.base + number * CHUNK_LEN;
        drop(all);
        system::forget(start, CHUNK_LEN);
        blocks().add_spare(number, false);
    }
    true
}

#[expect(unsafe_code, reason = "an allocator hands out raw memory")]
// SAFETY: a block is handed out once until it is given back, is as long as its class and aligned to `STEP`; everything
// else is the system allocator's.
unsafe impl GlobalAlloc for BlockAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(class) = class_of_layout(layout.size(), layout.align()) {
            let block = blocks().take(class);
            if let Some(address) = block {
                return std::ptr::with_exposed_provenance_mut(address);
            }
        }
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class_of_layout(layout.size(), layout.align()).is_none() {
            // SAFETY: the caller's promises about the layout are passed on.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the same.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: it was just taken, and is as long as its layout.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let is_ours =
            class_of_layout(layout.size(), layout.align()).is_some() && blocks().has(block.addr());
        if !is_ours && class_of_layout(new_size, layout.align()).is_none() {
            // SAFETY: it came from the system's allocator, and the caller's promises are passed on.
            return unsafe { System.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller promises that the new size is one of a layout with this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the new size is not zero.
        let target = unsafe { self.alloc(new_layout) };
        if !target.is_null() {
            // SAFETY: both are as long as what is copied, and different blocks.
            unsafe { target.copy_from_nonoverlapping(block, layout.size().min(new_size)) };
            // SAFETY: it was taken with this layout, and nobody has it any more.
            unsafe { self.dealloc(block, layout) };
        }
        target
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if class_of_layout(layout.size(), layout.align()).is_some() && give_back(block.addr()) {
            return;
        }
        // SAFETY: what is none of the blocks came from the system's allocator, with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What is asked of the system.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "mapping memory and giving it back are calls of the system")]
mod system {
    use rustix::mm::{
        Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect,
    };
    use rustix::process::{Resource, getrlimit};

    use super::{CHUNK_LEN, CHUNKS_MAX, STEP};

    /// Of a limit on addresses (`ulimit -v`) the room is at most one in this many bytes; the rest is for everything else.
    const LIMIT_PART: u64 = 2;

    /// The length of the machine's pages, in bytes.
    pub(super) fn page_len() -> usize {
        rustix::param::page_size()
    }

    /// Addresses for twice the machine's memory, and how many chunks they are; nothing is behind them until they are used.
    /// None where pages are longer than blocks.
    pub(super) fn room(page_len: usize) -> Option<(usize, usize)> {
        if page_len > STEP {
            return None;
        }
        let info = rustix::system::sysinfo();
        let ram = usize::try_from(info.totalram).ok()? * usize::try_from(info.mem_unit).ok()?;
        let mut chunks = (2 * ram / CHUNK_LEN).clamp(16, CHUNKS_MAX);
        if let Some(limit) = getrlimit(Resource::As).current {
            chunks = chunks.min(usize::try_from(limit / LIMIT_PART).ok()? / CHUNK_LEN);
        }
        // Others may have taken most of what the limit allows.
        while chunks >= 16 {
            if let Some(base) = map((chunks + 1) * CHUNK_LEN) {
                return Some((base.next_multiple_of(CHUNK_LEN), chunks));
            }
            chunks /= 2;
        }
        None
    }

    fn map(len: usize) -> Option<usize> {
        // Without access they are addresses and nothing else, also where the system promises no more memory than it has
        // (`vm.overcommit_memory` = 2).
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the system chooses new addresses, which nothing else has.
        let mapped =
            unsafe { mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::empty(), flags) };
        mapped.ok().map(|start| start.expose_provenance())
    }

    /// Makes a range of the room readable and writable; false when the system promises no more memory.
    pub(super) fn open(address: usize, len: usize) -> bool {
        let start = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: the range is part of the mapping of `room`, and nothing is in it.
        unsafe { mprotect(start, len, MprotectFlags::READ | MprotectFlags::WRITE) }.is_ok()
    }

    /// Says whether huge pages are wanted; where there are none it makes no difference.
    pub(super) fn prefer_huge(address: usize, len: usize, is_wanted: bool) {
        let advice = if is_wanted { Advice::LinuxHugepage } else { Advice::LinuxNoHugepage };
        let start = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: the range is part of the mapping of `room`; the advice changes no content.
        let _advised = unsafe { madvise(start, len, advice) };
    }

    /// Gives the memory of a range back; it reads as zeros when it is used again.
    pub(super) fn forget(address: usize, len: usize) {
        let start = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: the range is part of the mapping of `room`, and of blocks that nobody has.
        let _given = unsafe { madvise(start, len, Advice::LinuxDontNeed) };
    }
}

/// Elsewhere all memory is the system allocator's.
#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn page_len() -> usize {
        super::STEP
    }

    pub(super) fn room(_page_len: usize) -> Option<(usize, usize)> {
        None
    }

    pub(super) fn open(_address: usize, _len: usize) -> bool {
        false
    }

    pub(super) fn prefer_huge(_address: usize, _len: usize, _is_wanted: bool) {}

    pub(super) fn forget(_address: usize, _len: usize) {}
}
