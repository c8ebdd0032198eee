//! Two threads that take turns hand over to each other sooner when they share a core.

/// Holds this thread, and those that it starts from now on, to the core on which it runs, where the system can do that.
///
/// A simulation and the thread of its store in memory wait for each other at every statement. To wake a core that sleeps
/// takes longer than most of the statements do, so that on two cores the machine is idle for half of the time.
pub(crate) fn hold() {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

        let here = sched_getcpu();
        if here >= CpuSet::MAX_CPU {
            return;
        }
        let mut cores = CpuSet::new();
        cores.set(here);
        // Where it is not allowed, everything is only slower.
        let _ = sched_setaffinity(None, &cores);
    }
}
