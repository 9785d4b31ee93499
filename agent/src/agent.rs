//! Connects sources, sampler and exporters, starts them and stops them. What needs privileges is opened first, by this
//! thread; all threads but the network source's start without privileges.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::{
    admin::{self, Opened, Socket},
    config::{Config, Options},
    export::{
        http,
        otlp::{self, ConnectionSpans, ExportQueues, Prepared},
    },
    finding::Finding,
    ledger::writer::{self, Writer},
    limits,
    log::Logging,
    model, privilege,
    reload::Reload,
    sample::ConnectionObserver,
    sampler::Sampler,
    source::{
        self, gpu,
        host::HostSource,
        idle::IdleSource,
        network::{
            NetworkSource,
            host_names::{self, Lookup},
            pin::Pins,
            resolve::{Answer, Resolver},
        },
    },
};

/// Runs the agent until a signal stops it. `options` are the sources of the configuration, for reloads.
///
/// # Errors
/// If the agent cannot start, as when an address is in use or a host name does not resolve. A source that does not work
/// is not an error.
pub fn run(
    config: &Config,
    options: Options,
    logging: &Arc<Logging>,
    queues: &ExportQueues,
) -> anyhow::Result<()> {
    let since = SystemTime::now();
    privilege::seal();
    share_heap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // From here on SIGHUP no longer ends the agent. A signal during the start takes effect after it.
    let hangup = {
        let _inside = runtime.enter();
        signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?
    };
    let client_limit = client_limit(config);
    let otlp = prepare_otlp(config, queues)?;
    let listeners = config
        .prometheus_listen
        .iter()
        .map(|address| http::bind(*address));
    let listeners: Vec<_> = listeners.collect::<Result<_, _>>()?;
    let administration = admin::open(&config.admin)?;
    let pins = if config.network.enabled {
        Pins::open(config)?
    } else {
        Pins::none()
    };
    let started = |source| format!("cannot start the thread of the {source} source");
    // The network source's thread inherits this thread's capabilities; later threads have none.
    let network_thread = config
        .network
        .enabled
        .then(|| source::start_thread("network", privilege::keep_for_attaching));
    let network_thread = network_thread
        .transpose()
        .with_context(|| started("network"))?;
    let dropped = privilege::drop_all();

    let resolver = Resolver::default();
    let answers = host_names(config, &resolver)?;
    let mut reload = Reload::new(options, config, pins.layout(config), logging);
    reload.found(&answers, resolver);
    let ledger = Writer::start(config)?;
    let writes = ledger.as_ref().map(Writer::counts);
    let unwritten = writes.clone();
    let observers = observers(queues.connection_spans(config), ledger);
    let network = NetworkSource::new(&reload.wanted(), pins, observers);
    let network = network_thread.map(|thread| thread.spawn(network, config.interval));
    let network = network.transpose().with_context(|| started("network"))?;
    dropped.log();
    let gpus = config
        .gpu
        .enabled
        .then(|| gpu::spawn(&config.gpu, config.interval, model::gpu::range));
    let gpus = gpus.transpose().with_context(|| started("GPU"))?;
    let gpus = gpus.map(Arc::new);
    let idle = network
        .as_ref()
        .zip(gpus.as_ref())
        .filter(|_| config.network.messages)
        .map(|(network, gpus)| IdleSource::new(network, gpus))
        .map(|idle| source::spawn(idle, config.interval));
    let idle = idle.transpose().with_context(|| started("idle"))?;
    let host = HostSource::default();
    let host = config
        .host_enabled
        .then(|| source::spawn(host, config.interval));
    let host = host.transpose().with_context(|| started("host"))?;
    let sampler = Arc::new(Sampler {
        started: since,
        node: Arc::from(config.node.as_str()),
        network,
        gpus,
        idle,
        host,
        configuration: reload.status(),
        otlp: Arc::default(),
        ledger: writes,
    });
    let receivers: Vec<_> = otlp.receivers().collect();
    let otlp = otlp.start(config, &sampler);
    let otlp = otlp.context("cannot start the thread that sends OTLP")?;

    announce(config, &administration);
    for (signal, receiver) in receivers {
        info!("sending {} to the OTLP receiver {receiver}", signal.name());
    }
    let outcome = runtime.block_on(async {
        let mut reload = pin!(reload.run(hangup));
        tokio::select! {
            outcome = serve(listeners, client_limit, administration.socket(), config, sampler, logging) => outcome,
            () = &mut reload => Ok(()),
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    if let Some(otlp) = otlp {
        otlp.stop();
    }
    if let Some(counts) = unwritten {
        writer::finish(&counts);
    }
    outcome?;
    info!("stopped");
    Ok(())
}

/// The limit of clients' connections. Logs limits of the system.
fn client_limit(config: &Config) -> http::ClientLimit {
    let client_limit = http::client_limit();
    if let Some(limit) = &client_limit.limit {
        warn!("{limit}");
    }
    warn_of(limits::look(config));
    client_limit
}

/// Prepares the OTLP export. Logs what it cannot do.
fn prepare_otlp(config: &Config, queues: &ExportQueues) -> Result<Prepared, crate::Misconfigured> {
    let prepared = otlp::prepare(config, queues);
    let prepared = prepared.map_err(|lines| crate::Misconfigured(prefix_lines(&lines)))?;
    for limit in prepared.limits() {
        warn!("{limit}");
    }
    Ok(prepared)
}

/// Starts each line but the first, which `main` does, with the name of the program.
fn prefix_lines(lines: &str) -> String {
    lines.replace('\n', "\npartymeter: ")
}

/// Resolves the host names of the configuration.
fn host_names(config: &Config, resolver: &Resolver) -> Result<Vec<Answer>, crate::Misconfigured> {
    if !config.network.enabled {
        return Ok(Vec::new());
    }
    let Lookup { answers, findings } = host_names::look_up(config, resolver);
    let (limits, wrong): (Vec<_>, Vec<_>) = findings.into_iter().partition(|it| it.optional);
    let wrong: Vec<String> = wrong.into_iter().filter_map(|it| it.result.err()).collect();
    if !wrong.is_empty() {
        return Err(crate::Misconfigured(prefix_lines(&wrong.join("\n"))));
    }
    // The reload logs addresses of several parties, since it keeps checking them.
    warn_of(
        limits
            .into_iter()
            .filter(|it| it.what != host_names::SHARED),
    );
    Ok(answers)
}

/// Logs the limits.
fn warn_of(limits: impl IntoIterator<Item = Finding>) {
    for limit in limits.into_iter().filter_map(|it| it.result.err()) {
        warn!("{limit}");
    }
}

async fn serve(
    listeners: Vec<std::net::TcpListener>,
    client_limit: http::ClientLimit,
    administration: Option<&Socket>,
    config: &Config,
    sampler: Arc<Sampler>,
    logging: &Arc<Logging>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let log = Arc::clone(logging);
    let repeated = tokio::spawn(async move {
        let mut tick = tokio::time::interval(source::clock::BEAT);
        loop {
            tick.tick().await;
            source::clock::now();
            log.report_repeated();
        }
    });
    let mut signalled = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // Dropping the sender stops the server.
    let stopped = async { drop(stopped.await) };
    let administered = Arc::clone(&sampler);
    let administered = async move {
        match administration {
            Some(socket) => admin::serve(socket, administered, Arc::clone(logging)).await,
            None => std::future::pending().await,
        }
    };
    let names = config.prometheus_hosts.iter().cloned();
    let names = names.chain([config.node.clone()]);
    let hosts = http::Hosts::new(names.chain(sysinfo::System::host_name()));
    let mut server = pin!(http::serve(
        listeners,
        sampler,
        hosts,
        http::Limits {
            connections: client_limit.connections,
            ..http::Limits::default()
        },
        stopped
    ));
    tokio::select! {
        outcome = &mut server => outcome.context("cannot serve the metrics page")?,
        outcome = administered => drop(outcome.context("cannot serve administration")?),
        name = signalled() => info!("{name}: stopping"),
    }
    drop(stop);
    tokio::select! {
        outcome = server => outcome.context("cannot serve the metrics page")?,
        name = signalled() => warn!("{name} again: not waiting for clients"),
    }
    repeated.abort();
    logging.report_repeated();
    Ok(())
}

/// The receivers of connection records.
fn observers(
    spans: Option<ConnectionSpans>,
    ledger: Option<Writer>,
) -> Vec<Box<dyn ConnectionObserver>> {
    let spans = spans.map(|it| Box::new(it) as Box<dyn ConnectionObserver>);
    let ledger = ledger.map(|it| Box::new(it) as Box<dyn ConnectionObserver>);
    spans.into_iter().chain(ledger).collect()
}

/// Lets all threads share one heap. With an arena for each thread, of which there is one per GPU, memory that was once used
/// would stay in each. The threads allocate little, once an interval.
fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: there is no second thread yet that could allocate meanwhile.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Logs what is counted, and the addresses of the agent.
fn announce(config: &Config, administration: &Opened) {
    let own = config.party_id.as_deref().unwrap_or("not named");
    info!(
        "node {}, party {own}, read every {}",
        config.node,
        humantime::format_duration(config.interval)
    );
    for party in &config.parties {
        let endpoints: Vec<String> = party.endpoints.iter().map(ToString::to_string).collect();
        info!("party {} at {}", party.id, endpoints.join(", "));
    }
    if config.parties.is_empty() && config.network.enabled {
        let limit = config.network.max_auto_parties;
        info!(
            "no parties configured: each remote address on a protocol's port is one, up to {limit}"
        );
    }
    for protocol in &config.protocols {
        info!("protocol {} on {}", protocol.name, protocol.ports_written());
    }
    for address in &config.prometheus_listen {
        info!("metrics at http://{address}/metrics");
    }
    match administration {
        Opened::At(socket) => info!("administration at {}", socket.path().display()),
        Opened::Without(why) => warn!("administration is off: {why}"),
        Opened::Off => {}
    }
}
