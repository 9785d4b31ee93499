//! The command line: verbs, and a flag and a variable for each option of `config::options`. What the values
//! mean is for `config` to say.

use std::{collections::HashMap, env, ffi::OsString, path::PathBuf, time::SystemTime};

use clap::{
    Arg, ArgAction, ArgGroup, ArgMatches, Command, builder::NonEmptyStringValueParser,
    error::ErrorKind,
};

use crate::{
    config::{LEVELS, Options, RawValue, options::OPTIONS, otlp},
    import::{FRAMEWORKS, Framework},
    ledger::export::{self, Peers},
    manual,
    model::print::Format,
};

/// What the user wants done.
#[derive(Debug)]
pub enum Invocation {
    /// Run the agent.
    Run(Options),
    /// Say what would happen.
    Check(Options),
    /// Remove what outlives the agent.
    Detach(Options),
    /// Print the running agent's level of the log, or change it.
    LogLevel(Options, Option<String>),
    /// Have the running agent give its GPUs up.
    GpuRelease(Options),
    /// Print parties for the configuration, from a framework's own file.
    Import(Framework, PathBuf),
    /// Print the ledger's connections with some peers, those that have ended since then.
    LedgerExport(Options, Option<SystemTime>, Peers),
    /// Compare what two parties have printed.
    LedgerCompare(PathBuf, PathBuf),
    /// Print the catalog.
    Metrics(Format),
    /// Print the default configuration.
    DefaultConfig,
    /// Print the table of options, for the documentation.
    Options,
}

/// Reads a command line, the program's name included.
///
/// # Errors
/// clap's, which also stand for `--help` and `--version`.
pub fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(line)?;
    let variable = |name: &str| env::var(name).ok();
    Ok(match matches.subcommand() {
        Some(("check", matches)) => Invocation::Check(options(matches, variable)),
        Some(("detach", matches)) => Invocation::Detach(options(matches, variable)),
        Some(("log-level", matches)) => {
            let level = matches.get_one::<String>("level").cloned();
            Invocation::LogLevel(options(matches, variable), level)
        }
        Some(("gpu", matches)) => match matches.subcommand() {
            Some((_, matches)) => Invocation::GpuRelease(options(matches, variable)),
            // clap lets nothing else through.
            None => return Err(command().error(ErrorKind::MissingSubcommand, "say what to do")),
        },
        Some(("parties", matches)) => match matches.subcommand().and_then(|(_, it)| import(it)) {
            Some((framework, file)) => Invocation::Import(framework, file),
            // clap lets nothing else through.
            None => return Err(command().error(ErrorKind::MissingSubcommand, "say what to do")),
        },
        Some(("ledger", matches)) => match matches.subcommand() {
            Some(("export", matches)) => {
                let since = matches.get_one::<SystemTime>("since").copied();
                let peers = matches.get_many::<String>("peer");
                let peers = match peers {
                    Some(names) => Peers::Only(names.cloned().collect()),
                    None if matches.get_flag("all") => Peers::All,
                    None => Peers::Unspecified,
                };
                Invocation::LedgerExport(options(matches, variable), since, peers)
            }
            Some((_, matches)) => match matches.get_many::<PathBuf>("files").map(Vec::from_iter) {
                Some(files) if let [first, second] = files[..] => {
                    Invocation::LedgerCompare(first.clone(), second.clone())
                }
                // clap lets nothing else through.
                _ => return Err(command().error(ErrorKind::WrongNumberOfValues, "name two files")),
            },
            None => return Err(command().error(ErrorKind::MissingSubcommand, "say what to do")),
        },
        Some(("metrics", matches)) => Invocation::Metrics(
            match matches.get_one::<String>("format").map(String::as_str) {
                Some("json") => Format::Json,
                Some("markdown") => Format::Markdown,
                _ => Format::Table,
            },
        ),
        Some(("config", matches)) if matches.get_flag("options") => Invocation::Options,
        Some(("config", _)) => Invocation::DefaultConfig,
        Some((_, matches)) => Invocation::Run(options(matches, variable)),
        None => Invocation::Run(Options::default()),
    })
}

