//! Log output: systemd's journal, with fields, or lines on standard error.
//!
//! The crate `tracing-journald` would block a thread that logs while journald is slow.
//!
//! **Invariant:** logging never blocks. Lines are queued for a separate thread, and dropped if the
//! reader is too slow.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatFields, Writer};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Socket of the journal, see `systemd-journald(8)`.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Field that not every message text contains.
const PEER: &str = "CARP_PEER";

/// Maximum length of the queue, in lines: more than one for each of thousands of interfaces. Further
/// lines are dropped. The memory is allocated at start.
const QUEUE_LIMIT: usize = 8192;

/// Starts logging messages of `level` and above. Dropping the guard writes all queued lines.
///
/// Messages go directly to the journal if standard error is connected to it (`JOURNAL_STREAM`, see
/// `systemd.exec(5)`), unless `foreground` is set.
pub(crate) fn start(level: LevelFilter, foreground: bool) -> WorkerGuard {
    let journal = if foreground { None } else { Journal::connect() };
    let thread = || {
        NonBlockingBuilder::default()
            .thread_name("log")
            .buffered_lines_limit(QUEUE_LIMIT)
    };
    let (layer, guard) = if let Some(journal) = journal {
        let (queue, guard) = thread().finish(journal);
        (JournalLayer { queue }.boxed(), guard)
    } else {
        let (queue, guard) = thread().finish(io::stderr());
        (lines(queue).boxed(), guard)
    };
    tracing_subscriber::registry()
        .with(filter(level))
        .with(layer)
        .init();
    guard
}

/// Selects messages of `level` and above. The netlink library logs each message that it cannot decode
/// as an error with a dump of several kilobytes: one interface whose name is not UTF-8 would flood the
/// log. carpd does not need such messages, so they appear only at debug level.
fn filter(level: LevelFilter) -> Targets {
    let netlink = if level >= LevelFilter::DEBUG {
        level
    } else {
        LevelFilter::OFF
    };
    Targets::new()
        .with_default(level)
        .with_target("netlink_proto", netlink)
}

/// Lines with times, for standard error.
fn lines<S>(queue: NonBlocking) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .with_writer(queue)
        .with_target(false)
        .with_ansi(false)
        .fmt_fields(Facts)
}

/// Writes the text, then the fields that it does not contain.
struct Facts;

impl<'writer> FormatFields<'writer> for Facts {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut line = Line::default();
        fields.record(&mut line);
        let Line {
            mut text,
            peer,
            rest,
        } = line;
        if let Some(peer) = peer.filter(|peer| !text.contains(peer)) {
            text.push_str(" from ");
            text.push_str(&peer);
        }
        writer.write_str(&text)?;
        writer.write_str(&rest)
    }
}

#[derive(Default)]
struct Line {
    text: String,
    peer: Option<String>,
    rest: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.text),
            PEER => self.peer = Some(value.to_owned()),
            name if name.starts_with("CARP_") || is_of_the_bridge(name) => {}
            name => {
                // Writing to a string cannot fail.
                let _ = write!(self.rest, " {name}={value}");
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Returns whether the `log` crate's bridge added the field: the source line in a library.
fn is_of_the_bridge(field: &str) -> bool {
    field.starts_with("log.")
}

/// Socket of the journal that sends each write as one entry.
#[derive(Debug)]
struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    fn connect() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let stderr = rustix::fs::fstat(io::stderr().as_fd()).ok()?;
        if stream != format!("{}:{}", stderr.st_dev, stderr.st_ino) {
            return None;
        }
        Self::at(Path::new(JOURNAL)).ok()
    }

    /// Connects to the journal at `path`.
    fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // journald ignores an empty entry, but sending it fails if nothing listens.
        socket.send_to(&[], path)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }
}

impl Write for Journal {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        // Not connected: a restarted journald has another socket at the same path.
        self.socket.send_to(entry, &self.path)?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Layer that queues events as journal entries.
struct JournalLayer {
    queue: NonBlocking,
}

impl<S: Subscriber> Layer<S> for JournalLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut entry = Entry(Vec::with_capacity(256));
        entry.put("SYSLOG_IDENTIFIER", env!("CARGO_PKG_NAME"));
        entry.put("PRIORITY", priority(*event.metadata().level()));
        event.record(&mut entry);
        // A full queue drops the entry.
        let _ = self.queue.clone().write_all(&entry.0);
    }
}

/// Priority of syslog(3).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// Entry in the journal's native protocol, see `systemd.io/JOURNAL_NATIVE_PROTOCOL`.
struct Entry(Vec<u8>);

impl Entry {
    fn put(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.0.push(b'\n');
            self.0
                .extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        let name = field.name();
        if is_of_the_bridge(name) {
            return;
        }
        // journald accepts capital letters, digits and underscores, the latter not at the beginning.
        let name = if name == "message" {
            "MESSAGE".to_owned()
        } else {
            let upper = name.to_ascii_uppercase();
            upper.replace(|each: char| !each.is_ascii_alphanumeric(), "_")
        };
        self.put(name.trim_start_matches('_'), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tracing::{info, warn};

    use super::*;

    #[test]
    fn line_omits_the_source_line_of_a_library() {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&shown);
        let (queue, guard) = NonBlockingBuilder::default().finish(Shared(sink));
        let subscriber = tracing_subscriber::registry().with(lines(queue));
        tracing::subscriber::with_default(subscriber, || {
            warn!(
                log.file = "framed.rs",
                log.line = 90,
                size = 3,
                "socket buffer full"
            );
        });
        drop(guard);
        let text = String::from_utf8(shown.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with("WARN socket buffer full size=3\n"), "{text}");
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn journal_entry_has_its_facts_as_fields() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let (queue, guard) = NonBlockingBuilder::default().finish(Journal::at(&path).unwrap());
        let subscriber = tracing_subscriber::registry().with(JournalLayer { queue });
        tracing::subscriber::with_default(subscriber, || {
            info!(
                CARP_INTERFACE = "carp0",
                CARP_PEER = None::<&str>,
                "{} -> MASTER",
                "BACKUP"
            );
            warn!("two\nlines");
        });
        drop(guard);

        let entry = || carp_tests::receive(&journald, Duration::from_secs(10)).unwrap();
        assert_eq!(entry(), "", "the connection test");
        assert_eq!(
            entry(),
            "SYSLOG_IDENTIFIER=carpd\nPRIORITY=6\nMESSAGE=BACKUP -> MASTER\nCARP_INTERFACE=carp0\n"
        );
        assert_eq!(
            entry(),
            "SYSLOG_IDENTIFIER=carpd\nPRIORITY=4\n\
             MESSAGE\n\u{9}\0\0\0\0\0\0\0two\nlines\n"
        );
    }

    #[test]
    fn line_has_every_fact_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let file = std::fs::File::create(&path).unwrap();
        let (queue, guard) = NonBlockingBuilder::default().finish(file);
        let subscriber = tracing_subscriber::registry().with(lines(queue));
        tracing::subscriber::with_default(subscriber, || {
            let peer = "192.0.2.7";
            info!(CARP_INTERFACE = "carp0", CARP_PEER = peer, "carp0: told");
            info!(CARP_PEER = peer, "carp0: told by 192.0.2.7");
            info!(device = 2, "cannot send");
        });
        drop(guard);
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .map(|line| line.split_once("INFO ").unwrap().1)
            .collect();
        assert_eq!(
            lines,
            [
                "carp0: told from 192.0.2.7",
                "carp0: told by 192.0.2.7",
                "cannot send device=2"
            ]
        );
    }
}
