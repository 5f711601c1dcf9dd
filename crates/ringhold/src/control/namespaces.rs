//! `/v1/ns`: the namespaces, their settings and what they use.

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use ringhold_node::cells::Access;
use ringhold_node::namespaces::{Namespace, NamespaceError, Terms, configure, drop_from};
use ringhold_store::entry::UpdateError;
use ringhold_types::id::NamespaceId;
use ringhold_wire::http::decode::{TTL_MAX, duration};
use ringhold_wire::http::routes::name_of;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Answer;
use super::routes::{Reply, State, json_reply};
use crate::settings::ByteCount;

/// The most bytes of the settings of a namespace.
const BODY_LEN_MAX: usize = 64 * 1024;

/// The settings of a namespace, as they are sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    quota: Option<Value>,
    default_ttl: Option<Value>,
    eviction: Option<bool>,
}

impl State {
    /// All namespaces.
    pub(super) fn namespaces(&self) -> Reply {
        let rows = self.shared.node.namespaces.all();
        let rows: Vec<Value> = rows.iter().map(settings_json).collect();
        json_reply(&json!({ "namespaces": rows }))
    }

    /// One namespace, with what it uses.
    pub(super) fn namespace(&self, name: &str) -> Reply {
        match self.shared.node.namespaces.get(name) {
            Some(namespace) => json_reply(&self.namespace_json(&namespace)),
            None => self.no_such_namespace(),
        }
    }

    fn namespace_json(&self, namespace: &Namespace) -> Value {
        let (mut entries, mut bytes) = (0, 0);
        Access::each(&self.shared.shards).read_each(|cell| {
            let stats = cell.shard().space_stats(namespace.id);
            entries += stats.entries;
            bytes += stats.held;
        });
        let mut json = settings_json(namespace);
        json["entries"] = entries.into();
        json["used_bytes"] = bytes.into();
        json
    }

    pub(super) fn no_such_namespace(&self) -> Reply {
        let detail = "no namespace has this name: PUT /v1/ns/{name} makes one";
        self.problem(404, "no-such-namespace", detail)
    }

