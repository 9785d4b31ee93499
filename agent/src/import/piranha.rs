//! Piranha: `config.json` with `num_parties` and `party_ips` (`src/main.cu` takes the first so many). Each pair has
//! a connection for each direction, on port 32000 + sender * n + receiver, where the receiver listens
//! (`initializeCommunication`, `src/util/connect.cu`).

use serde::Deserialize;

use super::{
    Found, ImportError, Party, counted_port, import_error,
    json::{self, Address},
};

const BASE: u16 = 32_000;

#[derive(Deserialize)]
struct Config {
    num_parties: usize,
    party_ips: Vec<Address>,
}

pub(super) fn read(text: &str) -> Result<Found, ImportError> {
    let Config {
        num_parties,
        party_ips,
    } = json::parse(text, "give Piranha's config.json")?;
    if num_parties == 0 || party_ips.len() < num_parties {
        let what = format!(
            "num_parties is {num_parties}, party_ips has {}",
            party_ips.len()
        );
        let line = json::line_of(text, "\"party_ips\"");
        return Err(import_error(
            line,
            what,
            "give the address of each party in party_ips",
        ));
    }
    let party = |(index, Address(host))| {
        Ok(Party {
            id: format!("{index}"),
            host: Some(host),
            ports: ports(index, num_parties)?,
            given: false,
            line: None,
        })
    };
    let first = party_ips.into_iter().take(num_parties).enumerate();
    Ok(Found {
        parties: first.map(party).collect::<Result<_, _>>()?,
        ..Found::default()
    })
}

/// What a party of so many listens on, one port for each of the others.
pub(super) fn ports(receiver: usize, parties: usize) -> Result<Vec<u16>, ImportError> {
    (0..parties)
        .filter(|sender| *sender != receiver)
        .map(|sender| counted_port(BASE, sender * parties + receiver))
        .collect()
}
