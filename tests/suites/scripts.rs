//! Scripts and functions: what one client alone does not show.

use crate::judged;
use harness::server::{Directory, until};
use harness::{Connection, Program, Seed, Server, Value, scaled};

/// A script that moves an amount between two accounts whose names it makes, unless there is too little.
const TRANSFER: &str = "
    local from, to = 'account:' .. ARGV[1], 'account:' .. ARGV[2]
    local amount = tonumber(ARGV[3])
    if tonumber(redis.call('GET', from)) < amount then return 0 end
    redis.call('DECRBY', from, amount)
    redis.call('INCRBY', to, amount)
    redis.call('ZINCRBY', 'turnover', amount, ARGV[1])
    return amount";

#[test]
fn transfers_between_undeclared_accounts_lose_nothing() {
    const ACCOUNTS: usize = 12;
    let server = judged::start();
    let mut admin = server.connect();
    for account in 0..ACCOUNTS {
        admin.line(&format!("SET account:{account} 100"));
    }
    let sha = admin.call(&["SCRIPT", "LOAD", TRANSFER]).string();
    let each = scaled(200);
    let moved: i64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let (mut connection, sha) = (server.connect(), sha.as_str());
                let mut seed = Seed::new(Seed::of_run(number));
                scope.spawn(move || {
                    let mut moved = 0;
                    for _ in 0..each {
                        let mut word = |n| seed.below(n).to_string();
                        let (from, to, amount) = (word(ACCOUNTS), word(ACCOUNTS), word(40));
                        let reply = connection.call(&["EVALSHA", sha, "0", &from, &to, &amount]);
                        moved += reply.int();
                    }
                    moved
                })
            })
            .collect();
        let mut names = vec!["MGET".to_owned()];
        names.extend((0..ACCOUNTS).map(|account| format!("account:{account}")));
        // Whoever looks meanwhile sees all of a transfer or nothing.
        for _ in 0..50 {
            let reply = admin.call(&names);
            let sum = |value: &Value| value.string().parse::<i64>().expect("a number");
            assert_eq!(reply.items().iter().map(sum).sum::<i64>(), 1200);
        }
        let ends = clients.into_iter().map(|client| client.join());
        ends.map(|moved| moved.expect("a client has said what is wrong"))
            .sum()
    });
    let turnover = admin.line("ZRANGE turnover 0 -1 WITHSCORES");
    let scores = turnover.items().iter().skip(1).step_by(2);
    let scores = scores.map(|score| score.string().parse::<i64>().expect("a number"));
    assert_eq!(scores.sum::<i64>(), moved);
}

fn slow(server: &Server, admin: &mut Connection, script: &str, key: &str) -> Connection {
    let mut client = server.connect();
    let words = ["EVAL", script, "1", key];
    client.send(&words).expect("it is sent");
    until("the script to be slow", || {
        let reply = admin.line(&format!("GET {key}"));
        reply.shown().contains("BUSY").then_some(())
    });
    client
}

#[test]
fn a_slow_script_can_be_killed_until_it_writes() {
    let setup = Server::setup(Program::Judged).shards(crate::SHARDS);
    let server = setup.with("busy-reply-threshold", "50").start();
    let mut admin = server.connect();
    let idle = admin.line("SCRIPT KILL").shown();
    assert!(idle.starts_with("-NOTBUSY"), "{idle}");
    for key in ["a", "b", "c"] {
        let mut client = slow(&server, &mut admin, "while true do end", key);
        assert_eq!(admin.line("SCRIPT KILL"), Value::ok());
        let reply = client.read().shown();
        assert!(reply.contains("Script killed by user"), "{reply}");
        assert_eq!(admin.line(&format!("SET {key} 1")), Value::ok());
    }
    let script = "redis.call('SET', KEYS[1], '2') for i = 1, 4e7 do end return 1";
    let mut client = slow(&server, &mut admin, script, "b");
    let reply = admin.line("SCRIPT KILL").shown();
    assert!(
        reply.starts_with("-UNKILLABLE") || reply.starts_with("-NOTBUSY"),
        "{reply}"
    );
    assert_eq!(client.read(), Value::Int(1));
    assert_eq!(admin.line("GET b"), Value::bulk("2"));
}

