//! HTTP/1.1 (RFC 9110, 9112): requests on keys, which the workers serve themselves; responses, as clients read them.

pub mod decode;
pub mod encode;
pub mod repeat;
pub mod response;
pub mod routes;
mod target;

#[cfg(test)]
mod tests;
