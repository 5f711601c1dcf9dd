//! Facts about effects.

use ringhold_types::prng::Prng;

use super::*;

fn bytes_of(prng: &mut Prng, len_max: u64) -> Vec<u8> {
    let len = prng.below(len_max + 1);
    (0..len).map(|_| u8::try_from(prng.below(256)).unwrap_or(0)).collect()
}

fn deadlines_of(prng: &mut Prng) -> Deadlines {
    let mut deadline = || prng.chance(1, 2).then(|| UnixTime(prng.below(1 << 42)));
    let soft = deadline();
    Deadlines { soft, hard: deadline() }
}

#[test]
fn what_was_changed_is_read_as_it_was() {
    let types = ContentTypes::default();
    let known = types.keep(Some(b"text/css"), Some(b"br")).expect("it is short");
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let clock = UnixTime(prng.below(1 << 42));
        let mut writer = Writer::new(clock);
        assert!(writer.is_empty());
        let keys: Vec<Vec<u8>> = (0..1 + prng.below(5)).map(|_| bytes_of(&mut prng, 300)).collect();
        let values: Vec<Vec<u8>> = keys.iter().map(|_| bytes_of(&mut prng, 3000)).collect();
        let deadlines: Vec<Deadlines> = keys.iter().map(|_| deadlines_of(&mut prng)).collect();
        let mut expected = Vec::new();
        for (number, key) in keys.iter().enumerate() {
            let (namespace, deadlines) =
                (NamespaceId(u16::try_from(number).expect("few") * 5), deadlines[number]);
            let version = Version(prng.below(VERSION_MAX.0));
            let kind = u8::try_from(prng.below(15)).expect("it is below 15");
            let client_flags = u32::try_from(prng.below(1 << 32)).expect("it is below 2^32");
            let is_typed = prng.chance(1, 2);
            let (change, effect) = match prng.below(6) {
                0 => {
                    (Change::Touch { key, deadlines }, Effect::Touch { namespace, key, deadlines })
                }
                1 => (Change::Delete { key }, Effect::Delete { namespace, key }),
                2 => (Change::Expire { key }, Effect::Delete { namespace, key }),
                3 => (Change::Evict { key }, Effect::Delete { namespace, key }),
                4 => (Change::Clear, Effect::Clear { namespace }),
                _ => (
                    Change::Put {
                        key,
                        value: ChangeValue::Bytes(&values[number]),
                        kind,
                        deadlines,
                        client_flags,
                        content_type: if is_typed { known.borrow() } else { ContentType::NONE },
                    },
                    Effect::Put {
                        namespace,
                        key,
                        version,
                        kind,
                        client_flags,
                        deadlines,
                        content_type: if is_typed { b"text/css\nbr" } else { b"" },
                        value: &values[number],
                    },
                ),
            };
            writer.change(namespace, &change, version, &types);
            expected.push(effect);
        }
        let bytes = writer.finish();
        assert_eq!(read(&bytes), Ok((clock, expected)), "seed {seed}");
        for len in 0..bytes.len() {
            // Cut short it is an operation of fewer changes, or none.
            if let Ok((_, fewer)) = read(&bytes[..len]) {
                let whole = read(&bytes).expect("it was read before").1;
                assert!(whole.starts_with(&fewer) && fewer.len() < whole.len(), "seed {seed}");
            }
        }
    }
}

#[test]
fn what_is_no_operation_is_refused() {
    let put = |content_type: &[u8], kind: u8, version: u64| {
        let mut out = vec![0, PUT, 0];
        encode_bytes(b"k", &mut out);
        version.encode(&mut out);
        out.extend_from_slice(&[kind, 0, 0, 0]);
        encode_bytes(content_type, &mut out);
        encode_bytes(b"v", &mut out);
        out
    };
    assert!(read(&put(b"text/html", 0, 1)).is_ok());
    assert!(read(&put(b"text/html\nbr", KIND_MAX, VERSION_MAX.0)).is_ok());
    let out_of_range = |what| Err(Malformed::OutOfRange { what });
    assert_eq!(read(&put(b"a\r\nset-cookie: x", 0, 1)), out_of_range("content type"));
    assert_eq!(read(&put(b"a\nb\nc", 0, 1)), out_of_range("content type"));
    assert_eq!(read(&put(&[b'a'; 256], 0, 1)), out_of_range("content type"));
    assert_eq!(read(&put(b"", KIND_MAX + 1, 1)), out_of_range("kind"));
    assert_eq!(read(&put(b"", 0, VERSION_MAX.0 + 1)), out_of_range("version"));
    assert_eq!(read(&[0, 9, 0]), Err(Malformed::Unknown { what: "change", tag: 9 }));
    // A length that the bytes do not have.
    assert_eq!(read(&[0, DELETE, 0, 0xFF, 0xFF, 0x7F, 1]), Err(Malformed::Truncated));
    assert_eq!(read(&[]), Err(Malformed::Truncated));
    for seed in 0..20_000 {
        let mut prng = Prng::new(seed);
        let mut garbage = bytes_of(&mut prng, 60);
        garbage.iter_mut().skip(1).step_by(7).for_each(|byte| *byte %= 6);
        if let Ok((_, effects)) = read(&garbage) {
            assert!(effects.len() <= garbage.len());
        }
    }
}