#[test]
fn a_slow_script_in_an_exec_can_be_killed() {
    let directory = Directory::new().expect("a directory can be made");
    let start = || {
        let setup = Server::setup(Program::Judged).shards(crate::SHARDS);
        let setup = setup.with("dir", &directory.0.display().to_string());
        let setup = setup
            .with("appendonly", "yes")
            .with("appendfsync", "always");
        setup.with("busy-reply-threshold", "50").start()
    };
    let server = start();
    let mut admin = server.connect();
    let mut other = server.connect();
    let mut client = server.connect();
    for (n, key) in ["a", "b", "c"].into_iter().enumerate() {
        client.line(&format!("WATCH {key}"));
        for words in [
            &["MULTI"][..],
            &["SET", "before", key],
            &[
                "EVAL",
                "while redis.call('GET', KEYS[1]) do end",
                "1",
                "before",
            ],
            &["GET", "before"],
            &["EVAL", "return redis.call('INCR', KEYS[1])", "1", "after"],
        ] {
            assert!(!client.call(words).is_error());
        }
        client.send(&["EXEC"]).expect("it is sent");
        until("the script to be slow", || {
            let reply = admin.line("GET before").shown();
            reply.contains("BUSY").then_some(())
        });
        assert_eq!(admin.line("SCRIPT KILL"), Value::ok());
        let reply = client.read();
        let [set, killed, get, incr] = reply.items() else {
            panic!("{reply}");
        };
        assert_eq!((set, get), (&Value::ok(), &Value::bulk(key)));
        assert!(killed.shown().contains("Script killed by user"), "{killed}");
        assert_eq!(*incr, Value::Int(n as i64 + 1));
        assert_eq!(other.line("GET before"), Value::bulk(key));
        // What it has watched it watches no more.
        other.line(&format!("SET {key} 1"));
        assert_eq!(client.line("MULTI"), Value::ok());
        assert_eq!(client.line("EXEC").items().len(), 0);
    }
    // A queue that goes on for long, and writes, is there as a whole.
    let script = "local n = 0 for i = 1, 2e7 do n = n + i end return redis.call('SET', KEYS[1], n)";
    for words in [
        &["MULTI"][..],
        &["SET", "x", "1"],
        &["EVAL", script, "1", "y"],
        &["SET", "z", "1"],
    ] {
        client.call(words);
    }
    let reply = client.line("EXEC");
    assert_eq!(reply.items(), [Value::ok(), Value::ok(), Value::ok()]);
    let names = "MGET before after x y z a";
    let want = admin.line(names);
    drop((server, admin, other, client));
    let server = start();
    assert_eq!(server.connect().line(names), want);
}

#[test]
fn a_slow_script_may_concern_all_shards() {
    let setup = Server::setup(Program::Judged).shards(crate::SHARDS);
    let setup = setup.with("busy-reply-threshold", "50");
    let server = setup.with("busy-reply-scope", "server").start();
    let mut admin = server.connect();
    let mut others: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    let mut client = slow(&server, &mut admin, "while true do end", "a");
    for other in &mut others {
        for line in ["GET a", "GET b", "GET c", "PING", "DBSIZE", "MGET a b c"] {
            until("all to be told", || {
                other.line(line).shown().starts_with("-BUSY").then_some(())
            });
        }
        assert_eq!(other.line("MULTI"), Value::ok());
        assert!(other.line("SET a 1").shown().starts_with("-BUSY"));
        assert_eq!(other.line("DISCARD"), Value::ok());
    }
    assert_eq!(admin.line("SCRIPT KILL"), Value::ok());
    assert!(client.read().shown().contains("Script killed by user"));
    for other in &mut others {
        until("the end to be known", || {
            (other.line("PING").shown() == "+PONG").then_some(())
        });
        assert_eq!(other.line("MGET a b c").items().len(), 3);
    }
}

