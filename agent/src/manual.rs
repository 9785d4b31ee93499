//! What the help of each verb says beyond its options: examples, exit codes, environment, files. The same sections
//! stand at the end of `--help` and in the manual pages, which `agent/examples/manual` writes.

use std::fmt::Write as _;

use clap::Command;

/// A titled list. An entry without a term is a paragraph.
#[derive(Debug)]
pub struct Section {
    /// Its title, as in `Exit codes`.
    pub title: &'static str,
    /// Terms and what each means.
    pub entries: &'static [(&'static str, &'static str)],
}

const fn section(title: &'static str, entries: &'static [(&'static str, &'static str)]) -> Section {
    Section { title, entries }
}

const USAGE: (&str, &str) = ("64", "Wrong usage, or an error in the configuration.");
const FAILURE: (&str, &str) = ("1", "Any failure that has no code of its own.");

const REFUSED: (&str, &str) = ("1", "The agent cannot be reached, or refuses.");

/// Of verbs that read the configuration of `run`, and whose help shows only some of its options.
const OPTIONS: Section = section(
    "More options",
    &[(
        "",
        "All options and variables of `partymeter run` are accepted, so that both can be given the same configuration.",
    )],
);

const MAIN: &[Section] = &[
    section(
        "Examples",
        &[
            (
                "partymeter config > my.toml",
                "Write the default configuration, to edit it.",
            ),
            (
                "partymeter check --config my.toml",
                "Report every error in it, and what this machine allows.",
            ),
            ("partymeter run --config my.toml", "Run the agent."),
            (
                "partymeter help run",
                "List every option; each verb has its own help.",
            ),
        ],
    ),
    section(
        "Exit codes",
        &[
            ("0", "Success."),
            FAILURE,
            (
                "2",
                "Of `partymeter ledger compare` only: nothing could be compared.",
            ),
            USAGE,
        ],
    ),
    section(
        "Environment",
        &[
            (
                "PARTYMETER_…",
                "Each option has a variable, named in the help of `partymeter run`. A flag overrides a variable, a \
                 variable overrides the file. A variable that is set to nothing is a value.",
            ),
            ("PARTYMETER_CONFIG", "The configuration file, as --config."),
            (
                "OTEL_…",
                "OpenTelemetry's own variables for exporters; flags, variables and file of partymeter override them.",
            ),
            (
                "NODE_NAME",
                "Name of this node where the configuration gives none, as Kubernetes manifests set it.",
            ),
        ],
    ),
    section(
        "Files",
        &[
            (
                "/sys/fs/bpf/partymeter",
                "BPF maps and links that outlive the agent, unless the configuration names another directory.",
            ),
            (
                "/run/partymeter/admin.sock",
                "Socket through which `partymeter log-level` and `partymeter gpu release` reach the running agent, \
                 unless the configuration names another.",
            ),
        ],
    ),
];

const RUN: &[Section] = &[
    section(
        "Examples",
        &[
            (
                "partymeter run --config my.toml",
                "Run with a configuration file.",
            ),
            (
                "partymeter run --party 1=10.0.0.2 --protocol aby3=1212-1220",
                "Run with a party and a protocol from the command line.",
            ),
            (
                "curl -s localhost:9464/metrics",
                "Read the metrics of the running agent; /-/ready says what does not work.",
            ),
        ],
    ),
    section(
        "Signals",
        &[
            (
                "SIGHUP",
                "Read the configuration file again; the agent also does so when the file changes.",
            ),
            (
                "SIGTERM, SIGINT",
                "Stop. Pinned counters continue until the next agent starts.",
            ),
        ],
    ),
    section(
        "Exit codes",
        &[("0", "The agent was asked to stop."), FAILURE, USAGE],
    ),
];

const CHECK: &[Section] = &[
    section(
        "Examples",
        &[(
            "partymeter check --config my.toml",
            "One line for each thing that `partymeter run` would need: `ok`, `PART` for what works in part, `DOWN` for \
             what does not work.",
        )],
    ),
    section(
        "Exit codes",
        &[
            ("0", "Nothing is `DOWN`."),
            ("1", "Something is `DOWN`."),
            USAGE,
        ],
    ),
];

const DETACH: &[Section] = &[
    section(
        "Examples",
        &[(
            "partymeter detach",
            "Remove what agents have pinned in /sys/fs/bpf/partymeter; as root, after the last agent has stopped.",
        )],
    ),
    section(
        "Exit codes",
        &[("0", "Nothing is pinned any more."), FAILURE, USAGE],
    ),
    OPTIONS,
];

const LOG_LEVEL: &[Section] = &[
    section(
        "Examples",
        &[
            ("partymeter log-level", "Print the level."),
            (
                "partymeter log-level debug",
                "Change it until the configuration is read again.",
            ),
        ],
    ),
    section(
        "Exit codes",
        &[("0", "The level is printed."), REFUSED, USAGE],
    ),
    OPTIONS,
];

