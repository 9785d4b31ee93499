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
        help: "The cgroup2 whose sockets' times the kernel reports; default: where it is mounted",
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
        key: "log.format",
        value: "text|json",
        default: "text",
        help: "Form of the log on standard error",
    },
    Opt {
        key: "log.level",
        value: "LEVEL",
        default: "info",
        help: "off, error, warn, info, debug or trace",
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
        let (key, flag, variable) = (option.key, option.flag(), option.variable());
        let default = match option.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let help = option.help.replace('|', "\\|");
        format!("| `{key}` | `--{flag}` | `{variable}` | {default} | {help} |\n")
    };
    head.to_owned() + &OPTIONS.iter().map(row).collect::<String>()
}
