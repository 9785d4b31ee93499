//! `torch.distributed`, as `CrypTen` and `CryptGPU` use it: the environment of a process, from `/proc/PID/environ` or a
//! file of `NAME=value` lines. `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT` are those of `env://`
//! (`_env_rendezvous_handler`, `torch/distributed/rendezvous.py`); `RENDEZVOUS=tcp://host:port` is `CrypTen`'s
//! (`crypten/communicator/distributed_communicator.py`).
//!
//! Only the address of rank 0 is there: the other ranks exchange theirs through it. Gloo uses ephemeral ports, so a party is
//! identified by its address alone.

use super::{Found, ImportError, Party, bounded, host, host_and_port, import_error, port};
use crate::config::Host;

pub(super) fn read(text: &str) -> Result<Found, ImportError> {
    let variables = Variables::of(text);
    let rank = variables.number("RANK")?;
    let world = variables.number("WORLD_SIZE")?;
    let line = variables.find("WORLD_SIZE").and_then(|(line, _)| line);
    bounded(line, world.into())?;
    if rank >= world {
        let line = variables.find("RANK").map(|(line, _)| line);
        let what = format!("RANK is {rank}, WORLD_SIZE is {world}");
        return Err(import_error(
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
            "The environment does not have the address of rank {}: add [[parties]] for each, or it is not counted.",
            unknown.join(", ")
        ));
    }
    Ok(Found {
        own: Some(rank.to_string()),
        parties: vec![Party {
            id: "0".to_owned(),
            // A node does not list itself: a party all alone would turn automatic parties off.
            host: (rank != 0).then_some(master),
            ports: Vec::new(),
            given: false,
            line: None,
        }],
        ports: [port].into(),
        notes,
    })
}

/// The variables, each with its line if there are lines.
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

    /// Line and value of a variable; the last one counts.
    fn find(&self, name: &str) -> Option<(Option<usize>, &'a str)> {
        let last = self.0.iter().rev().find(|(_, other, _)| *other == name);
        last.map(|(line, _, value)| (*line, *value))
    }

    fn get(&self, name: &str) -> Result<(Option<usize>, &'a str), ImportError> {
        self.find(name).ok_or_else(|| {
            let help = "give the environment of a process of torch.distributed";
            import_error(None, format!("{name} is not set"), help)
        })
    }

    fn number(&self, name: &str) -> Result<u32, ImportError> {
        let (line, value) = self.get(name)?;
        let wrong = |_| {
            import_error(
                line,
                format!("{name}: {value:?} is not a number"),
                "give 0, 1, 2, …",
            )
        };
        value.parse().map_err(wrong)
    }

    /// The address of rank 0.
    fn master(&self) -> Result<(Host, u16), ImportError> {
        if let Some((line, place)) = self.find("RENDEZVOUS")
            && let Some(place) = place.strip_prefix("tcp://")
        {
            let place = place.split(['/', '?']).next().unwrap_or_default();
            let wrong =
                |what| import_error(line, format!("RENDEZVOUS: {what}"), "give tcp://host:port");
            return host_and_port(place).map_err(wrong);
        }
        let (line, address) = self.get("MASTER_ADDR")?;
        let wrong = |what| {
            import_error(
                line,
                format!("MASTER_ADDR: {what}"),
                "give rank 0's address",
            )
        };
        let master = host(address).map_err(wrong)?;
        let (line, text) = self.get("MASTER_PORT")?;
        let wrong = |what| import_error(line, format!("MASTER_PORT: {what}"), "give 1 to 65535");
        Ok((master, port(text).map_err(wrong)?))
    }
}
