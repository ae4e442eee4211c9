//! What we changed in the engine: each test fails without one of the edits.

use super::{check, run, start, vm};
use crate::{Script, Turn, Vm, VmOptions};

#[test]
fn unpack_knows_its_bounds() {
    let vm = vm();
    for range in [
        "0,2^31-1",
        "-2^31,2^31-1",
        "-2^31+1,0",
        "1,1e8",
        "1,8000",
        "2^31-9000,2^31-1",
    ] {
        let body = format!("return {{unpack({{}},{range})}}");
        check(&vm, &body, "too many results to unpack");
    }
    check(&vm, "return select('#',unpack({},2^31-8,2^31-1))", ":8\r\n");
    check(&vm, "return select('#',unpack({},2,1))", ":0\r\n");
}

#[test]
fn bytecode_is_not_loaded() {
    let vm = vm();
    let dumped = "string.dump(function() return 1 end)";
    check(&vm, &format!("return type(loadstring({dumped}))"), "nil");
    let load =
        format!("local d={dumped} return type(load(function() local x=d d=nil return x end))");
    check(&vm, &load, "nil");
    check(&vm, &format!("return #{dumped} > 10"), ":1");
    let script = Script::parse(b"\x1bLua").expect("it has no shebang");
    let why = vm.compile(&script).expect_err("that is no text");
    assert!(
        why.to_string()
            .contains("unexpected symbol near 'char(27)'"),
        "{why}"
    );
}

#[test]
fn patterns_have_a_depth() {
    let vm = vm();
    for pattern in ["('a?'):rep(3e5)", "('(a)'):rep(33)", "('a?'):rep(250)"] {
        let body = format!("return ('a'):rep(4e5):find({pattern})");
        let reply = run(&vm, &body);
        assert!(
            reply.contains("pattern too complex") || reply.contains("too many captures"),
            "{body}: {reply}"
        );
    }
    // An error in a pattern leaves no depth behind, where the next call has its state.
    for call in [
        "string.find,'aaa','a?a?a?['",
        "string.gsub,'aaa','a?a?a?[',''",
        "string.gmatch('aaa','a?a?a?[')",
    ] {
        let body = format!("local ok, why for i=1,300 do ok, why = pcall({call}) end return why");
        check(&vm, &body, "malformed pattern");
    }
    let body = "return select(2,('ab'):rep(1000):gsub('(a?)(b?)','%2%1'))";
    check(&vm, body, ":1001\r\n");
}

/// However often a script changes between coroutines, it pauses after so many instructions.
#[test]
fn coroutines_count_as_the_script() {
    let vm = vm();
    let body =
        "while true do coroutine.wrap(function() for i=1,3e4 do end end)() redis.call('x') end";
    let mut run = start(&vm, body);
    let mut turn = run.resume();
    for _ in 0..5 {
        if let Turn::Asked(_) = turn {
            turn = run.answer(b"+OK\r\n");
        }
    }
    assert_eq!(turn, Turn::Paused);
}

/// Loops in C that go on for minutes, if nobody counts.
#[test]
fn loops_in_c_pause() {
    for body in [
        "return ('a'):rep(300):rep(300):find('.-.-.-.-b')",
        "return ('a'):rep(300):rep(300):find('a*a*a*a*b')",
        "return ('('):rep(1e3):rep(1e3):gsub('%b()','')",
        "return ('a'):rep(1e3):rep(1e3):match('a-b')",
        "local t={} for i=1,2e4 do t[i]=(i*7919)%2e4 end for i=1,1e6 do table.sort(t) end",
        "local t={} for i=1,2e4 do t[i]=i end for i=1,1e6 do table.insert(t,1,1) end",
        "local t={} for i=1,2e4 do t[i]=i end for i=1,1e6 do table.remove(t,1) t[#t+1]=1 end",
        "table.insert({},-2^31,1)",
        "local function f(...) return f(1,...) end f()",
        "return ('a'):rep(2e8)",
    ] {
        let vm = vm();
        let mut run = start(&vm, body);
        for pause in 0..3 {
            let turn = run.resume();
            assert_eq!(turn, Turn::Paused, "{body}: after {pause} pauses");
        }
        assert_eq!(run.kill(b"ERR killed"), Turn::Failed, "{body}");
        assert_eq!(
            run.error(),
            [
                &b"ERR killed script: "[..],
                sha(body).as_bytes(),
                b", on @user_script:1."
            ]
            .concat()
        );
    }
}

fn sha(body: &str) -> String {
    String::from_utf8_lossy(&Script::sha_of(body.as_bytes())).into_owned()
}

