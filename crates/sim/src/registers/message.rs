//! What registers say to each other and to clients, as bytes.
//!
//! Little-endian numbers one after another behind a kind; the simulation is the only sender, so what does not parse is a
//! mistake of ours and a panic.

use crate::registers::state::{Effect, Stamp, State};

/// Between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A candidate asks for a vote.
    Vote,
    /// A vote, and all that the voter has.
    Voted(State),
    /// A leader's whole state.
    Whole(State),
    /// A leader's next operation.
    Apply(Stamp, Vec<Effect>),
    /// Everything up to this is durable here.
    Applied(Stamp),
    /// The message was of an earlier term, or does not follow this.
    Refused(Stamp),
    /// A leader lives; numbered.
    Heartbeat(u64),
    /// The answer to it.
    Heard(u64),
}

/// A message between nodes with its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who sends.
    pub from: u32,
    /// The sender's term.
    pub term: u32,
    /// What.
    pub message: Peer,
}

/// From a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The client's number for it.
    pub call: u32,
    /// What is asked for.
    pub command: Command,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read a key.
    Get(u32),
    /// Delete a key.
    Delete(u32),
    /// Add one.
    Incr(u32),
    /// Write if the version is this.
    Cas(u32, u64, u64),
    /// Write keys.
    Set(Vec<(u32, u64)>),
    /// Write a key that dies after so many milliseconds.
    SetFor(u32, u64, u64),
}

impl Command {
    /// Its first key.
    #[must_use]
    pub fn key(&self) -> u32 {
        match self {
            Self::Get(key)
            | Self::Delete(key)
            | Self::Incr(key)
            | Self::Cas(key, ..)
            | Self::SetFor(key, ..) => *key,
            Self::Set(pairs) => pairs.first().map_or(0, |pair| pair.0),
        }
    }
}

/// To a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// The client's number.
    pub call: u32,
    /// What came of it.
    pub status: Status,
    /// See [`crate::history::Reply`].
    pub value: u64,
    /// See [`crate::history::Reply`].
    pub version: u64,
    /// See [`crate::history::Reply`].
    pub generation: u64,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Executed.
    Done,
    /// Executed, the condition was false.
    Refused,
    /// Not executed here: ask the node whose number is in `value`, if below `u64::MAX`.
    NotLeader,
    /// May have been executed.
    InDoubt,
}

/// Appends numbers.
pub(crate) fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Reads numbers.
#[derive(Debug)]
pub(crate) struct Numbers<'a>(pub(crate) &'a [u8]);

impl Numbers<'_> {
    /// The next number, if there is one.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }

    /// The next number, which is there and small.
    pub(crate) fn small(&mut self) -> u32 {
        self.next().and_then(|number| u32::try_from(number).ok()).expect("a small number follows")
    }

    pub(crate) fn sure(&mut self) -> u64 {
        self.next().expect("a number follows")
    }
}

impl Envelope {
    /// Writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, &[u64::from(self.from), u64::from(self.term)]);
        match &self.message {
            Peer::Vote => put(out, &[0]),
            Peer::Voted(state) => {
                put(out, &[1]);
                state.encode(out);
            }
            Peer::Whole(state) => {
                put(out, &[2]);
                state.encode(out);
            }
            Peer::Apply(stamp, effects) => {
                put(out, &[3, stamp.0]);
                Effect::encode(effects, out);
            }
            Peer::Applied(stamp) => put(out, &[4, stamp.0]),
            Peer::Refused(stamp) => put(out, &[5, stamp.0]),
            Peer::Heartbeat(id) => put(out, &[6, *id]),
            Peer::Heard(id) => put(out, &[7, *id]),
        }
    }

    /// Reads one.
    ///
    /// # Panics
    ///
    /// When the bytes are not one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut numbers = Numbers(bytes);
        let (from, term) = (numbers.small(), numbers.small());
        let message = match numbers.sure() {
            0 => Peer::Vote,
            1 => Peer::Voted(State::decode(&mut numbers).expect("a state follows")),
            2 => Peer::Whole(State::decode(&mut numbers).expect("a state follows")),
            3 => {
                let stamp = Stamp(numbers.sure());
                Peer::Apply(stamp, Effect::decode(&mut numbers).expect("effects follow"))
            }
            4 => Peer::Applied(Stamp(numbers.sure())),
            5 => Peer::Refused(Stamp(numbers.sure())),
            6 => Peer::Heartbeat(numbers.sure()),
            7 => Peer::Heard(numbers.sure()),
            kind => panic!("a kind of message: {kind}"),
        };
        Self { from, term, message }
    }
}

impl Request {
    /// Writes it, behind its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut numbers = vec![u64::from(self.call)];
        match &self.command {
            Command::Get(key) => numbers.extend([0, u64::from(*key)]),
            Command::Delete(key) => numbers.extend([1, u64::from(*key)]),
            Command::Incr(key) => numbers.extend([2, u64::from(*key)]),
            Command::Cas(key, version, value) => {
                numbers.extend([3, u64::from(*key), *version, *value]);
            }
            Command::Set(pairs) => {
                numbers.push(4);
                numbers.extend(pairs.iter().flat_map(|&(key, value)| [u64::from(key), value]));
            }
            Command::SetFor(key, value, ttl_ms) => {
                numbers.extend([5, u64::from(*key), *value, *ttl_ms]);
            }
        }
        put(out, &[numbers.len() as u64]);
        put(out, &numbers);
    }

    /// Reads one without its length.
    ///
    /// # Panics
    ///
    /// When the bytes are not one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut numbers = Numbers(bytes);
        let call = numbers.small();
        let command = match numbers.sure() {
            0 => Command::Get(numbers.small()),
            1 => Command::Delete(numbers.small()),
            2 => Command::Incr(numbers.small()),
            3 => Command::Cas(numbers.small(), numbers.sure(), numbers.sure()),
            4 => {
                let mut pairs = Vec::new();
                while !numbers.0.is_empty() {
                    pairs.push((numbers.small(), numbers.sure()));
                }
                Command::Set(pairs)
            }
            5 => Command::SetFor(numbers.small(), numbers.sure(), numbers.sure()),
            kind => panic!("a kind of command: {kind}"),
        };
        Self { call, command }
    }
}

impl Response {
    /// Writes it, behind its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let status = match self.status {
            Status::Done => 0,
            Status::Refused => 1,
            Status::NotLeader => 2,
            Status::InDoubt => 3,
        };
        put(out, &[5, u64::from(self.call), status, self.value, self.version, self.generation]);
    }

    /// Reads one without its length.
    ///
    /// # Panics
    ///
    /// When the bytes are not one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut numbers = Numbers(bytes);
        let call = numbers.small();
        let status = match numbers.sure() {
            0 => Status::Done,
            1 => Status::Refused,
            2 => Status::NotLeader,
            3 => Status::InDoubt,
            status => panic!("a status: {status}"),
        };
        let (value, version) = (numbers.sure(), numbers.sure());
        Self { call, status, value, version, generation: numbers.sure() }
    }
}

/// Takes the next whole message out of a stream's bytes: its length in numbers stands before it.
#[must_use]
pub fn next_message(stream: &mut Vec<u8>) -> Option<Vec<u8>> {
    let numbers = Numbers(stream).next()?;
    let end = 8 + usize::try_from(numbers).ok()? * 8;
    if stream.len() < end {
        return None;
    }
    let message = stream[8..end].to_vec();
    stream.drain(..end);
    Some(message)
}
