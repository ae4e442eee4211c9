//! The server is killed, under load and around every operation on the disk, and nothing that anybody was told
//! is lost, or there in parts.

use crate::snapshot::directory;
use harness::seed::Seed;
use harness::server::Directory;
use harness::{Connection, Program, Server, Value, scaled};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A number that only grows: what a client was told or has seen, and what it may have become.
#[derive(Default)]
struct Number {
    shown: AtomicU64,
    sent: AtomicU64,
}

impl Number {
    /// The next step, which is on its way.
    fn next(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn show(&self, value: u64) {
        self.shown.fetch_max(value, Ordering::SeqCst);
    }

    /// Compares it with what is there, and goes on from there.
    fn check(&self, what: &str, found: u64) {
        let (shown, sent) = (
            self.shown.load(Ordering::SeqCst),
            self.sent.load(Ordering::SeqCst),
        );
        assert!(
            (shown..=sent).contains(&found),
            "{what}: {found} is there, {shown} was shown, {sent} were sent"
        );
        self.shown.store(found, Ordering::SeqCst);
        self.sent.store(found, Ordering::SeqCst);
    }
}

/// What all clients have been told, by kind of client.
#[derive(Default)]
struct Model {
    counters: [Number; 3],
    pairs: [Number; 2],
    multis: [Number; 2],
    scripts: [Number; 2],
    pushed: [Number; 2],
    moved: [Number; 2],
}

impl Model {
    /// What was shown need not be there.
    fn forget(&self) {
        let counters = self.counters.iter().chain(&self.pairs).chain(&self.multis);
        let others = self.scripts.iter().chain(&self.pushed).chain(&self.moved);
        for number in counters.chain(others) {
            number.shown.store(0, Ordering::SeqCst);
        }
    }
}

const SCRIPT: &str = "redis.call('incr', KEYS[1]) return redis.call('incr', KEYS[2])";

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::NullBulk | Value::NullArray => Some(0),
        Value::Closed => None,
        value => Some(value.clone().string().parse().expect("a number")),
    }
}

type Step = Box<dyn FnMut(&mut Connection, &Model) -> bool + Send>;

/// The clients, each of which does its step until the server has gone.
fn clients() -> Vec<Step> {
    let mut clients: Vec<Step> = Vec::new();
    for i in 0..3 {
        clients.push(Box::new(move |connection, model| {
            let number_of = &model.counters[i];
            number_of.next();
            let told = connection.line_if_open(&format!("INCR c:{i}"));
            told_or_gone(number(&told), |n| number_of.show(n))
        }));
        // Somebody else reads.
        clients.push(Box::new(move |connection, model| {
            let seen = connection.line_if_open(&format!("GET c:{i}"));
            told_or_gone(number(&seen), |n| model.counters[i].show(n))
        }));
    }
    for i in 0..2 {
        clients.push(Box::new(move |connection, model| {
            let n = model.pairs[i].next();
            let told = connection.line_if_open(&format!("MSET pa:{i} {n} pb:{i} {n} pc:{i} {n}"));
            told_or_gone((told == Value::ok()).then_some(n), |n| {
                model.pairs[i].show(n)
            })
        }));
        clients.push(Box::new(move |connection, model| {
            model.multis[i].next();
            for line in ["MULTI", &format!("INCR ma:{i}"), &format!("INCR mb:{i}")] {
                if connection.line_if_open(line) == Value::Closed {
                    return false;
                }
            }
            let told = match connection.line_if_open("EXEC") {
                Value::Array(told) => told.last().and_then(number),
                _ => None,
            };
            told_or_gone(told, |n| model.multis[i].show(n))
        }));
        clients.push(Box::new(move |connection, model| {
            model.scripts[i].next();
            let (a, b) = (format!("sa:{i}"), format!("sb:{i}"));
            let told = call(connection, &["EVAL", SCRIPT, "2", &a, &b]);
            told_or_gone(number(&told), |n| model.scripts[i].show(n))
        }));
        clients.push(Box::new(move |connection, model| {
            let n = model.pushed[i].next();
            let told = connection.line_if_open(&format!("RPUSH from:{i} {n}"));
            told_or_gone((told != Value::Closed).then_some(n), |n| {
                model.pushed[i].show(n)
            })
        }));
        clients.push(Box::new(move |connection, model| {
            let line = format!("BLMOVE from:{i} to:{i} LEFT RIGHT 1");
            let moved = connection.line_if_open(&line);
            told_or_gone(number(&moved), |n| model.moved[i].show(n))
        }));
    }
    clients.push(Box::new(|connection, _| {
        thread::sleep(Duration::from_millis(15));
        connection.line_if_open("BGREWRITEAOF") != Value::Closed
    }));
    clients
}

