//! carptop: see at a glance who is master of what.
//!
//! | module | what |
//! | --- | --- |
//! | `app` | the state, and what messages do to it: [`App::update`] |
//! | `ui` | the screen as a function of the state: [`draw`] |
//! | `picture`, `history`, `trouble`, `tally` | what is known of carpd, what was seen, what is wrong |
//! | `keys`, `theme`, `layout` | one table each: keys, looks, places |
//! | `source` | the only async file: carpd on the bus |
//! | `live`, `terminal` | the loop, and the terminal that is restored on every way out |
//! | `report` | `--once` and `--json` |

mod app;
mod columns;
mod history;
mod keys;
mod layout;
mod live;
mod model;
mod options;
mod report;
mod sort;
mod source;
mod summary;
mod terminal;
mod text;
mod theme;
mod trouble;
mod ui;
mod when;

pub use app::{App, Effect, Msg, Request, Setup};
pub use keys::{Binding, KEYS};
pub use live::render;
pub use model::Snapshot;
pub use options::{command, main};
pub use theme::{Scheme, Theme};
