//! What a scrape takes, from the request to the last byte of the page, over a connection that is kept, as a
//! Prometheus server does it.

use std::time::{Duration, Instant};

use super::{
    Context,
    agent::Setup,
    http::{Client, Format},
    report::{Aim, Cell, Table},
    statistics::Sample,
};

/// Parties and protocols beside the traffic's own, and in how many milliseconds their page should come. The pairs of
/// `party_id="unknown"` count: (1 + 1 + 2) x (1 + 3) = 16, (1 + 1 + 62) x (1 + 63) = 4,096.
const STEPS: [(usize, usize, f64); 2] = [(2, 3, 1.0), (62, 63, 10.0)];

const COLUMNS: [&str; 9] = [
    "pairs",
    "format",
    "kilobytes",
    "scrapes",
    "median ms",
    "p99 ms",
    "max ms",
    "aim",
    "met",
];

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let time = Duration::from_secs(if context.quick { 1 } else { 5 });
    let note = "GET /metrics over one kept connection, one at a time; the aim is the median's";
    let mut table = Table::new("scrape", note, &COLUMNS);
    for (more_parties, more_protocols, aim) in STEPS {
        let setup = Setup {
            more_parties,
            more_protocols,
            ..Setup::default()
        };
        let mut agent = context.program.start(setup)?;
        let pairs = agent
            .page()?
            .count("network_bytes_total", &[("direction", "transmit")]);
        for format in Format::ALL {
            let mut client = Client::new(agent.address, format);
            let mut bytes = 0;
            for _ in 0..20 {
                bytes = client.scrape()?.len();
            }
            let mut taken = Vec::new();
            let end = Instant::now() + time;
            while Instant::now() < end {
                let began = Instant::now();
                client.scrape()?;
                taken.push(began.elapsed().as_secs_f64() * 1e3);
            }
            let count = taken.len();
            let taken = Sample::new(taken);
            let mut cells = vec![
                Cell::count(pairs as u64),
                Cell::text(format.name()),
                Cell::number(super::statistics::to_f64(bytes) / 1e3, 1),
                Cell::count(count as u64),
                Cell::number(taken.median(), 3),
                Cell::number(taken.quantile(0.99), 3),
                Cell::number(taken.quantile(1.0), 3),
            ];
            cells.extend(Aim::cells(Some(Aim::AtMost(aim)), taken.median()));
            table.row(cells);
        }
        agent.stop()?;
    }
    Ok(vec![table])
}