#[test]
fn functions_survive_a_dump() {
    let server = judged::start();
    let mut connection = server.connect();
    let library = |name: &str, function: &str, answer: u32| {
        format!(
            "#!lua name={name}\nredis.register_function('{function}', function() return {answer} end)"
        )
    };
    connection.line("FUNCTION FLUSH");
    connection.call(&["FUNCTION", "LOAD", &library("one", "f", 1)]);
    connection.call(&["FUNCTION", "LOAD", &library("two", "g", 2)]);
    let dump = connection.line("FUNCTION DUMP");
    let dump = dump.text().expect("a payload").to_vec();
    let mut restore = |words: &[&str]| {
        let mut all = vec![b"FUNCTION".to_vec(), b"RESTORE".to_vec(), dump.clone()];
        all.extend(words.iter().map(|word| word.as_bytes().to_vec()));
        connection.call(&all).shown()
    };
    assert_eq!(restore(&[]), "-ERR Library one already exists");
    assert_eq!(restore(&["REPLACE"]), "+OK");
    assert_eq!(restore(&["FLUSH"]), "+OK");
    let mut damaged = dump.clone();
    damaged[3] ^= 1;
    let words = [&b"FUNCTION"[..], b"RESTORE", &damaged];
    let refused = connection.call(&words).shown();
    assert_eq!(refused, "-ERR DUMP payload version or checksum are wrong");
    assert_eq!(connection.line("FCALL f 0"), Value::Int(1));
    assert_eq!(connection.line("FCALL g 0"), Value::Int(2));
    connection.line("FUNCTION FLUSH");
    connection.call(&["FUNCTION", "LOAD", &library("three", "f", 3)]);
    let words = [&b"FUNCTION"[..], b"RESTORE", &dump];
    let refused = connection.call(&words).shown();
    assert_eq!(refused, "-ERR Function f already exists");
    assert_eq!(connection.line("FCALL f 0"), Value::Int(3));
    assert_eq!(connection.line("FUNCTION LIST").items().len(), 1);
}

/// Calls what it is told to, and answers all replies.
const CALLS: &str = "
    local replies = {}
    for at, call in ipairs(cjson.decode(ARGV[1])) do
        local reply = redis.pcall(unpack(call))
        if type(reply) == 'table' and reply.err then reply = 'error: ' .. reply.err end
        if type(reply) == 'table' and reply.ok then reply = 'status: ' .. reply.ok end
        replies[at] = reply
    end
    return replies";

/// Calls on one key `K`, on another `L`, with a value `V`.
const ANY: &[&str] = &[
    "GET K",
    "GET K",
    "GET K",
    "SET K V",
    "SET K V XX",
    "SET K V EX 1000",
    "SET K V PXAT 4102444800000",
    "SETNX K V",
    "SETEX K 2000 V",
    "GETSET K V",
    "GETDEL K",
    "APPEND K V",
    "SETRANGE K 3 V",
    "SETRANGE K 9000 V",
    "STRLEN K",
    "GETRANGE K 1 3",
    "INCR K",
    "INCRBY K 5",
    "DECR K",
    "INCRBYFLOAT K 1.5",
    "SETBIT K 9 1",
    "GETBIT K 9",
    "BITCOUNT K",
    "EXISTS K",
    "EXISTS K L",
    "DEL K",
    "DEL K L",
    "UNLINK K",
    "TYPE K",
    "EXPIRE K 500",
    "EXPIRE K -1",
    "PERSIST K",
    "TTL K",
    "HSET K f V g 2",
    "HSETNX K f V",
    "HGET K f",
    "HGETALL K",
    "HDEL K f",
    "HDEL K f g h",
    "HINCRBY K n 3",
    "HINCRBYFLOAT K n 0.5",
    "HLEN K",
    "HKEYS K",
    "HVALS K",
    "HMGET K f g",
    "HEXISTS K f",
    "HSTRLEN K f",
    "SADD K 1 2 3",
    "SADD K a V",
    "SREM K 1",
    "SISMEMBER K 2",
    "SMISMEMBER K 1 2",
    "SCARD K",
    "ZADD K 1 a 2 b",
    "ZADD K XX 5 a",
    "ZINCRBY K 2 a",
    "ZSCORE K a",
    "ZRANGE K 0 -1 WITHSCORES",
    "ZREM K a",
    "ZPOPMIN K",
    "ZRANK K b",
    "ZCARD K",
    "ZCOUNT K 0 9",
    "RPUSH K V 1",
    "LPUSH K V",
    "LPOP K",
    "RPOP K 2",
    "LRANGE K 0 -1",
    "LLEN K",
    "LINDEX K 0",
    "LSET K 0 V",
    "LREM K 1 V",
    "LTRIM K 0 5",
    "LINSERT K BEFORE 1 V",
    "RPUSHX K V",
    "RENAME K L",
    "COPY K L",
    "MSET K V L 1",
    "MGET K L",
    "LMOVE K L LEFT RIGHT",
    "SMOVE K L 1",
    "SUNIONSTORE L K",
    "DBSIZE",
    "SORT K ALPHA STORE L",
    "SORT K BY k* GET # GET k*",
    "SORT K BY k* ALPHA GET k*",
    "BITOP NOT L K",
    "PFADD K V",
    "SELECT 1",
    "SELECT 0",
    "HSET K f",
    "GET K L",
    "ZADD K x a",
    "XADD K 5-* f V",
    "XLEN K",
];

