//! SVG image of a terminal's screen with colour codes.

use std::fmt::Write as _;

/// Width and height of a character in pixels, in a monospaced font of 14 pixels.
const CELL: (f32, f32) = (8.4, 17.0);

/// Margin around the screen in pixels.
const MARGIN: f32 = 12.0;

const FOREGROUND: &str = "#d7dae0";
const BACKGROUND: &str = "#16181d";

/// First 16 colours of xterm(1), slightly softer.
const NAMED: [&str; 16] = [
    "#1c1f26", "#c84a4a", "#57b484", "#d8b45a", "#5a8fd8", "#a878c8", "#4fa8b8", "#c8ccd4",
    "#6a717c", "#e06c6c", "#78d0a0", "#f0c85a", "#78b0f0", "#c89ae0", "#70c8d8", "#ffffff",
];

/// Style of a run of characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Style {
    foreground: Option<String>,
    background: Option<String>,
    weight: Weight,
    reversed: bool,
    underlined: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Weight {
    #[default]
    Normal,
    Bold,
    Dim,
}

/// Returns the image of `screen`, which has this number of columns.
pub(crate) fn image(screen: &str, columns: u16) -> String {
    let lines: Vec<&str> = screen.lines().collect();
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let (width, height) = (
        f32::from(columns) * CELL.0 + 2.0 * MARGIN,
        f32::from(rows) * CELL.1 + 2.0 * MARGIN,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"'DejaVu Sans Mono', Menlo, Consolas, \
         monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
    );
    let mut style = Style::default();
    for (line, row) in lines.into_iter().zip(0u16..) {
        let mut column = 0u16;
        for (run, text) in runs(line, &mut style) {
            let count = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
            draw(&mut svg, &run, &text, (column, row), count);
            column = column.saturating_add(count);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, style: &Style, text: &str, (column, row): (u16, u16), count: u16) {
    let (x, y) = (
        MARGIN + f32::from(column) * CELL.0,
        MARGIN + f32::from(row) * CELL.1,
    );
    let wide = f32::from(count) * CELL.0;
    let foreground = style.foreground.as_deref().unwrap_or(FOREGROUND);
    let background = style.background.as_deref();
    let (foreground, background) = if style.reversed {
        (background.unwrap_or(BACKGROUND), Some(foreground))
    } else {
        (foreground, background)
    };
    // Writing to a string cannot fail.
    if let Some(colour) = background {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
            CELL.1
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let weight = match style.weight {
        Weight::Normal => "",
        Weight::Bold => " font-weight=\"bold\"",
        Weight::Dim => " opacity=\"0.6\"",
    };
    let line = if style.underlined {
        " text-decoration=\"underline\""
    } else {
        ""
    };
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{wide:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
         xml:space=\"preserve\" fill=\"{foreground}\"{weight}{line}>{text}</text>",
        y + CELL.1 - 4.0
    );
}

/// Splits a line into runs of one style. `style` continues in the next line.
fn runs(line: &str, style: &mut Style) -> Vec<(Style, String)> {
    let mut runs: Vec<(Style, String)> = Vec::new();
    let mut rest = line;
    while let Some((text, code)) = rest.split_once("\u{1b}[") {
        push(&mut runs, style, text);
        let Some((parameters, after)) = code.split_once('m') else {
            return runs;
        };
        style.apply(parameters);
        rest = after;
    }
    push(&mut runs, style, rest);
    runs
}

fn push(runs: &mut Vec<(Style, String)>, style: &Style, text: &str) {
    // tmux leaves SO and SI, which switch the character set, in the text.
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    if !text.is_empty() {
        runs.push((style.clone(), text));
    }
}

impl Style {
    /// Applies the parameters of "select graphic rendition".
    fn apply(&mut self, parameters: &str) {
        let mut codes = parameters
            .split([';', ':'])
            .map(|code| code.parse::<u8>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Self::default(),
                1 => self.weight = Weight::Bold,
                2 => self.weight = Weight::Dim,
                4 => self.underlined = true,
                7 => self.reversed = true,
                22 => self.weight = Weight::Normal,
                24 => self.underlined = false,
                27 => self.reversed = false,
                30..=37 => self.foreground = named(code - 30),
                90..=97 => self.foreground = named(code - 82),
                40..=47 => self.background = named(code - 40),
                100..=107 => self.background = named(code - 92),
                38 => self.foreground = extended(&mut codes),
                48 => self.background = extended(&mut codes),
                39 => self.foreground = None,
                49 => self.background = None,
                _ => {}
            }
        }
    }
}

fn named(index: u8) -> Option<String> {
    NAMED
        .get(usize::from(index))
        .map(|colour| (*colour).to_owned())
}

/// Parses `5;INDEX` or `2;RED;GREEN;BLUE`.
fn extended(codes: &mut impl Iterator<Item = u8>) -> Option<String> {
    match codes.next()? {
        5 => indexed(codes.next()?),
        2 => {
            let (red, green, blue) = (codes.next()?, codes.next()?, codes.next()?);
            Some(format!("#{red:02x}{green:02x}{blue:02x}"))
        }
        _ => None,
    }
}

/// Returns one of xterm's 256 colours: 16 named colours, a cube, greys.
fn indexed(index: u8) -> Option<String> {
    match index {
        0..=15 => named(index),
        16..=231 => {
            let cube = index - 16;
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let (red, green, blue) = (level(cube / 36), level(cube / 6 % 6), level(cube % 6));
            Some(format!("#{red:02x}{green:02x}{blue:02x}"))
        }
        232..=255 => {
            let grey = 8 + 10 * (index - 232);
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_split_where_its_style_changes() {
        let mut style = Style::default();
        let runs = runs("a\u{1b}[1;38;2;1;2;255mbc\u{1b}[0m d", &mut style);
        let texts: Vec<&str> = runs.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["a", "bc", " d"]);
        let weights: Vec<Weight> = runs.iter().map(|(style, _)| style.weight).collect();
        assert_eq!(weights, [Weight::Normal, Weight::Bold, Weight::Normal]);
        let colours: Vec<_> = runs
            .iter()
            .map(|(style, _)| style.foreground.as_deref())
            .collect();
        assert_eq!(colours, [None, Some("#0102ff"), None]);
    }

    #[test]
    fn indexed_colours_are_those_of_xterm() {
        assert_eq!(indexed(16).as_deref(), Some("#000000"));
        assert_eq!(indexed(231).as_deref(), Some("#ffffff"));
        assert_eq!(indexed(160).as_deref(), Some("#d70000"));
        assert_eq!(indexed(255).as_deref(), Some("#eeeeee"));
    }

    #[test]
    fn markup_in_text_is_escaped() {
        let svg = image("<a & b>", 7);
        assert!(svg.contains("&lt;a &amp; b&gt;"), "{svg}");
    }
}
