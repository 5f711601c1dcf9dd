//! Facts about the allocator of blocks, which is not the one of this program.

use std::alloc::{GlobalAlloc, Layout};

use ringhold_types::prng::Prng;

use super::{
    BLOCKS, BlockAllocator, Blocks, CHUNK_LEN, LARGEST, SPARE_WARM_MAX, STEP, STEPPED_MAX,
    WARM_MAX, class_of,
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
