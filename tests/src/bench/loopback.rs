//! What the agent costs traffic over loopback, where a cost shows most: no network hides it, and both ends of every
//! connection are this machine's, so each is paid for twice. Beside it, what the usual way to count costs, and what is
//! left of it all over a line that takes 50 microseconds each way.
//!
//! In each round every [`Beside`] has its turn, in another order each time, and in each turn every load runs for a slice.
//! The figure is the median of the ratios within the rounds, so that what changes slowly on the machine cancels out. Many
//! short slices say more than few long ones: on a virtual machine the rate wanders at every time scale, and only the
//! number of comparisons brings the error of the median down. `--rounds` asks for more of them.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    Context,
    agent::{Agent, Setup},
    generator::{Generator, Kind, Measured, Slice, Whose},
    machine,
    per_packet::PerPacket,
    report::{Aim, Cell, Table, say},
    statistics::Sample,
};

/// A load, its name, and the ratios that the agent is to keep: with bytes and connections only, and with everything.
type Wanted = (Kind, &'static str, [f64; 2]);

/// What is run over loopback.
const LOADS: [Wanted; 3] = [
    (Kind::Stream, "stream", [0.99, 0.99]),
    (Kind::PingPong, "ping-pong 64 B", [0.99, 0.95]),
    (Kind::Connect, "connect-request-close", [0.97, 0.95]),
];
const CONNECTIONS: [usize; 2] = [1, 64];
const WHOSE: [(Whose, &str); 2] = [(Whose::Party, "MPC"), (Whose::Nobody, "other")];

/// And over the line.
const OVER_LINE: Wanted = (Kind::PingPong, "ping-pong 64 B, 100 us", [0.99, 0.99]);
/// How long that takes, each way.
const LINE: Duration = Duration::from_micros(50);

/// What runs beside the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// The agent, with everything off that can be switched off.
    BytesOnly,
    /// The agent, with everything on.
    Everything,
    /// A counter of packets.
    PerPacket,
}

impl Beside {
    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::BytesOnly => "agent, bytes only",
            Self::Everything => "agent",
            Self::PerPacket => "per packet",
        }
    }
}

const COLUMNS: [&str; 14] = [
    "load",
    "connections",
    "sockets",
    "beside",
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

/// How long it takes from one turn to the next. In its first rounds the agent watches more than later.
const SWITCH: Duration = Duration::from_millis(600);
/// The agent's interval: short, so that its first rounds are over by then.
const INTERVAL: Duration = Duration::from_millis(200);

/// One load, and what its slices measured: in each round one for each of what ran beside it.
struct Load {
    slice: Slice,
    wanted: Wanted,
    sockets: &'static str,
    rounds: Vec<Vec<Measured>>,
}

/// How a rate is shown.
#[derive(Clone, Copy)]
struct Unit {
    name: &'static str,
    scale: f64,
    decimals: usize,
}

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let rounds = context
        .rounds
        .unwrap_or(if context.quick { 15 } else { 100 });
    let [warm_up, measured] = [8, 25].map(Duration::from_millis);
    let processor = machine::processor();
    let mut loads = loads(processor, warm_up, measured);
    let mut all = vec![Beside::Nothing, Beside::BytesOnly, Beside::Everything];
    all.extend(context.per_packet.as_ref().map(|_| Beside::PerPacket));
    let mut generator = Generator::start()?;
    let mut running = Running::Nothing;

    // The first slices warm the machine up and are thrown away.
    for load in &loads {
        generator.slice(load.slice)?;
    }
    let mut disturbed = 0;
    for round in 0..rounds {
        let mut alone = true;
        let mut turns = vec![Vec::new(); all.len()];
        // Each comes first as often as last, and after each other.
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.rotate_left(usize::from(round / 2) % all.len());
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            running = running.switch(context, all[at])?;
            let slices = loads.iter().map(|load| generator.slice(load.slice));
            turns[at] = slices.collect::<anyhow::Result<Vec<_>>>()?;
            alone &= machine::other_agents(running.agent()).is_empty();
        }
        disturbed += u16::from(!alone);
        for (place, load) in loads.iter_mut().enumerate() {
            load.rounds
                .push(turns.iter().map(|turn| turn[place]).collect());
        }
        if (round + 1) % 20 == 0 {
            say(format_args!("loopback: {} of {rounds} rounds", round + 1));
        }
    }
    running.switch(context, Beside::Nothing)?;

    let place = processor.map_or_else(String::new, |cpu| format!(", CPU {cpu}"));
    let note = format!(
        "medians of {rounds} rounds with slices of {} ms; ratio is with / without, cpu ratio that of the work per CPU \
         second; both ends of a connection are counted, and share one CPU{place}; another agent ran during {disturbed} \
         rounds",
        measured.as_millis()
    );
    let mut table = Table::new("loopback", note, &COLUMNS);
    for load in &loads {
        for (at, beside) in all.iter().enumerate().skip(1) {
            table.row(load.row(at, *beside));
        }
    }
    Ok(vec![table])
}

