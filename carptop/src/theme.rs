//! Colours and characters of roles on this terminal.

use std::env;

use clap::ValueEnum;
use ratatui::style::{Color, Modifier, Style};

/// Colour scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Scheme {
    /// dark, in the colours that the terminal has; mono with `NO_COLOR`
    #[default]
    Auto,
    /// For dark backgrounds
    Dark,
    /// For light backgrounds
    Light,
    /// The terminal's own 16 colours
    #[value(name = "16")]
    Sixteen,
    /// No colours
    Mono,
}

/// Role of something on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Text,
    /// Less important.
    Dim,
    /// Names of things and headings.
    Title,
    Border,
    Master,
    Backup,
    Init,
    /// No trouble.
    Good,
    /// The redundancy is in danger.
    Warning,
    /// Traffic is in danger.
    Alarm,
    /// The selected row, added to its other styles.
    Selected,
    /// A row with a recent change, added to its other styles.
    Changed,
    /// A key that can be pressed.
    Key,
    /// The full part of a bar.
    Bar,
    /// A question that waits for an answer.
    Question,
}

/// Colours that a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    None,
    Sixteen,
    Indexed,
    True,
}

/// Characters of bars, lines and marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glyphs {
    pub(crate) border: ratatui::symbols::border::Set<'static>,
    pub(crate) pointer: &'static str,
    pub(crate) arrow: &'static str,
    pub(crate) none: &'static str,
    pub(crate) line: &'static str,
    pub(crate) bar: &'static str,
    pub(crate) rest: &'static str,
    pub(crate) live: &'static str,
    pub(crate) dot: &'static str,
    pub(crate) updown: &'static str,
    pub(crate) more: &'static str,
    /// From empty to full.
    pub(crate) spark: [&'static str; 9],
}

static UTF8: Glyphs = Glyphs {
    border: ratatui::symbols::border::PLAIN,
    pointer: "▶",
    arrow: "→",
    none: "–",
    line: "─",
    bar: "━",
    rest: "─",
    live: "●",
    dot: "·",
    updown: "↑↓",
    more: "…",
    spark: [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
};

static ASCII: Glyphs = Glyphs {
    border: ratatui::symbols::border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
    pointer: ">",
    arrow: ">",
    none: "-",
    line: "-",
    bar: "=",
    rest: ".",
    live: "*",
    dot: "|",
    updown: "Up/Dn",
    more: "~",
    spark: [" ", ".", ".", ":", ":", "-", "=", "*", "#"],
};

/// Colours and characters in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    light: bool,
    depth: Depth,
    pub(crate) glyphs: &'static Glyphs,
}

impl Theme {
    /// Returns the theme for `scheme` on the terminal that the environment describes; with `ascii`,
    /// all characters are ASCII.
    #[must_use]
    pub fn detect(scheme: Scheme, ascii: bool) -> Self {
        let variable = |name: &str| env::var(name).unwrap_or_default();
        let (term, colorterm) = (variable("TERM"), variable("COLORTERM"));
        let depth = if !variable("NO_COLOR").is_empty() && scheme == Scheme::Auto {
            Depth::None
        } else {
            depth(&term, &colorterm)
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(variable);
        Self::new(scheme, depth, !ascii && is_utf8(&locale))
    }

    /// Returns a theme for tests, with 24-bit colours unless `mono` is set.
    #[must_use]
    pub fn for_tests(mono: bool, utf8: bool) -> Self {
        let depth = if mono { Depth::None } else { Depth::True };
        Self::new(Scheme::Auto, depth, utf8)
    }

    fn new(scheme: Scheme, depth: Depth, utf8: bool) -> Self {
        Self {
            light: scheme == Scheme::Light,
            depth: match scheme {
                Scheme::Mono => Depth::None,
                Scheme::Sixteen => Depth::Sixteen,
                // An explicit scheme has colours even on a terminal that seems to have none.
                Scheme::Dark | Scheme::Light if depth == Depth::None => Depth::Sixteen,
                Scheme::Auto | Scheme::Dark | Scheme::Light => depth,
            },
            glyphs: if utf8 { &UTF8 } else { &ASCII },
        }
    }

    /// Returns the role of a state.
    pub(crate) fn state(state: &str) -> Role {
        match state {
            "MASTER" => Role::Master,
            "BACKUP" => Role::Backup,
            _ => Role::Init,
        }
    }

    /// Returns the style of `role`.
    pub(crate) fn style(&self, role: Role) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let plain = Style::new();
        match role {
            Role::Text => plain,
            Role::Dim => match self.depth {
                Depth::None => plain.add_modifier(Modifier::DIM),
                Depth::Sixteen | Depth::Indexed | Depth::True => {
                    plain.fg(self.colour(Color::DarkGray, 245, (138, 145, 153), (110, 116, 124)))
                }
            },
            Role::Border => match self.depth {
                Depth::None => plain,
                Depth::Sixteen | Depth::Indexed | Depth::True => {
                    plain.fg(self.colour(Color::DarkGray, 240, (88, 96, 105), (170, 176, 184)))
                }
            },
            Role::Title => bold,
            Role::Master | Role::Good => {
                self.tint(bold, Color::Green, 78, (87, 206, 132), (20, 120, 60))
            }
            Role::Backup => self.tint(plain, Color::Cyan, 75, (97, 175, 239), (20, 90, 180)),
            Role::Init => self.tint(plain, Color::DarkGray, 250, (171, 178, 191), (90, 96, 104)),
            Role::Warning => self.tint(bold, Color::Yellow, 221, (240, 200, 90), (150, 95, 0)),
            Role::Alarm => match self.depth {
                Depth::None => bold.add_modifier(Modifier::REVERSED),
                Depth::Sixteen | Depth::Indexed | Depth::True => bold
                    .fg(self.colour(Color::White, 231, (255, 255, 255), (255, 255, 255)))
                    .bg(self.colour(Color::Red, 160, (200, 40, 40), (200, 40, 40))),
            },
            Role::Selected => match self.depth {
                Depth::None | Depth::Sixteen => plain.add_modifier(Modifier::REVERSED),
                Depth::Indexed | Depth::True => {
                    plain.bg(self.colour(Color::Blue, 237, (48, 56, 70), (214, 226, 240)))
                }
            },
            Role::Changed => match self.depth {
                Depth::None => bold.add_modifier(Modifier::UNDERLINED),
                Depth::Sixteen => bold,
                Depth::Indexed | Depth::True => {
                    bold.bg(self.colour(Color::Black, 58, (84, 74, 20), (255, 242, 180)))
                }
            },
            Role::Key => self.tint(bold, Color::Cyan, 117, (140, 200, 255), (0, 90, 160)),
            Role::Bar => self.tint(plain, Color::Green, 72, (87, 180, 132), (30, 140, 80)),
            Role::Question => match self.depth {
                Depth::None => bold.add_modifier(Modifier::REVERSED),
                Depth::Sixteen | Depth::Indexed | Depth::True => bold
                    .fg(self.colour(Color::Black, 16, (20, 20, 20), (20, 20, 20)))
                    .bg(self.colour(Color::Yellow, 221, (240, 200, 90), (240, 200, 90))),
            },
        }
    }

