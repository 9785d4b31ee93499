//! Levels, and messages that no level hides.

use std::io;

use tracing::{error, subscriber::with_default, warn};
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// A writer that keeps what is written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Logs as the agent does, and returns the text.
fn logging(level: Option<Level>, act: impl FnOnce(&Logging)) -> String {
    let config = Log {
        level,
        ..crate::config::tests::minimal().log
    };
    let (filter, handle) = reload::Layer::new(filter(&config).unwrap());
    let repeats = Arc::new(Repeats::default());
    let written = Written::default();
    let lines = fmt::layer()
        .with_writer(written.clone())
        .with_ansi(false)
        .event_format(Text)
        .with_filter(Arc::clone(&repeats).filter())
        .with_filter(filter);
    let logging = Logging {
        filter: handle,
        state: State::new(config),
        repeats,
    };
    with_default(Registry::default().with(lines), || act(&logging));
    written.text()
}

#[test]
fn no_level_hides_messages_about_security() {
    for level in [None, Some(Level::ERROR), Some(Level::WARN)] {
        let text = logging(level, |_| {
            info!("an ordinary message");
            info!(target: SECURITY, "capabilities");
            warn!(target: SECURITY, "a stranger");
        });
        assert!(!text.contains("ordinary"), "{text}");
        assert!(text.contains("INFO capabilities"), "{text}");
        assert!(text.contains("WARN a stranger"), "{text}");
    }
}

#[test]
fn a_change_of_the_level_is_logged_before_it_takes_effect() {
    let text = logging(Some(Level::INFO), |logging| {
        logging.set_level(None, &"somebody asked").unwrap();
        error!("an ordinary message");
        logging.set_level(None, &"again").unwrap();
        logging
            .set_level(Some(Level::INFO), &"somebody asked")
            .unwrap();
        // The number in its message keeps it from being suppressed as a repetition.
        logging.set_level(None, &"somebody asked").unwrap();
        logging.set_level(Some(Level::WARN), &"another").unwrap();
        assert_eq!(logging.level(), Some(Level::WARN));
    });
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split_once("INFO ").unwrap().1)
        .collect();
    assert_eq!(
        lines,
        [
            "log.level changes from info to off: somebody asked change=1 security.level=info",
            "log.level changes from off to info: somebody asked change=2 security.level=info",
            "log.level changes from info to off: somebody asked change=3 security.level=info",
            "log.level changes from off to warn: another change=4 security.level=info",
        ]
    );
}

#[test]
fn repetitions_of_messages_about_security_are_reported_at_every_level() {
    let text = logging(None, |logging| {
        for _ in 0..3 {
            warn!(target: SECURITY, "a stranger");
        }
        logging.repeats.age();
        logging.report_repeated();
    });
    assert_eq!(text.matches("WARN a stranger").count(), 1, "{text}");
    assert!(
        text.contains("WARN 2 times more in 10 s: a stranger"),
        "{text}"
    );
}
