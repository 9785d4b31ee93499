//! Whether the help says something of every verb and option, in sentences that fit a terminal.

use clap::Command;
use partymeter::{args, config::options::OPTIONS};

/// A command and all its subcommands, those of clap left out.
fn all(command: &Command) -> Vec<&Command> {
    let own = command
        .get_subcommands()
        .filter(|it| it.get_name() != "help");
    [command].into_iter().chain(own.flat_map(all)).collect()
}

fn built() -> Command {
    let mut command = args::command();
    command.build();
    command
}

/// Words of this project's own making, which a reader of the help cannot know.
const PRIVATE: [&str; 12] = [
    "told",
    "tells of",
    "heed",
    "mend",
    "stranger",
    "ways",
    "rhythm ",
    "wanted",
    "what is had",
    "goes about",
    "by what",
    "whose file",
];

/// What is wrong with a line of help, if anything is.
fn fault(help: &str) -> Option<&'static str> {
    let first = help.chars().next()?;
    if !(first.is_uppercase() || help.starts_with("off") || help.starts_with('"')) {
        return Some("does not begin as a sentence");
    }
    if help.ends_with('.') {
        return Some("ends with a full stop, which one-line help has not");
    }
    let lower = help.to_lowercase();
    let is_private = PRIVATE.iter().any(|word| lower.contains(word));
    is_private.then_some("has a word that its reader cannot know")
}

#[test]
fn every_verb_and_option_has_a_sentence_of_help() {
    let root = built();
    for command in all(&root) {
        let name = command.get_bin_name().unwrap_or("partymeter");
        let about = command.get_about().map(ToString::to_string);
        let about = about.unwrap_or_default();
        assert!(about.contains(' '), "{name}: {about:?}");
        assert_eq!(fault(&about), None, "{name}: {about}");
        for argument in command.get_arguments() {
            let id = argument.get_id();
            let help = argument.get_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(help.contains(' '), "{name} {id}: {help:?}");
            assert_eq!(fault(&help), None, "{name} {id}: {help}");
        }
    }
}

#[test]
fn every_verb_that_does_something_has_examples_and_exit_codes() {
    let mut root = built();
    let missing: Vec<String> = all(&built())
        .into_iter()
        .filter(|command| !command.has_subcommands())
        // What these print is not worth an example.
        .filter(|command| !["metrics", "config"].contains(&command.get_name()))
        .filter(|command| {
            let mut command = Command::clone(command);
            let help = command.render_help().to_string();
            !["Examples:\n", "Exit codes:\n"]
                .iter()
                .all(|title| help.contains(title))
        })
        .map(|command| command.get_bin_name().unwrap().to_owned())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    let help = root.render_help().to_string();
    for title in [
        "Commands:",
        "Examples:",
        "Exit codes:",
        "Environment:",
        "Files:",
    ] {
        assert!(help.contains(title), "{title}");
    }
}

#[test]
fn the_end_of_the_help_fits_a_terminal() {
    for command in all(&built()) {
        let Some(end) = command.get_after_help() else {
            continue;
        };
        for line in end.to_string().lines() {
            assert!(
                line.chars().count() < 80,
                "{:?}: {line}",
                command.get_bin_name()
            );
        }
    }
}

#[test]
fn verbs_show_the_options_that_concern_them_and_accept_all() {
    let root = built();
    let flags = OPTIONS.iter().filter(|option| option.has_flag()).count();
    for (name, least, most) in [
        ("partymeter run", flags, flags),
        ("partymeter check", flags, flags),
        ("partymeter detach", 1, 1),
        ("partymeter log-level", 2, 2),
        ("partymeter gpu release", 2, 2),
        ("partymeter ledger export", 3, 3),
    ] {
        let all = all(&root);
        let command = all.iter().find(|it| it.get_bin_name() == Some(name));
        let options = command.unwrap().get_arguments().filter(|argument| {
            let id = argument.get_id().as_str();
            OPTIONS.iter().any(|option| option.key == id)
        });
        let (shown, hidden): (Vec<_>, Vec<_>) = options.partition(|option| !option.is_hide_set());
        assert!((least..=most).contains(&shown.len()), "{name}: {shown:?}");
        assert_eq!(shown.len() + hidden.len(), flags, "{name}");
    }
}
