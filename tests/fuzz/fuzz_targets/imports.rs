//! Party files of the frameworks. The first line of the input is the framework's name, the rest its file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use partymeter::{
    Misconfigured,
    config::{self, HostEnv, Options},
    import::{FRAMEWORKS, convert},
};
use partymeter_fuzz::{assert_line_exists, assert_plain, bounded, prepare};

/// A file of a few bytes may ask for 4,096 parties, and the configuration that they make is read, too.
const MEMORY: usize = 32 << 20;

fuzz_target!(init: prepare(), |data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let (name, file) = text.split_once('\n').unwrap_or(("", text));
    let named = FRAMEWORKS.into_iter().find(|it| it.name == name);
    let any = FRAMEWORKS[name.len() % FRAMEWORKS.len()];
    let framework = named.unwrap_or(any);

    let printed = match bounded(MEMORY, || convert(framework, "FILE", file)) {
        Ok(printed) => printed,
        Err(Misconfigured(message)) => {
            assert_plain(&message);
            assert_line_exists(&message, "FILE", file.as_bytes());
            return;
        }
    };
    printed.lines().filter(|line| !line.is_empty()).for_each(assert_plain);
    let host = HostEnv { node_name: None, host_name: None };
    let config = config::read("result", &printed, &Options::default(), &host);
    let config = config.expect("what is printed is a configuration");
    assert!(config.parties.len() <= 4096, "{} parties", config.parties.len());
    let again = convert(framework, "FILE", file).map_err(|Misconfigured(message)| message);
    assert_eq!(again, Ok(printed), "the same file gives the same");
});
