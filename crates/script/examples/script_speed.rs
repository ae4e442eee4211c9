//! Nanoseconds of a script with a host that answers at once: `cargo run --release -p shoal-script
//! --example script_speed`.

use resp::{Protocol, Reply};
use script::{Error, Script, Turn, Vm, VmOptions};
use std::hint::black_box;
use std::iter;
use std::time::Instant;

/// Runs in a round: few, so that some rounds are not disturbed.
const RUNS: u32 = 5_000;

const ROUNDS: u32 = 200;

/// Runs of the best of several rounds.
fn best(rounds: u32, mut run: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let began = Instant::now();
        run();
        best = best.min(began.elapsed().as_nanos() as f64);
    }
    best
}

fn main() -> Result<(), Error> {
    let vm = Vm::new(VmOptions::default())?;
    let get = Script::parse(b"return redis.call('get',KEYS[1])")?;
    let loops = Script::parse(b"for i=1,1000 do redis.call('get',KEYS[1]) end")?;
    let nothing = Script::parse(b"return 1")?;
    let mut reply = Reply::new(Protocol::Resp2);
    let mut once = |script: &Script| {
        let keys = iter::once(&b"key:000000001234"[..]);
        let mut run = vm.start(script, keys, iter::empty()).expect("it compiles");
        let mut turn = run.resume();
        while let Turn::Asked(_) = turn {
            black_box(run.args());
            turn = run.answer(b"$16\r\n0123456789abcdef\r\n");
        }
        reply.clear();
        run.write(&mut reply);
        black_box(reply.bytes());
    };
    let runs = f64::from(RUNS);
    let empty = best(ROUNDS, || (0..RUNS).for_each(|_| once(&nothing))) / runs;
    let one = best(ROUNDS, || (0..RUNS).for_each(|_| once(&get))) / runs;
    let many = best(ROUNDS, || (0..RUNS / 1000).for_each(|_| once(&loops))) / runs;
    println!("return 1                                 {empty:6.0} ns a run");
    println!("return redis.call('get',KEYS[1])         {one:6.0} ns a run");
    println!("1000 calls in a loop                     {many:6.0} ns a call");
    Ok(())
}
