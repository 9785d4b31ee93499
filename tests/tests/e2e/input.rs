//! Input from elsewhere that does not come, or that is too much: the page, a reload and SIGHUP do not wait for it.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::{Ipv4Addr, UdpSocket},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
};

use crate::support::{
    Agent, Lab,
    agent::{Bytes, Scratch, free_port, program},
    lab::run,
    until_true,
};

const SUCCESS: &str = "partymeter_config_reload_success";
const TIMESTAMP: &str = "partymeter_config_reload_timestamp_seconds";

fn party(id: &str, endpoint: &str) -> String {
    format!("[[parties]]\nid = \"{id}\"\nendpoints = [\"{endpoint}\"]\n")
}

/// Puts a file in the place of the configuration, as editors do.
fn put(agent: &Agent, config: &str) {
    let next = agent.config().with_extension("next");
    fs::write(&next, agent.whole(config)).unwrap();
    fs::rename(&next, agent.config()).unwrap();
}

/// Waits until a reload after that time has taken a configuration in.
fn taken(agent: &Agent, before: f64) {
    until_true(
        || agent.series(TIMESTAMP).unwrap() > before,
        || format!("not taken in\n{}", agent.log()),
    );
}

/// Waits until the log has a text so many times.
fn wait_for_times(agent: &Agent, text: &str, times: usize) {
    until_true(
        || agent.log().matches(text).count() >= times,
        || format!("{text:?} less than {times} times\n{}", agent.log()),
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_fifo_in_place_of_the_configuration_is_an_error_and_ends_no_reload() {
    const FIFO: &str =
        "config.toml: is a FIFO, not a regular file; help: name a readable TOML file";
    const UNCHANGED: &str = "reload rejected (1 error); keeping the previous configuration";
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let before = agent.series(TIMESTAMP).unwrap();
    fs::remove_file(agent.config()).unwrap();
    run(&format!("mkfifo {}", agent.config().display()));
    agent.wait_for(FIFO);
    wait_for_times(&agent, UNCHANGED, 1);
    assert_eq!(agent.series(SUCCESS), Some(0.0));
    // A signal is answered, each time.
    for times in 1..=3 {
        let so_far = agent.log().matches(UNCHANGED).count();
        agent.signal(libc::SIGHUP);
        wait_for_times(&agent, UNCHANGED, so_far + 1);
        assert!(agent.get("/-/healthy").contains("healthy"), "{times}");
    }
    assert_eq!(agent.series(TIMESTAMP), Some(before));

    put(&agent, &(lab.config() + &party("x", "192.0.2.1")));
    taken(&agent, before);
    agent.wait_for("party x is new");
    assert_eq!(agent.series(SUCCESS), Some(1.0));
    let before = agent.series(TIMESTAMP).unwrap();
    put(&agent, &(lab.config() + &party("y", "192.0.2.2")));
    agent.signal(libc::SIGHUP);
    taken(&agent, before);
    agent.wait_for("party y is new");
}

/// The agent does not start, and does not wait for ever.
#[test]
fn a_fifo_without_a_writer_is_no_configuration() {
    let fifo = Scratch::new("fifo");
    run(&format!("mkfifo {}", fifo.0.display()));
    let output = Command::new(program())
        .args(["run", "--config"])
        .arg(&fifo.0)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8(output.stderr).unwrap();
    let expected = "fifo: is a pipe, and its writer has not finished within 10s; ";
    assert!(told.contains(expected), "{told}");
}

/// A DNS server that gives no answer until it is told to; then `192.0.2.53` to every question.
struct DnsServer {
    address: Ipv4Addr,
    answers: Arc<AtomicBool>,
}

impl DnsServer {
    fn start() -> Self {
        static SERVERS: AtomicU8 = AtomicU8::new(53);
        // Of loopback, and of this server alone: others may be at 127.0.0.1 and 127.0.0.53.
        let [.., high, low] = std::process::id().to_be_bytes();
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let address = Ipv4Addr::new(127, number, high, low);
        let socket = UdpSocket::bind((address, 53)).unwrap();
        let answers = Arc::new(AtomicBool::new(false));
        let may = Arc::clone(&answers);
        // It lives as long as the tests: it waits for the next question.
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if may.load(Ordering::Relaxed) {
                    let answer = Self::answer(&buffer[..length]);
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self { address, answers }
    }

    /// RFC 1035: the question back, and for a question of type A an address.
    fn answer(query: &[u8]) -> Vec<u8> {
        let labels = query[12..].iter().position(|byte| *byte == 0).unwrap();
        let question = &query[12..12 + labels + 5];
        let is_a = question[labels + 1..labels + 3] == [0, 1];
        let mut answer = query[..2].to_vec();
        // A response, recursion desired and available, no error; one question, and perhaps one answer.
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
        answer.extend(question);
        if is_a {
            // The name of the question, type A, class IN, a minute, 4 bytes.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend([192, 0, 2, 53]);
        }
        answer
    }

    /// A shell's command line that runs the rest of the line with this server and these hosts, and the files that it
    /// needs until that runs. A name that is not answered takes 50 s.
    fn wrapper(&self, hosts: &str) -> (Vec<Scratch>, String) {
        let server = format!(
            "nameserver {}\noptions timeout:10 attempts:5\n",
            self.address
        );
        let files = [
            ("resolv.conf", &*server),
            ("hosts", hosts),
            ("nsswitch.conf", "hosts: files dns\n"),
        ];
        let (mut kept, mut command) = (Vec::new(), String::new());
        for (name, text) in files {
            let file = Scratch::with(name, text);
            let path = file.0.display();
            write!(command, "mount --bind {path} /etc/{name} && ").unwrap();
            kept.push(file);
        }
        (kept, command + "exec \"$0\" \"$@\"")
    }
}

/// Six names that nobody answers, beside one that is known: the page, a reload and SIGHUP wait for none of them.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn names_that_hang_delay_neither_the_page_nor_a_reload() {
    let (lab, dns) = (Lab::new(), DnsServer::start());
    let (_files, command) = dns.wrapper(&format!("{} party-b.test\n", lab.v4(2)));
    let hanging = |number: usize| format!("hang{number}.test");
    let parties: String = (0..6)
        .map(|number| party(&format!("h{number}"), &hanging(number)))
        .collect();
    let network = "[network]\non_unresolved = \"retry\"\nresolve_interval = \"1s\"\n";
    let with =
        |more: &str| party("b", "party-b.test") + &parties + more + &lab.protocol() + network;
    let agent = Agent::launch(&with(""), &["unshare", "-m", "sh", "-c", &command]);
    wait_for_times(&agent, "does not resolve: no answer within 1s", 6);
    agent.after_rounds(1);
    let (mut a, _b) = lab.connection();
    a.write_all(&[1; 100]).unwrap();
    let sent = Bytes {
        transmit: 100,
        receive: 0,
    };
    agent.expect(&[("b", "test", sent)]);

    // With another that hangs, and without a signal and with one.
    let more = party("h6", &hanging(6)) + &party("x", "192.0.2.1");
    for (next, signal) in [
        (more.clone(), false),
        (more + &party("y", "192.0.2.2"), true),
    ] {
        let before = agent.series(TIMESTAMP).unwrap();
        put(&agent, &with(&next));
        if signal {
            agent.signal(libc::SIGHUP);
        }
        taken(&agent, before);
    }
    agent.wait_for("party x is new");
    agent.wait_for("party y is new");
    agent.wait_for("the host name \"hang6.test\" does not resolve: no answer within 10s");

    // All come back, and each is told once when it failed and once now.
    dns.answers.store(true, Ordering::Relaxed);
    wait_for_times(&agent, "resolves now", 7);
    agent.after_rounds(2);
    let log = agent.log();
    for number in 0..7 {
        for what in [
            "does not resolve",
            "resolves now",
            "now has the address 192.0.2.53",
        ] {
            let line = format!("the host name \"{}\" {what}", hanging(number));
            assert_eq!(log.matches(&line).count(), 1, "{line}\n{log}");
        }
    }
}

/// Where all names must resolve, they have one deadline together.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn names_that_hang_refuse_the_start_after_one_deadline() {
    let dns = DnsServer::start();
    let (_files, command) = dns.wrapper("");
    let names: Vec<String> = (0..6).map(|number| format!("hang{number}.test")).collect();
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &command])
        .arg(program())
        .args(["run", "--network-bpf-pin-path", "", "--admin-socket", ""])
        .args(["--party", &format!("1={}", names.join(","))])
        .args(["--prometheus-listen", &format!("127.0.0.1:{}", free_port())])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8(output.stderr).unwrap();
    for name in names {
        let line = format!("the host name \"{name}\" does not resolve: no answer within 10s");
        assert_eq!(told.matches(&line).count(), 1, "{told}");
    }
    assert!(told.ends_with("; to start without it, set network.on_unresolved = \"retry\"\n"));
}

