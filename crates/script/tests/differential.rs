//! Scripts that have no secrets, run here and by a Redis server, whose replies must be equal byte for
//! byte. The server is the `redis-server` of PATH; without one there is nothing to compare with, and
//! the test says so.
//!
//! Commands that a script calls here are sent to the same server, so scripts may use data.

use resp::{Protocol, Reply};
use script::{Request, Run, Script, Turn, Vm, VmOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{process, thread};

struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    fn start(offset: u16) -> Option<Server> {
        let port = 17_100 + (process::id() % 400) as u16 * 2 + offset;
        let child = Command::new("redis-server")
            .args([
                "--save",
                "",
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
            ])
            .args(["--enable-debug-command", "yes"])
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        Some(Server { child, port })
    }

    fn connect(&self) -> Connection {
        for _ in 0..200 {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                stream.set_nodelay(true).expect("a socket has this option");
                return Connection {
                    stream,
                    received: Vec::new(),
                };
            }
            thread::sleep(Duration::from_millis(25));
        }
        panic!("the server does not listen");
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    fn call(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&request).expect("the server reads");
        loop {
            if let Some(len) = reply_len(&self.received) {
                return self.received.drain(..len).collect();
            }
            let mut buffer = [0; 65536];
            let len = self.stream.read(&mut buffer).expect("the server answers");
            assert!(
                len > 0,
                "the server is gone: {:?}",
                String::from_utf8_lossy(args[1])
            );
            self.received.extend_from_slice(&buffer[..len]);
        }
    }
}

/// Bytes of the first reply, if all of it is there.
fn reply_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut left = 1usize;
    while left > 0 {
        let line = bytes[at..].windows(2).position(|w| w == b"\r\n")?;
        let text = std::str::from_utf8(&bytes[at + 1..at + line]).unwrap_or("");
        let count = text.parse().unwrap_or(0isize).max(0) as usize;
        let kind = bytes[at];
        at += line + 2;
        left -= 1;
        match kind {
            b'$' | b'=' if !text.starts_with('-') => at += count + 2,
            b'*' | b'~' | b'>' => left += count,
            b'%' => left += count * 2,
            _ => {}
        }
        if at > bytes.len() {
            return None;
        }
    }
    Some(at)
}

/// Answers what a script asks, by asking the server.
fn serve(run: &mut Run, data: &mut Connection) -> Turn {
    let mut turn = run.resume();
    loop {
        let answer = match turn {
            Turn::Asked(Request::Call | Request::Pcall) => {
                let version: &[u8] = match run.protocol() {
                    Protocol::Resp2 => b"2",
                    Protocol::Resp3 => b"3",
                };
                data.call(&[b"hello", version]);
                let reply = data.call(run.args());
                in_a_script(reply)
            }
            Turn::Asked(Request::AclCheck) => match run.args()[0] {
                b"nosuch" => b"-ERR Invalid command passed to redis.acl_check_cmd()\r\n".to_vec(),
                _ => b":1\r\n".to_vec(),
            },
            Turn::Asked(Request::Log(_) | Request::SetRepl(_)) => b"+OK\r\n".to_vec(),
            Turn::Paused => {
                turn = run.resume();
                continue;
            }
            Turn::Done | Turn::Failed => return turn,
        };
        turn = run.answer(&answer);
    }
}

/// Errors about the call itself read differently within a script.
fn in_a_script(reply: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&reply);
    if text.starts_with("-ERR unknown command") {
        return b"-ERR Unknown Redis command called from script\r\n".to_vec();
    }
    if text.starts_with("-ERR wrong number of arguments") {
        return b"-ERR Wrong number of args calling Redis command from script\r\n".to_vec();
    }
    reply
}

fn ours(vm: &Vm, data: &mut Connection, protocol: Protocol, body: &[u8]) -> Vec<u8> {
    let mut reply = Reply::new(protocol);
    let started = Script::parse(body).and_then(|script| {
        let keys = [&b"key1"[..], b"key2"].into_iter();
        let args = [&b"arg1"[..], b"arg2", b"3"].into_iter();
        vm.start(&script, keys, args)
    });
    match started {
        Ok(mut run) => {
            serve(&mut run, data);
            run.write(&mut reply);
        }
        Err(why) => reply.error(why.text()),
    }
    reply.to_vec()
}

fn theirs(connection: &mut Connection, body: &[u8]) -> Vec<u8> {
    connection.call(&[
        b"eval", body, b"2", b"key1", b"key2", b"arg1", b"arg2", b"3",
    ])
}

