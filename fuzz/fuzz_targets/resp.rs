//! RESP: whatever comes means the same however it is split, and never panics.
//!
//! The first byte says how long the pieces are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhold_wire::resp::decode::{DecodeError, Decoded, Decoder, Limits, limits};
use ringhold_wire::resp::inline::words;
use ringhold_wire::resp::table::find;

const LIMITS: Limits = limits(1 << 16);

type Meaning = (Vec<Vec<Vec<u8>>>, Option<DecodeError>);

fn meaning(bytes: &[u8], piece: usize) -> Meaning {
    let (mut decoder, mut at, mut commands, mut ranges) = (Decoder::new(), 0, vec![], vec![]);
    let mut end = 0;
    while end < bytes.len() {
        end = bytes.len().min(end + piece);
        loop {
            ranges.clear();
            let input = &bytes[at..end];
            match decoder.decode(input, LIMITS, &mut ranges) {
                Ok(Decoded::Command { used }) => {
                    assert!(used > 0 && used <= input.len());
                    commands.push(ranges.iter().map(|r| input[r.clone()].to_vec()).collect());
                    at += used;
                }
                Ok(Decoded::Inline { line, used }) => {
                    assert!(used > line.len() && used <= input.len());
                    let mut text = Vec::new();
                    if let Err(error) = words(&input[line], &mut text, &mut ranges) {
                        return (commands, Some(error));
                    }
                    commands.push(ranges.iter().map(|r| text[r.clone()].to_vec()).collect());
                    at += used;
                }
                Ok(Decoded::Incomplete) => {
                    assert!(ranges.is_empty());
                    if let Some(awaited) = decoder.awaited(input, LIMITS) {
                        assert!(awaited.start <= input.len() && awaited.line <= awaited.start);
                        assert!(awaited.args.iter().all(|arg| arg.end <= awaited.line));
                    }
                    break;
                }
                Err(error) => return (commands, Some(error)),
            }
        }
    }
    (commands, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&piece, bytes)) = data.split_first() else { return };
    let whole = meaning(bytes, bytes.len().max(1));
    assert_eq!(meaning(bytes, usize::from(piece).max(1)), whole);
    for command in &whole.0 {
        let Some(id) = command.first().and_then(|name| find(name)) else { continue };
        assert!(id.command().key_words(command.len()).all(|word| word < command.len().max(1)));
    }
});