const GPU_RELEASE: &[Section] = &[
    section(
        "Examples",
        &[(
            "partymeter gpu release && modprobe -r nvidia",
            "Unload NVIDIA's driver while the agent runs.",
        )],
    ),
    section(
        "Exit codes",
        &[("0", "The agent has released the GPUs."), REFUSED, USAGE],
    ),
    OPTIONS,
];

const PARTIES_IMPORT: &[Section] = &[
    section(
        "Examples",
        &[
            (
                "partymeter parties import --from mp-spdz HOSTS >> my.toml",
                "Append the parties of MP-SPDZ's hosts file to a configuration.",
            ),
            (
                "partymeter parties import --from torch-env /proc/4711/environ",
                "Print the parties of a running PyTorch program.",
            ),
        ],
    ),
    section(
        "Exit codes",
        &[
            ("0", "The parties are printed."),
            FAILURE,
            (
                "64",
                "Wrong usage, or the file is not in the framework's format.",
            ),
        ],
    ),
];

const LEDGER_EXPORT: &[Section] = &[
    section(
        "Examples",
        &[
            (
                "partymeter ledger export --config my.toml --peer 1 --since 1h > mine.jsonl",
                "Write the connections with party 1 of the last hour, to hand over to party 1.",
            ),
            (
                "partymeter ledger export --config my.toml --all",
                "Print the connections with every party.",
            ),
        ],
    ),
    section(
        "Exit codes",
        &[("0", "The connections are printed."), FAILURE, USAGE],
    ),
    OPTIONS,
];

const LEDGER_COMPARE: &[Section] = &[
    section(
        "Examples",
        &[(
            "partymeter ledger compare mine.jsonl theirs.jsonl",
            "Compare this party's export with the other party's.",
        )],
    ),
    section(
        "What is compared",
        &[(
            "",
            "Only connections that both parties saw from beginning to end are compared. Connections with third \
                 parties are left out. Two records are the same connection if their endpoints are the same and their \
                 times overlap within 30\u{a0}s. Behind network address translation the endpoints differ. Two remaining \
                 records are then the same connection if they have the same protocol and the same bytes both ways, \
                 began within 30\u{a0}s of each other, and agree on the acceptor's endpoint or on the initiator's. They are \
                 counted separately.",
        )],
    ),
    section(
        "Exit codes",
        &[
            ("0", "Something was compared, and all of it agrees."),
            (
                "1",
                "Something does not agree, is in one file only or twice, or is whole in one file and not in the other.",
            ),
            (
                "2",
                "Nothing could be compared, or a file cannot be read or has a line that cannot be true.",
            ),
            ("64", "Wrong usage."),
        ],
    ),
];

/// The sections of a verb, given by its words without the program's name.
pub fn sections(verb: &str) -> &'static [Section] {
    match verb {
        "" => MAIN,
        "run" => RUN,
        "check" => CHECK,
        "detach" => DETACH,
        "log-level" => LOG_LEVEL,
        "gpu release" => GPU_RELEASE,
        "parties import" => PARTIES_IMPORT,
        "ledger export" => LEDGER_EXPORT,
        "ledger compare" => LEDGER_COMPARE,
        _ => &[],
    }
}

/// The heading under which help lists the option of a key, by the key's table; keys outside of tables stand under `Options`.
pub(crate) fn heading(key: &str) -> Option<&'static str> {
    let (table, _) = key.split_once('.')?;
    Some(match table {
        "gpu" => "GPU options",
        "network" => "Network options",
        "ledger" => "Ledger options",
        "host" => "Host options",
        "prometheus" => "Prometheus options",
        "admin" => "Administration options",
        "otlp" => "OpenTelemetry options",
        "log" => "Log options",
        _ => return None,
    })
}

/// Adds the sections to the help of a command and of all its subcommands.
pub(crate) fn describe(command: Command) -> Command {
    fn with(command: Command, verb: &str) -> Command {
        let sections = sections(verb);
        let command = command.mut_subcommands(|subcommand| {
            let verb = format!("{verb} {}", subcommand.get_name());
            with(subcommand, verb.trim_start())
        });
        if sections.is_empty() {
            command
        } else {
            command.after_help(text(sections))
        }
    }
    with(command, "")
}

/// The sections as `--help` shows them.
fn text(sections: &[Section]) -> String {
    let mut text = String::new();
    for (place, Section { title, entries }) in sections.iter().enumerate() {
        let gap = if place == 0 { "" } else { "\n" };
        _ = write!(text, "{gap}{title}:");
        for (term, meaning) in *entries {
            text.push_str(&entry(term, meaning));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// No line of the sections is longer, but for a term.
const WIDTH: usize = 79;

/// Short terms stand beside their meaning, longer ones above it.
fn entry(term: &str, meaning: &str) -> String {
    let (mut text, indent) = match term.len() {
        0 => ("\n  ".to_owned(), 2),
        1..4 => (format!("\n  {term:4}"), 6),
        _ => (format!("\n  {term}\n      "), 6),
    };
    let mut column = indent;
    for word in meaning.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text
}
