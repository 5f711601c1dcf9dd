//! The paths of the HTTP API and what each answers to: the one table that the workers' fast path, the control plane and
//! the description at `/openapi.json` share.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;

use super::target::CONSISTENCIES;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'p> {
    /// One key.
    Key {
        /// The name of its namespace; `None`: `default`.
        namespace: Option<&'p str>,
        /// The key, percent-encoded; for `POST` with a verb behind a colon.
        key: &'p str,
    },
    /// The keys of a namespace.
    Keys {
        /// The name of the namespace; `None`: `default`.
        namespace: Option<&'p str>,
    },
    /// Many operations in one request.
    Batch,
    /// All namespaces.
    Namespaces,
    /// The namespace of this name.
    Namespace(&'p str),
    /// All operations that go on or ended lately.
    Operations,
    /// The operation of this number.
    Operation(&'p str),
    /// This node.
    Node,
    /// Whether the process lives.
    Live,
    /// Whether the node serves.
    Ready,
    /// The metrics.
    Metrics,
    /// The description of this interface.
    OpenApi,
    /// The page for people.
    Front,
}

/// What `path` names; `None`: nothing is served there. A key has no `/` in it: that is `%2F`.
#[must_use]
pub fn resource(path: &str) -> Option<Resource<'_>> {
    if let Some(key) = path.strip_prefix("/v1/keys/") {
        return (!key.contains('/')).then_some(Resource::Key { namespace: None, key });
    }
    if let Some(rest) = path.strip_prefix("/v1/ns/") {
        return match rest.split_once('/') {
            None => (!rest.is_empty()).then_some(Resource::Namespace(rest)),
            Some((name, "keys")) => Some(Resource::Keys { namespace: Some(name) }),
            Some((name, rest)) => {
                let key = rest.strip_prefix("keys/").filter(|key| !key.contains('/'))?;
                Some(Resource::Key { namespace: Some(name), key })
            }
        };
    }
    if let Some(id) = path.strip_prefix("/v1/cluster/operations/") {
        return (!id.is_empty() && !id.contains('/')).then_some(Resource::Operation(id));
    }
    match path {
        "/v1/keys" => Some(Resource::Keys { namespace: None }),
        "/v1/batch" => Some(Resource::Batch),
        "/v1/ns" => Some(Resource::Namespaces),
        "/v1/cluster/operations" => Some(Resource::Operations),
        "/v1/node" => Some(Resource::Node),
        "/livez" => Some(Resource::Live),
        "/readyz" => Some(Resource::Ready),
        "/metrics" => Some(Resource::Metrics),
        "/openapi.json" => Some(Resource::OpenApi),
        "/" => Some(Resource::Front),
        _ => None,
    }
}

/// The name that a segment of a path stands for; what is no UTF-8 names nothing that exists.
#[must_use]
pub fn name_of(segment: &str) -> Cow<'_, str> {
    match super::target::percent_decoded(segment.as_bytes()) {
        None | Some(Cow::Borrowed(_)) => Cow::Borrowed(segment),
        Some(Cow::Owned(bytes)) => {
            Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|_| segment.to_owned()))
        }
    }
}

/// The kind of value that a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `250ms`, `30s`, `5m`, `2h`, `7d`; a bare number is seconds.
    Duration,
    /// A signed 64-bit integer.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text.
    Text,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the path, between slashes.
    Path,
    /// In the query.
    Query,
    /// In a header field.
    Field,
}

/// A parameter of a route.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it takes.
    pub kind: Kind,
    /// What it does, in one sentence.
    pub about: &'static str,
}

/// What a request or an answer has for its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// The bytes of a value, of any content type.
    Value,
    /// Plain text.
    Text,
    /// A page.
    Html,
    /// Metrics.
    Metrics,
    /// JSON; the name of its schema.
    Json(&'static str),
}

