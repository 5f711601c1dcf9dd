//! The page at `/`: what runs here, and where to go on.

use ringhold_node::state::NodeState;

/// Escapes what could be read as markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page; it loads nothing from elsewhere.
pub(super) fn front(node: &NodeState) -> String {
    let name = escaped(&node.name);
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Ringhold {name}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em}}\
         code{{background:#eee;padding:.1em .3em}}</style></head><body>\
         <h1>Ringhold</h1><p>Node <code>{name}</code>, version {version}, serves keys here.</p>\
         <p><code>curl -X PUT --data hello 'localhost:7380/v1/keys/greeting?ttl=30s'</code><br>\
         <code>curl localhost:7380/v1/keys/greeting</code></p>\
         <ul><li><a href=\"/v1/node\">this node</a></li><li><a href=\"/v1/keys\">its keys</a></li>\
         <li><a href=\"/metrics\">metrics</a></li><li><a href=\"/readyz?verbose\">health</a></li></ul>\
         </body></html>\n"
    )
}
