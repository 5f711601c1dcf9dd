//! HTTP/1.1 on keys (RFC 9110, 9112): what the workers serve themselves.

pub mod decode;
pub mod encode;
pub mod repeat;
pub mod routes;
mod target;

#[cfg(test)]
mod tests;
