//! Every option as data: key, default and meaning. Flags, variables, the file's known keys and the documentation are
//! generated from it. Parties and protocols, which are lists, have their flags in `args`.

/// One option.
pub struct Opt {
    /// Its key in the file, with the section.
    pub key: &'static str,
    /// The placeholder for its value in help.
    pub value: &'static str,
    /// Its default as text; empty if it is not a fixed value.
    pub default: &'static str,
    /// Its meaning in one line.
    pub help: &'static str,
}

impl Opt {
    /// The flag without its dashes: `network-max-auto-parties`.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// Whether there is a flag: everybody on the machine can read command lines, so secrets have none.
    pub fn has_flag(&self) -> bool {
        self.key != "otlp.headers"
    }

    /// The environment variable: `PARTYMETER_NETWORK_MAX_AUTO_PARTIES`.
    pub fn variable(&self) -> String {
        format!("PARTYMETER_{}", self.key.replace('.', "_").to_uppercase())
    }
}

/// Every option, in the order of the default file.
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
        help: "Interval between readings of the sources, 200ms to 1h",
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
        help: "The NVML library: a file, or a name to look up as the loader does and in driver containers",
    },
    Opt {
        key: "gpu.processes",
        value: "BOOL",
        default: "false",
        help: "Export memory and SM utilization of each process on a GPU, up to 64 per GPU",
    },
    Opt {
        key: "gpu.dcgm_names",
        value: "BOOL",
        default: "false",
        help: "Export the GPU metrics also under the names and in the units of dcgm-exporter 4.8",
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
        help: "Measure round-trip times",
    },
    Opt {
        key: "network.messages",
        value: "BOOL",
        default: "true",
        help: "Count messages and rounds, and measure the time spent waiting for parties",
    },
    Opt {
        key: "network.cgroup",
        value: "DIR",
        default: "",
        help: "The cgroup2 directory whose sockets are counted; default: where cgroup2 is mounted",
    },
    Opt {
        key: "network.bpf_pin_path",
        value: "DIR",
        default: "",
        help: "Directory in a BPF file system to pin counters in, so that they outlive the agent; \"\": none; default: \
               /sys/fs/bpf/partymeter if a BPF file system is mounted there",
    },
    Opt {
        key: "network.allow",
        value: "PREFIX,…",
        default: "",
        help: "Addresses besides those of parties that MPC programs may connect to",
    },
    Opt {
        key: "network.max_auto_parties",
        value: "N",
        default: "64",
        help: "Without configured parties: the most addresses that become parties of their own, 1 to 4096",
    },
    Opt {
        key: "network.on_unresolved",
        value: "refuse|retry",
        default: "refuse",
        help: "If a party's host name does not resolve at the start: refuse to start, or retry",
    },
    Opt {
        key: "network.resolve_interval",
        value: "DURATION",
        default: "30s",
        help: "Interval between lookups of parties' host names, 1s to 1h",
    },
    Opt {
        key: "ledger.path",
        value: "DIR",
        default: "",
        help: "Directory to record every MPC connection in, with addresses, for `partymeter ledger`; default: none",
    },
    Opt {
        key: "ledger.max_size",
        value: "SIZE",
        default: "256MiB",
        help: "Most that the ledger's files take together, 1MiB to 64GiB; the oldest go first",
    },
    Opt {
        key: "ledger.retention",
        value: "DURATION",
        default: "7d",
        help: "How long a connection is kept, 1h to 366d",
    },
    Opt {
        key: "host.enabled",
        value: "BOOL",
        default: "true",
        help: "Read the memory of the machine and of the agent",
    },
    Opt {
        key: "prometheus.listen",
        value: "ADDRESS:PORT,…",
        default: "127.0.0.1:9464",
        help: "Addresses on which the metrics page is served",
    },
    Opt {
        key: "prometheus.allowed_hosts",
        value: "NAME,…",
        default: "",
        help: "Host names accepted in requests, besides localhost, the node's name and the address of the connection",
    },
    Opt {
        key: "admin.socket",
        value: "FILE",
        default: "",
        help: "Unix socket for `partymeter log-level` and `partymeter gpu release`; \"\": none; default: \
               /run/partymeter/admin.sock if possible",
    },
    Opt {
        key: "admin.group",
        value: "GROUP",
        default: "",
        help: "Group that may use the socket besides root, by name or number; default: none",
    },
    Opt {
        key: "otlp.endpoint",
        value: "URL",
        default: "",
        help: "URL to send OTLP to, such as http://collector:4317; default: none",
    },
    Opt {
        key: "otlp.protocol",
        value: "grpc|http/protobuf",
        default: "grpc",
        help: "Protocol of OTLP",
    },
    Opt {
        key: "otlp.signals",
        value: "SIGNAL,…",
        default: "metrics,logs,traces",
        help: "Signals to send",
    },
    Opt {
        key: "otlp.interval",
        value: "DURATION",
        default: "15s",
        help: "Interval between exports of metrics, 1s to 1h",
    },
    Opt {
        key: "otlp.timeout",
        value: "DURATION",
        default: "10s",
        help: "Timeout of a request, up to 10m",
    },
    Opt {
        key: "otlp.compression",
        value: "gzip|none",
        default: "gzip",
        help: "Compression of requests",
    },
    Opt {
        key: "otlp.headers",
        value: "NAME=VALUE,…",
        default: "",
        help: "Headers of each request; no flag, because they may be secret",
    },
    Opt {
        key: "otlp.certificate",
        value: "FILE",
        default: "",
        help: "Certificates of receivers to trust, in PEM; default: the system's",
    },
    Opt {
        key: "otlp.client_certificate",
        value: "FILE",
        default: "",
        help: "Client certificate, in PEM",
    },
    Opt {
        key: "otlp.client_key",
        value: "FILE",
        default: "",
        help: "Key of the client certificate, in PEM",
    },
    Opt {
        key: "otlp.temporality",
        value: "cumulative|delta",
        default: "cumulative",
        help: "Whether counters and histograms are totals since their start, or changes since the last accepted export",
    },
    Opt {
        key: "otlp.histograms",
        value: "explicit|exponential",
        default: "explicit",
        help: "Buckets of the histograms of times",
    },
    Opt {
        key: "otlp.trace_rounds",
        value: "N",
        default: "60",
        help: "Trace one in N rounds of the sources, besides those that fail or are slow; 0: only those",
    },
    Opt {
        key: "otlp.connection_spans",
        value: "BOOL",
        default: "false",
        help: "Send a span for every MPC connection that ends",
    },
    Opt {
        key: "otlp.resource",
        value: "NAME=VALUE,…",
        default: "",
        help: "Additional attributes of the resource, such as k8s.cluster.name",
    },
    Opt {
        key: "log.format",
        value: "text|json",
        default: "text",
        help: "Format of the log on standard error",
    },
    Opt {
        key: "log.level",
        value: "LEVEL",
        default: "info",
        help: "off, error, warn, info, debug or trace; security events are logged at every level",
    },
    Opt {
        key: "log.bpf_level",
        value: "LEVEL",
        default: "off",
        help: "The same for messages of the BPF programs",
    },
];

/// The options as a table for the documentation.
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
