//! The part of sh(1) that rc.conf(5) uses: assignments, quotes, comments and continued lines.
//!
//! Nothing is executed, and no variable is replaced by its value.

use std::ops::Range;

/// `name=value`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) value: Vec<Piece>,
    /// First line, counted from 1.
    pub(super) line: usize,
    /// From the first byte of the name to the end of the value.
    pub(super) range: Range<usize>,
}

/// A part of a value, without quotes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A literal byte.
    Byte(u8),
    /// `$name`, `${name}`.
    Variable(String),
}

/// A fault in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// Line, counted from 1.
    pub(super) line: usize,
    /// The variable that has no value because of it.
    pub(super) variable: Option<String>,
    /// One line with the remedy.
    pub(super) message: String,
}

/// Parses a file: its assignments in their order, and everything that is neither one nor a comment.
pub(super) fn read(text: &[u8]) -> (Vec<Assignment>, Vec<Complaint>) {
    // Editors of other systems begin a file with it.
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let mut scanner = Scanner {
        text,
        at: if text.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        },
        line: 1,
        assignments: Vec::new(),
        complaints: Vec::new(),
        open: false,
    };
    scanner.file();
    (scanner.assignments, scanner.complaints)
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    assignments: Vec<Assignment>,
    complaints: Vec<Complaint>,
    /// True if there were only blanks since the last assignment.
    open: bool,
}

impl Scanner<'_> {
    fn file(&mut self) {
        while let Some(byte) = self.peek() {
            if let Some(bytes) = self.joined() {
                self.skip(bytes);
                continue;
            }
            match byte {
                b'\n' | b';' => {
                    self.open = false;
                    self.bump();
                }
                byte if is_blank(byte) => {
                    self.bump();
                }
                b'#' => self.skip_line(),
                _ => self.statement(),
            }
        }
    }

    /// Parses an assignment, or complains about text in its place.
    fn statement(&mut self) {
        let (start, line) = (self.at, self.line);
        let name = self.name();
        if name.is_empty() || !self.follows(b"=") {
            let message = self.no_assignment(&name);
            let variable = if self.open {
                self.assignments.pop().map(|before| before.name)
            } else {
                (!name.is_empty()).then_some(name)
            };
            self.complain(line, variable, message);
            self.skip_statement();
            return;
        }
        self.skip(1);
        match self.value() {
            Ok(value) => {
                self.open = true;
                self.assignments.push(Assignment {
                    name,
                    value,
                    line,
                    range: start..self.at,
                });
            }
            Err(message) => {
                self.open = false;
                self.complain(line, Some(name), message);
            }
        }
    }

    /// Returns the complaint about text in the place of an assignment. It does not quote the text,
    /// which may be a password: complaints are logged.
    fn no_assignment(&self, name: &str) -> String {
        let behind = self.text.get(self.at..).unwrap_or_default();
        let blanks = behind.iter().take_while(|byte| is_blank(**byte)).count();
        let before = self.assignments.last().filter(|_| self.open);
        if let Some(Assignment { name, .. }) = before {
            format!("the value of {name} ends at a blank: write {name}=\"...\" around all of it")
        } else if !name.is_empty() && self.follows(b"+=") {
            format!("sh(1) knows no +=: write {name}=\"${{{name}}} ...\"")
        } else if !name.is_empty() && behind.get(blanks) == Some(&b'=') {
            format!("no blanks stand around the = of an assignment: write {name}=\"...\"")
        } else {
            COMMAND.to_owned()
        }
    }

    /// Parses the value after `=`.
    fn value(&mut self) -> Result<Vec<Piece>, String> {
        let mut value = Value::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' | b';' => break,
                byte if is_blank(byte) => break,
                b'\'' => self.quoted(&mut value, Self::single)?,
                b'"' => self.quoted(&mut value, Self::double)?,
                b'\\' => {
                    if let Some(bytes) = self.joined() {
                        self.skip(bytes);
                        continue;
                    }
                    self.bump();
                    if let Some(byte) = self.bump() {
                        value.byte(byte);
                    }
                }
                b'&' | b'|' | b'<' | b'>' | b'(' | b')' => {
                    value.complain(format!("{:?} must be in quotes", char::from(byte)));
                    self.bump();
                }
                byte => self.plain(byte, &mut value),
            }
        }
        value.finish()
    }

    /// Parses a byte outside of quotes or in double ones.
    fn plain(&mut self, byte: u8, value: &mut Value) {
        self.bump();
        match byte {
            b'$' => self.dollar(value),
            b'`' => value.complain(SUBSTITUTION.to_owned()),
            byte => value.byte(byte),
        }
    }

    /// Parses the text after a `$`.
    fn dollar(&mut self, value: &mut Value) {
        match self.peek() {
            Some(b'(') => {
                self.bump();
                value.complain(SUBSTITUTION.to_owned());
            }
            Some(b'{') => {
                self.bump();
                let name = self.name();
                if name.is_empty() || !self.follows(b"}") {
                    value.complain("${...} is not understood: write the value itself".to_owned());
                } else {
                    self.skip(1);
                    value.pieces.push(Piece::Variable(name));
                }
            }
            Some(byte) if byte.is_ascii_digit() || b"$?!@*#-".contains(&byte) => {
                self.bump();
                value
                    .pieces
                    .push(Piece::Variable(char::from(byte).to_string()));
            }
            Some(_) | None => match self.name() {
                name if name.is_empty() => value.byte(b'$'),
                name => value.pieces.push(Piece::Variable(name)),
            },
        }
    }

    /// Parses a quoted string. If its closing quote is missing, parsing continues with the next
    /// line.
    fn quoted(
        &mut self,
        value: &mut Value,
        inside: fn(&mut Self, u8, &mut Value),
    ) -> Result<(), String> {
        let (at, line) = (self.at, self.line);
        let quote = self.bump();
        while let Some(byte) = self.peek() {
            if Some(byte) == quote {
                self.bump();
                return Ok(());
            }
            if byte == b'\n' && self.next_line_assigns() {
                break;
            }
            inside(self, byte, value);
        }
        (self.at, self.line) = (at, line);
        self.skip_line();
        let quote = quote.map(char::from).unwrap_or_default();
        Err(format!("the quote {quote} on this line is not closed"))
    }

    fn single(&mut self, byte: u8, value: &mut Value) {
        self.bump();
        value.byte(byte);
    }

    fn double(&mut self, byte: u8, value: &mut Value) {
        if byte != b'\\' {
            self.plain(byte, value);
            return;
        }
        if let Some(bytes) = self.joined() {
            return self.skip(bytes);
        }
        self.bump();
        match self.peek() {
            Some(escaped @ (b'$' | b'`' | b'"' | b'\\')) => {
                self.bump();
                value.byte(escaped);
            }
            Some(_) | None => value.byte(b'\\'),
        }
    }

    /// Returns whether the line after this newline begins with `name="` or `name='`: then it was
    /// probably not meant to be part of a value.
    fn next_line_assigns(&self) -> bool {
        let next = self.text.get(self.at + 1..).unwrap_or_default();
        let name = next.iter().take_while(|byte| is_of_name(**byte)).count();
        let behind = next.get(name..).unwrap_or_default();
        name > 0 && (behind.starts_with(b"=\"") || behind.starts_with(b"='"))
    }

    /// Parses a name; empty if none begins here.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if self.peek().is_none_or(|byte| byte.is_ascii_digit()) {
            return name;
        }
        while let Some(byte) = self.peek().filter(|byte| is_of_name(*byte)) {
            self.bump();
            name.push(char::from(byte));
        }
        name
    }

    /// Adds a complaint, one for each line.
    fn complain(&mut self, line: usize, variable: Option<String>, message: String) {
        if self.complaints.last().is_none_or(|last| last.line != line) {
            self.complaints.push(Complaint {
                line,
                variable,
                message,
            });
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn follows(&self, text: &[u8]) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.starts_with(text)
    }

    /// Returns the length of a backslash and an end of line, which continue the line.
    fn joined(&self) -> Option<usize> {
        [&b"\\\n"[..], b"\\\r\n"]
            .into_iter()
            .find(|end| self.follows(end))
            .map(<[u8]>::len)
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn skip(&mut self, bytes: usize) {
        for _ in 0..bytes {
            self.bump();
        }
    }

    /// Skips the rest of the line.
    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.bump();
        }
    }

    /// Skips the rest of the line and of those that continue it.
    fn skip_statement(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.skip(self.joined().unwrap_or(1));
        }
    }
}

