//! What the system knows of this process: memory and processor time.

use std::fs;
use std::sync::atomic::Ordering::Relaxed;

use ringhold_node::state::Process;

/// Brings the figures up to date; those that this system does not tell stay as they are.
pub(crate) fn measure(process: &Process) {
    let usage = rustix::param::clock_ticks_per_second().max(1);
    if let Some((user, system)) = cpu_ticks() {
        process.cpu_user_us.store(user.saturating_mul(1_000_000) / usage, Relaxed);
        process.cpu_system_us.store(system.saturating_mul(1_000_000) / usage, Relaxed);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        for (field, gauge) in [("VmRSS:", &process.rss_bytes), ("VmHWM:", &process.rss_peak_bytes)]
        {
            if let Some(bytes) = kibibytes(&status, field) {
                gauge.store(bytes, Relaxed);
            }
        }
    }
    if process.machine_bytes.load(Relaxed) == 0
        && let Ok(memory) = fs::read_to_string("/proc/meminfo")
        && let Some(bytes) = kibibytes(&memory, "MemTotal:")
    {
        process.machine_bytes.store(bytes, Relaxed);
    }
}

/// The field of a file like `/proc/self/status`, in bytes.
fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    number.checked_mul(1024)
}

/// User and system time, in ticks: fields 14 and 15 of `/proc/self/stat` (proc(5)).
fn cpu_ticks() -> Option<(u64, u64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_memory_and_has_used_the_processor() {
        let process = Process::default();
        measure(&process);
        assert!(process.rss_bytes.load(Relaxed) > 0);
        assert!(process.machine_bytes.load(Relaxed) > process.rss_bytes.load(Relaxed));
        assert_eq!(kibibytes("A:\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12 * 1024));
    }
}
