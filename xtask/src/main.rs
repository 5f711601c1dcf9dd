//! The project's own commands: `cargo xtask tidy`.
fn main() {}
