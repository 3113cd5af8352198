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
mod history;
mod keys;
mod layout;
mod live;
mod options;
mod picture;
mod report;
mod source;
mod tally;
mod terminal;
mod theme;
mod trouble;
mod ui;
mod when;

pub use app::{App, Effect, Msg, Order, Setup};
pub use keys::{Binding, KEYS};
pub use options::{command, main};
pub use picture::Snapshot;
pub use theme::{Scheme, Theme};
pub use ui::draw;