/// One method of one path.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The path below `/`, with names in braces.
    pub path: &'static str,
    /// The method.
    pub method: &'static str,
    /// A name for generated clients.
    pub id: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// What it can be told.
    pub parameters: &'static [Parameter],
    /// What it is sent.
    pub takes: Body,
    /// What it answers when it succeeds: status, what that says, the body.
    pub answers: &'static [(u16, &'static str, Body)],
    /// The statuses of its problems, beside 400, 401, 403 and 408, which every route has.
    pub problems: &'static [u16],
}

const fn path(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Path, kind: Kind::Text, about }
}

const fn query(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Query, kind, about }
}

const fn field(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Field, kind: Kind::Text, about }
}

const KEY: Parameter = path("key", "the key, percent-encoded; 1 to 65535 bytes decoded");
const NAMESPACE: Parameter = path("ns", "the name of the namespace");
const TTL: Parameter = query("ttl", Kind::Duration, "the time to live");
const CONSISTENCY: Parameter = query(
    "consistency",
    Kind::Word(CONSISTENCIES),
    "eventual: any node with an up-to-date copy may answer; the same as linearizable, the default, on a node alone",
);
const IF_MATCH: Parameter =
    field("If-Match", "done only if the entry has one of these versions, * if it exists");
const IF_NONE_MATCH: Parameter =
    field("If-None-Match", "done only if the entry has none of these versions, * if it is missing");
const PREFIX: Parameter = query("prefix", Kind::Text, "only keys that begin with this");

macro_rules! key_routes {
    ($path:literal, $suffix:literal, $($ns:expr)?) => {
        [
            Route {
                path: $path,
                method: "get",
                id: concat!("getKey", $suffix),
                about: "Reads the value of a key.",
                parameters: &[$($ns,)? KEY, CONSISTENCY, IF_MATCH, IF_NONE_MATCH],
                takes: Body::None,
                answers: &[(200, "the value", Body::Value), (304, "the version named by If-None-Match", Body::None)],
                problems: &[404, 412],
            },
            Route {
                path: $path,
                method: "head",
                id: concat!("headKey", $suffix),
                about: "Reads what is known of a value, without the value.",
                parameters: &[$($ns,)? KEY, CONSISTENCY, IF_MATCH, IF_NONE_MATCH],
                takes: Body::None,
                answers: &[(200, "the entry exists", Body::None), (304, "the version named by If-None-Match", Body::None)],
                problems: &[404, 412],
            },
            Route {
                path: $path,
                method: "put",
                id: concat!("putKey", $suffix),
                about: "Sets a key: value, content type and time to live are replaced.",
                parameters: &[
                    $($ns,)? KEY, TTL,
                    query("stale_for", Kind::Duration, "how long the entry can be read as stale after its ttl"),
                    field("Ringhold-TTL", "the time to live, if the query has none"),
                    field("Ringhold-Fill-Lease", "the lease under which this value was made"),
                    IF_MATCH, IF_NONE_MATCH,
                ],
                takes: Body::Value,
                answers: &[(201, "created", Body::None), (204, "replaced", Body::None)],
                problems: &[404, 412, 413, 503, 507],
            },
            Route {
                path: $path,
                method: "delete",
                id: concat!("deleteKey", $suffix),
                about: "Deletes a key, whether or not it exists.",
                parameters: &[
                    $($ns,)? KEY,
                    query("strict", Kind::Boolean, "whether a missing key is a 404"),
                    IF_MATCH, IF_NONE_MATCH,
                ],
                takes: Body::None,
                answers: &[(204, "the key does not exist now", Body::None)],
                problems: &[404, 412],
            },
            Route {
                path: concat!($path, ":incr"),
                method: "post",
                id: concat!("incrKey", $suffix),
                about: "Adds to a signed 64-bit counter.",
                parameters: &[
                    $($ns,)? KEY,
                    query("by", Kind::Integer, "what is added, 1 if nothing is said"),
                    query("initial", Kind::Integer, "what a missing counter begins at, 0 if nothing is said"),
                    query("ttl", Kind::Duration, "the time to live, if this creates the counter"),
                    IF_MATCH, IF_NONE_MATCH,
                ],
                takes: Body::None,
                answers: &[(200, "the new value", Body::Text)],
                problems: &[404, 409, 412, 503, 507],
            },
            Route {
                path: concat!($path, ":touch"),
                method: "post",
                id: concat!("touchKey", $suffix),
                about: "Gives an entry a new time to live; value and version stay.",
                parameters: &[$($ns,)? KEY, TTL, IF_MATCH, IF_NONE_MATCH],
                takes: Body::None,
                answers: &[(204, "done", Body::None)],
                problems: &[404, 412, 503, 507],
            },
            Route {
                path: concat!($path, ":append"),
                method: "post",
                id: concat!("appendKey", $suffix),
                about: "Adds the body at the end of the value; a missing key begins as an empty value.",
                parameters: &[$($ns,)? KEY, IF_MATCH, IF_NONE_MATCH],
                takes: Body::Value,
                answers: &[(204, "done", Body::None)],
                problems: &[404, 412, 413, 503, 507],
            },
            Route {
                path: concat!($path, ":prepend"),
                method: "post",
                id: concat!("prependKey", $suffix),
                about: "Adds the body at the beginning of the value; a missing key begins as an empty value.",
                parameters: &[$($ns,)? KEY, IF_MATCH, IF_NONE_MATCH],
                takes: Body::Value,
                answers: &[(204, "done", Body::None)],
                problems: &[404, 412, 413, 503, 507],
            },
            Route {
                path: concat!($path, ":fill-lease"),
                method: "post",
                id: concat!("leaseKey", $suffix),
                about: "Reads the value of a key, or makes one caller at a time the one who fills it.",
                parameters: &[
                    $($ns,)? KEY,
                    query("ttl", Kind::Duration, "the time to live of the fill, if its PUT says none"),
                    query("fill_within", Kind::Duration, "how long the lease holds, 5s if nothing is said, 5m at most"),
                    field("Prefer", "wait=5 waits so many seconds for another caller's fill, 60 at most"),
                ],
                takes: Body::None,
                answers: &[
                    (200, "the value, fresh or stale", Body::Value),
                    (201, "this caller fills: PUT with the Ringhold-Fill-Lease of this answer", Body::None),
                    (202, "another caller is filling", Body::None),
                ],
                problems: &[404, 503],
            },
        ]
    };
}

