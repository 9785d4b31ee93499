//! A pause of the whole agent, as on a stalled machine, takes no source down.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    thread::sleep,
    time::Duration,
};

use partymeter_fake_nvml::{Rule, SCENARIO, Scenario, models::Model};

use super::{library, power};
use crate::support::{Agent, agent::Scratch, until_true};

/// Longer than the deadline of a source: two intervals of 0.2 s, and a second.
const PAUSE: Duration = Duration::from_secs(4);

/// How old a sample may be, in seconds.
const DEADLINE: f64 = 1.4;

const GPUS: usize = 4;

#[test]
fn after_a_pause_all_sources_are_up_and_no_old_value_is_shown() {
    let mut scenario = Scenario::of(Model::H100, GPUS);
    // A round under way takes a while to finish after the pause.
    scenario.rules = ["nvmlDeviceGetPowerUsage", "nvmlDeviceGetTemperature"]
        .map(|function| Rule {
            function: function.to_owned(),
            milliseconds: 300,
            ..Rule::default()
        })
        .into();
    let file = Scratch::with("scenario.json", &serde_json::to_string(&scenario).unwrap());
    let config = format!("[gpu]\nlibrary = \"{}\"\n", library().display());
    let variable = format!("{SCENARIO}={}", file.0.display());
    let agent = Agent::launch(&config, &["env", &variable]);
    for _ in 0..3 {
        agent.signal(libc::SIGSTOP);
        // The request waits in the kernel and is handled first.
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, agent.port)).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        // A stopped agent can be asked nothing: only time passes.
        sleep(PAUSE);
        agent.signal(libc::SIGCONT);
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let value = |series: &str| -> Option<f64> {
            page.lines()
                .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
        };
        for gpu in 0..GPUS {
            let up = format!("gpu_up{{gpu_id=\"{gpu}\"}}");
            assert_eq!(value(&up), Some(1.0), "{up}\n{page}");
            let age = format!("partymeter_snapshot_age_seconds{{source=\"gpu{gpu}\"}}");
            let old = value(&age).unwrap() > DEADLINE;
            assert!(!old || value(&power(gpu)).is_none(), "{page}");
        }
        let up = "partymeter_source_up{source=\"";
        let sources: Vec<_> = page.lines().filter(|line| line.starts_with(up)).collect();
        assert!(sources.len() > GPUS + 2, "{sources:?}");
        assert!(
            sources.iter().all(|line| line.ends_with("} 1")),
            "{sources:?}\n{}",
            agent.log()
        );
        let ready = agent.get("/-/ready");
        assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
        until_true(|| agent.series(&power(0)).is_some(), || agent.log());
    }
    assert!(!agent.log().contains("is down"), "{}", agent.log());
}