#[test]
fn a_repetition_of_nothing_takes_no_time() {
    check(&vm(), "for i=1,1000 do (''):rep(2^31-1) end return 1", ":1");
    check(
        &vm(),
        "return ('ab'):rep(2^31-1)",
        "resulting string too large",
    );
}

#[test]
fn plain_searches_take_linear_time() {
    // The product of the lengths is 10^13.
    let body = "local n=4e6 return tostring((('a'):rep(n)):find(('a'):rep(n/2)..'b',1,true))";
    check(&vm(), body, "nil");
    check(
        &vm(),
        "return {('xabcabd'):find('abd',1,true)}",
        "*2\r\n:5\r\n:7\r\n",
    );
    check(
        &vm(),
        "return {('x'):find('',1,true)}",
        "*2\r\n:1\r\n:0\r\n",
    );
}

#[test]
fn shared_tables_are_read_only() {
    let vm = vm();
    for change in [
        "x = 1",
        "_G.x = 1",
        "rawset(_G,'x',1)",
        "rawset(string,1,1)",
        "setmetatable(_G,{})",
        "setmetatable(string,nil)",
        "getmetatable('').__index = nil",
        "rawset(getmetatable(''),'__index',nil)",
        "getmetatable(_G).__index = nil",
        "table.insert(cjson,1)",
        "table.insert(math,1,1)",
        "redis.call = nil",
        "server.call = nil",
        "os.clock = nil",
        "table.sort(setmetatable(bit,{}))",
        "coroutine.wrap = 1",
        "string.len = nil",
    ] {
        check(&vm, change, "Attempt to modify a readonly table");
        let caught = format!("pcall(function() {change} end) return 1");
        check(&vm, &caught, ":1\r\n");
    }
    // The names are there as before.
    check(&vm, "return ('x'):len() + type(redis.call):len()", ":9\r\n");
    // Tables of the script's own are not.
    check(
        &vm,
        "KEYS[2]='x' local t={} t.x=1 setmetatable(t,{}) return #KEYS",
        ":2\r\n",
    );
}

/// The name is only a C string to the parser if it has a zero byte in it, so that nothing else keeps
/// it; then a collection while the chunk is read finds it unused.
#[test]
fn a_chunk_keeps_its_name() {
    let body = "
        local n = 0
        local function reader()
            n = n + 1
            for i = 1, 100 do
                local waste = ('x'):rep(20 + i)
                collectgarbage()
            end
            if n < 5 then return ' local a' .. n .. ' = 1 ' end
            if n == 5 then return ' + ' end
        end
        local f, why = load(reader, '=a name that is long enough to be its own\\0')
        return why";
    check(&vm(), body, "a name that is long enough to be its own:1:");
}

#[test]
fn long_brackets_of_many_levels_are_read() {
    let level = "=".repeat(100_000);
    check(&vm(), &format!("return #[{level}[abc]{level}]"), ":3\r\n");
    let body = format!("return loadstring('return [{level}[abc') == nil");
    check(&vm(), &body, ":1\r\n");
}

#[test]
fn the_collector_cannot_be_stopped() {
    let options = VmOptions {
        memory_limit: 4 << 20,
        ..VmOptions::default()
    };
    let vm = Vm::new(options).expect("a machine starts");
    let body =
        "collectgarbage('stop') collectgarbage('setpause',1e9) collectgarbage('setstepmul',1)
        local s = ('x'):rep(1e5) for i=1,1000 do local t = s .. i end return 1";
    check(&vm, body, ":1\r\n");
}

#[test]
fn hexadecimal_of_the_smallest_integer_has_eight_digits() {
    check(&vm(), "return bit.tohex(255,-2^31)", "$8\r\n000000FF\r\n");
}

#[test]
fn nested_c_calls_fit_the_stack() {
    let vm = vm();
    let body =
        "local function f(n) return (('x'):gsub('x',function() return f(n+1) end)) end return f(1)";
    let reply = run(&vm, body);
    assert!(reply.starts_with("-ERR"), "{reply}");
    let body = "local function f(s) return (('x'):gsub('x',function() return cjson.encode(cjson.decode(s)) and f(s) end)) end
        return f(('['):rep(900)..(']'):rep(900))";
    let reply = run(&vm, body);
    assert!(reply.starts_with("-ERR"), "{reply}");
    let body =
        "local t={} for i=1,3000 do t={t} end cjson.encode_max_depth(1e6) return #cjson.encode(t)";
    let reply = run(&vm, body);
    assert!(
        reply.starts_with(':') || reply.contains("excessive nesting"),
        "{reply}"
    );
    let body = "return #cmsgpack.unpack(('\\145'):rep(1e6))";
    let reply = run(&vm, body);
    assert!(
        reply.contains("stack overflow") || reply.contains("Missing"),
        "{reply}"
    );
}