    fn tint(
        &self,
        style: Style,
        ansi: Color,
        index: u8,
        dark: (u8, u8, u8),
        light: (u8, u8, u8),
    ) -> Style {
        match self.depth {
            Depth::None => style,
            Depth::Sixteen | Depth::Indexed | Depth::True => {
                style.fg(self.colour(ansi, index, dark, light))
            }
        }
    }

    fn colour(&self, ansi: Color, index: u8, dark: (u8, u8, u8), light: (u8, u8, u8)) -> Color {
        let (r, g, b) = if self.light { light } else { dark };
        match self.depth {
            Depth::None => Color::Reset,
            Depth::Sixteen => ansi,
            Depth::Indexed if self.light => nearest(r, g, b),
            Depth::Indexed => Color::Indexed(index),
            Depth::True => Color::Rgb(r, g, b),
        }
    }
}

/// Returns the nearest colour in xterm's 6x6x6 cube.
fn nearest(r: u8, g: u8, b: u8) -> Color {
    let step = |value: u8| (u16::from(value) * 5 + 127) / 255;
    let index = 16 + 36 * step(r) + 6 * step(g) + step(b);
    Color::Indexed(u8::try_from(index).unwrap_or(u8::MAX))
}

/// Returns the colours of a terminal.
fn depth(term: &str, colorterm: &str) -> Depth {
    if term.is_empty() || term == "dumb" || term.starts_with("vt") {
        Depth::None
    } else if matches!(colorterm, "truecolor" | "24bit") || term.ends_with("-direct") {
        Depth::True
    } else if term.contains("256color") {
        Depth::Indexed
    } else {
        Depth::Sixteen
    }
}

/// Returns whether the locale is UTF-8. The first variable that is set decides (setlocale(3)).
fn is_utf8(locale: &[String]) -> bool {
    let decisive = locale.iter().find(|value| !value.is_empty());
    decisive.is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_name_decides_the_number_of_colours() {
        for (term, colorterm, expected) in [
            ("xterm-256color", "truecolor", Depth::True),
            ("tmux-256color", "", Depth::Indexed),
            ("linux", "", Depth::Sixteen),
            ("vt220", "", Depth::None),
            ("dumb", "", Depth::None),
        ] {
            assert_eq!(depth(term, colorterm), expected, "{term}");
        }
    }

    #[test]
    fn first_locale_variable_that_is_set_decides() {
        let locale = |all: &str, lang: &str| [all.to_owned(), String::new(), lang.to_owned()];
        assert!(is_utf8(&locale("", "de_DE.UTF-8")));
        assert!(is_utf8(&locale("C.utf8", "C")));
        assert!(!is_utf8(&locale("C", "de_DE.UTF-8")));
        assert!(!is_utf8(&locale("", "")));
    }

    #[test]
    fn mono_scheme_has_no_colours() {
        let theme = Theme::new(Scheme::Mono, Depth::True, true);
        for role in [
            Role::Master,
            Role::Alarm,
            Role::Selected,
            Role::Question,
            Role::Bar,
        ] {
            let style = theme.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
    }

    #[test]
    fn states_have_different_colours_in_every_scheme() {
        for depth in [Depth::Sixteen, Depth::Indexed, Depth::True] {
            for scheme in [Scheme::Dark, Scheme::Light] {
                let theme = Theme::new(scheme, depth, true);
                let colours =
                    [Role::Master, Role::Backup, Role::Init].map(|role| theme.style(role).fg);
                assert!(
                    colours[0] != colours[1] && colours[1] != colours[2],
                    "{depth:?}"
                );
            }
        }
    }

    #[test]
    fn ascii_glyphs_are_ascii() {
        let Glyphs {
            pointer,
            arrow,
            none,
            line,
            bar,
            rest,
            live,
            dot,
            updown,
            more,
            spark,
            border,
        } = ASCII;
        let mut all = vec![
            pointer, arrow, none, line, bar, rest, live, dot, updown, more,
        ];
        all.extend(spark);
        all.extend([border.top_left, border.vertical_left, border.horizontal_top]);
        assert!(all.iter().all(|text| text.is_ascii()));
    }
}
