//! Every single-valued option as data: its key in the file, from which its flag and variable follow, its
//! default and its meaning. The command line, the variables, the file's known keys and the documentation
//! come from here. Parties and protocols, which are lists, have a flag each in `args`.

/// One option.
pub struct Opt {
    /// Its key in the file, with the section.
    pub key: &'static str,
    /// What stands for its value in help.
    pub value: &'static str,
    /// Its default as it would be written; empty where it is worked out.
    pub default: &'static str,
    /// One line.
    pub help: &'static str,
}

impl Opt {
    /// The flag without its dashes: `network-max-auto-parties`.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// Whether there is a flag: everybody on the machine can read command lines, so there is none for secrets.
    pub fn has_flag(&self) -> bool {
        self.key != "otlp.headers"
    }

    /// The environment variable: `PARTYMETER_NETWORK_MAX_AUTO_PARTIES`.
    pub fn variable(&self) -> String {
        format!("PARTYMETER_{}", self.key.replace('.', "_").to_uppercase())
    }
}

/// All of them, in the order of the file.
pub static OPTIONS: &[Opt] = &[
    Opt {
        key: "node",
        value: "NAME",
        default: "",
        help: "Name of this node; default: NODE_NAME, else the host name",
    },
    Opt {
        key: "interval",
        value: "DURATION",
        default: "1s",
        help: "How often the sources are read, 200ms to 1h",
    },
    Opt {
        key: "party_id",
        value: "ID",
        default: "",
        help: "This node's own party",
    },
    Opt {
        key: "gpu.enabled",
        value: "BOOL",
        default: "true",
        help: "Read the GPUs through NVML",
    },
    Opt {
        key: "gpu.library",
        value: "FILE",
        default: "libnvidia-ml.so.1",
        help: "NVML: a file, or a name that the loader or a driver container has",
    },
    Opt {
        key: "gpu.processes",
        value: "BOOL",
        default: "false",
        help: "Memory and SM share of each process on a GPU, up to 64 a GPU",
    },
    Opt {
        key: "gpu.dcgm_names",
        value: "BOOL",
        default: "false",
        help: "The GPU metrics also under the names and in the units of dcgm-exporter 4.8",
    },
    Opt {
        key: "network.enabled",
        value: "BOOL",
        default: "true",
        help: "Count bytes by party",
    },
    Opt {
        key: "network.latency",
        value: "BOOL",
        default: "true",
        help: "Take round-trip times",
    },
    Opt {
        key: "network.rhythm",
        value: "BOOL",
        default: "true",
        help: "Count messages and rounds, and the time that parties are waited for",
    },
    Opt {
        key: "network.cgroup",
        value: "DIR",
        default: "",
        help: "The cgroup2 whose sockets the kernel tells of; default: where it is mounted",
    },
    Opt {
        key: "network.pin",
        value: "DIR",
        default: "",
        help: "Where counters are pinned, to outlive the agent; \"\": nowhere; default: /sys/fs/bpf/partymeter if that is \
               a BPF file system",
    },
    Opt {
        key: "network.allow",
        value: "PREFIX,…",
        default: "",
        help: "Addresses that MPC programs may connect to although they are no party's",
    },
    Opt {
        key: "network.max_auto_parties",
        value: "N",
        default: "64",
        help: "Without configured parties: how many addresses are parties of their own, 1 to 4096",
    },
    Opt {
        key: "network.unresolved",
        value: "refuse|retry",
        default: "refuse",
        help: "A party's host name that does not resolve at the start: do not start, or look it up again",
    },
    Opt {
        key: "network.resolve_interval",
        value: "DURATION",
        default: "30s",
        help: "How often host names of parties are looked up again, 1s to 1h",
    },
    Opt {
        key: "network.ledger",
        value: "DIR",
        default: "",
        help: "Where every MPC connection is written down, with addresses, for `partymeter ledger`; default: nowhere",
    },
    Opt {
        key: "network.ledger_mib",
        value: "N",
        default: "256",
        help: "How many MiB of that are kept, 1 to 65536",
    },
    Opt {
        key: "network.ledger_age",
        value: "DURATION",
        default: "7d",
        help: "How long it is kept, 1h to 366d",
    },
    Opt {
        key: "host.enabled",
        value: "BOOL",
        default: "true",
        help: "Read memory of the machine and of the agent",
    },
    Opt {
        key: "prometheus.listen",
        value: "ADDRESS:PORT,…",
        default: "127.0.0.1:9464",
        help: "Addresses of the metrics page",
    },
    Opt {
        key: "prometheus.allowed_hosts",
        value: "NAME,…",
        default: "",
        help: "Names that requests for it may be for, beside localhost, the node's name and the address they come to",
    },
    Opt {
        key: "admin.socket",
        value: "FILE",
        default: "",
        help: "Unix socket for `partymeter log-level` and `partymeter gpu release`; \"\": none; default: \
               /run/partymeter/admin.sock if it can be had",
    },
    Opt {
        key: "admin.group",
        value: "GROUP",
        default: "",
        help: "Who may use it beside root: a group's name or number; default: nobody",
    },
    Opt {
        key: "otlp.endpoint",
        value: "URL",
        default: "",
        help: "Where to send OTLP to, as http://collector:4317; default: nowhere",
    },
    Opt {
        key: "otlp.protocol",
        value: "grpc|http/protobuf",
        default: "grpc",
        help: "How to send it",
    },
    Opt {
        key: "otlp.signals",
        value: "SIGNAL,…",
        default: "metrics,logs,traces",
        help: "What to send",
    },
    Opt {
        key: "otlp.interval",
        value: "DURATION",
        default: "15s",
        help: "How often metrics are sent, 1s to 1h",
    },
    Opt {
        key: "otlp.timeout",
        value: "DURATION",
        default: "10s",
        help: "How long a request may take, up to 10m",
    },
    Opt {
        key: "otlp.compression",
        value: "gzip|none",
        default: "gzip",
        help: "How requests are compressed",
    },
    Opt {
        key: "otlp.headers",
        value: "NAME=VALUE,…",
        default: "",
        help: "Headers of each request; they may be secret, so that there is no flag",
    },
    Opt {
        key: "otlp.certificate",
        value: "FILE",
        default: "",
        help: "Certificates to trust, in PEM; default: the system's",
    },
    Opt {
        key: "otlp.client_certificate",
        value: "FILE",
        default: "",
        help: "Certificate to prove who this node is, in PEM",
    },
    Opt {
        key: "otlp.client_key",
        value: "FILE",
        default: "",
        help: "The key of that certificate, in PEM",
    },
    Opt {
        key: "otlp.temporality",
        value: "cumulative|delta",
        default: "cumulative",
        help: "What counters and histograms count from: their beginning, or what was last accepted",
    },
    Opt {
        key: "otlp.histograms",
        value: "explicit|exponential",
        default: "explicit",
        help: "Form of the histograms of times",
    },
    Opt {
        key: "otlp.trace_rounds",
        value: "N",
        default: "60",
        help: "Trace one in so many rounds of the sources, beside those that fail or are slow; 0: only those",
    },
    Opt {
        key: "otlp.connection_spans",
        value: "BOOL",
        default: "false",
        help: "Send every MPC connection that ends as a span",
    },
    Opt {
        key: "otlp.resource",
        value: "NAME=VALUE,…",
        default: "",
        help: "More attributes of the resource, such as k8s.cluster.name",
    },
    Opt {
        key: "log.format",
        value: "text|json",
        default: "text",
        help: "Form of the log on standard error",
    },
    Opt {
        key: "log.level",
        value: "LEVEL",
        default: "info",
        help: "off, error, warn, info, debug or trace; what is about security is shown at every level",
    },
    Opt {
        key: "log.kernel",
        value: "LEVEL",
        default: "off",
        help: "The same for messages of the BPF programs",
    },
];

/// The table for the documentation.
pub fn markdown() -> String {
    let head = "| key | flag | variable | default | meaning |\n| --- | --- | --- | --- | --- |\n";
    let row = |option: &Opt| {
        let (key, variable) = (option.key, option.variable());
        let flag = if option.has_flag() {
            format!("`--{}`", option.flag())
        } else {
            String::new()
        };
        let default = match option.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let help = option.help.replace('|', "\\|");
        format!("| `{key}` | {flag} | `{variable}` | {default} | {help} |\n")
    };
    head.to_owned() + &OPTIONS.iter().map(row).collect::<String>()
}