fn loads(processor: Option<usize>, warm_up: Duration, measured: Duration) -> Vec<Load> {
    let load = |wanted: Wanted, connections, (whose, sockets), line| Load {
        slice: Slice {
            kind: wanted.0,
            connections,
            whose,
            rate: None,
            line,
            processor,
            warm_up,
            measured,
        },
        wanted,
        sockets,
        rounds: Vec::new(),
    };
    let mut loads = Vec::new();
    for whose in WHOSE {
        for wanted in LOADS {
            for connections in CONNECTIONS {
                loads.push(load(wanted, connections, whose, None));
            }
        }
    }
    // What carries the packets takes a processor of its own.
    if thread::available_parallelism().is_ok_and(|it| it.get() > 1) {
        loads.push(load(OVER_LINE, 1, WHOSE[0], Some(LINE)));
    } else {
        say("loopback: without the line, which takes a second processor");
    }
    loads
}

/// What runs now.
enum Running {
    Nothing,
    Agent(Beside, Agent),
    PerPacket(PerPacket),
}

impl Running {
    /// The agent's process.
    fn agent(&self) -> Option<u32> {
        match self {
            Self::Agent(_, agent) => Some(agent.id()),
            Self::Nothing | Self::PerPacket(_) => None,
        }
    }

    fn is(&self, wanted: Beside) -> bool {
        match self {
            Self::Nothing => wanted == Beside::Nothing,
            Self::Agent(beside, _) => wanted == *beside,
            Self::PerPacket(_) => wanted == Beside::PerPacket,
        }
    }

    /// Stops what runs and starts what is wanted, if that is not the same. It always takes as long: what runs after a
    /// pause runs faster.
    fn switch(self, context: &Context, wanted: Beside) -> anyhow::Result<Self> {
        let until = Instant::now() + SWITCH;
        if self.is(wanted) {
            return Ok(self);
        }
        match self {
            Self::Nothing => {}
            Self::Agent(_, agent) => drop(agent.stop()?),
            Self::PerPacket(counter) => counter.stop()?,
        }
        let running = match wanted {
            Beside::Nothing => Self::Nothing,
            Beside::BytesOnly | Beside::Everything => {
                let setup = Setup {
                    interval: INTERVAL,
                    bytes_only: wanted == Beside::BytesOnly,
                    ..Setup::default()
                };
                Self::Agent(wanted, context.program.start(setup)?)
            }
            Beside::PerPacket => context.per_packet.as_deref().map_or_else(
                || Ok(Self::Nothing),
                |object| PerPacket::start(object).map(Self::PerPacket),
            )?,
        };
        thread::sleep(until.saturating_duration_since(Instant::now()));
        Ok(running)
    }
}

impl Load {
    /// How the load fared with what has the place `at` in each round, beside nothing.
    fn row(&self, at: usize, beside: Beside) -> Vec<Cell> {
        let unit = self.unit();
        let of = |figure: &dyn Fn(&[Measured]) -> f64| {
            Sample::new(self.rounds.iter().map(|round| figure(round)))
        };
        let rate = |at: usize| of(&|round| round[at].rate()).median() * unit.scale;
        let ratio = of(&|round| round[at].rate() / round[0].rate());
        let cost = of(&|round| round[0].cost() / round[at].cost());
        let (low, high) = ratio.median_interval();
        let median = ratio.median();
        let (_, name, [bytes_only, everything]) = self.wanted;
        let mut cells = vec![
            Cell::text(name),
            Cell::count(self.slice.connections as u64),
            Cell::text(self.sockets),
            Cell::text(beside.name()),
            Cell::number(rate(0), unit.decimals),
            Cell::number(rate(at), unit.decimals),
            Cell::text(unit.name),
            Cell::number(median, 4),
            Cell::number(low, 4),
            Cell::number(high, 4),
            Cell::number(ratio.quantile(0.75) - ratio.quantile(0.25), 4),
            Cell::number(cost.median(), 4),
        ];
        cells.extend(match beside {
            Beside::BytesOnly => Aim::AtLeast(bytes_only).cells_between(median, [low, high]),
            Beside::Everything => Aim::AtLeast(everything).cells_between(median, [low, high]),
            Beside::Nothing | Beside::PerPacket => Aim::cells(None, median),
        });
        cells
    }

    const fn unit(&self) -> Unit {
        match self.slice.kind {
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
        }
    }
}
