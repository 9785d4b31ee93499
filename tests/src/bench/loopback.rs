//! What the agent costs traffic over loopback, where a cost shows most: no network hides it, and both ends of every
//! connection are this machine's, so each is paid for twice.
//!
//! Blocks with and without the agent alternate, A B B A; in each block every load runs for a slice. The figure is the
//! median of the ratios of neighbouring blocks, so that what changes slowly on the machine cancels out. Many short
//! slices say more than few long ones: on a virtual machine the rate wanders at every time scale, and only the number of
//! comparisons brings the error of the median down. `--pairs` asks for more of them.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    Context,
    agent::{Agent, Setup},
    generator::{Generator, Kind, Measured, Slice, Whose},
    machine,
    report::{Aim, Cell, Table, say},
    statistics::Sample,
};

/// What is run in every block.
const LOADS: [(Kind, &str, f64); 3] = [
    (Kind::Stream, "stream", 0.99),
    (Kind::PingPong, "ping-pong 64 B", 0.99),
    (Kind::Connect, "connect-request-close", 0.97),
];
const CONNECTIONS: [usize; 2] = [1, 64];
const WHOSE: [(Whose, &str); 2] = [(Whose::Party, "MPC"), (Whose::Nobody, "other")];

const COLUMNS: [&str; 13] = [
    "load",
    "connections",
    "sockets",
    "without",
    "with",
    "unit",
    "ratio",
    "95% from",
    "95% to",
    "iqr",
    "cpu ratio",
    "aim",
    "met",
];

/// How long it takes from a block with the agent to one without, and the other way round.
const SWITCH: Duration = Duration::from_millis(150);

/// One load, and what its slices measured: without and with the agent, a pair a round.
struct Load {
    slice: Slice,
    cells: [Cell; 3],
    unit: Unit,
    aim: f64,
    pairs: Vec<[Measured; 2]>,
}

/// How a rate is shown.
#[derive(Clone, Copy)]
struct Unit {
    name: &'static str,
    scale: f64,
    decimals: usize,
}

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let (pairs, warm_up, measured) = if context.quick {
        (40, 8, 25)
    } else {
        (200, 8, 25)
    };
    let pairs = context.pairs.unwrap_or(pairs);
    let [warm_up, measured] = [warm_up, measured].map(Duration::from_millis);
    let processor = machine::processor();
    let mut loads = loads(processor, warm_up, measured);
    let mut generator = Generator::start()?;
    let mut agent: Option<Agent> = None;

    // The first block warms the machine up and is thrown away.
    for load in &loads {
        generator.slice(load.slice)?;
    }
    let mut disturbed = 0;
    for pair in 0..pairs {
        let mut alone = true;
        let mut blocks = [None, None];
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        for with in order {
            switch(context, &mut agent, with == 1)?;
            let slices = loads.iter().map(|load| generator.slice(load.slice));
            blocks[with] = Some(slices.collect::<anyhow::Result<Vec<_>>>()?);
            let own = agent.as_ref().map(Agent::id);
            alone &= machine::other_agents(own).is_empty();
        }
        disturbed += u16::from(!alone);
        if let [Some(without), Some(with)] = blocks {
            for (load, pair) in loads.iter_mut().zip(without.into_iter().zip(with)) {
                load.pairs.push(pair.into());
            }
        }
        if (pair + 1) % 40 == 0 {
            say(format_args!("loopback: {} of {pairs} pairs", pair + 1));
        }
    }
    switch(context, &mut agent, false)?;

    let place = processor.map_or_else(String::new, |cpu| format!(", CPU {cpu}"));
    let note = format!(
        "medians of {pairs} alternating pairs of {} ms; ratio is with / without the agent, cpu ratio that of the work \
         per CPU second; both ends of a connection are counted, and share one CPU{place}; another agent \
         ran during {disturbed} pairs",
        measured.as_millis()
    );
    let mut table = Table::new("loopback", note, &COLUMNS);
    for load in loads {
        table.row(load.row());
    }
    Ok(vec![table])
}

fn loads(processor: Option<usize>, warm_up: Duration, measured: Duration) -> Vec<Load> {
    let mut loads = Vec::new();
    for (whose, sockets) in WHOSE {
        for (kind, name, aim) in LOADS {
            for connections in CONNECTIONS {
                loads.push(Load {
                    slice: Slice {
                        kind,
                        connections,
                        whose,
                        processor,
                        warm_up,
                        measured,
                    },
                    cells: [
                        Cell::text(name),
                        Cell::count(connections as u64),
                        Cell::text(sockets),
                    ],
                    unit: match kind {
                        Kind::Stream => Unit {
                            name: "GB/s",
                            scale: 1e-9,
                            decimals: 2,
                        },
                        Kind::PingPong | Kind::Connect => Unit {
                            name: "1000/s",
                            scale: 1e-3,
                            decimals: 1,
                        },
                    },
                    aim,
                    pairs: Vec::new(),
                });
            }
        }
    }
    loads
}

/// Starts or stops the agent, if it is not as wanted. Either takes as long: what runs after a pause runs faster.
fn switch(context: &Context, agent: &mut Option<Agent>, wanted: bool) -> anyhow::Result<()> {
    let until = Instant::now() + SWITCH;
    match (agent.take(), wanted) {
        (Some(running), true) => {
            *agent = Some(running);
            return Ok(());
        }
        (None, true) => *agent = Some(context.program.start(Setup::default())?),
        (Some(running), false) => {
            running.stop()?;
        }
        (None, false) => return Ok(()),
    }
    thread::sleep(until.saturating_duration_since(Instant::now()));
    Ok(())
}

impl Load {
    fn row(self) -> Vec<Cell> {
        let of = |figure: fn(&Measured) -> f64, at: usize| {
            Sample::new(self.pairs.iter().map(|pair| figure(&pair[at])))
        };
        let rate = |at| of(Measured::rate, at).median() * self.unit.scale;
        let ratio = Sample::new(self.pairs.iter().map(|[a, b]| b.rate() / a.rate()));
        let cost = Sample::new(self.pairs.iter().map(|[a, b]| a.cost() / b.cost()));
        let (low, high) = ratio.median_interval();
        let median = ratio.median();
        let [load, connections, sockets] = self.cells;
        let mut cells = vec![
            load,
            connections,
            sockets,
            Cell::number(rate(0), self.unit.decimals),
            Cell::number(rate(1), self.unit.decimals),
            Cell::text(self.unit.name),
            Cell::number(median, 4),
            Cell::number(low, 4),
            Cell::number(high, 4),
            Cell::number(ratio.quantile(0.75) - ratio.quantile(0.25), 4),
            Cell::number(cost.median(), 4),
        ];
        cells.extend(Aim::AtLeast(self.aim).cells_between(median, [low, high]));
        cells
    }
}
