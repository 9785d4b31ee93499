use partymeter::{
    config::*,
    source::{Source, network::NetworkSource},
};
use std::time::Duration;
fn main() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .init();
    let config = Config {
        node: "n".into(),
        interval: Duration::from_secs(1),
        party_id: None,
        parties: vec![Party {
            id: "1".into(),
            endpoints: vec![Endpoint {
                host: Host::Prefix("127.0.0.1/32".parse().unwrap()),
                port: None,
            }],
        }],
        protocols: vec![Protocol {
            name: "test".into(),
            ports: vec![7000..=7099],
        }],
        network: Network {
            enabled: true,
            cgroup: None,
            max_auto_parties: 64,
            unresolved: Unresolved::Refuse,
        },
        host_enabled: true,
        prometheus_listen: vec![],
        log: Log {
            format: LogFormat::Text,
            level: None,
            kernel: std::env::var("KLOG").ok().map(|_| tracing::Level::DEBUG),
        },
    };
    let mut s = NetworkSource::new(&config, Default::default(), false);
    for _ in 0..std::env::args().nth(1).map_or(3, |n| n.parse().unwrap()) {
        let t = std::time::Instant::now();
        match s.collect() {
            Ok(n) => {
                println!("{:?}", t.elapsed());
                for t in &n.traffic {
                    println!("{t:?}");
                }
                println!("{:?} {:?} {:?}", n.dropped, n.maps, n.programs);
            }
            Err(e) => println!("ERR {e:?}"),
        }
        std::thread::sleep(Duration::from_millis(1000));
    }
}