/// Calls on keys of other shards are run on copies of them at home, and come to the same.
#[test]
fn calls_on_keys_of_other_shards_come_to_what_they_come_to_anywhere() {
    const KEYS: usize = 6;
    let (theirs, ours) = (Server::setup(Program::Redis7).start(), judged::start());
    let (mut theirs, mut ours) = (theirs.connect(), ours.connect());
    for run in 0..scaled(300) as u64 {
        let number = Seed::of_run(run);
        let mut seed = Seed::new(number);
        if seed.one_in(3) {
            assert_eq!(theirs.line("FLUSHALL"), ours.line("FLUSHALL"));
        }
        let key = |seed: &mut Seed| format!("k{}", seed.below(KEYS));
        let mut words = vec!["EVAL".to_owned(), CALLS.to_owned()];
        let named = seed.below(KEYS);
        words.push(named.to_string());
        words.extend((0..named).map(|_| key(&mut seed)));
        // Few keys at a time, so that calls on the same one meet.
        let some: Vec<String> = (0..1 + seed.below(4)).map(|_| key(&mut seed)).collect();
        let few: Vec<&&str> = (0..6).map(|_| seed.pick(ANY)).collect();
        let mut calls = Vec::new();
        for _ in 0..seed.below(40) {
            let call = match seed.one_in(2) {
                true => seed.pick(ANY),
                false => *seed.pick(&few),
            };
            let long = "v".repeat(70);
            let value = *seed.pick(&["7", "text", "-1.5", "", &long]);
            let (one, other) = (seed.pick(&some).clone(), key(&mut seed));
            let word = |word| match word {
                "K" => &one,
                "L" => &other,
                "V" => value,
                word => word,
            };
            let shown: Vec<String> = call.split(' ').map(|w| format!("{:?}", word(w))).collect();
            calls.push(format!("[{}]", shown.join(",")));
        }
        words.push(format!("[{}]", calls.join(",")));
        let (their_reply, our_reply) = (theirs.call(&words), ours.call(&words));
        let shown = || format!("TEST_SEED={number}: {}", words[2..].join(" "));
        let (there, here) = (their_reply.items(), our_reply.items());
        for (at, call) in calls.iter().enumerate() {
            let (mut a, mut b) = (there[at].clone(), here[at].clone());
            if ["[\"HGETALL", "[\"HKEYS", "[\"HVALS"]
                .iter()
                .any(|name| call.starts_with(name))
            {
                (a, b) = (a.sorted(), b.sorted());
            }
            assert_eq!(a, b, "{call} in {}", shown());
        }
        for at in 0..2 * KEYS {
            let select = format!("SELECT {}", at / KEYS);
            let digest = format!("DEBUG DIGEST-VALUE k{}", at % KEYS);
            for question in [&select, &digest, &format!("TTL k{}", at % KEYS)] {
                let (a, b) = (theirs.line(question), ours.line(question));
                let close =
                    matches!((&a, &b), (Value::Int(a), Value::Int(b)) if a.abs_diff(*b) < 20);
                assert!(a == b || close, "{question}: {a:?} {b:?} {}", shown());
            }
        }
        theirs.line("SELECT 0");
        ours.line("SELECT 0");
    }
    // What is run here and there is counted once.
    let (theirs, ours) = (theirs.info("commandstats"), ours.info("commandstats"));
    let counts = |info: &std::collections::HashMap<String, String>, name: &str| {
        let line = info
            .get(&format!("cmdstat_{name}"))
            .cloned()
            .unwrap_or_default();
        line.split(',').next().unwrap_or_default().to_owned()
    };
    for name in [
        "get", "set", "incr", "hset", "hgetall", "sadd", "zadd", "lpush", "lrange",
    ] {
        assert_eq!(counts(&theirs, name), counts(&ours, name), "{name}");
    }
}