fn call(connection: &mut Connection, words: &[&str]) -> Value {
    match connection.send(words) {
        Ok(()) => connection.try_read().unwrap_or(Value::Closed),
        Err(_) => Value::Closed,
    }
}

fn told_or_gone(told: Option<u64>, show: impl FnOnce(u64)) -> bool {
    told.is_some_and(|n| {
        show(n);
        true
    })
}

fn start(
    step: Step,
    connection: Connection,
    model: &Arc<Model>,
    over: &Arc<AtomicBool>,
) -> JoinHandle<()> {
    let (mut step, mut connection) = (step, connection);
    let (model, over) = (Arc::clone(model), Arc::clone(over));
    thread::spawn(
        move || {
            while !over.load(Ordering::Relaxed) && step(&mut connection, &model) {}
        },
    )
}

/// What is there is what was shown, or more, and nothing in parts. Nothing if the server has gone meanwhile.
fn check(connection: &mut Connection, model: &Model) -> Option<()> {
    let mut get = |name: String| number(&connection.line_if_open(&format!("GET {name}")));
    for (i, number) in model.counters.iter().enumerate() {
        number.check("a counter", get(format!("c:{i}"))?);
    }
    for i in 0..2 {
        let pair = [
            get(format!("pa:{i}"))?,
            get(format!("pb:{i}"))?,
            get(format!("pc:{i}"))?,
        ];
        assert!(pair[0] == pair[1] && pair[1] == pair[2], "MSET: {pair:?}");
        model.pairs[i].check("MSET", pair[0]);
        let pair = [get(format!("ma:{i}"))?, get(format!("mb:{i}"))?];
        assert!(pair[0] == pair[1], "MULTI: {pair:?}");
        model.multis[i].check("MULTI", pair[0]);
        let pair = [get(format!("sa:{i}"))?, get(format!("sb:{i}"))?];
        assert!(pair[0] == pair[1], "EVAL: {pair:?}");
        model.scripts[i].check("EVAL", pair[0]);
    }
    for i in 0..2 {
        let mut all = |name: &str| -> Option<Vec<u64>> {
            match connection.line_if_open(&format!("LRANGE {name}:{i} 0 -1")) {
                Value::Array(all) => all.iter().map(number).collect(),
                _ => None,
            }
        };
        // Nothing moves meanwhile.
        let (to, from) = (all("to")?, all("from")?);
        let moved = to.last().copied().unwrap_or(0);
        let both = to.into_iter().chain(from);
        // Each once, and in order.
        let mut pushed = 0;
        for n in both {
            pushed += 1;
            assert_eq!(n, pushed, "elements of lists {i}");
        }
        model.pushed[i].check("RPUSH", pushed);
        let shown = model.moved[i].shown.load(Ordering::SeqCst);
        assert!(
            moved >= shown,
            "BLMOVE: {moved} were moved, {shown} were shown"
        );
        model.moved[i].shown.store(moved, Ordering::SeqCst);
    }
    Some(())
}

const OPERATIONS: &[(&str, usize)] = &[
    ("before-append", 60),
    ("half-append", 60),
    ("after-append", 60),
    ("before-sync", 60),
    ("after-sync", 60),
    ("before-create", 6),
    ("after-create", 6),
    ("before-rename", 5),
    ("after-rename", 5),
    ("before-names", 8),
    ("after-names", 8),
    ("before-remove", 4),
    ("after-remove", 4),
];

fn life(directory: &Directory, seed: &mut Seed, model: &Arc<Model>, at_operation: bool) -> String {
    let shards = 1 + seed.below(4);
    let always = !seed.one_in(4);
    let mut setup = Server::setup(Program::Judged)
        .shards(shards)
        .with("dir", &directory.0.display().to_string())
        .with("appendonly", "yes")
        .with("appendfsync", if always { "always" } else { "everysec" });
    let mut story = format!("{shards} shards{}", if always { "" } else { ", everysec" });
    if at_operation {
        let (operation, most) = seed.pick(OPERATIONS);
        let plan = format!("{operation}:{}", 1 + seed.below(*most));
        story += &format!(", {plan}");
        setup = setup.environment("SHOAL_CRASH", &plan);
    }
    // It may be killed while it starts.
    let Ok(mut server) = setup.try_start() else {
        return story;
    };
    let Ok(mut connection) = server.try_connect() else {
        return story;
    };
    let over = Arc::new(AtomicBool::new(false));
    if check(&mut connection, model).is_none() {
        return story;
    }
    drop(connection);
    let connections = clients()
        .into_iter()
        .map(|step| (step, server.try_connect()));
    let mut threads = Vec::new();
    for (step, connection) in connections {
        if let Ok(connection) = connection {
            threads.push(start(step, connection, model, &over));
        }
    }
    let patience = match at_operation {
        true => Duration::from_millis(400),
        false => Duration::from_millis(10 + seed.below(150) as u64),
    };
    let began = Instant::now();
    while began.elapsed() < patience && server.alive() {
        thread::sleep(Duration::from_millis(1));
    }
    if server.alive() {
        server.signal(libc::SIGKILL);
    }
    server.wait();
    over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("a client does not panic");
    }
    if !always {
        // But whatever is there is there as a whole.
        model.forget();
    }
    story
}

