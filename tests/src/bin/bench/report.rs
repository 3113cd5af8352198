//! BENCHMARKS.md: the text of `benchmarks.md` with the results.

use std::fmt::Write as _;

use anyhow::Result;

use crate::engine::Engine;
use crate::figures::{Figure, Id, SECTIONS};
use crate::machine::Machine;
use crate::results::{Cell, Results};

const TEMPLATE: &str = include_str!("benchmarks.md");

/// Path of the plot from the top of the sources.
pub(crate) const PLOT: &str = "tests/benchmarks/scaling.svg";

/// Returns the whole document.
pub(crate) fn markdown(results: &Results) -> Result<String> {
    Ok(TEMPLATE
        .replace("{{machine}}", &machine(&results.machine)?)
        .replace("{{tables}}", tables(results)?.trim_end())
        .replace("{{missed}}", missed(results)?.trim_end())
        .replace("{{worse}}", worse(results)?.trim_end())
        .replace("{{plot}}", PLOT))
}

/// Returns the tables.
pub(crate) fn tables(results: &Results) -> Result<String> {
    let mut text = String::new();
    for (title, figures) in SECTIONS {
        let rows: Vec<&Figure> = figures
            .iter()
            .filter(|figure| results.cells.contains_key(&figure.id))
            .collect();
        if rows.is_empty() {
            continue;
        }
        let engines = columns(&rows, results);
        write!(text, "### {title}\n\n| |")?;
        for engine in &engines {
            write!(text, " {engine} |")?;
        }
        writeln!(
            text,
            " target | reached |\n| --- |{} --- | --- |",
            " --- |".repeat(engines.len())
        )?;
        for figure in rows {
            write!(text, "| {} |", figure.title)?;
            for engine in &engines {
                write!(text, " {} |", shown(figure, *engine, results))?;
            }
            let target = figure.target.show(figure.unit);
            writeln!(text, " {target} | {} |", verdict(figure, results))?;
        }
        text.push('\n');
    }
    Ok(text)
}

fn columns(rows: &[&Figure], results: &Results) -> Vec<Engine> {
    let measured = |engine: &Engine| {
        let mut cells = rows
            .iter()
            .filter_map(|figure| results.cells.get(&figure.id));
        cells.any(|cells| cells.contains_key(engine))
    };
    Engine::ALL.into_iter().filter(measured).collect()
}

fn shown(figure: &Figure, engine: Engine, results: &Results) -> String {
    let cell = results
        .cells
        .get(&figure.id)
        .and_then(|cells| cells.get(&engine));
    cell.map_or_else(String::new, |cell| filled(figure, cell))
}

/// Returns `41.2 ms (40.1 … 44.0)`, and the failures.
fn filled(figure: &Figure, cell: &Cell) -> String {
    let show = |value| figure.unit.show(value);
    let mut text = match cell.summary() {
        Some(it) if (it.greatest - it.least).abs() < f64::EPSILON => show(it.median),
        Some(it) => {
            let (least, greatest) = (show(it.least), show(it.greatest));
            format!("**{}** ({least} … {greatest})", show(it.median))
        }
        None => String::new(),
    };
    if let Some(reason) = cell.failures.first() {
        let of = cell.failures.len() + cell.values.len();
        let separator = if text.is_empty() { "" } else { "; " };
        let reason = reason.replace('|', "\\|");
        let _ = write!(
            text,
            "{separator}failed {} of {of}: {reason}",
            cell.failures.len()
        );
    }
    text
}

/// Returns whether carpd's median reaches the target.
fn verdict(figure: &Figure, results: &Results) -> &'static str {
    match holds(figure, results) {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    }
}

fn holds(figure: &Figure, results: &Results) -> Option<bool> {
    let value = results.median(figure.id, Engine::Carpd)?;
    // "Unleased" is carpd's; the others have no leases at all.
    let theirs = if figure.id == Id::Unleased255 {
        Id::Master255
    } else {
        figure.id
    };
    figure
        .target
        .holds(value, |engine| results.median(theirs, engine))
}

