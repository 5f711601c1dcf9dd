//! `/openapi.json`: the HTTP API in `OpenAPI` 3.1, made from the table of routes.

use ringhold_wire::http::routes::{self, Body, Kind, Parameter, Place, Route};
use serde_json::{Map, Value, json};

/// The description as text.
pub(super) fn text() -> String {
    let mut paths = Map::new();
    for route in routes::all() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(route);
    }
    let description = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ringhold",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
            "description": "A distributed in-memory cache. Any node answers any key.",
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "password": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "password": { "type": "http", "scheme": "bearer" } },
            "schemas": Value::Object(answers().into_iter().chain(requests()).collect()),
        },
    });
    format!("{description}\n")
}

fn operation(route: &Route) -> Value {
    let mut answers = Map::new();
    for (status, about, body) in route.answers {
        let mut answer = json!({ "description": about });
        if let Some(content) = content(*body) {
            answer["content"] = content;
        }
        answers.insert(status.to_string(), answer);
    }
    for status in [400, 401, 403, 408].iter().chain(route.problems) {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let content = json!({ "application/problem+json": { "schema": schema } });
        let answer = json!({ "description": "a problem", "content": content });
        answers.entry(status.to_string()).or_insert(answer);
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.about,
        "parameters": route.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": answers,
    });
    if let Some(content) = content(route.takes) {
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Field => "header",
    };
    let schema = match parameter.kind {
        Kind::Duration => {
            json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)?$", "examples": ["30s"] })
        }
        Kind::Integer => json!({ "type": "integer", "format": "int64" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Text if parameter.place == Place::Path => json!({ "type": "string", "minLength": 1 }),
        Kind::Text => json!({ "type": "string" }),
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.place == Place::Path,
        "description": parameter.about,
        "schema": schema,
    })
}

fn content(body: Body) -> Option<Value> {
    match body {
        Body::None => None,
        Body::Value => Some(json!({ "*/*": {} })),
        Body::Text => Some(json!({ "text/plain": { "schema": { "type": "string" } } })),
        Body::Metrics => {
            Some(json!({ "application/openmetrics-text": { "schema": { "type": "string" } } }))
        }
        Body::Html => Some(json!({ "text/html": { "schema": { "type": "string" } } })),
        Body::Json(name) => {
            let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
            Some(json!({ "application/json": { "schema": schema } }))
        }
    }
}

fn list_of(name: &str, schema: &str) -> Value {
    let items = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({
        "type": "object",
        "required": [name],
        "properties": { name: { "type": "array", "items": items } },
    })
}

/// What requests bring.
fn requests() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let base64 = json!({ "type": "string", "contentEncoding": "base64" });
    let duration = json!({ "type": ["string", "null"], "examples": ["5m"] });
    let schemas = json!({
        "NamespaceSettings": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "quota": { "type": ["integer", "string", "null"], "examples": ["64MiB"] },
                "default_ttl": duration,
                "eviction": { "type": "boolean", "default": true },
            },
        },
        "Batch": list_of("operations", "BatchOperation"),
        "BatchOperation": {
            "type": "object",
            "required": ["op"],
            "additionalProperties": false,
            "properties": {
                "op": { "enum": ["get", "put", "delete", "incr", "touch", "append", "prepend"] },
                "ns": text, "key": text, "key_b64": base64, "value": text, "value_b64": base64,
                "content_type": text, "content_encoding": text, "ttl": text, "stale_for": text,
                "by": { "type": "integer" }, "initial": { "type": "integer" }, "strict": { "type": "boolean" },
                "if_match": text, "if_none_match": text,
            },
        },
    });
    schemas.as_object().cloned().unwrap_or_default()
}

/// What answers bring.
fn answers() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let base64 = json!({ "type": "string", "contentEncoding": "base64" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let duration = json!({ "type": ["string", "null"], "examples": ["5m"] });
    let bytes = json!({ "type": "object", "properties": { "value": text, "value_b64": base64 } });
    let schemas = json!({
        "Problem": {
            "type": "object",
            "required": ["type", "title", "status", "detail", "code", "node", "retryable", "outcome"],
            "properties": {
                "type": text, "title": text, "status": count, "detail": text, "code": text, "node": text,
                "map": count, "slot": count,
                "retryable": { "type": "boolean" },
                "outcome": { "enum": ["not_applied", "unknown"] },
            },
        },
        "KeyPage": {
            "type": "object",
            "required": ["keys", "next"],
            "properties": {
                "keys": {
                    "type": "array",
                    "items": { "type": "object", "properties": { "key": text, "key_b64": base64 } },
                },
                "next": { "type": ["string", "null"] },
            },
        },
        "Operations": list_of("operations", "Operation"),
        "Operation": {
            "type": "object",
            "required": ["id", "kind", "state", "deleted"],
            "properties": {
                "id": text, "kind": text, "namespace": text, "prefix": bytes,
                "state": { "enum": ["running", "done", "cancelled"] },
                "slots_done": count, "slots_total": count, "deleted": count,
                "started_ms": count, "elapsed_ms": count,
                "remaining_ms": { "type": ["integer", "null"] },
            },
        },
        "Namespaces": list_of("namespaces", "Namespace"),
        "Namespace": {
            "type": "object",
            "required": ["name", "id", "quota", "default_ttl", "eviction"],
            "properties": {
                "name": text, "id": count, "quota": { "type": ["integer", "null"] }, "default_ttl": duration,
                "eviction": { "type": "boolean" }, "entries": count, "used_bytes": count,
            },
        },
        "BatchResults": list_of("results", "BatchResult"),
        "BatchResult": {
            "type": "object",
            "required": ["status"],
            "properties": {
                "status": count, "version": text, "value": text, "value_b64": base64,
                "content_type": text, "content_encoding": text,
                "problem": { "$ref": "#/components/schemas/Problem" },
            },
        },
        "Node": {
            "type": "object",
            "required": ["node", "version", "uptime_s", "memory"],
            "properties": {
                "node": text, "version": text, "run_id": text, "role": text, "state": text,
                "uptime_s": count, "workers": count, "connections": count, "entries": count,
                "memory": { "type": "object" }, "engine": { "type": "object" }, "value_len_max": count,
            },
        },
    });
    schemas.as_object().cloned().unwrap_or_default()
}