#[test]
fn nothing_that_was_shown_is_lost() {
    let directory = directory();
    let model = Arc::new(Model::default());
    let mut seed = Seed::new(Seed::of_run(0));
    let mut stories = Vec::new();
    for n in 0..scaled(60) {
        stories.push(life(&directory, &mut seed, &model, n % 2 == 1));
        println!("{n}: {}", stories[n]);
    }
    // What the last one has left.
    let server = Server::setup(Program::Judged)
        .shards(2)
        .with("dir", &directory.0.display().to_string())
        .with("appendonly", "yes")
        .start();
    let mut connection = server.connect();
    check(&mut connection, &model).expect("the server is there");
    let steps = &model.counters[0].sent;
    assert!(steps.load(Ordering::SeqCst) > 0, "nobody has done anything");
}

/// Operations of the disk around which a server is killed that writes dumps, and the most that are let pass.
const DUMP_OPERATIONS: &[(&str, usize)] = &[
    ("before-create", 12),
    ("after-create", 12),
    ("before-append", 80),
    ("half-append", 80),
    ("after-append", 80),
    ("before-first", 4),
    ("after-first", 4),
    ("before-sync", 12),
    ("after-sync", 12),
    ("before-rename", 12),
    ("after-rename", 12),
    ("before-names", 12),
    ("after-names", 12),
];

/// What a dump has, which is as it was at one moment: a number in two keys and in a value that is large.
fn dumped(connection: &mut Connection) -> u64 {
    let mut numbers = ["GET a", "GET b", "HGET large number"].map(|line| {
        let reply = connection.line(line);
        let text = reply.text().map(String::from_utf8_lossy);
        text.map_or(0, |text| text.parse::<u64>().expect("a number"))
    });
    numbers.sort_unstable();
    assert_eq!(numbers[0], numbers[2], "parts of a dump: {numbers:?}");
    numbers[0]
}

#[test]
fn a_dump_is_there_as_a_whole_or_the_one_before() {
    const FIELDS: usize = 4000;
    let directory = directory();
    let mut seed = Seed::new(Seed::of_run(1));
    let (mut acknowledged, mut begun) = (0, 0);
    for n in 0..scaled(24) {
        let mut setup = Server::setup(Program::Judged)
            .shards(1 + seed.below(3))
            .with("dir", &directory.0.display().to_string());
        let mut story = format!("{n}");
        if n % 2 == 1 {
            let (operation, most) = seed.pick(DUMP_OPERATIONS);
            let plan = format!("{operation}:{}", 1 + seed.below(*most));
            story += &format!(", {plan}");
            setup = setup.environment("SHOAL_CRASH_DUMP", &plan);
        }
        let mut server = setup.start();
        let mut connection = server.connect();
        let found = dumped(&mut connection);
        assert!(
            (acknowledged..=begun).contains(&found),
            "{story}: {found} is there, {acknowledged} was saved, {begun} was begun"
        );
        (acknowledged, begun) = (found, found);
        let fields: Vec<String> = (0..FIELDS).map(|i| format!("f:{i} value:{i}")).collect();
        connection.line(&format!("HSET large {}", fields.join(" ")));
        // Some dumps have what only a later version of the format knows.
        let newer = seed.one_in(2);
        let at_time = n % 2 == 0;
        let saves = if at_time { 1 + seed.below(8) } else { 40 };
        for save in 1..=saves {
            begun += 1;
            let mut lines = vec![
                "MULTI".to_owned(),
                format!("SET a {begun}"),
                format!("SET b {begun}"),
                format!("HSET large number {begun}"),
                "EXEC".to_owned(),
            ];
            if newer {
                let field = seed.below(FIELDS);
                lines.push(format!("HPEXPIRE large 100000000 FIELDS 1 f:{field}"));
            }
            for line in &lines {
                connection.line_if_open(line);
            }
            let sent = connection.send(&["SAVE"]);
            if at_time && save == saves {
                thread::sleep(Duration::from_micros(seed.below(6000) as u64));
                server.signal(libc::SIGKILL);
            }
            let reply = sent.and_then(|()| connection.try_read());
            if !matches!(reply, Ok(reply) if reply == Value::ok()) {
                break;
            }
            acknowledged = begun;
        }
        if server.alive() {
            server.signal(libc::SIGKILL);
        }
        server.wait();
        println!("{story}: {acknowledged} of {begun}");
    }
    assert!(acknowledged > 0, "nothing was saved");
}
