//! `tests/lint-prose`: finds each fault that it claims to find, and nothing in clean text.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lint-prose");

/// Returns the lines about `text` in a file of this name, without the path of the file.
fn faults(name: &str, text: &str) -> Result<Vec<String>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join(name);
    fs::write(&file, text)?;
    let output = Command::new(SCRIPT)
        .arg(&file)
        .current_dir(directory.path())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(errors.is_empty(), "{errors}");
    let lines: Vec<String> = str::from_utf8(&output.stdout)?
        .lines()
        .map(|line| line.trim_start_matches(name).to_owned())
        .collect();
    ensure!(output.status.success() == lines.is_empty(), "{output:?}");
    Ok(lines)
}

#[test]
fn headless_sentence_in_a_doc_comment_is_found() -> Result<()> {
    let text = [
        "//! Whether it works.",
        "",
        "/// What is shown.",
        "fn a() {}",
        "",
        "/// A name. Who asks for it.",
        "///",
        "/// Whatever it is.",
        "///",
        "/// - Whose it is.",
        "fn b() {}",
    ];
    let expected = [
        ":1: a sentence begins with Whether",
        ":3: a sentence begins with What",
        ":6: a sentence begins with Who",
        ":8: a sentence begins with Whatever",
        ":10: a sentence begins with Whose",
    ];
    assert_eq!(faults("a.rs", &text.join("\n"))?, expected);
    Ok(())
}

#[test]
fn headless_sentence_in_a_manual_page_is_found() -> Result<()> {
    let text = ".Sh NAME\nWhat is shown.\n.Nm\nshows\n.Ar x .\nWho asks is root.\n.It Fl a\n\
                Whether it works.\n";
    let expected = [
        ":2: a sentence begins with What",
        ":6: a sentence begins with Who",
        ":8: a sentence begins with Whether",
    ];
    assert_eq!(faults("a.8", text)?, expected);
    Ok(())
}

#[test]
fn pronoun_without_a_subject_is_found_in_every_kind_of_file() -> Result<()> {
    for (word, capital) in [("some", "Some"), ("no", "No")] {
        let (word, capital) = (format!("{word}body"), format!("{capital}body"));
        let text = format!(
            "// {capital} reads this.\nlet x = \"{word}\\\" asks\";\nlet y = r#\"one\ntwo {word}\"#;\n"
        );
        let expected = [
            format!(":1: \"{capital}\" names no subject"),
            format!(":2: \"{word}\" names no subject"),
            format!(":4: \"{word}\" names no subject"),
        ];
        assert_eq!(faults("a.rs", &text)?, expected);
        for name in ["a.8", "a.md", "_a"] {
            let expected = [format!(":1: \"{word}\" names no subject")];
            assert_eq!(faults(name, &format!("If {word} asks.\n"))?, expected);
        }
    }
    let whoever = format!("If who{} asks.\n", "ever");
    assert_eq!(faults("a.md", &whoever)?.len(), 1);
    Ok(())
}

#[test]
fn line_of_more_than_120_columns_is_found() -> Result<()> {
    for name in ["a.rs", "a.8", "a.md", "a.toml", "_a"] {
        let text = format!("{}\n{}\n", "é".repeat(120), "é".repeat(121));
        let expected = [":2: 121 columns, more than 120"];
        assert_eq!(faults(name, &text)?, expected, "{name}");
    }
    Ok(())
}

#[test]
fn clean_text_has_no_fault() -> Result<()> {
    let rust = [
        "/// Returns what is shown, and whether",
        "/// What follows is code.",
        "/// ```",
        "/// What::new();",
        "/// ```",
        concat!("fn no", "body() {}"),
        "// What a comment may begin with.",
        "// The user `nobody`.",
        r#"let user = "user == \"nobody\"";"#,
        "let c = '\"';",
        "let text = \"What?\";",
    ];
    assert_eq!(faults("a.rs", &rust.join("\n"))?, [""; 0]);
    let manual = ".Sh NAME\nThe reply says\nWhat was asked.\n.Bd -literal\nWhat is typed\n.Ed\n";
    assert_eq!(faults("a.8", manual)?, [""; 0]);
    for (name, beginning) in [("a.md", "|"), ("a.toml", "    {")] {
        let row = format!("{beginning} {} |\n", "a".repeat(130));
        assert_eq!(faults(name, &row)?, [""; 0], "{name}");
    }
    Ok(())
}
