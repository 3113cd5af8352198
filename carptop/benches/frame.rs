//! Times of a frame, of a failover and of reading a list, with 4,000 interfaces on a large screen.
//!
//! `cargo bench -p carptop` prints them; a frame should take less than 5 ms.

#[expect(dead_code, reason = "the benchmark uses a part of it")]
#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use carp_dbus::Change;
use carptop::{Msg, render};
use common::{SECOND, Stage, crowd};

const TIMES: usize = 200;

fn main() {
    let mut stage = Stage::with(crowd(4000), (300, 100));
    let mut terminal = stage.terminal();
    let frame = median(|| {
        stage.pass(SECOND / 4);
        let Ok(_) = terminal.draw(|frame| render(&mut stage.app, frame));
    });
    println!("a tick and a frame, 4,000 interfaces, 300x100: {frame:?}");
    let listed = median(|| {
        let interfaces = crowd(4000).interfaces;
        stage.send(Msg::Listed {
            interfaces,
            took: 0,
        });
    });
    println!("a failover of 4,000 interfaces: {:?}", failover(&mut stage));
    println!("a list of 4,000 interfaces: {listed:?}");
}

/// Makes every interface MASTER: one message each, and one frame.
fn failover(stage: &mut Stage) -> Duration {
    let start = Instant::now();
    for unit in 0..4000 {
        let master = zbus::Variant::from("MASTER").try_into_owned();
        let changed = master.map(|master| ("State".to_owned(), master));
        let change = Change::Properties {
            name: format!("carp{unit}"),
            changed: changed.into_iter().collect(),
        };
        drop(stage.app.update(Msg::Change(Box::new(change))));
    }
    drop(stage.terminal());
    start.elapsed()
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times.get(TIMES / 2).copied().unwrap_or_default()
}
