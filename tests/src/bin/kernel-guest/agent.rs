//! The agent under test: starts it, reads its page, stops it.

use super::*;

/// A running agent; killed when dropped.
pub(super) struct Agent(Child);

impl Agent {
    /// Starts one and waits until its page answers.
    pub(super) fn start(program: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let protocols = PROTOCOLS.map(|(name, port)| {
            // Two ports, of which only the storm uses the second.
            let last = if name == "storm" { port + 1 } else { port };
            format!("[[protocols]]\nname = \"{name}\"\nports = [\"{port}-{last}\"]\n")
        });
        // At this level it shows the verifier's log if the verifier refuses the programs.
        let config = format!(
            "interval = \"{}ms\"\n[[parties]]\nid = \"peer\"\nendpoints = [\"{V4}\", \"{V6}\"]\n\
             [[parties]]\nid = \"second\"\nendpoints = [\"{OTHER}\"]\n{}{}[log]\nlevel = \"debug\"\n",
            INTERVAL.as_millis(),
            protocols.concat(),
            udp::PROTOCOL
        );
        fs::write(CONFIG, config).with_context(|| format!("cannot write {CONFIG}"))?;
        let child = Command::new(program)
            .args(["run", "--config", CONFIG])
            .args(arguments)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let mut agent = Self(child);
        let end = Instant::now() + PATIENCE;
        while get("/-/healthy").is_err() {
            if let Some(status) = agent.0.try_wait()? {
                bail!("the agent ended at once: {status}");
            }
            ensure!(Instant::now() < end, "the agent's page does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(agent)
    }

    /// Waits until every source is up.
    #[expect(clippy::unused_self, reason = "asks the agent that listens there")]
    pub(super) fn ready(&self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = get("/-/ready")?;
            if answer.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
            if Instant::now() > end {
                let reason = answer.split("\r\n\r\n").nth(1).unwrap_or(&answer);
                bail!("{}", reason.trim().replace('\n', "; "));
            }
            thread::sleep(INTERVAL / 2);
        }
    }

    /// Stops it as systemd does.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An answer of the agent, head and all.
pub(super) fn get(path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(PAGE)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Waits until the page says that so many bytes have moved, each once transmitted and once received.
pub(super) fn expect(protocol: &str, bytes: u64) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let page = get("/metrics")?;
        let counted = ["transmit", "receive"].map(|direction| {
            let series = format!(
                "network_bytes_total{{direction=\"{direction}\",party_id=\"peer\",protocol=\"{protocol}\"}} "
            );
            let value = page.lines().find_map(|line| line.strip_prefix(&series));
            value.and_then(|value| value.parse::<u64>().ok())
        });
        if counted == [Some(bytes); 2] {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("{protocol}: {bytes} bytes moved, the page says {counted:?}");
        }
        thread::sleep(INTERVAL / 2);
    }
}

/// Replaces the configuration and waits until it has been taken in, and two rounds more.
pub(super) fn reload(config: &str) -> anyhow::Result<()> {
    let taken = || -> anyhow::Result<Option<String>> {
        let page = get("/metrics")?;
        let series = "partymeter_config_reload_timestamp_seconds ";
        Ok(page
            .lines()
            .find(|line| line.starts_with(series))
            .map(str::to_owned))
    };
    let before = taken()?;
    let next = format!("{CONFIG}.next");
    fs::write(&next, config)?;
    fs::rename(&next, CONFIG)?;
    let end = Instant::now() + PATIENCE;
    while taken()? == before {
        ensure!(Instant::now() < end, "the configuration is not read again");
        thread::sleep(INTERVAL / 2);
    }
    after_rounds(2)
}

/// Waits until the network source has made that many whole rounds, all of which began after this call.
pub(super) fn after_rounds(rounds: u64) -> anyhow::Result<()> {
    let made = || {
        let series = "partymeter_source_duration_seconds_count{source=\"network\"}";
        line::value(&get("/metrics")?, series)
    };
    // The one that is under way may have begun before.
    let enough = made()? + rounds + 1;
    let end = Instant::now() + PATIENCE;
    while made()? < enough {
        ensure!(
            Instant::now() < end,
            "the network source makes no more rounds"
        );
        thread::sleep(INTERVAL / 2);
    }
    Ok(())
}
