//! Tests of the metadata log: scenarios, rules of messages, files, and many random runs.

mod bytes;
mod disk;
mod random;
mod rules;
mod scenarios;
mod world;
