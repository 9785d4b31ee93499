//! What the agent takes of the machine for itself: processor time while nothing happens, and memory, which must not
//! grow with the number of scrapes.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use partymeter_tests::memory_group::MemoryGroup;

use super::{
    Context,
    agent::{Agent, Setup},
    http::{Client, Format},
    report::{Aim, Cell, Table},
    statistics::{figure, to_f64},
};

/// Resident memory, in megabytes.
const MEMORY_AIM: f64 = 15.0;
/// Of a start with a ledger, BPF maps included, in megabytes.
const START_AIM: f64 = 24.0;
/// Growth from the first tenth of the scrapes to the last, in megabytes: what an allocator may still take.
const GROWTH_AIM: f64 = 0.5;
/// Of one processor, in percent.
const PROCESSOR_AIM: f64 = 0.2;
/// Connections that scrape at a time.
const SCRAPERS: usize = 2;

const MEMORY_COLUMNS: [&str; 7] = [
    "when",
    "scrapes",
    "resident MB",
    "anonymous MB",
    "peak MB",
    "aim",
    "met",
];
const START_COLUMNS: [&str; 5] = ["what", "most MB", "running MB", "aim", "met"];
const PROCESSOR_COLUMNS: [&str; 6] = [
    "when",
    "seconds",
    "cpu ms per second",
    "percent of a core",
    "aim",
    "met",
];

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let (idle, scrapes) = if context.quick {
        (Duration::from_secs(10), 20_000)
    } else {
        (Duration::from_mins(1), 1_000_000)
    };
    let agent = context.program.start(Setup::default())?;
    // What starts and ends with the start is not what it costs.
    thread::sleep(Duration::from_secs(2));

    let note = format!(
        "sixteen pairs of party and protocol; {SCRAPERS} connections scrape at a time, one in each format; growth is \
         what the last nine tenths of the scrapes added"
    );
    let mut memory = Table::new("memory", note, &MEMORY_COLUMNS);
    memory_row(&mut memory, "after the start", 0, &agent)?;
    let processor = processor(&agent, idle)?;
    memory_row(&mut memory, "after being idle", 0, &agent)?;

    let mut done = 0;
    let mut after_a_tenth = None;
    for part in [1, 10, 25, 50, 75, 100] {
        let upto = scrapes * part / 100;
        scrape(&agent, upto - done)?;
        done = upto;
        let resident = memory_row(&mut memory, "after scrapes", done, &agent)?;
        if part == 10 {
            after_a_tenth = Some(resident);
        } else if part == 100
            && let Some(before) = after_a_tenth
        {
            let growth = resident - before;
            let mut cells = vec![
                Cell::text("growth"),
                Cell::count(done as u64),
                Cell::number(growth, 2),
                Cell::missing(),
                Cell::missing(),
            ];
            cells.extend(Aim::cells(Some(Aim::AtMost(GROWTH_AIM)), growth));
            memory.row(cells);
        }
    }
    agent.stop()?;
    Ok(vec![processor, memory, start(context)?])
}

/// What a control group accounts: all of the process and what the kernel takes for it.
fn start(context: &Context) -> anyhow::Result<Table> {
    let note =
        "what a control group accounts, the programs' and maps' memory in the kernel included";
    let mut table = Table::new("start", note, &START_COLUMNS);
    for (what, ledger) in [("as it is by default", false), ("with a ledger", true)] {
        let group = MemoryGroup::new(None).context("cannot make a control group for memory")?;
        let setup = Setup {
            ledger,
            ..Setup::default()
        };
        let agent = context.program.start_behind(setup, &group.enter())?;
        thread::sleep(Duration::from_secs(3));
        let [most, now] = [group.peak()?, group.usage()?].map(|bytes| figure(bytes) / 1e6);
        agent.stop()?;
        let mut cells = vec![
            Cell::text(what),
            Cell::number(most, 2),
            Cell::number(now, 2),
        ];
        cells.extend(Aim::cells(Some(Aim::AtMost(START_AIM)), most));
        table.row(cells);
    }
    Ok(table)
}

/// Adds a row; returns resident memory in megabytes.
fn memory_row(table: &mut Table, when: &str, scrapes: usize, agent: &Agent) -> anyhow::Result<f64> {
    let memory = agent.memory()?;
    let megabytes = |bytes| figure(bytes) / 1e6;
    let resident = megabytes(memory.resident);
    let mut cells = vec![
        Cell::text(when),
        Cell::count(scrapes as u64),
        Cell::number(resident, 2),
        Cell::number(megabytes(memory.anonymous), 2),
        Cell::number(megabytes(memory.peak), 2),
    ];
    cells.extend(Aim::cells(Some(Aim::AtMost(MEMORY_AIM)), resident));
    table.row(cells);
    Ok(resident)
}

fn processor(agent: &Agent, idle: Duration) -> anyhow::Result<Table> {
    let before = agent.processor_time()?;
    let began = Instant::now();
    thread::sleep(idle);
    let used = figure(agent.processor_time()? - before) / 1e9;
    let seconds = began.elapsed().as_secs_f64();
    let note = "from the scheduler's own account of all threads; an interval of 1 s, no MPC socket, no scrape";
    let mut table = Table::new("processor", note, &PROCESSOR_COLUMNS);
    let percent = 100.0 * used / seconds;
    let mut cells = vec![
        Cell::text("idle"),
        Cell::number(seconds, 1),
        Cell::number(1e3 * used / seconds, 3),
        Cell::number(percent, 4),
    ];
    cells.extend(Aim::cells(Some(Aim::AtMost(PROCESSOR_AIM)), percent));
    table.row(cells);
    Ok(table)
}

/// Scrapes so often, over connections that are kept.
fn scrape(agent: &Agent, times: usize) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let scrapers = (0..SCRAPERS).map(|scraper| {
            let format = Format::ALL[scraper % Format::ALL.len()];
            let mut client = Client::new(agent.address, format);
            // Together exactly as many as asked for.
            let times = (times + scraper) / SCRAPERS;
            scope.spawn(move || {
                for _ in 0..times {
                    client.scrape()?;
                }
                let kept = to_f64(times) / figure(client.connections.max(1));
                anyhow::ensure!(
                    times < 100 || kept >= 10.0,
                    "the agent keeps a connection for {kept:.1} scrapes only"
                );
                anyhow::Ok(())
            })
        });
        let scrapers: Vec<_> = scrapers.collect();
        for scraper in scrapers {
            scraper
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a scraping thread panicked")))?;
        }
        Ok(())
    })
}
