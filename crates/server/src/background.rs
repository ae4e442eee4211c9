//! The one place where glommio is asked for something: work beside the event loop.
//!
//! The loop owns the thread and blocks in its own ring, where glommio does not see it. So glommio
//! runs only when the loop lets it, and the loop does so only while work is outstanding here: then
//! it waits a millisecond at most and gives glommio a pass after every wait.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Longest wait of the loop while work is outstanding.
pub const WAIT_MAX: Duration = Duration::from_millis(1);

/// Longest time for passes in a row, when tasks keep being ready.
const PASSES_MAX: Duration = Duration::from_millis(1);

/// Timer that is just long enough for glommio to look at its rings.
const NAP: Duration = Duration::from_nanos(400);

/// Work handed to the shard's glommio executor.
#[derive(Clone, Default)]
pub struct Background {
    outstanding: Rc<Cell<usize>>,
}

impl Background {
    /// Runs `work` on this thread, between passes of the event loop. It must not block.
    pub fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        let outstanding = Rc::clone(&self.outstanding);
        outstanding.set(outstanding.get() + 1);
        glommio::spawn_local(async move {
            work.await;
            outstanding.set(outstanding.get() - 1);
        })
        .detach();
    }

    pub fn is_idle(&self) -> bool {
        self.outstanding.get() == 0
    }

    /// Lets glommio handle its completions and run the tasks that are ready.
    pub async fn pass(&self) {
        let started = Instant::now();
        while started.elapsed() < PASSES_MAX {
            turn().await;
            if others_ran() {
                // glommio looks at its rings only when no task is ready, or when its time slice
                // ends. A loop that waited for that would depend on tasks it knows nothing of.
                continue;
            }
            glommio::timer::sleep(NAP).await;
            if !others_ran() {
                return;
            }
        }
    }
}

/// Lets the tasks that are ready run once.
async fn turn() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Whether other tasks than the loop's own, which counts as one, have run since the last call.
fn others_ran() -> bool {
    glommio::executor().executor_stats().tasks_executed() > 1
}