/// The whole command line.
pub fn command() -> Command {
    let formats = ["table", "json", "markdown"];
    let command = Command::new("partymeter")
        .version(clap::crate_version!())
        .about("Count bytes by MPC party, read GPUs, and export Prometheus metrics and OpenTelemetry")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_options(&[""], Command::new("run").about("Run the agent")))
        .subcommand(with_options(&[""], Command::new("check").about(
            "Report every error in the configuration, and what this machine allows; start nothing",
        )))
        .subcommand(with_options(&["network.bpf_pin_path"], Command::new("detach").about(
            "Remove the counters and BPF programs that outlive the agent, once no agent runs",
        )))
        .subcommand(with_options(
            &["admin."],
            Command::new("log-level")
                .about(
                    "Print the log level of the running agent; with LEVEL, change it until the configuration is read \
                     again",
                )
                .arg(
                    Arg::new("level")
                        .value_name("LEVEL")
                        .help("The least severe level that is logged")
                        .value_parser(LEVELS.map(|(name, _)| name)),
                ),
        ))
        .subcommand(
            Command::new("gpu")
                .about("Administer the GPUs of the running agent")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(with_options(&["admin."], Command::new("release").about(
                    "Make the agent release all GPUs for a minute, so that their driver can be unloaded",
                ))),
        )
        .subcommand(
            Command::new("parties")
                .about("Prepare the list of parties for the configuration")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(
                    Command::new("import")
                        .about("Convert a framework's own list of parties into the configuration's form")
                        .arg(
                            Arg::new("from")
                                .long("from")
                                .value_name("FRAMEWORK")
                                .required(true)
                                .value_parser(FRAMEWORKS.map(|framework| framework.name))
                                .help("The framework that the file belongs to"),
                        )
                        .arg(
                            Arg::new("file")
                                .value_name("FILE")
                                .required(true)
                                .value_parser(clap::value_parser!(PathBuf))
                                .help("The file, or - for standard input"),
                        ),
                ),
        )
        .subcommand(ledger())
        .subcommand(
            Command::new("metrics").about("Print every metric").arg(
                Arg::new("format").long("format").value_parser(formats).default_value("table").help("Form of the output"),
            ),
        )
        .subcommand(
            Command::new("config").about("Print the default configuration, as a file to start from").arg(
                Arg::new("options")
                    .long("options")
                    .action(ArgAction::SetTrue)
                    .help("Print a table of keys, flags, variables and defaults instead"),
            ),
        );
    manual::describe(command)
}

fn ledger() -> Command {
    let since = Arg::new("since")
        .long("since")
        .value_name("WHEN")
        .value_parser(|text: &str| export::since(text))
        .help("Only connections that ended after this: how long ago (2h), or when (2026-01-31T12:00:00Z)");
    let peer = Arg::new("peer")
        .long("peer")
        .value_name("PARTY")
        .action(ArgAction::Append)
        .value_parser(NonEmptyStringValueParser::new())
        .help(
            "Only connections with this party, to hand over to it; may be repeated, as with `unknown` where the party \
             comes through network address translation",
        );
    let all = Arg::new("all")
        .long("all")
        .action(ArgAction::SetTrue)
        .help("Connections with every party, to keep and not to hand over");
    let files = Arg::new("files")
        .value_name("FILE")
        .num_args(2)
        .required(true)
        .help("What `partymeter ledger export` has printed: one file of each party")
        .value_parser(clap::value_parser!(PathBuf));
    Command::new("ledger")
        .about("Export and compare the ledger, a record of MPC connections as evidence between parties")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_options(
            &["ledger."],
            Command::new("export")
                .about("Print the connections of the ledger, ended and open, as lines of JSON")
                .arg(since)
                .arg(peer)
                .arg(all)
                .group(ArgGroup::new("peers").args(["peer", "all"])),
        ))
        .subcommand(
            Command::new("compare")
                .about("Report what one party sent and the other did not receive, from the exports of both")
                .arg(files),
        )
}

fn import(matches: &ArgMatches) -> Option<(Framework, PathBuf)> {
    let name = matches.get_one::<String>("from")?;
    let framework = FRAMEWORKS.into_iter().find(|it| it.name == name)?;
    Some((framework, matches.get_one::<PathBuf>("file")?.clone()))
}