macro_rules! keys_routes {
    ($path:literal, $suffix:literal, $($ns:expr)?) => {
        [
            Route {
                path: $path,
                method: "get",
                id: concat!("listKeys", $suffix),
                about: "Lists keys, a page a call; a key that stays is listed at least once.",
                parameters: &[
                    $($ns,)? PREFIX,
                    query("cursor", Kind::Integer, "the next of the page before"),
                    query("limit", Kind::Integer, "the most keys of a page, 1 to 1000"),
                ],
                takes: Body::None,
                answers: &[(200, "a page", Body::Json("KeyPage"))],
                problems: &[404],
            },
            Route {
                path: $path,
                method: "delete",
                id: concat!("clearKeys", $suffix),
                about: "Deletes all keys, or those with a prefix.",
                parameters: &[
                    $($ns,)? PREFIX,
                    query("all", Kind::Boolean, "whether all keys are meant"),
                ],
                takes: Body::None,
                answers: &[
                    (200, "done", Body::Json("Operation")),
                    (202, "going on, see Location", Body::Json("Operation")),
                ],
                problems: &[404],
            },
        ]
    };
}

const fn read(
    path: &'static str,
    id: &'static str,
    about: &'static str,
    answers: &'static [(u16, &'static str, Body)],
) -> Route {
    Route {
        path,
        method: "get",
        id,
        about,
        parameters: &[],
        takes: Body::None,
        answers,
        problems: &[],
    }
}

