//! The server binary: configuration, roles, supervisor, operator commands.

fn main() {}