/// Adds the options of the configuration. All are accepted; help shows those whose keys begin so.
fn with_options(shown: &[&str], command: Command) -> Command {
    let is_shown = |key: &str| shown.iter().any(|prefix| key.starts_with(prefix));
    let path = Arg::new("config").long("config").value_name("FILE");
    let list = |name: &'static str, value: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .action(ArgAction::Append)
            .hide(!is_shown(name))
    };
    let with_flag = OPTIONS.iter().filter(|option| option.has_flag());
    let single = with_flag.map(|option| {
        let default = match option.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        Arg::new(option.key)
            .long(option.flag())
            .help_heading(manual::heading(option.key))
            .hide(!is_shown(option.key))
            .value_name(option.value)
            .help(format!(
                "{}{default} [env: {}]",
                option.help,
                option.variable()
            ))
    });
    command
        .arg(
            path.value_parser(clap::value_parser!(PathBuf))
                .help("Configuration file (TOML) [env: PARTYMETER_CONFIG]"),
        )
        .arg(list("party", "ID=ENDPOINT,…").value_parser(NonEmptyStringValueParser::new()).help(
            "A party and its endpoints, instead of those in the file; may be repeated [env: PARTYMETER_PARTY, separated by ;]",
        ))
        .arg(list("protocol", "NAME[/udp]=PORTS,…").value_parser(NonEmptyStringValueParser::new()).help(
            "A protocol and its ports, instead of those in the file; may be repeated [env: PARTYMETER_PROTOCOL, separated by ;]",
        ))
        .args(single)
}

fn options(matches: &ArgMatches, variable: impl Fn(&str) -> Option<String>) -> Options {
    // A variable that is set to nothing is a value, as a flag is; but of OpenTelemetry's, whose specification has it as unset.
    let otel_variable = |name: &str| variable(name).filter(|text| !text.is_empty());
    let single_value = |id: &str, flag: &str, name: &str| {
        let text = matches.try_get_one::<String>(id).ok().flatten().cloned();
        let from_flag = text.map(|text| RawValue {
            location: format!("--{flag}"),
            text,
        });
        from_flag.or_else(|| {
            Some(RawValue {
                location: name.to_owned(),
                text: variable(name)?,
            })
        })
    };
    let list = |id: &str, name: &str| -> Vec<RawValue> {
        match matches.get_many::<String>(id) {
            Some(texts) => texts
                .map(|text| RawValue {
                    location: format!("--{id}"),
                    text: text.clone(),
                })
                .collect(),
            None => variable(name)
                .unwrap_or_default()
                .split(';')
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(|text| RawValue {
                    location: name.to_owned(),
                    text: text.to_owned(),
                })
                .collect(),
        }
    };
    let values: HashMap<_, _> = OPTIONS
        .iter()
        .filter_map(|option| {
            Some((
                option.key,
                single_value(option.key, &option.flag(), &option.variable())?,
            ))
        })
        .collect();
    let file = matches.get_one::<PathBuf>("config").cloned();
    Options {
        file: file.or_else(|| variable("PARTYMETER_CONFIG").map(PathBuf::from)),
        values,
        otel_variables: otlp::variables()
            .filter_map(|name| Some((otel_variable(&name)?, name)))
            .map(|(text, name)| (name, text))
            .collect(),
        parties: list("party", "PARTYMETER_PARTY"),
        protocols: list("protocol", "PARTYMETER_PROTOCOL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_to_nothing_is_a_value() {
        let matches = command().get_matches_from(["partymeter", "check"]);
        let (_, matches) = matches.subcommand().unwrap();
        let nothing =
            |names: &'static [&str]| move |name: &str| names.contains(&name).then(String::new);
        let set = options(matches, nothing(&["PARTYMETER_NETWORK_BPF_PIN_PATH"]));
        let pin = &set.values["network.bpf_pin_path"];
        assert_eq!(
            (&*pin.location, &*pin.text),
            ("PARTYMETER_NETWORK_BPF_PIN_PATH", "")
        );
        // OpenTelemetry's specification has its own variables as unset then.
        let set = options(matches, nothing(&["OTEL_EXPORTER_OTLP_ENDPOINT"]));
        assert!(set.otel_variables.is_empty() && set.values.is_empty());
    }
}
