//! carptop: live view of carp interfaces, their masters and their troubles.
//!
//! | module | contents |
//! | --- | --- |
//! | `app` | state of the program, changed by messages: [`App::update`] |
//! | `ui` | the screen as a function of the state: [`render`] |
//! | `model`, `history` | last known state of carpd, and its past |
//! | `trouble`, `summary` | troubles of an interface, and of all |
//! | `keys`, `columns`, `theme`, `layout` | tables of keys, columns, styles; areas of the screen |
//! | `source` | connection to carpd; the only asynchronous file |
//! | `live`, `terminal` | main loop; terminal, restored on every exit |
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
