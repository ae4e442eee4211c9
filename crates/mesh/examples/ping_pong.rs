//! What a message between two cores costs, and a look at what came.
//!
//! ```sh
//! cargo run --release -p shoal-mesh --example ping_pong
//! ```
//!
//! One core sends a batch of requests, the other answers each, and the next batch goes when all
//! answers are there. A core that has nothing to do either looks again at once ("spinning") or waits
//! for an eventfd ("sleeping"). CPU time is that of both threads; a round trip is two messages. The
//! figures are the best of many short trials: whatever else runs on these cores can only add to them,
//! by a time slice whenever a spinning thread loses its core.

use mesh::{Limits, Node, connect};
use std::fs::File;
use std::hint::{black_box, spin_loop};
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const LIMITS: Limits = Limits {
    ring: 256,
    outbox: 256,
};

const TRIALS: usize = 25;

/// About the size of what the server sends.
type Message = [u64; 8];

fn main() {
    pin(0);
    println!("two cores               batch   ns/message  CPU ns/message  wake-ups/message");
    for sleeps in [false, true] {
        for batch in [1, 8, 64] {
            let how = if sleeps { "sleeping" } else { "spinning" };
            let rounds = if sleeps { 1_000 } else { 5_000 };
            let trials: Vec<Cost> = (0..TRIALS)
                .map(|_| ping_pong(batch, rounds, sleeps))
                .collect();
            let per_message = |f: fn(&Cost) -> f64| {
                let best = trials.iter().map(f).fold(f64::INFINITY, f64::min);
                best / (2 * batch * rounds) as f64
            };
            println!(
                "{how:<22} {batch:>6} {:>12.1} {:>15.1} {:>17.3}",
                per_message(|cost| cost.wall.as_nanos() as f64),
                per_message(|cost| cost.cpu.as_nanos() as f64),
                per_message(|cost| cost.wakes as f64)
            );
        }
    }
    println!("\ncores   ns per peek_inbound   ns per empty pass");
    for cores in [2, 4, 8, 16, 64] {
        let (peek, pass) = idle(cores);
        println!("{cores:>5} {peek:>21.1} {pass:>19.1}");
    }
}

struct Cost {
    wall: Duration,
    cpu: Duration,
    wakes: u64,
}

fn ping_pong(batch: u64, rounds: u64, sleeps: bool) -> Cost {
    let mut nodes = connect::<Message, Message>(2, LIMITS).into_iter();
    let (mut client, mut server) = (nodes.next().unwrap(), nodes.next().unwrap());
    let beds = Arc::new([eventfd(), eventfd()]);
    let theirs = beds.clone();
    let (started, cpu) = (Instant::now(), cpu_time());
    let serving = thread::spawn(move || {
        pin(1);
        let mut served = 0;
        while served < batch * rounds {
            server.begin_drain();
            while let Some((from, message)) = server.receive_request() {
                server.send_reply(from, message);
                served += 1;
            }
            end_pass(&mut server, &theirs, sleeps && served < batch * rounds);
        }
        server.counters().wakes
    });
    for round in 0..rounds {
        for i in 0..batch {
            client.send_request(1, [round, i, 0, 0, 0, 0, 0, 0]);
        }
        let mut answers = 0;
        while answers < batch {
            end_pass(&mut client, &beds, sleeps);
            client.begin_drain();
            while let Some((_, message)) = client.receive_reply() {
                assert_eq!(message[..2], [round, answers]);
                answers += 1;
            }
        }
    }
    let wakes = serving.join().unwrap() + client.counters().wakes;
    Cost {
        wall: started.elapsed(),
        cpu: cpu_time() - cpu,
        wakes,
    }
}

fn end_pass(node: &mut Node<Message, Message>, beds: &[File; 2], sleeps: bool) {
    node.flush(|to| (&beds[to]).write_all(&1u64.to_ne_bytes()).unwrap());
    if !sleeps {
        spin_loop();
    } else if node.prepare_sleep() {
        (&beds[node.core()]).read_exact(&mut [0; 8]).unwrap();
        node.woke();
    }
}

/// Nanoseconds of a look and of a pass when nothing has come.
fn idle(cores: usize) -> (f64, f64) {
    let mut nodes = connect::<Message, Message>(cores, LIMITS);
    let node = &mut nodes[0];
    let peek = time(|| {
        black_box(node.peek_inbound());
    });
    let pass = time(|| {
        node.begin_drain();
        black_box(node.receive_reply());
        black_box(node.receive_request());
        node.flush(|_| ());
    });
    (peek, pass)
}

fn time(mut f: impl FnMut()) -> f64 {
    const TIMES: u32 = 1_000_000;
    let started = Instant::now();
    for _ in 0..TIMES {
        f();
    }
    started.elapsed().as_nanos() as f64 / f64::from(TIMES)
}

fn eventfd() -> File {
    // SAFETY: makes a new descriptor.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    assert!(fd >= 0, "eventfd: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is new and nobody else's.
    unsafe { File::from_raw_fd(fd) }
}

/// Keeps this thread on one core, so that the scheduler does not put both on the same.
fn pin(core: usize) {
    // SAFETY: a set of cores is plain bits, and outlives the call.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    assert_eq!(failed, 0, "this needs cores 0 and 1");
}

/// Of all threads of this process.
fn cpu_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time outlives the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    assert_eq!(failed, 0);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
