//! Facts about placement. [`cluster`] has the contract itself, checked after every change; each other file is a part of the domain.

extern crate std;

mod cluster;
mod exact;
mod interface;
mod overrides;
mod plans;
mod random;
mod small;