const OTHERS: [Route; 13] = [
    Route {
        path: "/v1/batch",
        method: "post",
        id: "batch",
        about: "Executes up to 1000 operations, in order for each key.",
        parameters: &[],
        takes: Body::Json("Batch"),
        answers: &[(200, "what became of each", Body::Json("BatchResults"))],
        problems: &[413, 415],
    },
    read(
        "/v1/ns",
        "listNamespaces",
        "Lists the namespaces.",
        &[(200, "all of them", Body::Json("Namespaces"))],
    ),
    Route {
        parameters: &[NAMESPACE],
        problems: &[404],
        ..read(
            "/v1/ns/{ns}",
            "getNamespace",
            "Reads a namespace.",
            &[(200, "its settings and use", Body::Json("Namespace"))],
        )
    },
    Route {
        path: "/v1/ns/{ns}",
        method: "put",
        id: "putNamespace",
        about: "Makes a namespace, or replaces its settings.",
        parameters: &[NAMESPACE],
        takes: Body::Json("NamespaceSettings"),
        answers: &[
            (201, "made", Body::Json("Namespace")),
            (200, "changed", Body::Json("Namespace")),
        ],
        problems: &[409, 413, 415, 503, 507],
    },
    Route {
        path: "/v1/ns/{ns}",
        method: "delete",
        id: "deleteNamespace",
        about: "Deletes a namespace with all its keys.",
        parameters: &[NAMESPACE],
        takes: Body::None,
        answers: &[(204, "gone", Body::None)],
        problems: &[404, 409],
    },
    read(
        "/v1/cluster/operations",
        "listOperations",
        "Lists operations that go on or ended lately.",
        &[(200, "newest last", Body::Json("Operations"))],
    ),
    Route {
        parameters: &[path("id", "the number of the operation")],
        problems: &[404],
        ..read(
            "/v1/cluster/operations/{id}",
            "getOperation",
            "Reads how far an operation is.",
            &[(200, "its progress", Body::Json("Operation"))],
        )
    },
    Route {
        path: "/v1/cluster/operations/{id}",
        method: "delete",
        id: "cancelOperation",
        about: "Cancels an operation; what is done stays done.",
        parameters: &[path("id", "the number of the operation")],
        takes: Body::None,
        answers: &[(200, "it ends at its next step", Body::Json("Operation"))],
        problems: &[404, 409],
    },
    read(
        "/v1/node",
        "getNode",
        "Reads what this node is and how it is.",
        &[(200, "this node", Body::Json("Node"))],
    ),
    read("/livez", "live", "Whether the process lives.", &[(200, "it does", Body::Text)]),
    Route {
        parameters: &[query("verbose", Kind::Text, "whether to say more")],
        problems: &[503],
        ..read("/readyz", "ready", "Whether the node serves.", &[(200, "it does", Body::Text)])
    },
    read(
        "/metrics",
        "metrics",
        "The metrics, as OpenMetrics.",
        &[(200, "the metrics", Body::Metrics)],
    ),
    read("/", "front", "A page for people.", &[(200, "the page", Body::Html)]),
];

const KEY_ROUTES: [Route; 9] = key_routes!("/v1/keys/{key}", "",);
const KEYS_ROUTES: [Route; 2] = keys_routes!("/v1/keys", "",);
const NAMESPACE_KEY_ROUTES: [Route; 9] = key_routes!("/v1/ns/{ns}/keys/{key}", "Of", NAMESPACE);
const NAMESPACE_KEYS_ROUTES: [Route; 2] = keys_routes!("/v1/ns/{ns}/keys", "Of", NAMESPACE);

/// The routes of a path, one for each method; of a key, those without a verb.
pub fn of(path: &str) -> impl Iterator<Item = &'static Route> {
    let is_of = |template: &str| {
        let (mut named, mut given) = (template.split('/'), path.split('/'));
        let all_match = named.by_ref().zip(given.by_ref()).all(|(named, given)| {
            (named.starts_with('{') && named.ends_with('}')) || named == given
        });
        all_match && template.matches('/').count() == path.matches('/').count()
    };
    all().filter(move |route| is_of(route.path))
}

/// All routes but that of the description itself.
pub fn all() -> impl Iterator<Item = &'static Route> {
    KEY_ROUTES
        .iter()
        .chain(&KEYS_ROUTES)
        .chain(&NAMESPACE_KEY_ROUTES)
        .chain(&NAMESPACE_KEYS_ROUTES)
        .chain(&OTHERS)
}
