//! Facts about the allocator of blocks, which is not the one of this program.

use std::alloc::{GlobalAlloc, Layout};

use ringhold_types::prng::Prng;

use super::{
    BLOCKS, BlockAllocator, Blocks, CHUNK_LEN, LARGEST, SPARE_WARM_MAX, STEP, STEPPED_MAX,
    WARM_MAX, class_of, system,
};

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len, 1).expect("a small layout")
}

fn draw(prng: &mut Prng, count: usize) -> usize {
    let count = u64::try_from(count).expect("a small number");
    usize::try_from(prng.below(count)).expect("it is below a usize")
}

/// A block that says whose it is, in every page.
struct Block {
    start: *mut u8,
    len: usize,
    mark: u8,
}

#[expect(unsafe_code, reason = "the allocator's calls are unsafe")]
impl Block {
    fn new(len: usize, mark: u8) -> Self {
        // SAFETY: the layout has a size.
        let start = unsafe { BlockAllocator.alloc(layout(len)) };
        assert!(!start.is_null());
        assert!(class_of(len).is_none() || start.addr().is_multiple_of(STEP));
        for at in (0..len).step_by(STEP).chain([len - 1]) {
            let byte = start.wrapping_add(at);
            // SAFETY: it is within the block.
            unsafe { byte.write(mark) };
        }
        Self { start, len, mark }
    }

    /// A block of zeros.
    fn zeroed(len: usize) -> Self {
        // SAFETY: the layout has a size.
        let start = unsafe { BlockAllocator.alloc_zeroed(layout(len)) };
        for at in 0..len {
            let byte = start.wrapping_add(at);
            // SAFETY: it is within the block.
            assert_eq!(unsafe { byte.read() }, 0, "byte {at} of {len}");
        }
        Self { start, len, mark: 0 }
    }

    /// The block in another length, marked anew where it is longer.
    fn resized(self, len: usize) -> Self {
        // SAFETY: it was taken with this layout, and the new length is not zero.
        let start = unsafe { BlockAllocator.realloc(self.start, layout(self.len), len) };
        for at in (0..len).step_by(STEP).chain([len - 1]) {
            let byte = start.wrapping_add(at);
            if at < self.len && (at.is_multiple_of(STEP) || at == self.len - 1) {
                // SAFETY: it is within the block.
                assert_eq!(unsafe { byte.read() }, self.mark, "what was there is there");
            }
            // SAFETY: it is within the block.
            unsafe { byte.write(self.mark) };
        }
        Self { start, len, mark: self.mark }
    }

    fn end(self) {
        for at in (0..self.len).step_by(STEP).chain([self.len - 1]) {
            let byte = self.start.wrapping_add(at);
            // SAFETY: it is within the block.
            assert_eq!(unsafe { byte.read() }, self.mark, "nobody else wrote there");
        }
        // SAFETY: it was taken with this layout.
        unsafe { BlockAllocator.dealloc(self.start, layout(self.len)) };
    }
}

#[test]
fn sizes_of_segments_and_pages_are_blocks() {
    for len in [STEP, 3 * STEP, 16 << 10, 32 << 10, STEPPED_MAX, LARGEST] {
        assert!(class_of(len).is_some(), "{len}");
    }
    for len in [0, 1, STEP - 1, STEP + 1, STEPPED_MAX + STEP, LARGEST / 2, 2 * LARGEST] {
        assert_eq!(class_of(len), None, "{len}");
    }
}

/// How many spare chunks keep their memory.
fn warm_spares(state: &Blocks) -> usize {
    let mut next = state.spare;
    let mut count = 0;
    while next > 0 {
        let number = next - 1;
        count += usize::from(state.chunks[number].is_warm);
        next = state.chunks[number].after;
    }
    count
}

#[test]
fn memory_of_the_system_s_allocator_is_grown_by_it_and_blocks_are_copied() {
    let sizes = [100, STEP, 3 * STEP, STEP + 8, LARGEST, LARGEST * 2, STEPPED_MAX, 8];
    let mut block = Block::new(sizes[0], 7);
    for len in sizes {
        block = block.resized(len);
    }
    block.end();
    for len in sizes {
        Block::new(len, 9).end();
        Block::zeroed(len).end();
    }
}

