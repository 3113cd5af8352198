//! Fuzz targets of everything that reads bytes of other programs, and their corpora as ordinary tests.

pub use crate::bus::fuzzed::settings;
pub use crate::config::fuzzed::{rc_conf, sysctl_conf};
pub use crate::state::fuzzed::state;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Feeds every file of a corpus to `target`.
    fn feed(corpus: &str, target: fn(&[u8])) {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/fuzz/corpus");
        let directory = corpora.join(corpus);
        let mut files = 0;
        for file in fs::read_dir(&directory).unwrap() {
            let path = file.unwrap().path();
            // Names the file if the target fails.
            println!("{}", path.display());
            target(&fs::read(&path).unwrap());
            files += 1;
        }
        assert!(files > 10, "{} is almost empty", directory.display());
    }

    #[test]
    fn any_rc_conf_is_read_and_can_be_written_again() {
        feed("rc_conf", super::rc_conf);
    }

    #[test]
    fn any_sysctl_conf_is_read_and_can_be_written_again() {
        feed("sysctl_conf", super::sysctl_conf);
    }

    #[test]
    fn any_run_time_state_is_read_as_written_or_refused() {
        feed("state", super::state);
    }

    #[test]
    fn any_settings_of_a_call_are_accepted_or_refused_in_one_line() {
        feed("settings", super::settings);
    }
}
