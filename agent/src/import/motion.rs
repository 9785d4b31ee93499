//! MOTION: `--parties ID,ADDRESS,PORT …` and `--my-id`, on a command line or in the file of
//! `--configuration-file`, where each stands as `parties = …` and `my-id = …` (`ParseProgramOptions`,
//! `src/examples/aes128/aes128_main.cpp`). Every party is there, our own with the others.

use super::{Found, ImportError, Party, command_line::words, host, import_error, port};

pub(super) fn read(text: &str) -> Result<Found, ImportError> {
    let mut found = Found::default();
    // The option whose values come now; in a configuration file it ends with its line.
    let (mut option, mut until) = ("", usize::MAX);
    for (line, word) in words(text) {
        if line > until {
            option = "";
        }
        // `parties=…`, `parties = …` and `--parties=…` are the same.
        let (name, rest) = word.split_once('=').unwrap_or((word, ""));
        let bare = name.trim_start_matches('-');
        let value = if ["parties", "my-id"].contains(&bare) {
            option = bare;
            until = if bare == name { line } else { usize::MAX };
            rest
        } else if word.starts_with('-') {
            option = "";
            continue;
        } else {
            word.strip_prefix('=').unwrap_or(word)
        };
        match option {
            _ if value.is_empty() => {}
            "my-id" => {
                found.own = Some(number(value, line)?);
                option = "";
            }
            "parties" => found.parties.push(party(value, line)?),
            _ => {}
        }
    }
    if found.parties.is_empty() {
        let help =
            "give a command line with --parties 0,10.0.0.1,23000 …, or its configuration file";
        return Err(import_error(None, "has no party", help));
    }
    found
        .parties
        .sort_by_key(|party| party.id.parse::<u32>().ok());
    Ok(found)
}

/// `0,10.0.0.1,23000`
fn party(word: &str, line: usize) -> Result<Party, ImportError> {
    let wrong = |what| import_error(line, what, "write a party as ID,ADDRESS,PORT");
    let [id, address, listens] = word.split(',').collect::<Vec<_>>()[..] else {
        return Err(wrong(format!("{word:?} is not a party")));
    };
    Ok(Party {
        id: number(id, line)?,
        host: Some(host(address).map_err(wrong)?),
        ports: vec![port(listens).map_err(wrong)?],
        given: true,
        line: Some(line),
    })
}

fn number(text: &str, line: usize) -> Result<String, ImportError> {
    let number = text.parse::<u32>().map(|number| number.to_string());
    number.map_err(|_invalid| {
        import_error(
            line,
            format!("{text:?} is not a party's number"),
            "give 0, 1, 2, …",
        )
    })
}
