//! Loads the programs: fits them to this kernel and has the verifier check them.

use agent_ebpf::{RECORD_BYTES, map, program};
use aya::{
    Btf, Ebpf, Endianness, VerifierLogLevel,
    programs::{Iter, ProgramError, SockOps},
};

use super::{
    degraded::Degraded,
    empty_loader,
    hooks::{AccountIterators, MessageHooks},
    load_options::LoadOptions,
    object::typed,
    tcp_state_tracepoint::TcpStateTracepoint,
    udp::{self, UdpDropHooks},
};
use crate::source::network::{
    btf::{AttachTargets, TargetKind},
    error::{BpfError, kernel_error, program_error},
    pin::{self, StartPoint},
    sys::release_memory,
};

/// The object that `build.rs` built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/partymeter-bpf"));

/// Where aya-log-ebpf reads its level.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";

/// The smallest ring buffer that a kernel with 4 KiB pages accepts.
const PAGE: u32 = 4096;

/// The verified programs, not yet attached.
pub(crate) struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) slots: u32,
    pub(super) log: bool,
    pub(super) events: bool,
    pub(super) account_iterators: AccountIterators,
    /// Whether the kernel accepts `arm`.
    pub(super) arms: bool,
    pub(super) message_hooks: Option<MessageHooks>,
    pub(super) udp: Option<UdpDropHooks>,
    pub(super) degraded: Degraded,
    pub(super) start_point: StartPoint,
    pub(super) to_pin: Vec<&'static str>,
}

impl Loaded {
    /// Loads everything that the options ask for.
    pub(crate) fn new(options: LoadOptions) -> Result<Self, BpfError> {
        let level = options.log_level();
        let (udp_ports, callers) = udp::lengths(options.udp.is_some());
        let recorded = options.settings.records != 0;
        let records = if recorded { RECORD_BYTES } else { PAGE };
        let to_pin = pin::maps(options.udp.is_some(), recorded);
        let mut loader = empty_loader::loader();
        if let Some(directory) = &options.start_point.directory {
            directory.pin_maps(&mut loader, &to_pin);
        }
        let mut ebpf = loader
            .map_max_entries(map::UDP_PORTS, udp_ports)
            .map_max_entries(map::UNEXPECTED_SENDERS, callers)
            .btf(None)
            // Keeps a refusal short: the reason, instead of megabytes of instructions.
            .verifier_log_level(VerifierLogLevel::STATS)
            .override_global(agent_ebpf::OFFSETS, &options.offsets, true)
            .override_global(agent_ebpf::SETTINGS, &options.settings, true)
            .override_global(LOG_LEVEL, &level, true)
            .map_max_entries(map::COUNTERS, options.slots)
            // Number 0 means no histogram.
            .map_max_entries(map::HISTOGRAMS, options.histograms + 1)
            .map_max_entries(map::RECORDS, records)
            .load(OBJECT)
            .map_err(|error| kernel_error("create the BPF maps", &error))?;
        let refused = |error: ProgramError| program_error("load the BPF programs", &error);
        let btf = only(&options.hooks, &[TargetKind::Iterator])?;
        load(&mut ebpf, &btf).map_err(refused)?;
        let chosen = AccountIterators::choose(&mut ebpf, &btf, options.storage_iterators);
        let (account_iterators, accounts) = chosen.map_err(refused)?;
        // Separate, because it needs one more privilege or a newer kernel.
        let events = options
            .events
            .then(|| typed::<SockOps>(&mut ebpf, program::SOCKET_EVENTS)?.load());
        // Older kernels refuse it: there `set_state` watches adopted connections, and their times are sampled.
        let arms = typed::<Iter>(&mut ebpf, program::ARM)
            .and_then(|arm| arm.load("tcp", &btf))
            .is_ok();
        // One kind of target at a time keeps the memory low while the verifier runs.
        drop(btf);
        let btf = only(&options.hooks, &[TargetKind::Tracepoint])?;
        TcpStateTracepoint::load(&mut ebpf, &btf).map_err(refused)?;
        let messages = match options.message_hooks {
            Some(hooks @ MessageHooks::Exits) => {
                let btf = only(&options.hooks, &[TargetKind::Function])?;
                Some(hooks.load(&mut ebpf, &btf))
            }
            hooks => hooks.map(|hooks| hooks.load(&mut ebpf, &btf)),
        };
        drop(btf);
        let why = |outcome: Option<Result<(), ProgramError>>, action| {
            let error = outcome.and_then(Result::err)?;
            Some(program_error(action, &error))
        };
        let mut degraded = Degraded {
            accounts,
            events: why(events, "load the sock_ops program"),
            messages: why(messages, "load the programs that count messages"),
            ..Degraded::default()
        };
        if let Some(drop_hooks) = options.udp {
            let hooks: &[TargetKind] = match drop_hooks {
                UdpDropHooks::Tracepoint => &[TargetKind::Tracepoint],
                UdpDropHooks::TracepointAndExit => &[TargetKind::Tracepoint, TargetKind::Function],
            };
            udp::load(
                &mut ebpf,
                &only(&options.hooks, hooks)?,
                drop_hooks,
                &mut degraded,
            );
        }
        Ok(Self {
            ebpf,
            slots: options.slots,
            log: options.log.is_some(),
            events: options.events,
            account_iterators,
            arms,
            message_hooks: options.message_hooks,
            udp: options.udp,
            degraded,
            start_point: options.start_point,
            to_pin,
        })
    }

    /// What could not be loaded.
    pub(crate) fn degraded(&self) -> &Degraded {
        &self.degraded
    }
}

fn load(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), ProgramError> {
    for name in [
        program::ADOPT,
        program::LOCAL_INITIATORS,
        program::SOCKET_OWNERS,
        program::CONNECTIONS,
    ] {
        typed::<Iter>(ebpf, name)?.load("task_file", btf)?;
    }
    Ok(())
}

/// The BTF that aya finds these targets in. Returns the memory of the previous one first.
fn only(hooks: &AttachTargets, wanted: &[TargetKind]) -> Result<Btf, BpfError> {
    release_memory();
    let wrong = |error: &dyn std::error::Error| BpfError::Btf(error.to_string());
    let raw = hooks.only(wanted).map_err(|error| wrong(&error))?;
    Btf::parse(&raw, Endianness::default()).map_err(|error| wrong(&error))
}