fn figures() -> impl Iterator<Item = &'static Figure> {
    SECTIONS.iter().flat_map(|(_, figures)| figures.iter())
}

/// Returns a list of the targets that carpd missed.
fn missed(results: &Results) -> Result<String> {
    let mut text = String::new();
    for figure in figures().filter(|figure| holds(figure, results) == Some(false)) {
        let cell = shown(figure, Engine::Carpd, results);
        let target = figure.target.show(figure.unit);
        writeln!(
            text,
            "- {}:\n  {cell}; the target is {target}.",
            figure.title
        )?;
    }
    if text.is_empty() {
        text.push_str("None.");
    }
    Ok(text)
}

/// Returns a list of the figures in which another engine's median is better than carpd's.
fn worse(results: &Results) -> Result<String> {
    let mut text = String::new();
    for figure in figures() {
        let Some(ours) = results.median(figure.id, Engine::Carpd) else {
            continue;
        };
        for engine in Engine::ALL {
            let theirs = results.median(figure.id, engine);
            if let Some(theirs) = theirs.filter(|theirs| *theirs < ours) {
                writeln!(
                    text,
                    "- {}:\n  {engine} {}, carpd {}.",
                    figure.title,
                    figure.unit.show(theirs),
                    figure.unit.show(ours)
                )?;
            }
        }
    }
    if text.is_empty() {
        text.push_str("Nowhere.");
    }
    Ok(text)
}

fn machine(machine: &Machine) -> Result<String> {
    let mut text = String::from("| | |\n| --- | --- |\n");
    for (name, value) in [
        ("date", &machine.date),
        ("processors", &machine.processor),
        ("memory", &machine.memory),
        ("kernel", &machine.kernel),
        ("system", &machine.system),
        ("load at the start", &machine.load),
        ("carpd", &machine.carpd),
        ("keepalived", &machine.keepalived),
        ("ucarp", &machine.ucarp),
    ] {
        writeln!(text, "| {name} | {value} |")?;
    }
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let text = || "x".to_owned();
        Machine {
            date: text(),
            processor: text(),
            memory: text(),
            kernel: text(),
            system: text(),
            load: text(),
            carpd: text(),
            keepalived: text(),
            ucarp: text(),
        }
    }

    #[test]
    fn a_row_has_medians_a_verdict_and_what_failed() {
        let mut results = Results::new(machine());
        for value in [0.004, 0.003, 0.005] {
            results.add(Id::PlannedOutage, Engine::Carpd, value);
            results.add(Id::PlannedOutage, Engine::Keepalived, value * 100.0);
        }
        results.fail(Id::PlannedOutage, Engine::Ucarp, "it broke");
        let text = tables(&results).unwrap();
        assert!(
            text.contains("**4.00 ms** (3.00 ms … 5.00 ms) | failed 1 of 1: it broke | **400 ms**"),
            "{text}"
        );
        assert!(text.contains("| ≤ 0.1 × keepalived | yes |"), "{text}");
        assert_eq!(missed(&results).unwrap(), "None.");
        assert_eq!(worse(&results).unwrap(), "Nowhere.");
    }

    #[test]
    fn what_is_worse_is_listed() {
        let mut results = Results::new(machine());
        results.add(Id::Memory255, Engine::Carpd, 9e6);
        results.add(Id::Memory255, Engine::Keepalived, 5e6);
        assert!(
            missed(&results)
                .unwrap()
                .contains("the target is ≤ keepalived + 1.00 MB")
        );
        assert!(
            worse(&results)
                .unwrap()
                .contains("keepalived 5.00 MB, carpd 9.00 MB")
        );
    }

    #[test]
    fn the_document_has_no_gap_left() {
        let text = markdown(&Results::new(machine())).unwrap();
        assert!(!text.contains("{{"), "{text}");
    }
}
