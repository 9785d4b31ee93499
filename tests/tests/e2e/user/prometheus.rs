//! The page as Prometheus and promtool read it.

use super::*;

#[test]
#[ignore = "needs root, Prometheus: `cargo xtask test` runs it"]
fn promtool_finds_nothing_on_the_page() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let page = agent.get("/metrics");
    promtool(page.split_once("\r\n\r\n").unwrap().1);
}

/// Has promtool check a page, in which it must find nothing.
pub(crate) fn promtool(page: &str) {
    let mut child = tool("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}\n{page}");
}

/// A real Prometheus scrapes the page and answers the question that operators ask.
#[test]
#[ignore = "needs root, Prometheus: `cargo xtask test` runs it"]
fn prometheus_answers_by_party_and_direction() {
    let mut prometheus = tool("prometheus");
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let data = Scratch::new("prometheus");
    std::fs::create_dir(&data.0).unwrap();
    let config = data.0.join("prometheus.yml");
    std::fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: partymeter\n  static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
            agent.port
        ),
    )
    .unwrap();
    let port = free_port();
    let mut server = prometheus
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            data.0.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();

    // Some 50 kB/s from A to B and a tenth of that back.
    let (a, b) = lab.connection();
    let query = "sum%20by%20(party_id,%20direction)%20(rate(network_bytes_total%5B1m%5D))";
    let path = format!("/api/v1/query?query={query}");
    let look = || {
        (&a).write_all(&[1; 1000]).unwrap();
        (&b).read_exact(&mut [0; 1000]).unwrap();
        (&b).write_all(&[1; 100]).unwrap();
        (&a).read_exact(&mut [0; 100]).unwrap();
        let answer = ask(port, &path);
        let rate = |party: &str, direction: &str| rate(&answer, party, direction);
        let full = rate("b", "transmit") > 1000.0 && rate("b", "receive") > 100.0;
        let full = full && rate("a", "receive") > 1000.0 && rate("a", "transmit") > 100.0;
        full.then_some(answer)
    };
    let answer = until(look, || format!("Prometheus answers {}", ask(port, &path)));
    server.kill().unwrap();
    server.wait().unwrap();
    let ratio = rate(&answer, "b", "transmit") / rate(&answer, "b", "receive");
    assert!(
        (9.0..11.0).contains(&ratio),
        "ten times as much goes as comes: {answer}"
    );
    assert!(rate(&answer, "unknown", "transmit") < 1.0, "{answer}");
}

/// The body of an answer; empty while the server does not answer.
fn ask(port: u16, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return String::new();
    };
    let _ = write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default()
}

/// The value of a series in Prometheus's answer; 0 where it is not there.
fn rate(answer: &str, party: &str, direction: &str) -> f64 {
    let metric = format!(
        "{{\"metric\":{{\"direction\":\"{direction}\",\"party_id\":\"{party}\"}},\"value\":["
    );
    let value = answer
        .split_once(&metric)
        .and_then(|(_, rest)| rest.split('"').nth(1));
    value.map_or(0.0, |value| value.parse().unwrap())
}
