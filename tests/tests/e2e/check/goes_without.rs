//! With these the agent starts, and says what it goes without, or which source is down.

use std::{io, thread};

use partymeter_fake_nvml::{Rule, SCENARIO, Scenario, models::Model};
use partymeter_tests::memory_group::MemoryGroup;

use super::{
    Outcome::{Ready, Warns},
    *,
};

/// A self-signed certificate that was valid in January 2020.
const EXPIRED: &str = "\
-----BEGIN CERTIFICATE-----
MIIBRTCB66ADAgECAgEBMAoGCCqGSM49BAMCMBIxEDAOBgNVBAMMB2V4cGlyZWQw
HhcNMjAwMTAxMDAwMDAwWhcNMjAwMjAxMDAwMDAwWjASMRAwDgYDVQQDDAdleHBp
cmVkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECSwMLz2tpIt3BLXaqMb/19og
2VQKDiroHf0mlhqfLphf8eIYYzmQKQlPuk7t6dx/pMtn0B2udp4K22qd4M2dzqMy
MDAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQULyA/67xK6GNoV6VndUCkUOWO
vvowCgYIKoZIzj0EAwIDSQAwRgIhAIiCPOh44w1MQDbEtajOpTHPfeNRee4YwwAC
2c2/BpoyAiEAg36+p8i47+C7Ea8osy/prFuniMoJTywGbC4jkuDjtUo=
-----END CERTIFICATE-----
";

fn fault<'a>(
    wrapper: &'a [&'a str],
    config: String,
    what: &'a str,
    said: &'a str,
    outcome: Outcome,
) -> Fault<'a> {
    Fault {
        name: said,
        config,
        wrapper,
        what,
        said: said.to_owned(),
        outcome,
    }
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn parties_that_are_not_where_they_should_be() {
    let place = directory(0o755);
    let party = |id: &str, endpoint: &str| {
        format!("[[parties]]\nid = \"{id}\"\nendpoints = [\"{endpoint}\"]\n")
    };
    let retry = format!(
        "{}{GPU_OFF}[network]\non_unresolved = \"retry\"\n",
        party("a", "a.invalid")
    );
    let said = "party \"a\": the host name \"a.invalid\" does not resolve: ";
    agree(&place.0, &fault(&[], retry, "host names", said, Warns));

    // A machine with an address of its own, in a namespace.
    let here = [
        "unshare",
        "-n",
        "sh",
        "-c",
        "ip link set lo up && ip addr add 10.9.9.9/32 dev lo && exec \"$@\"",
        "sh",
    ];
    let own = format!("{}{GPU_OFF}", party("a", "10.9.9.9"));
    let said = "party \"a\" is at 10.9.9.9, which is this machine's own address";
    agree(&place.0, &fault(&here, own, "own party", said, Warns));
    let other = format!("party_id = \"b\"\n{}{GPU_OFF}", party("b", "10.9.9.8"));
    let said = "party_id is \"b\", and no address of party \"b\" is this machine's";
    agree(&place.0, &fault(&here, other, "own party", said, Warns));
    let right = format!("party_id = \"a\"\n{}{GPU_OFF}", party("a", "10.9.9.9"));
    let file = Scratch::with("config.toml", &whole(&right));
    let told = text(&partymeter("check", &here, &file.0, &right).stdout);
    assert!(!told.contains("own party"), "{told}");
}

