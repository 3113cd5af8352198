//! The CARP daemon.

mod api;
mod kernel;
mod net;
mod publish;

fn main() {}