    /// Makes a namespace, or replaces the settings of one.
    pub(super) async fn put_namespace(&self, name: &str, parts: &Parts, body: Incoming) -> Reply {
        let body = match self.json_body(parts, body, BODY_LEN_MAX).await {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        let text: &[u8] = if body.bytes.is_empty() { b"{}" } else { &body.bytes };
        let sent: Sent = match serde_json::from_slice(text) {
            Ok(sent) => sent,
            Err(_) => {
                let detail = "a namespace is {\\\"quota\\\":\\\"64MiB\\\",\\\"default_ttl\\\":\\\"5m\\\",\\\"eviction\\\":true}, \
                    each of them optional";
                return self.problem(400, "bad-namespace", detail);
            }
        };
        let terms = match self.terms_of(&sent) {
            Ok(terms) => terms,
            Err(reply) => return *reply,
        };
        let namespaces = &self.shared.node.namespaces;
        let (namespace, is_new) = match namespaces.put(name, terms) {
            Ok(made) => made,
            Err(error) => return self.namespace_problem(error),
        };
        if !(is_new && terms == Terms::default())
            && let Err(error) = self.tell_shards(&namespace).await
        {
            if is_new && let Ok(id) = namespaces.remove(name) {
                drop_from(&self.shared.shards, id);
            }
            return self.no_room(error);
        }
        let mut reply = json_reply(&self.namespace_json(&namespace));
        if is_new {
            *reply.status_mut() = StatusCode::CREATED;
        }
        reply
    }

    /// Tells every shard the settings, until the namespace is within its quota, or has other settings meanwhile: then
    /// who has changed them tells the shards, and the older ones must not be told after them.
    async fn tell_shards(&self, namespace: &Namespace) -> Result<(), UpdateError> {
        let is_same =
            || self.shared.node.namespaces.get(&namespace.name).as_ref() == Some(namespace);
        while is_same() && !configure(&self.shared.shards, namespace, self.now())? {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Deletes a namespace with all its keys.
    pub(super) fn delete_namespace(&self, name: &str) -> Reply {
        match self.shared.node.namespaces.remove(name) {
            Ok(id) => {
                drop_from(&self.shared.shards, id);
                let mut reply = Reply::new(Answer::default());
                *reply.status_mut() = StatusCode::NO_CONTENT;
                reply
            }
            Err(error) => self.namespace_problem(error),
        }
    }

    /// The number and name of a namespace whose keys are meant.
    pub(super) fn named(&self, name: Option<&str>) -> Option<(NamespaceId, String)> {
        let name = name_of(name.unwrap_or("default"));
        self.shared.node.namespaces.id_of(&name).map(|id| (id, name.into_owned()))
    }

    fn terms_of(&self, sent: &Sent) -> Result<Terms, Box<Reply>> {
        let node = &self.shared.node;
        let quota = match &sent.quota {
            None | Some(Value::Null) => None,
            Some(quota) => {
                let of_text = |text: &str| text.parse().ok().map(|ByteCount(bytes)| bytes);
                let bytes = quota.as_str().map_or_else(|| quota.as_u64(), of_text);
                let min = node.geometry.quota_min();
                let Some(bytes) = bytes.filter(|&bytes| bytes >= min) else {
                    let detail = format!(
                        "quota is a number of bytes or 64MiB, at least {min} bytes on this node"
                    );
                    return Err(Box::new(self.problem(400, "bad-quota", &detail)));
                };
                Some(bytes)
            }
        };
        let default_ttl = match &sent.default_ttl {
            None | Some(Value::Null) => None,
            Some(ttl) => {
                let text = ttl.as_str().map_or_else(|| ttl.to_string(), str::to_owned);
                let ttl = duration(text.as_bytes());
                let Some(ttl) = ttl.filter(|ttl| !ttl.is_zero() && *ttl <= TTL_MAX) else {
                    let detail = "default_ttl is 250ms, 30s, 5m, 2h or 7d, or a number of seconds, from 1ms to ten years";
                    return Err(Box::new(self.problem(400, "bad-ttl", detail)));
                };
                Some(ttl)
            }
        };
        Ok(Terms { quota, default_ttl, is_evicted: sent.eviction.unwrap_or(true) })
    }

    fn namespace_problem(&self, error: NamespaceError) -> Reply {
        match error {
            NamespaceError::BadName => self.problem(
                400,
                "bad-name",
                "a namespace's name has 1 to 64 lower-case letters, digits, -, _ and .",
            ),
            NamespaceError::TooMany | NamespaceError::NoNumber => self.problem(
                409,
                "too-many-namespaces",
                "a node has at most 64 namespaces, the 16 databases included: delete one first",
            ),
            NamespaceError::Missing => self.no_such_namespace(),
            NamespaceError::Database => self.problem(
                409,
                "is-a-database",
                "a database always exists; DELETE /v1/ns/{name}/keys?all=true empties it",
            ),
        }
    }

    fn no_room(&self, error: UpdateError) -> Reply {
        match error {
            UpdateError::Full { retry: false } | UpdateError::TooManySpaces { .. } => {
                self.problem(507, "no-room", "there is no room for the namespace's tables")
            }
            UpdateError::Full { retry: true }
            | UpdateError::NeedRoom { .. }
            | UpdateError::TooLarge { .. }
            | UpdateError::KeyTooLong { .. } => {
                self.problem(503, "no-room-now", "there is no room at the moment, try again")
            }
        }
    }
}

fn settings_json(namespace: &Namespace) -> Value {
    let Terms { quota, default_ttl, is_evicted } = namespace.terms;
    json!({
        "name": namespace.name,
        "id": namespace.id.0,
        "quota": quota,
        "default_ttl": default_ttl.map(|ttl| format!("{}ms", ttl.as_millis())),
        "eviction": is_evicted,
    })
}
