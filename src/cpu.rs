//! Threads for work that would hold up the asynchronous ones: templates, patterns, JSON of some size.
//!
//! As much work at once as there are cores, with stacks of 16 MiB, because expressions nest; what does not fit waits its
//! turn. Work cannot be stopped: where nobody waits for it any more, its turn is over all the same, so that what should
//! have ended long ago does not keep others waiting. Work is bounded by those who give it.

use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

/// A handle to the threads; cheap to clone.
#[derive(Clone, Debug)]
pub struct Cpu {
    handle: Handle,
    turns: Arc<Semaphore>,
    _runtime: Arc<Owner>,
}

/// Ends the threads when the last handle goes, without waiting for them: a runtime must not be dropped where tasks run.
#[derive(Debug)]
struct Owner(Option<Runtime>);

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The work panicked.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the work panicked")]
pub struct Panicked;

impl Cpu {
    /// Stack of each thread: a deep expression of 2,000 bytes fits many times.
    const STACK_BYTES: usize = 16 * 1024 * 1024;

    /// How many threads there may be beside one for each core, where work goes on that nobody waits for.
    const SPARE_THREADS: usize = 32;

    /// Starts threads as work comes.
    ///
    /// # Errors
    ///
    /// When the operating system gives no threads.
    pub fn start() -> std::io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(threads + Self::SPARE_THREADS)
            .thread_stack_size(Self::STACK_BYTES)
            .thread_name("synapps-cpu")
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            turns: Arc::new(Semaphore::new(threads)),
            _runtime: Arc::new(Owner(Some(runtime))),
        })
    }

    /// Runs `work` on one of the threads and gives what it returns.
    ///
    /// # Errors
    ///
    /// When the work panics; the thread survives it.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let _turn = self.turns.acquire().await.map_err(|_| Panicked)?;
        self.handle.spawn_blocking(work).await.map_err(|_| Panicked)
    }
}