#[test]
fn blocks_never_overlap_and_free_memory_is_bounded() {
    let mut prng = Prng::new(3);
    let sizes = [STEP, 5 * STEP, 16 << 10, 32 << 10, 7 * STEP, STEPPED_MAX, LARGEST];
    let mut blocks: Vec<Block> = Vec::new();
    for step in 0..40_000usize {
        // It grows and shrinks, and its mix of sizes changes.
        let is_growing = step / 4000 % 2 == 0;
        if blocks.is_empty() || prng.chance(if is_growing { 6 } else { 4 }, 10) {
            let kinds = 1 + step / 4000 % sizes.len();
            let len = sizes[draw(&mut prng, kinds)];
            blocks.push(Block::new(len, step.to_le_bytes()[0]));
        } else {
            let idx = draw(&mut prng, blocks.len());
            blocks.swap_remove(idx).end();
        }
        let state = BLOCKS.lock().expect("nothing panicked");
        let warm = state.warm;
        assert!(warm <= WARM_MAX, "{warm} bytes of free blocks keep their memory");
        if step % 100 == 0 {
            assert_eq!(warm_spares(&state), state.spare_warm, "those that keep it are counted");
            assert!(state.spare_warm <= SPARE_WARM_MAX);
        }
    }
    let (most, chunks) = (blocks.len(), BLOCKS.lock().expect("nothing panicked").used);
    assert!(most > 100 && chunks > 1);
    blocks.into_iter().for_each(Block::end);
    let state = BLOCKS.lock().expect("nothing panicked");
    assert_eq!((state.warm, state.heads), (0, [0; super::CLASSES]), "all chunks are spare");
    assert!(state.spare > 0 && state.base.is_multiple_of(CHUNK_LEN));
}

#[test]
#[cfg(target_os = "linux")]
fn there_are_no_blocks_where_pages_are_longer_than_they_are() {
    // One given back would take its neighbours along.
    assert_eq!(system::room(2 * STEP), None);
    assert_eq!(system::room(64 << 10), None);
    let (base, chunks) = system::room(STEP).expect("there are addresses");
    assert!(base.is_multiple_of(CHUNK_LEN) && chunks > 1);
}

#[test]
#[cfg(target_os = "linux")]
fn room_that_is_not_used_yet_has_no_access() {
    let block = Block::new(STEP, 1);
    // With the lock nobody opens a chunk meanwhile.
    let state = BLOCKS.lock().expect("nothing panicked");
    let unused = state.base + state.used * CHUNK_LEN..state.base + state.room * CHUNK_LEN;
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the kernel tells");
    drop(state);
    let mut closed = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').expect("a range and the rest");
        let (start, end) = range.split_once('-').expect("two addresses");
        let [start, end] =
            [start, end].map(|digits| usize::from_str_radix(digits, 16).expect("an address"));
        let inside = end.min(unused.end).saturating_sub(start.max(unused.start));
        if inside > 0 {
            assert!(rest.starts_with("---p"), "{line}");
            closed += inside;
        }
    }
    assert_eq!(closed, unused.len(), "all of it is mapped");
    block.end();
}

/// Bytes of the process that have memory behind them.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("the kernel tells");
    let pages = text.split(' ').nth(1).expect("the second is what is resident");
    pages.parse::<usize>().expect("a number") * system::page_len()
}

#[test]
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the allocator's calls are unsafe")]
fn memory_that_the_system_zeroes_or_moves_is_not_touched() {
    const LEN: usize = 512 << 20;
    // Other tests take some at the same time, far less than half of this.
    let before = resident();
    // SAFETY: the layout has a size.
    let start = unsafe { BlockAllocator.alloc_zeroed(layout(LEN)) };
    assert!(!start.is_null());
    let zeroed = resident();
    // SAFETY: it was taken with this layout, and the new length is not zero.
    let start = unsafe { BlockAllocator.realloc(start, layout(LEN), 2 * LEN) };
    assert!(!start.is_null());
    let grown = resident();
    // SAFETY: it was taken with this length.
    unsafe { BlockAllocator.dealloc(start, layout(2 * LEN)) };
    assert!(zeroed < before + LEN / 2, "{before} bytes before, {zeroed} with what was zeroed");
    assert!(grown < before + LEN / 2, "{before} bytes before, {grown} with what was grown");
}
