//! The `ringhold` command.
fn main() {}
