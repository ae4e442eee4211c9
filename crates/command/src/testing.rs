//! Runs requests on a shard without a server, for the tests of this crate.

use crate::context::{Context, Settings};
use crate::debug;
use crate::effect::Effects;
use crate::error::Error;
use crate::spec::{Effect, Handler};
use crate::table::{Run, Table};
use crate::{CONTAINERS, FAMILIES};
use resp::parse::{Batch, Frame, Input, Limits};
use resp::{Args, Pack, Protocol, Reply};
use store::stream::Id;
use store::{Shard, Value};

/// Parses one request, an inline command with its quoting, and hands on its arguments.
pub fn with_args<R>(request: &str, then: impl FnOnce(Args<'_>) -> R) -> R {
    let words = resp::split::split_words(request.as_bytes()).expect("quotes are balanced");
    let mut wire = Vec::new();
    resp::request::put(&mut wire, words.iter().map(|word| &word[..]));
    let limits = Limits {
        max_bulk: 512 << 20,
        authenticated: true,
    };
    let (mut input, mut batch, mut frame) = (Input::default(), Batch::default(), Frame::default());
    let parsed = input.parse(&wire, limits, &mut batch, &mut frame);
    then(batch.command(0, parsed.buf))
}

/// The commands on data.
pub fn table() -> Table<()> {
    Table::new(FAMILIES, CONTAINERS, Vec::new())
}

/// What a digest of data does not show: when it expires, and what groups have read.
fn fine_print(shard: &Shard) -> Vec<String> {
    let mut lines = Vec::new();
    for db in 0..shard.databases() {
        shard.for_each(db, |item| {
            let key = String::from_utf8_lossy(item.key()).into_owned();
            lines.push(format!("{db} {key} expires {:?}", item.expiry()));
            match item.value().as_deref() {
                Some(Value::Hash(hash)) => {
                    for (field, _) in hash.iter(i64::MIN) {
                        let field = field.text().into_owned();
                        let at = hash.find(&field, i64::MIN).and_then(|found| found.expiry);
                        lines.push(format!("{db} {key} {field:?} expires {at:?}"));
                    }
                }
                Some(Value::Stream(stream)) => {
                    let log = stream.log();
                    let last = (log.last_id, log.max_deleted_id, log.entries_added);
                    lines.push(format!("{db} {key} {last:?}"));
                    for group in stream.groups() {
                        let name = String::from_utf8_lossy(group.name());
                        let progress = (group.last_id, group.entries_read);
                        lines.push(format!("{db} {key} {name} {progress:?}"));
                        for (_, consumer) in group.consumers() {
                            lines.push(format!("{db} {key} {name} {:?}", consumer.name()));
                        }
                        for (id, given) in group.pending(Id::MIN, Id::MAX) {
                            let to = group.consumer(given.consumer).name();
                            let how = (id, given.delivered_ms, given.deliveries, to);
                            lines.push(format!("{db} {key} {name} {how:?}"));
                        }
                    }
                }
                _ => {}
            }
        });
    }
    lines.sort();
    lines
}

/// A shard, its table of commands, and a client of it.
pub struct Client {
    pub shard: Shard,
    pub table: Table<()>,
    pub db: usize,
    pub protocol: Protocol,
    pub settings: Settings,
    effects: Effects,
    /// What the effects make of an empty shard: the same data, although time stands still there and chance
    /// is another.
    mirror: Shard,
    /// What handlers without a row have done is not mirrored.
    is_mirrored: bool,
    /// What was done, to tell where something went wrong.
    pub story: Vec<String>,
}

impl Default for Client {
    fn default() -> Client {
        let mut shard = Shard::new(16, [1, 2, 3, 4]);
        shard.set_now(1_700_000_000_000);
        shard.note_losses(true);
        let mut mirror = Shard::new(16, [5, 6, 7, 8]);
        mirror.set_now(1);
        let mut effects = Effects::default();
        effects.want(true);
        Client {
            effects,
            mirror,
            is_mirrored: true,
            story: Vec::new(),
            shard,
            table: table(),
            db: 0,
            protocol: Protocol::Resp2,
            settings: Settings {
                max_string: 512 << 20,
                limits: store::Limits::DEFAULT,
                shard: 0,
                shards: 1,
                repeats: false,
                dial: crate::generic::migrate::nowhere,
            },
        }
    }
}

impl Client {
    /// One that speaks the newer protocol.
    pub fn resp3() -> Client {
        let mut client = Client::default();
        client.protocol = Protocol::Resp3;
        client
    }

    /// The encoded reply to a request. Checks that the shard's count of changes moved exactly when
    /// the handler says that it wrote.
    pub fn call(&mut self, request: &str) -> String {
        with_args(request, |args| {
            let mut reply = Reply::new(self.protocol);
            if let Err(error) = self.run(args, &mut reply) {
                reply.clear();
                reply.error(error.text());
            }
            String::from_utf8_lossy(&reply.to_vec()).into_owned()
        })
    }

    /// The reply, its line ends written as `|`, and the effect of a handler that has no row here.
    pub fn run_with(&mut self, request: &str, handler: Handler) -> (String, Effect) {
        with_args(request, |args| {
            let mut reply = Reply::new(self.protocol);
            self.is_mirrored = false;
            let effect = self
                .execute(args, &mut reply, handler)
                .unwrap_or_else(|error| {
                    reply.clear();
                    reply.error(error.text());
                    Effect::Read
                });
            let text = String::from_utf8_lossy(&reply.to_vec()).replace("\r\n", "|");
            (text, effect)
        })
    }

    fn run(&mut self, args: Args<'_>, reply: &mut Reply) -> Result<(), Error> {
        let entry = self.table.resolve(args).map_err(|u| u.error(args))?;
        entry.check_arity(args.len())?;
        let Run::Data(form) = entry.run else {
            panic!("{} runs on no shard", entry.full_name);
        };
        let outcome = self.execute(args, reply, form.handler());
        self.mirror_losses();
        if self.is_mirrored {
            self.mirror(args, matches!(outcome, Ok(Effect::Wrote)));
        }
        outcome.map(drop)
    }

    /// Does again what a command has done.
    fn mirror(&mut self, args: Args<'_>, wrote: bool) {
        let effects = std::mem::take(&mut self.effects);
        if wrote && effects.is_told() {
            for told in effects.told() {
                assert!(!told.key.is_empty() || told.args.len() > 1);
                self.repeat(self.db, told.args);
            }
        } else if wrote {
            self.repeat(self.db, args);
        } else {
            assert_eq!(
                effects.told().count(),
                0,
                "{:?} has not written",
                args.get(0)
            );
        }
        self.effects = effects;
    }

    /// Lets time pass, and removes what it takes away.
    pub fn pass(&mut self, ms: i64) {
        self.shard.set_now(self.shard.now_ms() + ms);
        for db in 0..self.shard.databases() {
            while !self.shard.sweep_step(db, |_| true).wrapped {}
            while !self.shard.sweep_fields_step(db, 100, |_| true).done {}
        }
        self.mirror_losses();
    }

    fn mirror_losses(&mut self) {
        for loss in self.shard.take_losses() {
            let mut call = Pack::default();
            call.add_bytes(if loss.fields.is_empty() {
                b"DEL"
            } else {
                b"HDEL"
            });
            call.add_bytes(&loss.key);
            loss.fields.iter().for_each(|field| call.add_bytes(field));
            call.end();
            self.repeat(loss.db, call.command(0));
        }
    }

    fn repeat(&mut self, db: usize, args: Args<'_>) {
        let words: Vec<_> = args.iter().map(String::from_utf8_lossy).collect();
        let entry = self.table.resolve(args).map_err(|u| u.error(args));
        let entry = entry.unwrap_or_else(|e| panic!("{words:?}: {e:?}"));
        let Run::Data(form) = entry.run else {
            panic!("{words:?} runs on no shard");
        };
        let mut reply = Reply::new(Protocol::Resp2);
        let settings = Settings {
            repeats: true,
            ..self.settings
        };
        let outcome = (form.handler())(&mut Context {
            shard: &mut self.mirror,
            db,
            args,
            hash: None,
            warm: false,
            reply: &mut reply,
            settings: &settings,
            effects: &mut Effects::default(),
        });
        assert!(outcome.is_ok(), "{words:?}: {outcome:?}");
    }

    fn execute(
        &mut self,
        args: Args<'_>,
        reply: &mut Reply,
        handler: Handler,
    ) -> Result<Effect, Error> {
        let before = self.shard.changes();
        let mut ctx = Context {
            shard: &mut self.shard,
            db: self.db,
            args,
            hash: None,
            warm: false,
            reply,
            settings: &self.settings,
            effects: &mut self.effects,
        };
        ctx.effects.clear();
        let effect = handler(&mut ctx)?;
        let changed = self.shard.changes() != before;
        assert_eq!(changed, effect == Effect::Wrote, "{:?}", args.get(0));
        Ok(effect)
    }

    /// Compares the data with what the effects have made.
    #[track_caller]
    pub fn check_mirror(&mut self) {
        self.mirror.set_now(self.shard.now_ms());
        let all = |shard: &Shard| (debug::digest(shard), fine_print(shard));
        let (here, there) = (all(&self.shard), all(&self.mirror));
        self.mirror.set_now(1);
        let story = &self.story;
        assert_eq!(
            here, there,
            "the effects are others than what was done: {story:#?}"
        );
    }

    /// Compares the reply to a request, its line ends written as `|`.
    #[track_caller]
    pub fn check(&mut self, request: &str, want: &str) {
        let got = self.call(request).replace("\r\n", "|");
        assert_eq!(got.trim_end_matches('|'), want, "{request}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.is_mirrored && !std::thread::panicking() {
            self.check_mirror();
        }
    }
}
