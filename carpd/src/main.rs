//! The CARP daemon.

mod api;
mod publish;

fn main() {}
