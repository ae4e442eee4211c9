//! The thread is handed over between the event loop and glommio: glommio's work gets done while
//! clients keep the loop busy, and clients are served while glommio is busy.

use command::table::Table;
use glommio::io::{BufferedFile, OpenOptions};
use glommio::{LocalExecutorBuilder, Placement};
use shoal::background::Background;
use shoal::config::Config;
use shoal::config::args::CommandLine;
use shoal::control::Control;
use shoal::core::{Core, Process};
use shoal::driver::uring::Uring;
use shoal::event_loop::{EventLoop, StopSignal};
use shoal::listen::{self, Listeners};
use shoal::wake::Wake;
use shoal::{process, session};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// After this a test has failed; nothing here takes a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shard on a thread of its own, listening on a unix socket.
struct Shard {
    dir: PathBuf,
    stop: StopSignal,
    thread: Option<JoinHandle<()>>,
}

impl Shard {
    /// Starts a shard; `work` is handed to glommio before the loop begins.
    fn start(name: &str, work: impl FnOnce(&Background) + Send + 'static) -> Shard {
        let dir = std::env::temp_dir().join(format!("shoal-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let line = CommandLine {
            directives: vec![
                vec![b"port".to_vec(), b"0".to_vec()],
                vec![
                    b"unixsocket".to_vec(),
                    dir.join("socket").to_str().unwrap().into(),
                ],
            ],
            ..CommandLine::default()
        };
        let config = Config::load(&line, std::io::empty()).unwrap();
        let listeners = listen::open(&config, Duration::ZERO).unwrap();
        let known = Listeners::new(&listeners).unwrap();
        let stop = StopSignal {
            requested: Arc::new(AtomicBool::new(false)),
            wake: Wake::new().unwrap(),
        };
        let table = Table::new(command::FAMILIES, command::CONTAINERS, session::rows());
        let process = Process::new(table, Control::new(config.clone(), known), 1);
        let its_stop = stop.clone();
        let thread = std::thread::spawn(move || {
            let executor = LocalExecutorBuilder::new(Placement::Unbound)
                .io_memory(64 << 10)
                .preempt_timer(process::PREEMPT)
                .make()
                .unwrap();
            executor.run(async move {
                let background = Background::default();
                work(&background);
                let wake = its_stop.wake.clone();
                let limits = mesh::Limits { ring: 2, outbox: 2 };
                let node = mesh::connect(1, limits).remove(0);
                let core = Core::new(config, Arc::new(process), wake.clone(), node, [1, 2, 3, 4]);
                let driver = Uring::new().unwrap();
                let peers = vec![wake];
                let event_loop =
                    EventLoop::new(driver, core, background, listeners, its_stop, peers);
                event_loop.run().await.unwrap();
            });
        });
        Shard {
            dir,
            stop,
            thread: Some(thread),
        }
    }

    fn connect(&self) -> UnixStream {
        connect(&self.dir)
    }

    /// Ends the shard; the thread's panics are this test's.
    fn stop(mut self) {
        self.stop.requested.store(true, Ordering::Release);
        self.stop.wake.ring();
        self.thread.take().unwrap().join().unwrap();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn connect(dir: &Path) -> UnixStream {
    let stream = UnixStream::connect(dir.join("socket")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends pipelines of PING and reads their replies.
fn ping(stream: &mut UnixStream, depth: usize) {
    stream.write_all(&b"PING\r\n".repeat(depth)).unwrap();
    let mut replies = vec![0; depth * b"+PONG\r\n".len()];
    stream.read_exact(&mut replies).unwrap();
    assert_eq!(replies, b"+PONG\r\n".repeat(depth));
}

/// Clients that keep a shard busy until they are dropped.
struct Load {
    done: Arc<AtomicBool>,
    batches: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(shard: &Shard, clients: usize) -> Load {
        let done = Arc::new(AtomicBool::new(false));
        let batches = Arc::new(AtomicU64::new(0));
        let threads = (0..clients)
            .map(|_| {
                let (done, batches) = (Arc::clone(&done), Arc::clone(&batches));
                let mut stream = shard.connect();
                std::thread::spawn(move || {
                    while !done.load(Ordering::Acquire) {
                        ping(&mut stream, 50);
                        batches.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Load {
            done,
            batches,
            threads,
        }
    }

    /// Ends the load; answers how many batches were served.
    fn end(self) -> u64 {
        self.done.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.batches.load(Ordering::Relaxed)
    }
}

/// Writes a file in blocks, each synced, and reads it back.
async fn write_and_read(path: PathBuf, blocks: usize) -> usize {
    let file: BufferedFile = OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .buffered_open(&path)
        .await
        .unwrap();
    const BLOCK: usize = 4096;
    for i in 0..blocks {
        let block = vec![i as u8; BLOCK];
        let written = file.write_at(block, (i * BLOCK) as u64).await.unwrap();
        assert_eq!(written, BLOCK);
        file.fdatasync().await.unwrap();
    }
    let mut right = 0;
    for i in 0..blocks {
        let block = file.read_at((i * BLOCK) as u64, BLOCK).await.unwrap();
        right += usize::from(block.iter().all(|b| *b == i as u8));
    }
    file.close().await.unwrap();
    right
}

fn work(name: &'static str, blocks: usize) -> (Receiver<usize>, impl FnOnce(&Background) + Send) {
    let (done, result): (Sender<usize>, _) = channel();
    let path = std::env::temp_dir().join(format!("shoal-{name}-{}.data", std::process::id()));
    let start = move |background: &Background| {
        background.spawn(async move {
            let right = write_and_read(path.clone(), blocks).await;
            let _ = std::fs::remove_file(path);
            done.send(right).unwrap();
        });
    };
    (result, start)
}

#[test]
fn files_are_written_while_clients_keep_the_loop_busy() {
    let (result, start) = work("busy-file", 40);
    let shard = Shard::start("busy-file", start);
    let load = Load::on(&shard, 2);
    assert_eq!(result.recv_timeout(PATIENCE).unwrap(), 40);
    assert!(load.end() > 0);
    shard.stop();
}

#[test]
fn files_are_written_while_no_client_is_there() {
    let (result, start) = work("idle-file", 40);
    let shard = Shard::start("idle-file", start);
    assert_eq!(result.recv_timeout(PATIENCE).unwrap(), 40);
    shard.stop();
}

#[test]
fn many_tasks_and_timers_all_come_to_their_end_under_load() {
    const TASKS: usize = 100;
    let (done, results) = channel();
    let shard = Shard::start("tasks", move |background| {
        for i in 0..TASKS {
            let done = done.clone();
            background.spawn(async move {
                for _ in 0..20 {
                    glommio::executor().yield_task_queue_now().await;
                }
                glommio::timer::sleep(Duration::from_millis(i as u64 % 10)).await;
                done.send(i).unwrap();
            });
        }
    });
    let load = Load::on(&shard, 2);
    let mut ended: Vec<usize> = (0..TASKS)
        .map(|_| results.recv_timeout(PATIENCE).unwrap())
        .collect();
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..TASKS));
    load.end();
    shard.stop();
}

#[test]
fn clients_are_served_while_a_task_is_always_ready() {
    let quit = Arc::new(AtomicBool::new(false));
    let turns = Arc::new(AtomicU64::new(0));
    let (its_quit, its_turns) = (Arc::clone(&quit), Arc::clone(&turns));
    let shard = Shard::start("ready", move |background| {
        background.spawn(async move {
            while !its_quit.load(Ordering::Acquire) {
                its_turns.fetch_add(1, Ordering::Relaxed);
                glommio::executor().yield_task_queue_now().await;
            }
        });
    });
    let mut stream = shard.connect();
    for _ in 0..1000 {
        ping(&mut stream, 1);
    }
    assert!(turns.load(Ordering::Relaxed) > 0, "the task had no turn");
    quit.store(true, Ordering::Release);
    ping(&mut stream, 1);
    shard.stop();
}

#[test]
fn the_shard_ends_while_work_is_outstanding() {
    let shard = Shard::start("ending", |background| {
        background.spawn(glommio::timer::sleep(Duration::from_secs(3600)));
    });
    ping(&mut shard.connect(), 1);
    shard.stop();
}
