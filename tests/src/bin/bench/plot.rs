//! Plot of the cost over the number of virtual hosts: panels with logarithmic axes, in which a
//! straight line of slope one is linear growth.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::results::{Point, median};

/// Size of one panel in pixels, and the space for the text around it.
const PANEL: (f64, f64) = (340.0, 260.0);
const LEFT: f64 = 64.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 48.0;

/// The axes begin and end with powers of ten.
const HOSTS: (i32, i32) = (0, 4);

/// Values of a panel, with their unit.
struct Series {
    title: &'static str,
    unit: &'static str,
    values: Vec<(f64, f64)>,
}

/// Returns the plot; an empty one if there are no points.
pub(crate) fn svg(points: &[Point]) -> String {
    let panels = [
        Series {
            title: "processor, % of one",
            unit: "%",
            values: medians(points, |point| point.processor * 100.0),
        },
        Series {
            title: "of which the leases, % of one",
            unit: "%",
            values: medians(points, |point| point.leases * 100.0),
        },
        Series {
            title: "memory (PSS), MB",
            unit: "MB",
            values: medians(points, |point| point.memory / 1e6),
        },
    ];
    let width = (PANEL.0 + LEFT) * 3.0 + 24.0;
    let height = PANEL.1 + TOP + BOTTOM;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (series, left) in panels
        .iter()
        .zip([0.0, 1.0, 2.0].map(|at| LEFT + (LEFT + PANEL.0) * at))
    {
        text += &panel(series, left);
    }
    text + "</svg>\n"
}

/// Returns the median for each number of hosts.
fn medians(points: &[Point], value: impl Fn(&Point) -> f64) -> Vec<(f64, f64)> {
    let mut by_hosts: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for point in points {
        by_hosts.entry(point.hosts).or_default().push(value(point));
    }
    by_hosts
        .into_iter()
        .filter_map(|(hosts, mut values)| {
            values.sort_by(f64::total_cmp);
            Some((f64::from(hosts), median(&values)?))
        })
        .collect()
}

fn panel(series: &Series, left: f64) -> String {
    let exponents = range(&series.values);
    let x = |hosts: f64| left + along(hosts, HOSTS) * PANEL.0;
    let y = |value: f64| TOP + PANEL.1 - along(value, exponents) * PANEL.1;
    let (right, bottom) = (left + PANEL.0, TOP + PANEL.1);
    let mut text = format!(
        "<text x=\"{left}\" y=\"22\" font-weight=\"bold\">{}</text>\n",
        series.title
    );
    for exponent in HOSTS.0..=HOSTS.1 {
        let at = x(10_f64.powi(exponent));
        let _ = writeln!(
            text,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 16.0,
            10_f64.powi(exponent)
        );
    }
    for exponent in exponents.0..=exponents.1 {
        let at = y(10_f64.powi(exponent));
        let _ = writeln!(
            text,
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            at + 4.0,
            10_f64.powi(exponent)
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">virtual hosts</text>",
        left + PANEL.0 / 2.0,
        bottom + 36.0
    );
    let line: Vec<String> = series
        .values
        .iter()
        .map(|(hosts, value)| format!("{:.1},{:.1}", x(*hosts), y(*value)))
        .collect();
    let _ = writeln!(
        text,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#2060b0\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for (hosts, value) in &series.values {
        let (at, height) = (x(*hosts), y(*value));
        // Clear of the axis' own numbers.
        let anchor = if at > left { "middle" } else { "start" };
        let _ = writeln!(
            text,
            "<circle cx=\"{at:.1}\" cy=\"{height:.1}\" r=\"3.5\" fill=\"#2060b0\">\
             <title>{hosts} virtual hosts: {value:.3} {unit}</title></circle>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"10\">{value:.2}</text>",
            height - 8.0,
            unit = series.unit
        );
    }
    text
}

/// Returns powers of ten between which all values are.
fn range(values: &[(f64, f64)]) -> (i32, i32) {
    let mut bounds = (0, 1);
    for (_, value) in values.iter().filter(|(_, value)| *value > 0.0) {
        while 10_f64.powi(bounds.0) > *value {
            bounds.0 -= 1;
        }
        while 10_f64.powi(bounds.1) < *value {
            bounds.1 += 1;
        }
    }
    bounds
}

/// Returns the position of a value between two powers of ten, from 0 to 1.
fn along(value: f64, (least, greatest): (i32, i32)) -> f64 {
    let place = (value.log10() - f64::from(least)) / f64::from(greatest - least);
    place.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_hosts_is_drawn_once_at_its_median() {
        let points: Vec<Point> = [(1, 1.0), (100, 3.0), (100, 1.0), (100, 2.0)]
            .map(|(hosts, megabytes)| Point {
                hosts,
                processor: 0.01,
                leases: 0.005,
                memory: megabytes * 1e6,
            })
            .into();
        let picture = svg(&points);
        assert!(picture.contains("100 virtual hosts: 2.000 MB"), "{picture}");
        assert!(picture.contains("100 virtual hosts: 0.500 %"), "{picture}");
        assert_eq!(picture.matches("<circle").count(), 6);
    }

    #[test]
    fn the_axis_holds_every_value() {
        assert_eq!(range(&[(1.0, 0.02), (2.0, 30.0)]), (-2, 2));
        assert!((along(10.0, (0, 2)) - 0.5).abs() < 1e-9);
    }
}
