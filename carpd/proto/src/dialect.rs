//! Dialects: the protocols in which hosts of a group elect a master.
//!
//! A dialect turns received packets into claims, and the claims of this host into frames. Its order of
//! checks, its digest and its counters are its own: the state machine sees claims alone. With a second
//! protocol, [`Dialect`] becomes an enum of two.

pub(crate) mod carp;

pub(crate) use self::carp::mismatch::Mismatch;
pub(crate) use self::carp::{Carp as Dialect, Heard, Received};
