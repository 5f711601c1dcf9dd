//! Bytes in JSON, and JSON in bodies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Bytes as JSON can carry them: as text under `name` when they are UTF-8, else in base64 under `name` and `_b64`.
pub(super) fn bytes_json(name: &str, bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ name: text }),
        Err(_) => json!({ format!("{name}_b64"): STANDARD.encode(bytes) }),
    }
}

/// The bytes that JSON carries as text or in base64; `None` when neither or both are there, or the base64 is none.
pub(super) fn bytes_of(text: Option<&str>, base64: Option<&str>) -> Option<Vec<u8>> {
    match (text, base64) {
        (Some(text), None) => Some(text.as_bytes().to_vec()),
        (None, Some(base64)) => STANDARD.decode(base64).ok(),
        _ => None,
    }
}