/// What threads of a process have spent on processors, by the beginning of their names. Unit: seconds.
fn spent(process: u32, is_counted: impl Fn(u32, &str) -> bool) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let threads = threads.map(|thread| thread.unwrap().path());
    let nanoseconds = threads.filter_map(|thread| {
        let id = thread.file_name()?.to_str()?.parse().unwrap();
        let name = fs::read_to_string(thread.join("comm")).ok()?;
        // The first number of `schedstat` is the time on a processor; a thread may have ended.
        let times = fs::read_to_string(thread.join("schedstat")).ok()?;
        let spent: u64 = times.split(' ').next()?.parse().unwrap();
        is_counted(id, &name).then_some(spent)
    });
    std::time::Duration::from_nanos(nanoseconds.sum()).as_secs_f64()
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_hundred_thousand_unknown_keys_are_not_read_by_the_thread_that_serves_the_page() {
    const KEYS: usize = 100_000;
    const RELOADS: usize = 5;
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let before = agent.series(TIMESTAMP).unwrap();
    let serving = || spent(agent.id(), |thread, _| thread == agent.id());
    let beside = || spent(agent.id(), |_, name| name.starts_with("tokio"));
    let (serving_before, beside_before) = (serving(), beside());
    let mut keys = String::new();
    for key in 0..KEYS {
        writeln!(keys, "k{key}=1").unwrap();
    }
    fs::write(agent.config(), keys).unwrap();
    for times in 1..=RELOADS {
        agent.signal(libc::SIGHUP);
        until_true(
            || {
                assert!(agent.get("/-/healthy").contains("healthy"));
                agent.log().matches("reload rejected").count() >= times
            },
            || agent.log(),
        );
    }
    let (serving, beside) = (serving() - serving_before, beside() - beside_before);
    // That thread answers all the while and logs the errors. When it read the file too, the others had a 300th of its time.
    assert!(
        beside > serving / 4.0,
        "{serving} s, and beside it {beside} s"
    );
    let log = agent.log();
    assert!(log.contains("config.toml:1: k0: is an unknown key; "));
    let rest = format!(
        "config.toml: has {} more errors; help: fix these first",
        KEYS - 100
    );
    assert!(log.contains(&rest), "{log}");
    assert_eq!(agent.series(SUCCESS), Some(0.0));
    put(&agent, &(lab.config() + &party("x", "192.0.2.1")));
    taken(&agent, before);
    agent.wait_for("party x is new");
}
