//! The limit of a machine holds, and the machine survives it.

use super::{check, finish, run, start};
use crate::{Turn, Vm, VmOptions};

const LIMIT: usize = 8 << 20;

fn small() -> Vm {
    let options = VmOptions {
        memory_limit: LIMIT,
        ..VmOptions::default()
    };
    Vm::new(options).expect("a machine starts")
}

/// Whatever fills memory is refused, below the ceiling, and nothing is left of it.
#[test]
fn a_machine_survives_its_limit() {
    let vm = small();
    for body in [
        "local t={} for i=1,1e9 do t[i]=i end",
        "local t={} for i=1,1e9 do t[i]='x'..i end",
        "local t={} for i=1,1e9 do t[i]={} end",
        "local t={} for i=1,1e9 do t[i]=function() return i end end",
        "local t={} for i=1,1e9 do t[i]=coroutine.create(function() end) end",
        "local s='x' while true do s=s..s end",
        "return ('x'):rep(1e8)",
        "return ('xxxxxxxxxx'):rep(1e6)..('y'):rep(1e7)",
        "local t={} for i=1,1e5 do t[i]=('x'):rep(100) end return table.concat(t)",
        "return (('x'):rep(1e6):gsub('x','xxxxxxxxxxxxxxxxxxxx'))",
        "local s=('\"'):rep(1e6) local t={} for i=1,100 do t[i]=s end return cjson.encode(t)",
        "return cjson.decode('['..('[],'):rep(2e5)..'1]')",
        "local s=('x'):rep(1e6) local t={} for i=1,100 do t[i]=s end return cmsgpack.pack(t)",
        "return cmsgpack.unpack('\\221\\0\\15\\255\\255'..('\\144'):rep(1e6))",
        "local s=('x'):rep(1e6) return struct.pack(('s'):rep(100),unpack({s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s}))",
        "assert(loadstring('return {'..('{},'):rep(1.5e6)..'}'))",
        "local t={} for i=1,1e9 do t[i]=redis.call('echo',('x'):rep(1000)..i) end",
    ] {
        let reply = run(&vm, body);
        assert!(reply.starts_with("-ERR"), "{body}: {}", reply.len());
        assert!(vm.memory_used() < LIMIT * 2, "{body}: {}", vm.memory_used());
        check(&vm, "collectgarbage() return 1", ":1\r\n");
        assert!(
            vm.memory_used() < LIMIT / 4,
            "{body}: {} left",
            vm.memory_used()
        );
    }
}

#[test]
fn running_out_can_be_caught() {
    let vm = small();
    check(
        &vm,
        "local ok, why = pcall(string.rep,'x',1e7) return {tostring(ok), why}",
        "not enough memory",
    );
    check(
        &vm,
        "local s='x' while true do s=s..s end",
        "-ERR Error running script ",
    );
}

/// Garbage does not count: much more than the limit goes by.
#[test]
fn garbage_is_collected_before_anything_is_refused() {
    let vm = small();
    for body in [
        "for i=1,2000 do local s=('x'):rep(1e5) end return 1",
        "local s=('x'):rep(3e6) for i=1,100 do local t=s..i end return 1",
        "for i=1,1e6 do local t={i} end return 1",
        "for i=1,3e5 do local t='x'..i end return 1",
        "for i=1,100 do redis.call('echo',('x'):rep(1e5)) end return 1",
        "for i=1,20 do cjson.decode('['..('[],'):rep(1e4)..'1]') end return 1",
        "local keep={} for i=1,5e4 do keep[i]={} end for i=1,2e5 do local t={i} end return 1",
    ] {
        check(&vm, body, ":1\r\n");
    }
}

#[test]
fn a_long_answer_that_does_not_fit_ends_the_script_only() {
    let vm = small();
    let mut run = start(&vm, "return #redis.call('get','k')");
    run.resume();
    let answer = [&b"$20000000\r\n"[..], &vec![b'x'; 20_000_000], b"\r\n"].concat();
    assert_eq!(run.answer(&answer), Turn::Failed);
    assert!(finish(run).contains("not enough memory"));
    check(&vm, "collectgarbage() return 1", ":1\r\n");
}