/// However many calls there are on keys of other shards, and however large their values become.
#[test]
fn scripts_write_as_much_as_they_like() {
    let server = judged::start();
    let mut client = server.connect();
    let script = "
        local long = string.rep('x', 100)
        for i = 1, 7000 do
            local key = i % 7
            local n = redis.call('INCR', 'n' .. key)
            assert(n == math.floor((i - 1) / 7) + 1)
            redis.call('APPEND', 'text' .. key, long)
            redis.call('RPUSH', 'list' .. key, i)
            redis.call('HSET', 'hash' .. key, i, n)
            assert(redis.call('GET', 'n' .. key) == tostring(n))
        end
        return redis.call('MGET', unpack(KEYS))";
    let mut words = vec!["EVAL".to_owned(), script.to_owned(), "7".to_owned()];
    words.extend((0..7).map(|key| format!("n{key}")));
    let thousand = Value::Array(vec![Value::bulk("1000"); 7]);
    assert_eq!(client.call(&words), thousand);
    for key in 0..7 {
        let reply = |client: &mut Connection, call: &str| client.line(&format!("{call}{key}"));
        assert_eq!(reply(&mut client, "STRLEN text"), Value::Int(100_000));
        assert_eq!(reply(&mut client, "LLEN list"), Value::Int(1000));
        assert_eq!(reply(&mut client, "HLEN hash"), Value::Int(1000));
    }
}

/// Commands that need a key of a slow script say so, whatever shards their keys are on.
#[test]
fn who_needs_the_keys_of_a_slow_script_is_told() {
    let setup = judged::setup().with("busy-reply-threshold", "50");
    let server = setup.start();
    let mut admin = server.connect();
    let script = "for i = 1, 6 do redis.call('GET', 'key' .. i) end while true do end";
    let mut client = slow(&server, &mut admin, script, "key0");
    let mut other = server.connect();
    for line in [
        "MSET key1 1 key2 1 key3 1 key4 1 key5 1 key6 1",
        "DEL key1 key2 key3 key4 key5 key6",
        "SUNIONSTORE key1 key2 key3 key4",
        "BLPOP key1 key2 key3 key4 key5 0",
        "EVAL return(2) 4 key1 key2 key3 key4",
        "EVAL return(2) 2 key0 key1",
        "FLUSHALL",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        until("the keys to be known", || {
            other
                .call(&words)
                .shown()
                .starts_with("-BUSY")
                .then_some(())
        });
    }
    for queued in ["SET key1 1", "SET key2 1", "SET key3 1"] {
        other.line("MULTI");
        assert_eq!(other.line(queued).string(), "QUEUED");
        let reply = other.line("EXEC").shown();
        let told = "-EXECABORT Transaction discarded because of: BUSY";
        assert!(reply.starts_with(told), "{reply}");
    }
    assert_eq!(admin.line("SCRIPT KILL"), Value::ok());
    assert!(client.read().shown().contains("Script killed by user"));
    until("the end to be known", || {
        (other.line("MSET key1 1 key2 1 key3 1 key4 1").shown() == "+OK").then_some(())
    });
}

/// INFO and its kin ask all shards, and scripts get the answers.
#[test]
fn scripts_may_ask_about_the_whole_server() {
    let server = judged::start();
    let (mut client, mut subscriber) = (server.connect(), server.connect());
    for channel in ["news", "weather", "sport"] {
        subscriber.line(&format!("SUBSCRIBE {channel}"));
    }
    let script = "
        for i = 1, 20 do redis.call('SET', 'key' .. i, redis.call('INCR', 'n' .. i % 3)) end
        local before = redis.call('INFO', 'keyspace')
        redis.call('DEL', 'key7', 'key9')
        local channels = redis.call('PUBSUB', 'CHANNELS')
        return {before, redis.call('INFO', 'keyspace'), #channels, redis.call('SLOWLOG', 'LEN'),
            redis.call('PUBSUB', 'NUMSUB', 'sport', 'none')}";
    let check = |reply: &Value| {
        let items = reply.items();
        assert!(items[0].string().contains("keys=23"), "{items:?}");
        assert!(items[1].string().contains("keys=21"), "{items:?}");
        assert_eq!(items[2..4], [Value::Int(3), Value::Int(0)]);
        let numbers = [
            Value::bulk("sport"),
            Value::Int(1),
            Value::bulk("none"),
            Value::Int(0),
        ];
        assert_eq!(items[4], Value::Array(numbers.to_vec()));
    };
    check(&client.call(&["EVAL", script, "0"]));
    // And so does what stands beside them.
    client.line("FLUSHALL");
    client.line("MULTI");
    client.call(&["EVAL", script, "0"]);
    client.line("INFO keyspace");
    client.line("PING");
    let replies = client.line("EXEC");
    check(&replies.items()[0]);
    assert!(replies.items()[1].string().contains("keys=21"));
    assert_eq!(replies.items()[2].string(), "PONG");
}
