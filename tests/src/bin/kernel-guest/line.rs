//! What is checked beside bytes: connections and how they end, round-trip times, messages and rounds.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use anyhow::{Context as _, ensure};

use super::{CLIENTS, CONNECTIONS, OTHER, after_rounds, get, port};

/// What is said of the line beside bytes, once `ends` is over: connections, how they ended, round-trip times.
pub(super) fn line() -> anyhow::Result<()> {
    let ready = get("/-/ready")?;
    // How open accounts are found is for each kernel to say; nothing else may be missing.
    let limits = ready.lines().filter(|line| line.contains("limited"));
    let mut others = limits.filter(|line| !line.contains("connections that no process holds"));
    ensure!(others.next().is_none(), "something is missing: {ready}");
    let page = get("/metrics")?;
    let value = |series: &str| value(&page, series);
    let short = "party_id=\"peer\",protocol=\"short\"";
    let count = (CLIENTS * CONNECTIONS) as u64;
    let wanted = [
        ("mpc_connections_opened_total{role=\"initiator\",", count),
        ("mpc_connections_opened_total{role=\"acceptor\",", count),
        ("mpc_connections_closed_total{reason=\"fin\",", 2 * count),
        ("mpc_connections_closed_total{reason=\"reset\",", 0),
        ("mpc_connections_closed_total{reason=\"timeout\",", 0),
        ("mpc_connections{", 0),
    ];
    for (series, wanted) in wanted {
        let found = value(&format!("{series}{short}}}"))?;
        let all = page
            .lines()
            .filter(|line| line.contains(short) && line.starts_with("mpc_con"));
        let all = all.collect::<Vec<_>>().join(", ");
        ensure!(
            found == wanted,
            "{series}{short}}} is {found}, not {wanted}: {all}"
        );
    }
    // Each end that has sent has had it acknowledged.
    let samples = value(&format!("mpc_network_latency_seconds_count{{{short}}}"))?;
    ensure!(
        samples >= count,
        "{samples} round-trip times of {count} connections"
    );
    Ok(())
}

pub(super) fn value(page: &str, series: &str) -> anyhow::Result<u64> {
    let value = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value
        .and_then(|value| value.parse().ok())
        .with_context(|| format!("no {series} on the page"))
}

/// Messages, rounds and waiting.
pub(super) fn messages() -> anyhow::Result<()> {
    const ROUNDS: u64 = 50;
    let listener = TcpListener::bind((OTHER, port("messages")?))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let mut server = listener.accept()?.0;
    for _ in 0..ROUNDS {
        for _ in 0..2 {
            client.write_all(&[7; 9])?;
        }
        server.read_exact(&mut [0; 18])?;
        server.write_all(&[8; 4])?;
        client.read_exact(&mut [0; 4])?;
    }
    after_rounds(2)?;
    let page = get("/metrics")?;
    let of = "party_id=\"second\",protocol=\"messages\"";
    for (series, wanted) in [
        (
            format!("mpc_messages_total{{direction=\"transmit\",{of}}}"),
            2 * ROUNDS,
        ),
        (
            format!("mpc_messages_total{{direction=\"receive\",{of}}}"),
            ROUNDS,
        ),
        (format!("mpc_rounds_total{{{of}}}"), ROUNDS),
        (format!("mpc_peer_wait_seconds_count{{{of}}}"), ROUNDS),
    ] {
        let found = value(&page, &series)?;
        ensure!(found == wanted, "{series} is {found}, not {wanted}");
    }
    Ok(())
}
