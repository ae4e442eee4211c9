//! Keyspace notifications: what is said of each command's keys, in which order.
//!
//! The commands are blocks in `notify.txt`. With one shard all messages of a command are the same and
//! in the same order as the other server's. With several, those of a channel are; on the channels that
//! events name, the keys of one command come in any order.

use harness::script::{self, Action, Block};
use harness::server::{SEVERAL, until};
use harness::{Connection, Program, Server, Value};
use std::collections::{BTreeMap, HashMap};

/// All events, and all that happen to keys: what is missed is not said then, and need not be known.
const FLAGS: [&str; 2] = ["KEAnm", "KEA"];

/// Channel and payload.
type Message = (String, String);

struct Listener {
    connection: Connection,
    publisher: Connection,
}

impl Listener {
    fn of(server: &Server, flags: &str) -> Listener {
        let (mut connection, mut publisher) = (server.connect(), server.connect());
        publisher.line("FLUSHALL");
        let on = publisher.line(&format!("CONFIG SET notify-keyspace-events {flags}"));
        assert_eq!(on, Value::ok());
        connection.line("PSUBSCRIBE __key*@*__:*");
        connection.line("SUBSCRIBE end");
        Listener {
            connection,
            publisher,
        }
    }

    fn message(&mut self) -> Message {
        let message = self.connection.read();
        let words = message.items();
        let [.., channel, payload] = words else {
            panic!("a message expected, not {message}");
        };
        (channel.string(), payload.string())
    }

    /// All messages until one that is sent now, on a server that has one order for all channels.
    fn all(&mut self) -> Vec<Message> {
        self.publisher.line("PUBLISH end x");
        std::iter::from_fn(|| Some(self.message()).filter(|(channel, _)| channel != "end"))
            .collect()
    }
}

/// Runs a block; `collect` takes the messages that its steps, by number, cause.
fn run(
    server: &Server,
    block: &Block,
    flags: &str,
    mut collect: impl FnMut(&mut Listener, usize) -> Vec<Message>,
) -> Vec<Vec<Message>> {
    let mut listener = Listener::of(server, flags);
    let mut connections: HashMap<&str, Connection> = HashMap::new();
    let mut messages = Vec::new();
    for (i, step) in block.steps.iter().enumerate() {
        let connection = connections
            .entry(&step.connection)
            .or_insert_with(|| server.connect());
        match &step.action {
            Action::Call(words, replies) => {
                if !words.is_empty() {
                    connection.send(words).expect("sent");
                }
                (0..*replies).for_each(|_| drop(connection.read()));
                if *replies == 0 {
                    let asker = &mut listener.publisher;
                    until("the client to wait", || {
                        (asker.info("clients")["blocked_clients"] == "1").then_some(())
                    });
                }
            }
            _ => panic!("line {}: only commands are expected", step.line),
        }
        messages.push(collect(&mut listener, i));
    }
    messages
}

/// Messages by channel, in their order; what has none among several shards is sorted.
fn by_channel(messages: &[Message]) -> BTreeMap<&str, Vec<&str>> {
    let mut channels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (channel, payload) in messages {
        channels.entry(channel).or_default().push(payload);
    }
    for (channel, payloads) in &mut channels {
        if channel.starts_with("__keyevent") {
            payloads.sort_unstable();
        }
    }
    channels
}

fn compare(shards: usize) {
    let ours = Server::setup(Program::Judged).shards(shards).start();
    let mut others: HashMap<Program, Server> = HashMap::new();
    let mut failures = Vec::new();
    let mut compared = 0;
    let blocks = script::parse(include_str!("notify.txt")).expect("a script");
    let runs = FLAGS
        .iter()
        .flat_map(|flags| blocks.iter().map(move |block| (*flags, block)));
    for (flags, block) in runs {
        let program = match block {
            b if b.has("redis8") => Program::Redis8,
            b if b.has("valkey") => Program::Valkey,
            _ => Program::Redis7,
        };
        if let Err(why) = program.path() {
            assert!(program != Program::Redis7, "{why}");
            println!("skipped: {why}");
            continue;
        }
        let other = others
            .entry(program)
            .or_insert_with(|| Server::setup(program).start());
        let theirs = run(other, block, flags, |listener, _| listener.all());
        let said = run(&ours, block, flags, |listener, i| match shards {
            1 => listener.all(),
            _ => (0..theirs[i].len()).map(|_| listener.message()).collect(),
        });
        for ((step, theirs), ours) in block.steps.iter().zip(&theirs).zip(&said) {
            compared += theirs.len();
            let same = match shards {
                1 => theirs == ours,
                _ => by_channel(theirs) == by_channel(ours),
            };
            if !same {
                let (title, shown) = (&block.title, step.shown());
                failures.push(format!(
                    "{title}: {shown}\n  theirs {theirs:?}\n  ours   {ours:?}"
                ));
            }
        }
    }
    println!("{compared} messages compared");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn the_same_is_said_of_keys_on_one_shard() {
    compare(1);
}

#[test]
fn the_same_is_said_of_keys_on_several_shards() {
    compare(SEVERAL);
}
