//! `torch.distributed`, as `CrypTen` and `CryptGPU` use it: the environment of a process, from `/proc/PID/environ` or a
//! file of `NAME=value` lines. `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT` are those of `env://`
//! (`_env_rendezvous_handler`, `torch/distributed/rendezvous.py`); `RENDEZVOUS=tcp://host:port` is `CrypTen`'s
//! (`crypten/communicator/distributed_communicator.py`).
//!
//! Only rank 0 has its address there, where the others meet; theirs they tell each other over it. Gloo's
//! connections are on ephemeral ports, so a party is known by its address alone.

use super::{Found, Mistake, Party, bounded, host, host_and_port, mistake, port};
use crate::config::Host;

pub(super) fn read(text: &str) -> Result<Found, Mistake> {
    let variables = Variables::of(text);
    let rank = variables.number("RANK")?;
    let world = variables.number("WORLD_SIZE")?;
    let line = variables.find("WORLD_SIZE").and_then(|(line, _)| line);
    bounded(line, world.into())?;
    if rank >= world {
        let line = variables.find("RANK").map(|(line, _)| line);
        let what = format!("RANK is {rank}, WORLD_SIZE is {world}");
        return Err(mistake(
            line.flatten(),
            what,
            "give the environment of one process",
        ));
    }
    let (master, port) = variables.master()?;
    let unknown: Vec<String> = (1..world)
        .filter(|other| *other != rank)
        .map(|other| other.to_string())
        .collect();
    let mut notes = Vec::new();
    if !unknown.is_empty() {
        notes.push(format!(
            "The environment has no address of rank {}: add [[parties]] for each, or it is not counted.",
            unknown.join(", ")
        ));
    }
    Ok(Found {
        own: Some(rank.to_string()),
        parties: vec![Party {
            id: "0".to_owned(),
            // Our own address is of no use, and a party all alone would end the automatic ones.
            host: (rank != 0).then_some(master),
            ports: Vec::new(),
            given: false,
            line: None,
        }],
        ports: [port].into(),
        notes,
    })
}

/// The variables, each with its line in a file that has lines.
struct Variables<'a>(Vec<(Option<usize>, &'a str, &'a str)>);

impl<'a> Variables<'a> {
    fn of(text: &'a str) -> Self {
        let variable = |line, entry: &'a str| {
            let entry = entry.trim();
            let (name, value) = entry
                .strip_prefix("export ")
                .unwrap_or(entry)
                .split_once('=')?;
            Some((line, name.trim(), value.trim().trim_matches(['"', '\''])))
        };
        if text.contains('\0') {
            return Self(
                text.split('\0')
                    .filter_map(|entry| variable(None, entry))
                    .collect(),
            );
        }
        let lines = (1..).zip(text.lines());
        Self(
            lines
                .filter_map(|(number, line)| variable(Some(number), line))
                .collect(),
        )
    }

    /// The last one of a name, and its line.
    fn find(&self, name: &str) -> Option<(Option<usize>, &'a str)> {
        let last = self.0.iter().rev().find(|(_, other, _)| *other == name);
        last.map(|(line, _, value)| (*line, *value))
    }

    fn get(&self, name: &str) -> Result<(Option<usize>, &'a str), Mistake> {
        self.find(name).ok_or_else(|| {
            let mend = "give the environment of a process of torch.distributed";
            mistake(None, format!("{name} is not set"), mend)
        })
    }

    fn number(&self, name: &str) -> Result<u32, Mistake> {
        let (line, value) = self.get(name)?;
        let wrong = |_| {
            mistake(
                line,
                format!("{name}: {value:?} is no number"),
                "give 0, 1, 2, …",
            )
        };
        value.parse().map_err(wrong)
    }

    /// Where rank 0 is.
    fn master(&self) -> Result<(Host, u16), Mistake> {
        if let Some((line, place)) = self.find("RENDEZVOUS")
            && let Some(place) = place.strip_prefix("tcp://")
        {
            let place = place.split(['/', '?']).next().unwrap_or_default();
            let wrong = |what| mistake(line, format!("RENDEZVOUS: {what}"), "give tcp://host:port");
            return host_and_port(place).map_err(wrong);
        }
        let (line, address) = self.get("MASTER_ADDR")?;
        let wrong = |what| {
            mistake(
                line,
                format!("MASTER_ADDR: {what}"),
                "give rank 0's address",
            )
        };
        let master = host(address).map_err(wrong)?;
        let (line, text) = self.get("MASTER_PORT")?;
        let wrong = |what| mistake(line, format!("MASTER_PORT: {what}"), "give 1 to 65535");
        Ok((master, port(text).map_err(wrong)?))
    }
}
