//! Scripts ask, pause, wait, and are ended, wherever they are.

use super::{check, finish, run, start, vm};
use crate::{Request, Run, Turn, Vm};
use resp::{Protocol, Reply};

/// Places from which a script asks, each as code that has `ask()` once, and answers 'answer'.
const PLACES: &[&str] = &[
    "return ask()",
    "local ok, v = pcall(ask) return v",
    "local ok, v = xpcall(ask, function(e) return e end) return v",
    "local ok, v = xpcall(function() error('x') end, function() return ask() end) return v",
    "return coroutine.wrap(function() return ask() end)()",
    "return coroutine.wrap(function() return coroutine.wrap(ask)() end)()",
    "local co = coroutine.create(function() coroutine.yield(ask()) end) local _, v = coroutine.resume(co) return v",
    "return (('x'):gsub('x', ask))",
    "local v; table.sort({1,2}, function(a,b) v = v or ask() return a < b end) return v",
    "return setmetatable({}, {__index = function() return ask() end}).x",
    "return setmetatable({}, {__add = function() return ask() end}) + 1",
    "return setmetatable({}, {__concat = function() return ask() end}) .. 'x'",
    "return setmetatable({}, {__call = function() return ask() end})()",
    "local m = {__lt = function() return ask() == 'answer' end} local a, b = setmetatable({}, m), setmetatable({}, m) return a < b and 'answer'",
    "local m = {__eq = function() return ask() == 'answer' end} local a, b = setmetatable({}, m), setmetatable({}, m) return a == b and 'answer'",
    "local v; table.foreach({1}, function() v = ask() end) return v",
    "local v; load(function() v = v or ask() end) return v",
    "local v; for x in function() v = not v and ask() or nil return v end do return x end",
    "return loadstring('return ...')(ask())",
    "return select(1, unpack({ask()}))",
];

fn with_ask(place: &str) -> String {
    format!("local function ask() return redis.call('echo','answer') end {place}")
}

#[test]
fn scripts_can_ask_anywhere() {
    let vm = vm();
    for place in PLACES {
        check(&vm, &with_ask(place), "$6\r\nanswer\r\n");
    }
}

#[test]
fn scripts_can_be_ended_where_they_ask() {
    let vm = vm();
    for place in PLACES {
        let mut run = start(&vm, &with_ask(place));
        assert_eq!(run.resume(), Turn::Asked(Request::Call), "{place}");
        assert_eq!(run.kill(b"ERR killed"), Turn::Failed, "{place}");
        let error = String::from_utf8_lossy(&run.error()).into_owned();
        assert!(error.starts_with("ERR killed script: "), "{place}: {error}");
    }
    check(&vm, "return 1", ":1\r\n");
}

#[test]
fn scripts_can_be_abandoned_where_they_ask() {
    let vm = vm();
    for place in PLACES {
        let caught = format!(
            "local function try() {} end while true do pcall(try) xpcall(try, try) pcall(coroutine.wrap(try)) end",
            with_ask(place)
        );
        let mut run = start(&vm, &caught);
        assert_eq!(run.resume(), Turn::Asked(Request::Call), "{place}");
        drop(run);
    }
    check(&vm, "return 1", ":1\r\n");
}

/// Nothing that a script can do holds the error that ends it.
#[test]
fn endless_scripts_end() {
    let vm = vm();
    for body in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() while true do pcall(f) end end f()",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "while true do pcall(coroutine.wrap(function() while true do end end)) end",
        "while true do load(function() while true do end end) end",
        "while true do pcall(string.gsub, 'x', 'x', function() while true do end end) end",
        "while true do pcall(table.sort, {1,2,3}, function() while true do end end) end",
        "setmetatable({}, {__index = function() while true do end end}).x()",
        "while true do pcall(string.rep, 'x', 1e5) end",
    ] {
        let mut run = start(&vm, body);
        for _ in 0..3 {
            assert_eq!(run.resume(), Turn::Paused, "{body}");
        }
        assert_eq!(run.kill(b"ERR killed"), Turn::Failed, "{body}");
        let mut run = start(&vm, body);
        assert_eq!(run.resume(), Turn::Paused, "{body}");
        drop(run);
    }
    check(&vm, "return 1", ":1\r\n");
}

#[test]
fn a_script_that_has_not_begun_is_dropped() {
    let vm = vm();
    drop(start(&vm, "return 1"));
    let mut run = start(&vm, "return 1");
    assert_eq!(run.kill(b"ERR killed"), Turn::Failed);
    let mut reply = Reply::new(Protocol::Resp2);
    run.write(&mut reply);
    assert_eq!(reply.bytes(), b"-ERR killed\r\n");
}