#[test]
fn scripts_answer_what_redis_answers() {
    let Some(server) = Server::start(0) else {
        eprintln!("no redis-server in PATH: nothing to compare with");
        return;
    };
    let vm = Vm::new(VmOptions::default()).expect("a machine starts");
    let mut data = server.connect();
    let info = data.call(&[b"info", b"server"]);
    if !String::from_utf8_lossy(&info).contains("redis_version:8.") {
        eprintln!("redis-server is not Redis 8: nothing to compare with");
        return;
    }
    let mut differences = Vec::new();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut eval = server.connect();
        if protocol == Protocol::Resp3 {
            eval.call(&[b"hello", b"3"]);
        }
        for body in include_str!("scripts.txt").lines() {
            data.call(&[b"hello", b"2"]);
            data.call(&[b"flushall"]);
            let their = theirs(&mut eval, body.as_bytes());
            data.call(&[b"flushall"]);
            let our = ours(&vm, &mut data, protocol, body.as_bytes());
            if our != their {
                let show = |reply: &[u8]| {
                    let text = reply.escape_ascii().to_string();
                    text.chars().take(300).collect::<String>()
                };
                differences.push(format!(
                    "{body}\n  theirs {}\n  ours   {}",
                    show(&their),
                    show(&our)
                ));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// Libraries: the reply to FUNCTION LOAD, and then to FCALL of `f`.
const LIBRARIES: &[&str] = &[
    "",
    "return 1",
    "#!lua",
    "#!lua\n",
    "#!\n",
    "#! lua name=x\n",
    "#!lua name=\n",
    "#!lua name=x",
    "#!lua name=x\n",
    "#!lua NAME=x\n",
    "#!LUA name=x\nredis.register_function('f', function() return 1 end)",
    "#!lua  name=x  \nredis.register_function('f', function() return 1 end)",
    "#!lua name=x\r\nredis.register_function('f', function() return 1 end)",
    "#!lua name=x name=y\n",
    "#!lua name=x nam=y\n",
    "#!lua name=x y\n",
    "#!lua name=a-b\n",
    "#!lua name='x'\n",
    "#!js name=x\n",
    "#!js name=a-b\n",
    "#!lua name=x\nif",
    "#!lua name=x\nreturn 1",
    "#!lua name=x\nerror('a')",
    "#!lua name=x\nlocal t = nil; t.x = 1",
    "#!lua name=x\nlocal t = {} .. 'x'",
    "#!lua name=x\nredis.call('get','x')",
    "#!lua name=x\nlocal s = string.len('x')",
    "#!lua name=x\nlocal s = ('x'):rep(3) redis.register_function(s, function() return s end)",
    "#!lua name=x\nx = 1",
    "#!lua name=x\nredis.x = 1",
    "#!lua name=x\nlocal x = _G",
    "#!lua name=x\nlocal x = redis.REDIS_VERSION redis.log(redis.LOG_DEBUG, 'x') redis.register_function('f', function() return x ~= nil end)",
    "#!lua name=x\nredis.register_function()",
    "#!lua name=x\nredis.register_function('f')",
    "#!lua name=x\nredis.register_function('f', 1)",
    "#!lua name=x\nredis.register_function('f', function() end, 1)",
    "#!lua name=x\nredis.register_function(function() end, 'f')",
    "#!lua name=x\nredis.register_function({}, function() end)",
    "#!lua name=x\nredis.register_function('a-b', function() end)",
    "#!lua name=x\nredis.register_function('', function() end)",
    "#!lua name=x\nredis.register_function(12, function() end)",
    "#!lua name=x\nredis.register_function('f', function() end) redis.register_function('f', function() end)",
    "#!lua name=x\nredis.register_function{}",
    "#!lua name=x\nredis.register_function{1}",
    "#!lua name=x\nredis.register_function{[true]=1}",
    "#!lua \"\n",
    "#!lua name=\"x\"y\n",
    "#!lua name=x\nredis.register_function{function_name='f'}",
    "#!lua name=x\nredis.register_function{callback=function() end}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=1}",
    "#!lua name=x\nredis.register_function{function_name={}, callback=function() end}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, description={}}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, flags='x'}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, flags={'x'}}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, flags={1}}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, nosuch=1}",
    "#!lua name=x\nredis.register_function{Function_Name='f', CALLBACK=function() return 5 end, flags={'NO-WRITES'}, description='d'}",
    "#!lua name=x\nredis.register_function{function_name='f', callback=function() return 5 end, flags={}}",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return {keys[1], keys[2], args[1], args[2], #args} end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return KEYS end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return nosuch end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) x = 1 end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) _G.x = 1 end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) redis.x = 1 end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) string.x = 1 end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return redis.register_function('g', function() end) end)",
    "#!lua name=x\nlocal r = redis.register_function redis.register_function('f', function(keys, args) return r('g', function() end) end)",
    "#!lua name=x\nlocal r = redis redis.register_function('f', function(keys, args) return r.call('get', 'x') end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return redis.call('incr', keys[1]) end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return redis.call('nosuch') end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args)\n return redis.pcall('nosuch') end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) error('x') end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) error({err='A b'}) end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return {err='A b'} end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return redis.breakpoint() end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return loadstring('return nosuch')() end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return loadstring('return type(redis)')() end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return cjson.encode(args) end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return setmetatable(_G, {}) end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) return getmetatable(_G) == nil end)",
    "#!lua name=x\nredis.register_function('f', function(keys, args) redis.setresp(3) return {true, {double=1.5}} end)",
    "#!lua name=x\nlocal n = 0 redis.register_function('f', function(keys, args) n = n + 1 return n end)",
];

/// Scripts of several lines, most with a shebang.
const SHEBANGS: &[&str] = &[
    "#!lua\nreturn 1",
    "#!lua",
    "#!lua \nreturn 1",
    "#!LUA\nreturn 1",
    "#!lua \"\nreturn 1",
    "#!lua 'flags=no-writes'\nreturn 1",
    "#! lua\nreturn 1",
    "#!js\nreturn 1",
    "#!\nreturn 1",
    "#!lua flags=no-writes\nreturn redis.call('get','x')",
    "#!lua flags=no-writes,allow-stale\nreturn 1",
    "#!lua flags=\nreturn 1",
    "#!lua flags=no-writes,\nreturn 1",
    "#!lua flags=,\nreturn 1",
    "#!lua flags=nosuch\nreturn 1",
    "#!lua flags=NO-WRITES\nreturn 1",
    "#!lua name=x\nreturn 1",
    "#!lua flags=no-writes flags=allow-oom\nreturn 1",
    "#!lua\nerror('x')",
    "#!lua\n\n\nerror('x')",
    "#!lua\nif",
    "\n\nerror('x')",
    "-- nothing",
    "",
    "return {\n1,\n2}",
    "local function f()\n  error('in f')\nend\nf()",
    "local function f()\n  error('in f', 2)\nend\n\nf()",
    "local ok, e = pcall(function()\n  redis.call('nosuch')\nend)\nerror(e)",
    "return redis.call(\n'nosuch')",
];

#[test]
fn libraries_answer_what_redis_answers() {
    let Some(server) = Server::start(1) else {
        eprintln!("no redis-server in PATH: nothing to compare with");
        return;
    };
    let mut data = server.connect();
    let info = data.call(&[b"info", b"server"]);
    if !String::from_utf8_lossy(&info).contains("redis_version:8.") {
        eprintln!("redis-server is not Redis 8: nothing to compare with");
        return;
    }
    let mut eval = server.connect();
    let compare = |what: &str, their: Vec<u8>, our: Vec<u8>| {
        let (their, our) = (their.escape_ascii(), our.escape_ascii());
        (their.to_string() != our.to_string())
            .then(|| format!("{what:?}\n  theirs {their}\n  ours   {our}"))
    };
    let mut differences = Vec::new();
    for code in LIBRARIES {
        let vm = Vm::new(VmOptions::default()).expect("a machine starts");
        data.call(&[b"function", b"flush"]);
        data.call(&[b"flushall"]);
        let their = eval.call(&[b"function", b"load", code.as_bytes()]);
        let mut our = Reply::new(Protocol::Resp2);
        let library = vm.load_library(code.as_bytes(), Duration::from_millis(500));
        match &library {
            Ok(library) => our.bulk(library.name()),
            Err(why) => our.error(why.text()),
        }
        differences.extend(compare(code, their, our.to_vec()));
        let Ok(library) = library else {
            continue;
        };
        let Some(function) = library.functions().first() else {
            continue;
        };
        let their = eval.call(&[b"fcall", &function.name, b"1", b"key1", b"arg1", b"arg2"]);
        data.call(&[b"hello", b"2"]);
        data.call(&[b"flushall"]);
        let keys = [&b"key1"[..]].into_iter();
        let args = [&b"arg1"[..], b"arg2"].into_iter();
        let run = vm.start_function(&library, &function.name, keys, args);
        let mut run = run.expect("the function is there");
        serve(&mut run, &mut data);
        let mut our = Reply::new(Protocol::Resp2);
        run.write(&mut our);
        differences.extend(compare(code, their, our.to_vec()));
    }
    let vm = Vm::new(VmOptions::default()).expect("a machine starts");
    for body in SHEBANGS {
        let their = theirs(&mut eval, body.as_bytes());
        let our = ours(&vm, &mut data, Protocol::Resp2, body.as_bytes());
        differences.extend(compare(body, their, our));
    }
    let count = differences.len();
    assert!(count == 0, "{count} differ:\n{}", differences.join("\n"));
}
