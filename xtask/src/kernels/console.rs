//! Finds the errors that a kernel reports on its console: faults, warnings, stalls.

/// Parts of lines with which the kernel reports an error, from its sources.
const ALARMS: [&str; 12] = [
    "BUG:",                     // lib/bug.c, arch/x86/mm/fault.c, kernel/watchdog.c
    "Oops",                     // arch/x86/kernel/dumpstack.c
    "WARNING:",                 // kernel/panic.c
    "Kernel panic",             // kernel/panic.c
    "general protection fault", // arch/x86/kernel/traps.c
    "unable to handle",         // arch/x86/mm/fault.c, older kernels
    "self-detected stall",      // kernel/rcu/tree_stall.h
    "detected stalls on CPUs",  // kernel/rcu/tree_stall.h
    "soft lockup",              // kernel/watchdog.c
    "hard LOCKUP",              // kernel/watchdog.c
    "blocked for more than",    // kernel/hung_task.c
    "list_del corruption",      // lib/list_debug.c
];

/// The first lines of a console in which the kernel reports an error.
pub(super) fn alarms(console: &str) -> Vec<String> {
    const SHOWN: usize = 10;
    console
        .lines()
        .filter(|line| is_kernels(line) && ALARMS.iter().any(|alarm| line.contains(alarm)))
        .map(|line| line.trim_end().to_owned())
        .take(SHOWN)
        .collect()
}

/// Whether the kernel wrote a line, with its time in brackets, and not the guest's programs.
fn is_kernels(line: &str) -> bool {
    let time = line.trim_start().strip_prefix('[');
    let time = time.and_then(|rest| rest.split_once(']'));
    time.is_some_and(|(time, _)| time.trim().parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::alarms;

    #[test]
    fn kernel_errors_are_found() {
        let console = "\
[    0.000000] Linux version 7.3.4\r
[    0.102115] x86/fpu: xstate_offset[2]:  576\r
check load: ok\r
WARN partymeter: BUG: no line of the kernel's\r
[   31.445208] BUG: kernel NULL pointer dereference, address: 0000000000000088\r
[   31.445901] RIP: 0010:__bpf_sk_storage_map_seq_show+0x98/0x110\r
[   31.447031] Oops: Oops: 0000 [#1] SMP PTI\r
[   40.000001] rcu: INFO: rcu_preempt self-detected stall on CPU\r
[   52.100000] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [settle:211]\r
";
        let found = alarms(console);
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found[0].contains("NULL pointer"));
        assert!(found[3].contains("soft lockup"));
    }

    #[test]
    fn a_clean_console_has_no_alarm() {
        assert!(alarms("[    0.5] NET: Registered PF_INET\ncheck exact: ok\n").is_empty());
    }
}