#[test]
fn suspended_scripts_do_not_see_each_other() {
    let vm = vm();
    let body = |n: i32| {
        format!(
            "local n = {n} KEYS[1] = n redis.setresp(n % 2 + 2) redis.call('a', n) ARGV[1] = n redis.call('b', n) return {{n, KEYS[1], ARGV[1], #KEYS}}"
        )
    };
    let mut runs: Vec<Run> = (0..50).map(|n| start(&vm, &body(n))).collect();
    for run in &mut runs {
        assert_eq!(run.resume(), Turn::Asked(Request::Call));
    }
    for (n, run) in runs.iter_mut().enumerate() {
        assert_eq!(run.args(), [b"a".to_vec(), n.to_string().into_bytes()]);
        let protocol = if n % 2 == 0 {
            Protocol::Resp2
        } else {
            Protocol::Resp3
        };
        assert_eq!(run.protocol(), protocol);
        let turn = run.answer(b"+OK\r\n");
        if turn == Turn::Failed {
            panic!("{}", String::from_utf8_lossy(&run.error()));
        }
    }
    for (n, run) in runs.into_iter().enumerate().rev() {
        assert_eq!(finish(run), format!("*4\r\n:{n}\r\n:{n}\r\n:{n}\r\n:1\r\n"));
    }
}

#[test]
fn the_host_hears_what_is_asked() {
    let vm = vm();
    let body = "redis.log(redis.LOG_WARNING, 'a', 1, true, 'b') redis.set_repl(redis.REPL_AOF)
        local allowed = redis.acl_check_cmd('get', 'x') return redis.pcall('x', 1.5, -3, 'y')";
    let mut run = start(&vm, body);
    assert_eq!(run.resume(), Turn::Asked(Request::Log(3)));
    assert_eq!(run.args(), [b"a 1 b"]);
    assert_eq!(run.answer(b"+OK\r\n"), Turn::Asked(Request::SetRepl(1)));
    assert_eq!(run.answer(b"+OK\r\n"), Turn::Asked(Request::AclCheck));
    assert_eq!(run.args(), [b"get", &b"x"[..]]);
    assert_eq!(run.answer(b":0\r\n"), Turn::Asked(Request::Pcall));
    assert_eq!(run.args(), [b"x", &b"1.5"[..], b"-3", b"y"]);
    assert_eq!(run.answer(b"-ERR no\r\n"), Turn::Done);
    assert_eq!(finish(run), "-ERR no\r\n");
}

#[test]
fn answers_that_are_none_do_no_harm() {
    let vm = vm();
    for answer in [
        &b""[..],
        b"$",
        b"$5\r\nab",
        b"*3\r\n:1\r\n",
        b"*99999999999\r\n",
        b"%1\r\n:1\r\n",
        b"?\r\n",
        b":x\r\n",
        b"$99999999999999999999\r\n",
        b"=2\r\nab\r\n",
        b"|1\r\n+a\r\n",
        b"*-5\r\n",
        b"~-1\r\n",
        b"\r\n",
        b"+",
        b"$-1",
    ] {
        let mut run = start(&vm, "local v = redis.call('x') return type(v)");
        run.resume();
        assert_eq!(run.answer(answer), Turn::Done, "{answer:?}");
    }
    let mut run = start(&vm, "local v = redis.call('x') return type(v)");
    run.resume();
    run.answer(&b"*1\r\n".repeat(100_000));
    assert_eq!(finish(run), "$7\r\nboolean\r\n");
}

/// More runs than are kept, and runs that outlive the handle of their machine.
#[test]
fn runs_keep_their_machine() {
    let vm = vm();
    let mut runs: Vec<Run> = (0..40)
        .map(|_| start(&vm, "return redis.call('x','y')"))
        .collect();
    runs.iter_mut().for_each(|run| {
        run.resume();
    });
    drop(vm);
    for run in runs.drain(..20) {
        assert_eq!(finish(run), "$1\r\ny\r\n");
    }
}

#[test]
fn forgotten_scripts_run_on() {
    let vm: Vm = vm();
    let run_on = {
        let mut run = start(&vm, "redis.call('x') return 'still here'");
        run.resume();
        run
    };
    vm.forget_all();
    for n in 0..100 {
        run(&vm, &format!("return ('x'):rep({n})"));
    }
    assert_eq!(finish(run_on), "$10\r\nstill here\r\n");
}