const COMMAND: &str = "a command, and nothing is executed here: write name=\"value\"";

const SUBSTITUTION: &str = "nothing is executed here: write what the command would print";

/// The value so far, and its first fault.
#[derive(Default)]
struct Value {
    pieces: Vec<Piece>,
    wrong: Option<String>,
}

impl Value {
    fn byte(&mut self, byte: u8) {
        self.pieces.push(Piece::Byte(byte));
    }

    fn complain(&mut self, message: String) {
        self.wrong.get_or_insert(message);
    }

    fn finish(self) -> Result<Vec<Piece>, String> {
        match self.wrong {
            None => Ok(self.pieces),
            Some(message) => Err(message),
        }
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns every assignment as `line name=value`, a variable in it as `<name>`.
    fn assignments(text: &str) -> Vec<String> {
        let (assignments, complaints) = read(text.as_bytes());
        assert_eq!(complaints, [], "{text}");
        assignments.iter().map(shown).collect()
    }

    fn shown(assignment: &Assignment) -> String {
        let Assignment {
            name, value, line, ..
        } = assignment;
        let mut shown = format!("{line} {name}=").into_bytes();
        for piece in value {
            match piece {
                Piece::Byte(byte) => shown.push(*byte),
                Piece::Variable(name) => shown.extend(format!("<{name}>").bytes()),
            }
        }
        String::from_utf8(shown).unwrap()
    }

    fn complaints(text: &str) -> Vec<(usize, String)> {
        let (_, complaints) = read(text.as_bytes());
        complaints
            .into_iter()
            .map(|Complaint { line, message, .. }| (line, message))
            .collect()
    }

    #[test]
    fn values_are_parsed_as_sh_does() {
        for (text, expected) in [
            ("", &[][..]),
            ("# a=1\n\n  \t\n", &[]),
            ("a=1", &["1 a=1"]),
            ("a=\n", &["1 a="]),
            ("a=\"x y\" # a comment\n", &["1 a=x y"]),
            ("a=x#y", &["1 a=x#y"]),
            ("a='x \"y\" $z \\n'", &["1 a=x \"y\" $z \\n"]),
            (r#"a="x \"y\" \$z \\ \n""#, &[r#"1 a=x "y" $z \ \n"#]),
            (r"a=x\ y\$", &["1 a=x y$"]),
            ("a=\"one \\\n   two\"\nb=3", &["1 a=one    two", "3 b=3"]),
            ("a=\"one\ntwo\"\nb=3", &["1 a=one\ntwo", "3 b=3"]),
            ("a=one\\\ntwo", &["1 a=onetwo"]),
            ("a='x'\"y\"z", &["1 a=xyz"]),
            ("a=1 b=2; c=3;d=4", &["1 a=1", "1 b=2", "1 c=3", "1 d=4"]),
            ("  a=1\r\nb=2\r\n", &["1 a=1", "2 b=2"]),
            ("a=\"${a} x\"", &["1 a=<a> x"]),
            (
                "a=\"one \\\r\n  two\"\r\nb=3\r\n",
                &["1 a=one   two", "3 b=3"],
            ),
            ("a=one\\\r\ntwo\r\n", &["1 a=onetwo"]),
            ("\\\r\na=1", &["2 a=1"]),
            ("\u{feff}a=1\nb=2", &["1 a=1", "2 b=2"]),
            ("a=$b-c", &["1 a=<b>-c"]),
            ("a=\"5$ $\"", &["1 a=5$ $"]),
            ("a=\"$1 $$\"", &["1 a=<1> <$>"]),
        ] {
            assert_eq!(assignments(text), expected, "{text}");
        }
    }

    #[test]
    fn substitutions_and_commands_are_refused() {
        let substitution = SUBSTITUTION.to_owned();
        let command = COMMAND.to_owned();
        for (text, line, message) in [
            ("a=$(id -u)", 1, substitution.clone()),
            ("a=\"$(id)\"", 1, substitution.clone()),
            ("\n\na=`id`", 3, substitution.clone()),
            ("a=\"x `id` y\"", 1, substitution),
            ("reboot", 1, command.clone()),
            (". /etc/rc.conf.local", 1, command.clone()),
            ("if [ -f x ]; then", 1, command.clone()),
            ("9a=1", 1, command.clone()),
            ("a=1; rm -rf /", 1, command.clone()),
            ("a=1|b", 1, "'|' must be in quotes".to_owned()),
            (
                "a=${b:-c}",
                1,
                "${...} is not understood: write the value itself".to_owned(),
            ),
            (
                "a+=x",
                1,
                "sh(1) knows no +=: write a=\"${a} ...\"".to_owned(),
            ),
            (
                "a = x",
                1,
                "no blanks stand around the = of an assignment: write a=\"...\"".to_owned(),
            ),
            (
                "a=vhid 1 pass x",
                1,
                "the value of a ends at a blank: write a=\"...\" around all of it".to_owned(),
            ),
        ] {
            assert_eq!(complaints(text), [(line, message)], "{text}");
        }
    }

    #[test]
    fn faulty_assignment_is_skipped_and_the_next_one_is_read() {
        for text in ["a=x y\nb=2", "a=`x`\nb=2", "a=\"x\nb=\"2\"", "a='x\nb=2"] {
            let (assignments, complaints) = read(text.as_bytes());
            let names: Vec<&str> = assignments.iter().map(|each| each.name.as_str()).collect();
            assert_eq!(names, ["b"], "{text}");
            assert_eq!(complaints.len(), 1, "{text}");
            assert_eq!(complaints[0].variable.as_deref(), Some("a"), "{text}");
        }
    }

    #[test]
    fn open_quote_is_reported_with_the_line_where_it_opens() {
        let text = "a=1\nb=\"x \\\n  y\nc=\"z\"\n";
        assert_eq!(
            complaints(text),
            [
                (2, "the quote \" on this line is not closed".to_owned()),
                (3, COMMAND.to_owned())
            ]
        );
        assert_eq!(
            complaints("a='x"),
            [(1, "the quote ' on this line is not closed".to_owned())]
        );
    }

    #[test]
    fn range_covers_only_the_assignment() {
        let text = "  a='x y' # c\n";
        let (assignments, _) = read(text.as_bytes());
        assert_eq!(&text[assignments[0].range.clone()], "a='x y'");
    }
}
