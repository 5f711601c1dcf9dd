//! Tidy on this workspace, and on small texts that break its rules.

use super::{Found, arrow_table, root, run, rust_file};

#[test]
fn the_workspace_is_tidy() {
    let found = run(&root()).unwrap();
    assert!(found.failures.is_empty(), "{:#?}", found.failures);
}

#[test]
fn broken_rules_are_found() {
    for (text, count) in [
        ("//! x\nfn f() {}\n", 0),
        ("fn f() {}\n", 1),
        ("//! x\nlet slave = 1; // master\n", 1),
        ("//! x\nlet a = \"slave\";\n", 0),
        ("//! x\n// FIXME\n", 1),
        ("//! x\nsleep(1);\n", 1),
        ("//! x\nbind(\"127.0.0.1:80\");\n", 1),
        ("//! x\nbind(\"127.0.0.1:0\");\n", 0),
    ] {
        let mut found = Found::default();
        rust_file("crates/a/tests/it/main.rs", text, &mut found);
        assert_eq!(found.failures.len(), count, "{text}: {:?}", found.failures);
    }
}

#[test]
fn the_table_is_read() {
    let table = arrow_table("| `a` | job | `b` `c` |\n| `b` | job | |\n");
    assert_eq!(table["a"], ["b", "c"]);
    assert!(table["b"].is_empty());
}
