//! Threads whose interleaving is shuttle's under `cfg(shuttle)`, and the machine's otherwise.

/// What one thread does.
pub(super) type Body = Box<dyn FnOnce() + Send>;

/// Runs `scenario` often, each time with another seed and under another interleaving.
#[cfg(not(shuttle))]
pub(super) fn check(scenario: fn(u64)) {
    (0..300).for_each(scenario);
}

/// Runs `bodies` at once and waits for all.
#[cfg(not(shuttle))]
pub(super) fn together(bodies: Vec<Body>) {
    std::thread::scope(|scope| {
        for body in bodies {
            let thread = std::thread::Builder::new();
            thread.spawn_scoped(scope, body).expect("there are threads");
        }
    });
}

/// Runs `scenario` under random interleavings, and under such as have few switches of which each is at a chosen place
/// (PCT: Burckhardt and others, ASPLOS 2010).
#[cfg(shuttle)]
pub(super) fn check(scenario: fn(u64)) {
    use shuttle::rand::RngCore;
    use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};

    fn run(scheduler: impl Scheduler + 'static, scenario: fn(u64)) {
        let mut config = shuttle::Config::new();
        config.stack_size = 1 << 20;
        config.silence_warnings = true;
        let runner = shuttle::Runner::new(scheduler, config);
        runner.run(move || scenario(shuttle::rand::thread_rng().next_u64()));
    }
    run(RandomScheduler::new(5000), scenario);
    run(PctScheduler::new(3, 5000), scenario);
}

/// Runs `bodies` at once and waits for all.
#[cfg(shuttle)]
pub(super) fn together(bodies: Vec<Body>) {
    let threads: Vec<_> = bodies.into_iter().map(shuttle::thread::spawn).collect();
    for thread in threads {
        thread.join().expect("no thread panics");
    }
}
