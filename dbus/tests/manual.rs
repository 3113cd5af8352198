//! The manual page org.carpd1(5) has the text of the introspection files. `BLESS=1 cargo test -p
//! carp-dbus --test manual` writes it.
#![expect(
    clippy::unwrap_used,
    reason = "a file of ours that is not as it should be fails the test"
)]

use std::fmt::Write as _;
use std::{env, fs};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/org.carpd1.5");

const FILES: [&str; 3] = [
    include_str!("../org.carpd1.Manager.xml"),
    include_str!("../org.carpd1.Sysctl.xml"),
    include_str!("../org.carpd1.Interface.xml"),
];

/// Lines around the generated part.
const MARKS: [&str; 2] = [
    ".\\\" What follows is made of the introspection files by a test.\n",
    ".\\\" What follows is written by hand.\n",
];

const WIDTH: usize = 80;

#[test]
fn page_has_the_text_of_the_introspection_files() {
    let page = fs::read_to_string(PAGE).unwrap();
    let (head, rest) = page.split_once(MARKS[0]).unwrap();
    let (found, tail) = rest.split_once(MARKS[1]).unwrap();
    let made: String = FILES.into_iter().map(section).collect();
    if env::var_os("BLESS").is_some() {
        let page = [head, MARKS[0], &made, MARKS[1], tail].concat();
        fs::write(PAGE, page).unwrap();
    } else {
        assert_eq!(found, made);
    }
}

/// Returns the section on the interface that `xml` describes.
fn section(xml: &str) -> String {
    let mut out = String::new();
    let mut rest = xml;
    let mut open = false;
    while let Some((_, after)) = rest.split_once("<!--\n") {
        let (comment, after) = after.split_once("-->").unwrap();
        rest = after;
        let comment = Comment::read(comment);
        let element = Element::read(after);
        if element.kind == "interface" {
            writeln!(out, ".Ss {}", comment.name).unwrap();
            paragraphs(&mut out, &comment.of("short_description"));
            out.push_str(".Pp\n");
            paragraphs(&mut out, &comment.paragraphs);
            out.push_str(".Bl -tag -width Ds\n");
            open = true;
            continue;
        }
        assert_eq!(
            element.name, comment.name,
            "a comment stands before its element"
        );
        writeln!(out, ".It {} Ic {}", element.kind, element.signature()).unwrap();
        if !comment.parameters.is_empty() {
            out.push_str(".Bl -tag -width Ds -compact\n");
            for parameter in &comment.parameters {
                writeln!(out, ".It Ar {}", parameter.name).unwrap();
                paragraphs(&mut out, &parameter.text);
                parameter.keys(&mut out);
            }
            out.push_str(".El\n");
            if !comment.paragraphs.is_empty() {
                out.push_str(".Pp\n");
            }
        }
        paragraphs(&mut out, &comment.paragraphs);
    }
    assert!(open);
    out.push_str(".El\n");
    out
}

/// Parsed comment of an element.
#[derive(Default)]
struct Comment {
    name: String,
    parameters: Vec<Parameter>,
    paragraphs: Vec<String>,
}

struct Parameter {
    name: String,
    text: Vec<String>,
    /// Its parts: a name with its type, and a description.
    parts: Vec<(String, String)>,
}

impl Comment {
    fn read(text: &str) -> Self {
        let mut comment = Self::default();
        let indent = text.len() - text.trim_start_matches(' ').len();
        let (mut begins, mut in_parameter) = (true, false);
        for line in text.trim_end().lines() {
            let deeper = line.len() > indent && line[indent..].starts_with("  ");
            let line = line.trim();
            if comment.name.is_empty() {
                line.trim_end_matches(':').clone_into(&mut comment.name);
            } else if let Some((name, text)) = line
                .strip_prefix('@')
                .and_then(|line| line.split_once(": "))
            {
                comment.parameters.push(Parameter {
                    name: name.to_owned(),
                    text: vec![text.to_owned()],
                    parts: Vec::new(),
                });
                in_parameter = true;
            } else if line.is_empty() {
                begins = true;
                in_parameter = false;
            } else if deeper && in_parameter && !line.contains(": ") {
                let parameter = comment.parameters.last_mut().unwrap();
                let text = parameter.text.first_mut().unwrap();
                write!(text, " {line}").unwrap();
            } else if deeper && let Some((name, text)) = line.split_once(": ") {
                let parameter = comment.parameters.last_mut().unwrap();
                let part = (
                    name.to_owned(),
                    text.trim_end_matches([';', '.']).to_owned(),
                );
                parameter.parts.push(part);
            } else if begins {
                comment.paragraphs.push(line.to_owned());
                begins = false;
            } else {
                let paragraph = comment.paragraphs.last_mut().unwrap();
                write!(paragraph, " {line}").unwrap();
            }
        }
        comment
    }

