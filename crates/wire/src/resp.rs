//! RESP, versions 2 and 3 (the redis.io protocol specification).

pub mod command;
pub mod decode;
pub mod encode;
pub mod inline;
pub mod reply;
pub mod table;

#[cfg(test)]
mod tests;

/// The version of the protocol that a connection has agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, which every connection starts with.
    #[default]
    Two,
    /// RESP3, after `HELLO 3`.
    Three,
}
