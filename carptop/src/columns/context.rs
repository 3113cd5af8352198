//! Data of the whole screen that cells need.

use crate::model::Model;
use crate::theme::Theme;

/// Data that cells show beside those of their interface.
pub(crate) struct Context<'a> {
    pub(crate) theme: &'a Theme,
    pub(crate) model: &'a Model,
    /// Microseconds since the epoch.
    pub(crate) now: u64,
    /// Time of the data: earlier than `now` while carpd does not answer.
    pub(crate) read_at: u64,
}
