//! What no other server is asked about: that scripts can be suspended and ended anywhere, that what we
//! changed in the engine holds, that bounds are bounds.

mod hardening;
mod library;
mod memory;
mod property;
mod suspension;

use crate::{Request, Run, Script, Turn, Vm, VmOptions};
use resp::{Protocol, Reply};

pub fn vm() -> Vm {
    Vm::new(VmOptions::default()).expect("a machine starts")
}

pub fn start(vm: &Vm, body: &str) -> Run {
    let script = Script::parse(body.as_bytes()).expect("it has no shebang");
    vm.start(
        &script,
        [&b"key"[..]].into_iter(),
        [&b"arg"[..]].into_iter(),
    )
    .unwrap_or_else(|why| panic!("{body}: {why}"))
}

/// Runs to the end, with a host that answers each call with its last argument.
pub fn finish(mut run: Run) -> String {
    let mut turn = run.turn().unwrap_or_else(|| run.resume());
    loop {
        turn = match turn {
            Turn::Asked(Request::Call | Request::Pcall) => {
                let last = run.args().last().expect("a call has arguments");
                let mut reply = Reply::new(Protocol::Resp2);
                reply.bulk(last);
                run.answer(&reply.to_vec())
            }
            Turn::Asked(_) => run.answer(b"+OK\r\n"),
            Turn::Paused => run.resume(),
            Turn::Done | Turn::Failed => break,
        };
    }
    let mut reply = Reply::new(Protocol::Resp2);
    run.write(&mut reply);
    String::from_utf8_lossy(&reply.to_vec()).into_owned()
}

pub fn run(vm: &Vm, body: &str) -> String {
    finish(start(vm, body))
}

/// A script answers this integer, string, or error text.
pub fn check(vm: &Vm, body: &str, expected: &str) {
    let reply = run(vm, body);
    assert!(
        reply.contains(expected),
        "{body}\nanswers {reply:?}\nnot {expected:?}"
    );
}
