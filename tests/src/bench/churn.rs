//! Many short connections: how many the machine makes of 20,000 a second with and without the agent, what the agent
//! itself takes for it, and whether it has counted every one.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::{
    Context,
    agent::{Agent, Setup},
    generator::{Generator, Kind, Measured, Slice, Whose},
    machine,
    report::{Aim, Cell, Table},
    statistics::figure,
};

/// Connections a second, of all processors together.
const RATE: u32 = 20_000;
/// Of one processor, at one time.
const CONNECTIONS: usize = 64;
/// The agent's part of one processor.
const AIM: f64 = 1.0;

const COLUMNS: [&str; 8] = [
    "beside",
    "connections/s",
    "us of cpu per connection",
    "opened",
    "counted",
    "agent, % of a cpu",
    "aim",
    "met",
];

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let measured = Duration::from_secs(if context.quick { 2 } else { 10 });
    let processors = machine::processors();
    let mut generators = Vec::new();
    for processor in &processors {
        generators.push((Generator::start()?, *processor));
    }
    let rate = RATE / u32::try_from(processors.len())?;
    let note = format!(
        "{RATE} connections a second are asked for, each with 64 bytes and back; both ends are MPC sockets, and share one \
         of {} CPUs; the agent's part is that of its own process",
        processors.len()
    );
    let mut table = Table::new("churn", note, &COLUMNS);
    let mut slice = |measured| -> anyhow::Result<Vec<Measured>> {
        for (generator, processor) in &mut generators {
            generator.begin(Slice {
                kind: Kind::Connect,
                connections: CONNECTIONS,
                whose: Whose::Party,
                rate: Some(rate),
                line: None,
                processor: Some(*processor),
                warm_up: Duration::from_millis(200),
                measured,
            })?;
        }
        let all = generators.iter_mut();
        all.map(|(generator, _)| generator.end()).collect()
    };
    slice(measured / 4)?;
    let without = slice(measured)?;
    let mut row = cells("nothing", &without);
    row.extend([(); 4].map(|()| Cell::missing()));
    table.row(row);

    let mut agent = context.program.start(Setup::default())?;
    let before = counted(&mut agent)?;
    let (used, began) = (agent.processor_time()?, Instant::now());
    let with = slice(measured)?;
    let used = Duration::from_nanos(agent.processor_time()? - used);
    let part = 100.0 * used.as_secs_f64() / began.elapsed().as_secs_f64();
    let opened: u64 = with.iter().map(|it| it.opened).sum();
    let counted = settled(&mut agent, before, figure(opened))?;
    agent.stop()?;
    let mut row = cells("agent", &with);
    row.extend([Cell::number(counted, 0), Cell::number(part, 2)]);
    row.extend(Aim::cells(Some(Aim::AtMost(AIM)), part));
    table.row(row);
    Ok(vec![table])
}

/// The cells that do not ask the agent.
fn cells(beside: &str, measured: &[Measured]) -> Vec<Cell> {
    let rate = measured.iter().map(Measured::rate).sum();
    let count: u64 = measured.iter().map(|it| it.count).sum();
    let seconds: f64 = measured.iter().map(|it| it.processor_seconds).sum();
    let opened = measured.iter().map(|it| it.opened).sum();
    vec![
        Cell::text(beside),
        Cell::number(rate, 0),
        Cell::number(seconds * 1e6 / figure(count), 2),
        Cell::count(opened),
    ]
}

/// Connections that the agent has seen beginning at this end.
fn counted(agent: &mut Agent) -> anyhow::Result<f64> {
    let labels = [("role", "initiator"), ("party_id", "bench")];
    let page = agent.page()?;
    Ok(page
        .find("mpc_connections_opened_total", &labels)
        .unwrap_or(0.0))
}

/// As many as it has counted once its page has all of them, which must be right.
fn settled(agent: &mut Agent, before: f64, opened: f64) -> anyhow::Result<f64> {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let counted = counted(agent)? - before;
        if (counted - opened).abs() < 0.5 {
            return Ok(counted);
        }
        ensure!(
            Instant::now() < end,
            "{opened} connections were opened, and the agent has counted {counted}"
        );
        thread::sleep(Duration::from_millis(100));
    }
}