/// The reload says it, who goes on looking.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn parties_that_share_an_address() {
    let both = "[[parties]]\nid = \"a\"\nendpoints = [\"127.0.0.1\"]\n[[parties]]\nid = \"b\"\nendpoints = [\"localhost\"]\n";
    let config = format!("{both}{GPU_OFF}");
    let said = "127.0.0.1 is party \"a\"'s and party \"b\"'s; it counts for the second";
    let file = Scratch::with("config.toml", &whole(&config));
    let output = partymeter("check", &[], &file.0, &config);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let mut lines = told.lines().filter(|line| line.starts_with("addresses"));
    assert!(
        lines.any(|line| line.contains("  PART  ") && line.contains(said)),
        "{told}"
    );
    let agent = Agent::launch(&config, &[]);
    assert_eq!(agent.log().matches(said).count(), 1, "{}", agent.log());
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn what_is_pinned_is_of_no_use() {
    let bpf = Mount::new("bpf", "");
    let counters = bpf.path().join("counters");
    let config = |parties: usize| {
        let party = |number| {
            format!(
                "[[parties]]\nid = \"{number}\"\nendpoints = [\"10.1.{}.{}\"]\n",
                number / 250,
                number % 250 + 1
            )
        };
        let parties: String = (0..parties).map(party).collect();
        format!(
            "{parties}{GPU_OFF}[network]\nbpf_pin_path = \"{}\"\n",
            counters.display()
        )
    };
    drop(Agent::start(&config(1)));
    fs::remove_file(counters.join("state")).unwrap();
    let said = ": an agent was stopped before it counted";
    agree(bpf.path(), &fault(&[], config(1), "counters", said, Warns));
    // It begins anew, and there is room for some more parties, not for hundreds.
    drop(Agent::start(&config(1)));
    let said = "cannot resume from ";
    agree(
        bpf.path(),
        &fault(&[], config(400), "counters", said, Warns),
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_disk_that_is_smaller_than_the_ledger() {
    let disk = Mount::new("tmpfs", ",size=2m");
    let ledger = disk.path().join("ledger");
    let config = format!(
        "{GPU_OFF}[ledger]\npath = \"{}\"\nmax_size = \"3MiB\"\n",
        ledger.display()
    );
    let said = "ledger.path: only 2 MiB are free in";
    agree(disk.path(), &fault(&[], config, "ledger", said, Warns));
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn receivers_of_otlp() {
    let place = directory(0o755);
    let ca = place.0.join("expired.pem");
    fs::write(&ca, EXPIRED).unwrap();
    let otlp = |endpoint: &str, keys: &str| {
        format!("{GPU_OFF}{NETWORK_OFF}[otlp]\nendpoint = \"{endpoint}\"\n{keys}")
    };
    let keys = format!("certificate = \"{}\"\n", ca.display());
    let said = "expired.pem expired at 2020-02-01T00:00:00Z";
    let expired = otlp("https://127.0.0.1:1", &keys);
    agree(&place.0, &fault(&[], expired, "OTLP", said, Warns));

    let config = otlp(
        "http://collector.invalid:4317",
        "signals = \"metrics\"\ninterval = \"1s\"\n",
    );
    let file = Scratch::with("config.toml", &whole(&config));
    let output = partymeter("check", &[], &file.0, &config);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let said = "the host name \"collector.invalid\" does not resolve";
    let mut lines = told.lines().filter(|line| line.starts_with("OTLP"));
    assert!(
        lines.any(|line| line.contains("  PART  ") && line.contains(said)),
        "{told}"
    );
    let agent = Agent::launch(&config, &[]);
    agent.wait_for("cannot send metrics to the OTLP receiver http://collector.invalid:4317/");
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn limits_of_the_process() {
    let place = directory(0o755);
    let off = format!("{GPU_OFF}{NETWORK_OFF}");
    let few = ["sh", "-c", "ulimit -n 100 && exec \"$@\"", "sh"];
    let said = "only 100 files may be open";
    agree(&place.0, &fault(&few, off.clone(), "limits", said, Warns));

    // Without its network source it takes less than that.
    let group = MemoryGroup::new(Some(14 << 20)).unwrap();
    let said = "allows 14 MiB of memory, and the agent may need 15 MiB";
    let enter = group.enter();
    let enter: Vec<&str> = enter.iter().map(String::as_str).collect();
    agree(&place.0, &fault(&enter, off, "limits", said, Warns));
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn what_the_network_source_needs() {
    let place = directory(0o755);
    let config = || GPU_OFF.to_owned();
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let said = "no permission; help: run as root or with CAP_BPF, CAP_PERFMON";
    agree(
        &place.0,
        &fault(&nobody, config(), "BPF programs", said, Ready),
    );
    let no_btf = [
        "unshare",
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs t /sys/kernel/btf && exec \"$@\"",
        "sh",
    ];
    let said = "no kernel BTF (/sys/kernel/btf/vmlinux: ";
    agree(
        &place.0,
        &fault(&no_btf, config(), "BPF programs", said, Ready),
    );
    let cgroup = format!("{GPU_OFF}[network]\ncgroup = \"{}\"\n", place.0.display());
    let said = "is no cgroup2; help: correct network.cgroup";
    agree(&place.0, &fault(&[], cgroup, "network extras", said, Warns));
    let weaker = [
        "setpriv",
        "--bounding-set=-net_admin",
        "--inh-caps=-net_admin",
    ];
    let said = "no permission; help: run as root or with CAP_NET_ADMIN";
    agree(
        &place.0,
        &fault(&weaker, config(), "network extras", said, Warns),
    );
    // Of a user namespace root has all capabilities, and none that the kernel takes for BPF.
    let mut namespace = Command::new("unshare");
    if namespace.args(["-Ur", "true"]).status().unwrap().success() {
        let said = "for this is a user namespace; help: ";
        let inside = ["unshare", "-Ur"];
        agree(
            &place.0,
            &fault(&inside, config(), "BPF programs", said, Ready),
        );
    }
    thread::scope(|scope| {
        let filtered = scope.spawn(|| {
            forbid_bpf().unwrap();
            let said = "help: allow bpf(2) in the seccomp filter";
            agree(&place.0, &fault(&[], config(), "BPF programs", said, Ready));
        });
        filtered.join().unwrap();
    });
}

/// For this thread and what it starts, bpf(2) is refused as containers' profiles refuse it.
fn forbid_bpf() -> io::Result<()> {
    let statement = |code: u32, k: u32, (jt, jf): (u8, u8)| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let bpf = u32::try_from(libc::SYS_bpf).unwrap();
    let errno = u32::try_from(libc::EPERM).unwrap();
    let mut filter = [
        // The number of the system call is first in `seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, (0, 0)),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, bpf, (0, 1)),
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | errno,
            (0, 0),
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, (0, 0)),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its four statements live until the call, which copies them, is over.
    let done = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[test]
fn gpus() {
    let place = directory(0o755);
    let gpu = |library: &Path| format!("{NETWORK_OFF}[gpu]\nlibrary = \"{}\"\n", library.display());
    let library = place.0.join("libnvidia-ml.so.1");
    for said in [
        "libnvidia-ml.so.1: cannot open shared object file",
        "libnvidia-ml.so.1: file too short",
    ] {
        agree(&place.0, &fault(&[], gpu(&library), "GPUs", said, Ready));
        fs::write(&library, "").unwrap();
    }
    // One of two is broken.
    let mut scenario = Scenario::of(Model::H100, 2);
    scenario.rules.push(Rule {
        function: "*".to_owned(),
        gpu: Some(1),
        code: 15,
        ..Rule::default()
    });
    let file = Scratch::with("scenario.json", &serde_json::to_string(&scenario).unwrap());
    let wrapper = ["env", &format!("{SCENARIO}={}", file.0.display())];
    let config = gpu(&crate::gpu::library());
    let written = Scratch::with("config.toml", &whole(&config));
    let output = partymeter("check", &wrapper, &written.0, &config);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let down: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("  DOWN  "))
        .collect();
    let right = ["GPU 1 cannot be read: ", "; help: see the kernel log"];
    assert!(
        down.len() == 1 && right.iter().all(|it| down[0].contains(it)),
        "{told}"
    );
    let agent = Agent::launch(&config, &wrapper);
    let ready = || agent.get("/-/ready");
    until_true(
        || ready().contains("gpu1: down: "),
        || format!("{}\n{}", ready(), agent.log()),
    );
    assert!(ready().contains("gpu0: up"), "{}", ready());
}
