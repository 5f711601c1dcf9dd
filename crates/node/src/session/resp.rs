//! The state of a connection that speaks RESP.

use ringhold_types::id::NamespaceId;
use ringhold_wire::resp::Protocol;
use ringhold_wire::resp::decode::{Decoder, LIMITS_UNAUTHENTICATED, Limits, limits};

/// What a RESP connection has agreed on.
#[derive(Debug)]
pub struct RespSession {
    /// The connection's number: `CLIENT ID`.
    pub id: u64,
    /// The version of the protocol.
    pub protocol: Protocol,
    /// The database that `SELECT` chose.
    pub namespace: NamespaceId,
    /// Whether the client may execute commands.
    pub is_authenticated: bool,
    /// `CLIENT SETNAME`; empty: none.
    pub name: Box<str>,
    /// Where decoding stopped in an incomplete command.
    pub(crate) decoder: Decoder,
}

impl RespSession {
    pub(crate) fn new(id: u64, is_password_required: bool) -> Self {
        Self {
            id,
            protocol: Protocol::Two,
            namespace: NamespaceId::DEFAULT,
            is_authenticated: !is_password_required,
            name: Box::from(""),
            decoder: Decoder::new(),
        }
    }

    /// What the connection may send at present; `value_len_max`: the longest value of this node, in bytes.
    pub(crate) fn limits(&self, value_len_max: usize) -> Limits {
        if self.is_authenticated { limits(value_len_max) } else { LIMITS_UNAUTHENTICATED }
    }
}
