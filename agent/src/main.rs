//! The binary `partymeter`: parse, run, exit code.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use partymeter::{
    Misconfigured, admin, agent,
    args::{self, Invocation},
    check::check,
    config::{self, Config, HostEnv, Options, options},
    export::otlp::ExportQueues,
    import,
    ledger::{self, compare::Incomparable},
    log,
    model::print,
    source::network::pin,
};

/// Wrong usage or configuration: `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;
/// `ledger compare` had nothing to compare: as diff(1) has it, 1 is for what is different.
const NOTHING_COMPARED: u8 = 2;

fn main() -> ExitCode {
    let invocation = match args::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            // A failure to print leaves nothing to print it with.
            drop(error.print());
            return if error.use_stderr() {
                USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match carry_out(invocation) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(io::stderr(), "partymeter: {error:#}"));
            if error.is::<Misconfigured>() {
                USAGE.into()
            } else if error.is::<Incomparable>() {
                NOTHING_COMPARED.into()
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Does what is asked; false is a failure that has been told already.
fn carry_out(invocation: Invocation) -> anyhow::Result<bool> {
    let out = &mut io::stdout().lock();
    match invocation {
        Invocation::Run(options) => {
            let config = resolve(&options)?;
            let queues = ExportQueues::new(&config);
            let (messages, rounds) = (queues.log_layer(), queues.round_layer(&config));
            let logging = log::init(&config, messages, rounds)?;
            agent::run(&config, options, &logging, &queues)?;
        }
        Invocation::Check(options) => return Ok(check(&resolve(&options)?, out)?),
        Invocation::Detach(options) => writeln!(out, "{}", pin::detach(&resolve(&options)?)?)?,
        Invocation::LogLevel(options, level) => {
            let admin = resolve(&options)?.admin;
            writeln!(out, "{}", admin::log_level(&admin, level.as_deref())?)?;
        }
        Invocation::GpuRelease(options) => {
            writeln!(out, "{}", admin::gpu_release(&resolve(&options)?.admin)?)?;
        }
        Invocation::Import(framework, file) => {
            write!(out, "{}", import::import(framework, &file)?)?;
        }
        Invocation::LedgerExport(options, since, peers) => {
            for note in ledger::export::export(&resolve(&options)?, since, &peers, out)? {
                writeln!(io::stderr(), "partymeter: {note}")?;
            }
        }
        Invocation::LedgerCompare(first, second) => {
            return ledger::compare::compare(&first, &second, out);
        }
        Invocation::Metrics(format) => print::print(format, out)?,
        Invocation::DefaultConfig => write!(out, "{}", config::DEFAULT)?,
        Invocation::Options => write!(out, "{}", options::markdown())?,
    }
    Ok(true)
}

fn resolve(options: &Options) -> Result<Config, Misconfigured> {
    let host = HostEnv::current();
    config::resolve(options, &host).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Misconfigured(lines.join("\npartymeter: "))
    })
}
