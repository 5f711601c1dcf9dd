//! CPU time of processes, from `/proc/PID/stat` (proc(5), fields 14 and 15).

use anyhow::Context;

/// CPU time used so far, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    /// In the process's own code.
    pub(crate) user_us: f64,
    /// In the kernel on its behalf.
    pub(crate) system_us: f64,
}

impl Cpu {
    /// The time of all `pids` together.
    ///
    /// # Errors
    ///
    /// When a process is gone, or its line is not as documented.
    pub(crate) fn of(pids: &[u32]) -> anyhow::Result<Self> {
        let mut sum = Self::default();
        for pid in pids {
            let line = std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .with_context(|| format!("process {pid} cannot be watched"))?;
            let cpu =
                parse(&line).with_context(|| format!("/proc/{pid}/stat is not understood"))?;
            sum.user_us += cpu.user_us;
            sum.system_us += cpu.system_us;
        }
        Ok(sum)
    }

    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user_us: self.user_us - earlier.user_us,
            system_us: self.system_us - earlier.system_us,
        }
    }
}

fn parse(line: &str) -> Option<Cpu> {
    // The name, in parentheses, may itself hold spaces and parentheses.
    let (_, fields) = line.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let tick_us = 1e6 / rustix::param::clock_ticks_per_second() as f64;
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(Cpu { user_us: user * tick_us, system_us: system * tick_us })
}
