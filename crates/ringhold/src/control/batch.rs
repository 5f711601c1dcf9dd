//! `POST /v1/batch`: many operations in one request, each served as if it had come alone.

use std::fmt;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue};
use hyper::http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::json::{bytes_json, bytes_of};
use super::routes::{Reply, State, json_reply};

/// The most operations of a batch.
const OPERATIONS_MAX: usize = 1000;
/// The most bytes of a batch, and of the values that it answers.
const BATCH_LEN_MAX: usize = 16 * 1024 * 1024;
/// How many operations are executed before others are served.
const STEP: usize = 32;

/// What is to be done.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[serde(deserialize_with = "operations_of")]
    operations: Vec<One>,
}

/// What the error says of a batch that is too long.
const TOO_MANY: &str = "too many operations";

/// Reads operations until there are too many: what follows is not looked at.
fn operations_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<One>, D::Error> {
    deserializer.deserialize_seq(Operations)
}

/// At most [`OPERATIONS_MAX`] operations.
struct Operations;

impl<'de> Visitor<'de> for Operations {
    type Value = Vec<One>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<One>, A::Error> {
        let mut operations = Vec::new();
        while let Some(one) = list.next_element()? {
            if operations.len() == OPERATIONS_MAX {
                return Err(A::Error::custom(TOO_MANY));
            }
            operations.push(one);
        }
        Ok(operations)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    op: Op,
    ns: Option<String>,
    key: Option<String>,
    key_b64: Option<String>,
    value: Option<String>,
    value_b64: Option<String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    ttl: Option<String>,
    stale_for: Option<String>,
    by: Option<i64>,
    initial: Option<i64>,
    strict: Option<bool>,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Op {
    Get,
    Put,
    Delete,
    Incr,
    Touch,
    Append,
    Prepend,
}

impl One {
    /// The request that it stands for: head and body. `Err` says what is missing.
    fn request(
        &self,
        authorization: Option<&HeaderValue>,
    ) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
        let key = bytes_of(self.key.as_deref(), self.key_b64.as_deref())
            .ok_or("an operation has a key, or a key_b64 in base64")?;
        let takes_value = matches!(self.op, Op::Put | Op::Append | Op::Prepend);
        let body = if takes_value {
            bytes_of(self.value.as_deref(), self.value_b64.as_deref())
                .ok_or("put, append and prepend have a value, or a value_b64 in base64")?
        } else if self.value.is_some() || self.value_b64.is_some() {
            return Err("only put, append and prepend have a value");
        } else {
            Vec::new()
        };
        let (method, verb) = match self.op {
            Op::Get => ("GET", ""),
            Op::Put => ("PUT", ""),
            Op::Delete => ("DELETE", ""),
            Op::Incr => ("POST", ":incr"),
            Op::Touch => ("POST", ":touch"),
            Op::Append => ("POST", ":append"),
            Op::Prepend => ("POST", ":prepend"),
        };
        let name = self.ns.as_deref().unwrap_or("default");
        let name = percent_encode(name.as_bytes(), NON_ALPHANUMERIC);
        let key = percent_encode(&key, NON_ALPHANUMERIC);
        let mut query = Vec::new();
        for (name, text) in [("ttl", &self.ttl), ("stale_for", &self.stale_for)] {
            if let Some(text) = text {
                let text = percent_encode(text.as_bytes(), NON_ALPHANUMERIC);
                query.push(format!("{name}={text}"));
            }
        }
        query.extend(self.by.map(|by| format!("by={by}")));
        query.extend(self.initial.map(|initial| format!("initial={initial}")));
        query.extend(self.strict.map(|strict| format!("strict={strict}")));
        let query = query.join("&");
        let mut fields = vec![format!("content-length: {}\r\n", body.len())];
        for (name, value) in [
            ("content-type", &self.content_type),
            ("content-encoding", &self.content_encoding),
            ("if-match", &self.if_match),
            ("if-none-match", &self.if_none_match),
        ] {
            if let Some(value) = value {
                HeaderValue::from_str(value).map_err(|_| "a field has no line breaks")?;
                fields.push(format!("{name}: {value}\r\n"));
            }
        }
        let target = format!("/v1/ns/{name}/keys/{key}{verb}?{query}");
        let fields = fields.concat();
        let head = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n{fields}");
        let mut head = head.into_bytes();
        if let Some(authorization) = authorization {
            head.extend_from_slice(b"authorization: ");
            head.extend_from_slice(authorization.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        Ok((head, body))
    }
}

impl State {
    /// Executes a batch; the status of each operation is in the answer.
    pub(super) async fn batch(&self, parts: &Parts, body: Incoming) -> Reply {
        let body = match self.json_body(parts, body, BATCH_LEN_MAX).await {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        let batch = match serde_json::from_slice::<Batch>(&body.bytes) {
            Ok(batch) => batch,
            Err(error) if error.to_string().starts_with(TOO_MANY) => {
                return self.problem(413, "batch-too-large", "a batch has at most 1000 operations");
            }
            Err(_) => {
                let detail = "a batch is as /openapi.json says, with get, put, delete, incr, touch, append and prepend";
                return self.problem(400, "bad-batch", detail);
            }
        };
        let (mut results, mut answered) = (Vec::with_capacity(batch.operations.len()), 0);
        for (number, one) in batch.operations.iter().enumerate() {
            if number % STEP == STEP - 1 {
                tokio::task::yield_now().await;
            }
            let result = if one.op == Op::Get && answered >= BATCH_LEN_MAX {
                let detail = "the values of this batch have 16 MiB already: read this key apart";
                self.refused_one(413, "answer-too-large", detail)
            } else {
                match one.request(parts.headers.get(AUTHORIZATION)) {
                    Ok((head, body)) => self.execute_one(&head, &body, &mut answered).await,
                    Err(detail) => self.refused_one(400, "bad-operation", detail),
                }
            };
            results.push(result);
        }
        json_reply(&json!({ "results": results }))
    }

    async fn execute_one(&self, head: &[u8], body: &[u8], answered: &mut usize) -> Value {
        let served = self.loopback.lock().serve_plain(head, body, &self.shared);
        let Some(reply) = served else {
            return self.refused_one(500, "internal", "the answer could not be read");
        };
        let (parts, body) = reply.into_parts();
        let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
        let mut result = json!({ "status": parts.status.as_u16() });
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(etag) = text(ETAG) {
            result["version"] = etag.trim_matches('"').into();
        }
        if !parts.status.is_success() {
            result["problem"] = serde_json::from_slice(&body).unwrap_or(Value::Null);
            return result;
        }
        if parts.status == 200 {
            *answered += body.len();
            if let (Value::Object(into), Value::Object(value)) =
                (&mut result, bytes_json("value", &body))
            {
                into.extend(value);
            }
            for (name, field) in
                [("content_type", CONTENT_TYPE), ("content_encoding", CONTENT_ENCODING)]
            {
                if let Some(value) = text(field) {
                    result[name] = value.into();
                }
            }
        }
        result
    }

    fn refused_one(&self, status: u16, code: &str, detail: &str) -> Value {
        json!({ "status": status, "problem": self.problem_json(status, code, detail) })
    }
}
