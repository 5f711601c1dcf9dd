//! Client protocols as bytes in and bytes out: RESP and HTTP/1.1.
//!
//! Both ends are here: a server's decoders of commands and requests, a client's of replies and responses. Decoders are
//! incremental and bounded: they take the bytes that have not been consumed yet, say how many make up the next
//! command or reply, and give the same result however the bytes were split. Encoders append to a buffer. This crate
//! knows nothing of nodes, stores and sockets.
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "peers choose the bytes"
    )
)]

extern crate alloc;

pub mod http;
pub mod resp;