    fn of(&self, name: &str) -> Vec<String> {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|parameter| parameter.name == name);
        found.unwrap().text.clone()
    }
}

impl Parameter {
    fn keys(&self, out: &mut String) {
        if self.parts.is_empty() {
            return;
        }
        out.push_str(".Bl -tag -width Ds -compact\n");
        for (name, text) in &self.parts {
            writeln!(out, ".It Li {name}").unwrap();
            paragraphs(out, &[format!("{text}.")]);
        }
        out.push_str(".El\n");
    }
}

/// An element with its arguments.
struct Element {
    kind: String,
    name: String,
    kind_of_value: String,
    arguments: Vec<[String; 3]>,
}

impl Element {
    /// Reads the first element in `xml`.
    fn read(xml: &str) -> Self {
        let (_, after) = xml.split_once('<').unwrap();
        let (tag, inside) = after.split_once('>').unwrap();
        let kind = tag.split(' ').next().unwrap().to_owned();
        let inside = inside.split_once(&format!("</{kind}>"));
        let inside = match inside {
            Some((inside, _)) if !tag.ends_with('/') && kind != "interface" => inside,
            _ => "",
        };
        let arguments = inside
            .split("<arg ")
            .skip(1)
            .map(|tag| ["name", "type", "direction"].map(|name| attribute(tag, name)));
        Self {
            name: attribute(tag, "name"),
            kind_of_value: attribute(tag, "type"),
            arguments: arguments.collect(),
            kind,
        }
    }

    /// Returns the signature in mdoc(7).
    fn signature(&self) -> String {
        let list = |out: bool| {
            let arguments = self.arguments.iter();
            let wanted = arguments.filter(|[_, _, direction]| (direction == "out") == out);
            let words: Vec<String> = wanted
                .map(|[name, kind, _]| format!("{kind} Ar {name}"))
                .collect();
            words.join(" , ")
        };
        let mut text = self.name.clone();
        for (word, said) in [
            ("", self.kind_of_value.clone()),
            ("", list(false)),
            ("-> ", list(true)),
        ] {
            if !said.is_empty() {
                write!(text, " No {word}{said}").unwrap();
            }
        }
        text
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let (tag, _) = tag.split_once('>').unwrap_or((tag, ""));
    let value = tag.split_once(&format!("{name}=\""));
    let value = value.and_then(|(_, rest)| rest.split_once('"'));
    value.map_or_else(String::new, |(value, _)| value.to_owned())
}

/// Writes paragraphs, each sentence on lines of its own.
fn paragraphs(out: &mut String, paragraphs: &[String]) {
    for (number, paragraph) in paragraphs.iter().enumerate() {
        if number > 0 {
            out.push_str(".Pp\n");
        }
        let mut column = 0;
        let mut ended = false;
        for word in paragraph.split_whitespace() {
            let fresh = ended && word.starts_with(char::is_uppercase);
            if column > 0 && (fresh || column + 1 + word.len() > WIDTH) {
                out.push('\n');
                column = 0;
            }
            if column > 0 {
                out.push(' ');
                column += 1;
            } else if word.starts_with(['.', '\'']) {
                out.push_str("\\&");
            }
            out.push_str(&word.replace('\\', "\\e"));
            column += word.len();
            ended = word.ends_with('.');
        }
        out.push('\n');
    }
}
