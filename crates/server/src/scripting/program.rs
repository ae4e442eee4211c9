//! A script, or an EXEC with scripts in it, as a program of the engine: each command is executed where
//! its keys are, under locks that are kept until all of it is over.

use super::copies::Copies;
use super::here::{Site, is_slow, run_for_script};
use super::{Before, Call, Source, Visit};
use super::{admit, answer_host, bytes_of, fresh, is_script, note_slow, note_wants, told};
use crate::clients::{Client, Held, Special};
use crate::core::{Core, Host, HostHandler};
use crate::monitor;
use crate::remote::exec::{call, reserve};
use crate::remote::parcel::{Parcel, Sender};
use crate::remote::plan::{Errand, Plan};
use crate::remote::{Answer as RemoteAnswer, is_silent, survey};
use crate::session::connection;
use crate::session::multi::{self, WatchedKey};
use ::script::{Request, Run as Machine, Turn};
use command::table::{Entry, Run};
use command::{Error, Flags, Outcome};
use engine::locks::{Mode, Want};
use engine::tx::{Answer, Outcome as TxOutcome, ShardId, Step, TxId};
use resp::reply::Mark;
use resp::{Args, Pack, Protocol, Reply};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Class;

/// How long a script goes on before others of its shard do, and requests of it between two looks at the time.
const STINT: Duration = Duration::from_millis(1);
const REQUESTS: u32 = 64;

/// Who is answered.
pub enum Whom {
    Client {
        sender: Sender,
        silent: bool,
    },
    /// A script from another shard, which has run for too long to be answered at once.
    Visit(usize),
}

/// A script that has run in one go for too long, and what it has done.
pub struct Begun {
    pub running: Running,
    pub saved: Vec<Before>,
    pub wrote: bool,
    /// All that it has changed is saved.
    pub undoable: bool,
    /// What monitors are to be told of it.
    pub told: Vec<Arc<[u8]>>,
}

pub struct Program {
    whom: Whom,
    /// What is sent home to answer a [`Whom::Visit`].
    visit: Option<Box<Visit>>,
    /// The commands: one, or the queue of an EXEC.
    items: Box<Parcel>,
    is_exec: bool,
    /// See [`lines`].
    lines: Vec<Option<Arc<[u8]>>>,
    watched: Vec<WatchedKey>,
    tide: u64,
    /// The command that runs now, and the client's database.
    item: usize,
    db: usize,
    /// The script that it runs, and what that waits for.
    running: Option<Running>,
    plan: Option<Plan>,
    /// The other shards have been asked for a command that is not on data; and whose it is, unless it is the
    /// script's.
    surveys: bool,
    surveyor: Option<Box<Client>>,
    /// Keys of other shards on which the script works here; and whether its plan is to have executed there what
    /// was run on them.
    copies: Copies,
    settles: bool,
    /// Of all commands that have run.
    reply: Reply,
    /// It is to hold the token before it goes on.
    presses: bool,
    /// Its script has executed a command that writes.
    wrote: bool,
    /// It cannot be undone, and only uses keys that are free.
    stuck: bool,
    started: Instant,
    /// It has run for too long, and is counted so.
    slow: bool,
    /// When it let others go on last, and requests since.
    rested: Instant,
    asked: u32,
    /// What monitors are to be told of its scripts.
    told: Vec<Arc<[u8]>>,
    attempt: u32,
    killed: bool,
}

pub struct Running {
    pub call: Call,
    pub machine: Machine,
    pub client: Box<Client>,
}

pub type Programs = HashMap<TxId, Box<Program>, ahash::RandomState>;

/// What monitors, if there are any, are to be told of each command of a queue, and of the EXEC at last.
fn lines(core: &Core, client: &Client, items: &Parcel, exec: Args<'_>) -> Vec<Option<Arc<[u8]>>> {
    if !core.special.has(Special::MONITORED) {
        return Vec::new();
    }
    let table = &core.process.table;
    let line = |entry: usize, args| {
        let entry = &table.entries()[entry];
        let is_told = is_script(entry) || !monitor::is_hidden(entry);
        is_told.then(|| monitor::of_client(client, entry, args))
    };
    let queued = (0..items.len()).map(|at| items.command(at));
    let entry = table.find(exec.get(0)).map_or(0, |entry| entry.index);
    let exec = (entry, exec);
    let all = queued.chain([exec]);
    all.map(|(entry, args)| line(entry, args)).collect()
}

/// Begins the program of a client: `wants` is what it is known to need.
pub fn begin(
    core: &mut Core,
    client: &mut Client,
    items: Box<Parcel>,
    wants: Vec<(ShardId, Want)>,
    watched: Vec<WatchedKey>,
    exec: Option<Args<'_>>,
) {
    let lines = exec.map_or_else(Vec::new, |exec| lines(core, client, &items, exec));
    let whom = Whom::Client {
        sender: Sender::of(client),
        silent: is_silent(client),
    };
    let program = Program {
        is_exec: exec.is_some(),
        lines,
        watched,
        ..Program::new(core, whom, items, client.db)
    };
    let reserved = reserve(core, wants, &program.watched);
    let tx = core.engine.begin_program(reserved);
    core.note_locks();
    core.programs.insert(tx, Box::new(program));
    core.stats.transactions += 1;
    client.transaction = Some(tx);
    client.held = Some(Held::Remote);
}

/// Makes a program of a script that has run in one go for too long.
pub fn adopt(core: &mut Core, site: &Site, args: Args<'_>, whom: Whom, begun: Begun) -> TxId {
    let want = Want::Whole(Mode::Exclusive);
    let tx = core.engine.adopt_program(want, begun.wrote);
    core.note_locks();
    let mut items = Box::<Parcel>::default();
    items.db = site.db;
    items.reply.set_protocol(site.protocol);
    let entry = core.process.table.find(args.get(0));
    items.push(entry.map_or(0, |entry| entry.index), args);
    if begun.undoable {
        core.scripting.saved.insert(tx, begun.saved);
    }
    let program = Program {
        running: Some(begun.running),
        wrote: begun.wrote,
        stuck: !begun.undoable && begun.wrote,
        slow: true,
        told: begun.told,
        ..Program::new(core, whom, items, site.db)
    };
    note_slow(core, tx, true);
    core.scripting.paused.push(tx);
    core.scripting.adopted = Some(tx);
    core.programs.insert(tx, Box::new(program));
    tx
}

/// An EXEC of which a script has become a program.
pub struct Rest {
    pub queue: Box<Parcel>,
    /// The script's place.
    pub at: usize,
    pub watched: Vec<WatchedKey>,
    /// What the commands before it have answered.
    pub reply: Reply,
    /// Something of it has written.
    pub wrote: bool,
}

/// Has a program that was just adopted go on with the EXEC that its script is a part of.
pub fn go_on_with(core: &mut Core, client: &Client, tx: TxId, rest: Rest, exec: Args<'_>) {
    let Rest {
        queue,
        at,
        watched,
        reply,
        wrote,
    } = rest;
    let lines = lines(core, client, &queue, exec);
    let Some(program) = core.programs.get_mut(&tx) else {
        unreachable!("it was adopted just now");
    };
    let before = std::mem::replace(&mut program.items, queue);
    (program.item, program.is_exec) = (at, true);
    (program.watched, program.reply, program.lines) = (watched, reply, lines);
    program.stuck |= wrote;
    core.stock.put_parcel(before);
}

/// Gives a program that was just adopted the visit that it answers.
pub fn give_visit(core: &mut Core, visit: Box<Visit>) {
    let tx = core.scripting.adopted.take();
    if let Some(program) = tx.and_then(|tx| core.programs.get_mut(&tx)) {
        program.visit = Some(visit);
    }
}

/// Lets the programs go on that have paused.
pub fn go_on(core: &mut Core) {
    for tx in std::mem::take(&mut core.scripting.paused) {
        if let Some(program) = core.programs.get(&tx) {
            let attempt = program.attempt;
            step(core, tx, attempt, Answer::Resumed);
        }
    }
}

/// SCRIPT KILL on this shard: how many scripts it ends, or why it does not.
pub fn kill(core: &mut Core, functions: bool) -> Result<i64, Error> {
    let mut killed = 0;
    for program in core.programs.values_mut().filter(|program| program.slow) {
        let Some(running) = &program.running else {
            continue;
        };
        if matches!(running.call.source, Source::Function(..)) != functions {
            continue;
        }
        if program.wrote {
            return Err(Error::fixed(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You \
                 can either wait the script termination or kill the server in a hard way using the \
                 SHUTDOWN NOSAVE command.",
            ));
        }
        program.killed = true;
        killed += 1;
    }
    Ok(killed)
}

/// The program goes on.
pub fn step(core: &mut Core, tx: TxId, attempt: u32, answer: Answer<Box<Parcel>>) {
    let Some(mut program) = core.programs.remove(&tx) else {
        unreachable!("a program is known until it has finished");
    };
    let presses = core.engine.is_pressing(tx);
    program.attempt = attempt;
    let step = match answer {
        Answer::Start => {
            program.reset(core);
            match program.presses && !presses {
                true => Step::Press,
                false => program.go_on(core, tx, presses),
            }
        }
        Answer::Value(parcel) if parcel.part.too_big => {
            core.stock.put_parcel(parcel);
            program.presses = true;
            Step::Press
        }
        Answer::Value(mut parcel) => {
            match program.settles {
                true => program.copies.check(&parcel),
                false => program.copies.take(core, &mut parcel),
            }
            if let Some(plan) = &mut program.plan {
                plan.take_home(core, parcel);
            }
            program.go_on(core, tx, presses)
        }
        Answer::Resumed => program.go_on(core, tx, presses),
    };
    if matches!(step, Step::Pause) && !program.surveys {
        core.scripting.paused.push(tx);
        program.rested = Instant::now();
        if program.slow {
            note_wants(core, tx);
        } else if is_slow(core, program.started) {
            program.slow = true;
            note_slow(core, tx, true);
        }
    }
    core.programs.insert(tx, program);
    core.engine.step(tx, attempt, step);
}

impl Program {
    /// Nothing has run of it yet.
    fn new(core: &mut Core, whom: Whom, items: Box<Parcel>, db: usize) -> Program {
        Program {
            whom,
            visit: None,
            reply: Reply::new(items.reply.protocol()),
            items,
            is_exec: false,
            lines: Vec::new(),
            watched: Vec::new(),
            tide: core.afloat.depart(),
            item: 0,
            db,
            running: None,
            plan: None,
            surveys: false,
            surveyor: None,
            copies: Copies::default(),
            settles: false,
            presses: false,
            wrote: false,
            stuck: false,
            started: Instant::now(),
            slow: false,
            rested: Instant::now(),
            asked: 0,
            told: Vec::new(),
            attempt: 0,
            killed: false,
        }
    }

    /// Makes it begin again: nothing of what it has done has happened.
    fn reset(&mut self, core: &mut Core) {
        self.item = 0;
        self.wrote = false;
        self.running = None;
        self.told.clear();
        self.settles = false;
        if let Some(plan) = self.plan.take() {
            plan.dispose(core);
        }
        self.copies.clear();
        self.reply.clear();
        self.db = self.items.db;
        if self.is_exec {
            self.reply.array(self.items.len());
        }
    }

    /// Runs until something is to be done on a shard, or all is done.
    fn go_on(&mut self, core: &mut Core, tx: TxId, presses: bool) -> Step<Box<Parcel>> {
        let process = Arc::clone(&core.process);
        loop {
            if self.surveys {
                return Step::Pause;
            }
            if let Some(mut plan) = self.plan.take() {
                if let Some(mut errand) = plan.next(core) {
                    self.plan = Some(plan);
                    self.ask_for_copies(core, presses, &mut errand);
                    errand.payload.part.saves = !presses && !self.stuck;
                    self.wrote |= self.running.is_some() && errand.want.writes();
                    let whole = matches!(errand.want, Want::Whole(_));
                    if whole && errand.want.writes() && !presses && !self.stuck {
                        self.presses = true;
                        return Step::Press;
                    }
                    return call(errand);
                }
                self.executed(core, plan);
                continue;
            }
            if self.is_over_long() {
                if self.settle() {
                    continue;
                }
                return Step::Pause;
            }
            if self.copies.is_full() && self.settle() {
                continue;
            }
            if let Some(running) = &mut self.running {
                match running.machine.turn() {
                    Some(Turn::Asked(_) | Turn::Paused) if self.killed => {
                        self.killed = false;
                        let text: &[u8] = match running.call.source {
                            Source::Script(_) => {
                                b"ERR Error running script: Script killed by user with SCRIPT KILL."
                            }
                            Source::Function(..) => {
                                b"ERR Error running script: Script killed by user with FUNCTION KILL."
                            }
                        };
                        running.machine.kill(text);
                    }
                    Some(Turn::Asked(Request::Call | Request::Pcall)) => {
                        self.ask(core, tx);
                    }
                    Some(Turn::Asked(request)) => {
                        let answer = answer_host(core, request, &running.machine);
                        running.machine.answer(answer);
                    }
                    Some(Turn::Paused) if self.rested.elapsed() >= STINT => {
                        if self.settle() {
                            continue;
                        }
                        return Step::Pause;
                    }
                    None | Some(Turn::Paused) => {
                        running.machine.resume();
                    }
                    Some(Turn::Done | Turn::Failed) => {
                        if !self.settle() {
                            self.end_script(core);
                        }
                    }
                }
                continue;
            }
            if self.item == self.items.len() {
                return Step::Done;
            }
            let (entry, args) = self.items.command(self.item);
            let entry = &process.table.entries()[entry];
            match entry.run {
                _ if is_script(entry) => {
                    let started = start(core, args, self.db);
                    self.wrote = false;
                    self.tell_item();
                    match started {
                        Ok(running) => self.running = Some(running),
                        Err(error) => {
                            core.reply_error(&mut self.reply, &error);
                            self.item += 1;
                        }
                    }
                }
                Run::Data(_) => self.plan = Some(plan(core, &self.items, self.db, entry, args)),
                _ => {
                    if self.run_host(core, tx) {
                        self.tell_item();
                        self.item += 1;
                    }
                }
            }
        }
    }

    /// A command on data has been executed: its reply is the script's, or the program's.
    fn executed(&mut self, core: &mut Core, plan: Plan) {
        if std::mem::take(&mut self.settles) {
            return plan.dispose(core);
        }
        match &mut self.running {
            None => {
                plan.write(core, &mut self.reply, 0);
                self.tell_item();
                self.item += 1;
            }
            Some(running) => {
                let mut reply = std::mem::take(&mut core.scripting.reply);
                fresh(&mut reply, running.machine.protocol());
                plan.write(core, &mut reply, 0);
                running.machine.answer(&bytes_of(&reply));
                core.scripting.reply = reply;
            }
        }
        plan.dispose(core);
    }

    /// Forgets the copies, and has the shards execute what was run on them before anything else. False if there is
    /// nothing to be executed.
    fn settle(&mut self) -> bool {
        self.copies.forget();
        self.settles = self.copies.has_kept();
        if self.settles {
            self.plan = Some(self.copies.plan());
        }
        self.settles
    }

    /// Has a call of the script bring copies, if it may work on them.
    fn ask_for_copies(&mut self, core: &Core, presses: bool, errand: &mut Errand) {
        let Some(running) = &self.running else {
            return;
        };
        // What it reads is remembered, or what it misses is published, by the keys' shards.
        let is_told = self.items.reads || core.notices.wanted().meets(Class::MISS);
        if presses || self.stuck || is_told || self.settles {
            return;
        }
        let (_, args) = self.items.command(self.item);
        self.copies.ask(core, &running.call, args, errand);
    }

    /// Whether it should let others go on, asked before each command.
    fn is_over_long(&mut self) -> bool {
        self.asked = self.asked.wrapping_add(1);
        self.asked.is_multiple_of(REQUESTS) && self.rested.elapsed() >= STINT
    }

    /// Monitors will be told of the command of a queue.
    fn tell_item(&mut self) {
        let line = self.lines.get(self.item).cloned();
        self.told.extend(line.flatten());
    }

    /// Plans the command that the script asks for, or answers it at once.
    fn ask(&mut self, core: &mut Core, tx: TxId) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        if let Some(reply) = self.call(core, tx, &mut running) {
            running.machine.answer(&bytes_of(&reply));
        }
        self.running = Some(running);
    }

    /// The answer to the command that the script asks for, if there is one already.
    fn call(&mut self, core: &mut Core, tx: TxId, running: &mut Running) -> Option<Reply> {
        let process = Arc::clone(&core.process);
        let mut command = Pack::default();
        let asked = running.machine.args().iter();
        asked.for_each(|arg| command.add_bytes(arg));
        command.end();
        let args = command.command(0);
        let mut reply = Reply::new(running.machine.protocol());
        let entry = match admit(&process.table, &running.call, args) {
            Ok(entry) => entry,
            Err(error) => {
                core.reply_error(&mut reply, &error);
                return Some(reply);
            }
        };
        let db = running.client.db;
        let is_data = matches!(entry.run, Run::Data(_));
        let like = like(core, &self.items, running.machine.protocol());
        let copies = &mut self.copies;
        let runs = is_data && copies.run(core, &like, db, entry, args, &mut reply);
        if !runs && copies.concern(core, db, entry, args) && self.settle() {
            // It asks once more.
            core.stock.put_parcel(like);
            return None;
        }
        if !is_data {
            let client = &mut running.client;
            if !run_for_script(core, client, &mut reply, entry.index, args) {
                survey::give_to(core, client, tx);
                self.surveys = true;
            }
        } else if !runs {
            self.plan = Some(plan(core, &like, db, entry, args));
        }
        core.stock.put_parcel(like);
        // Of SELECT in the database that it has chosen.
        let told = told(core, running.client.db, entry, args);
        self.told.extend(told);
        self.wrote |= runs && entry.spec.flags.has(Flags::WRITE);
        let is_answered = !self.surveys && self.plan.is_none();
        is_answered.then_some(reply)
    }

    fn end_script(&mut self, core: &mut Core) {
        let Some(running) = self.running.take() else {
            return;
        };
        if running.machine.turn() == Some(Turn::Failed) {
            let error = running.machine.error();
            core.stats.count_error(&String::from_utf8_lossy(&error));
        }
        running.machine.write(&mut self.reply);
        core.scripting.client = Some(running.client);
        self.item += 1;
    }

    /// Runs a command of an EXEC that is not on data; false if it is answered later.
    fn run_host(&mut self, core: &mut Core, tx: TxId) -> bool {
        let process = Arc::clone(&core.process);
        let (entry, args) = self.items.command(self.item);
        let entry = &process.table.entries()[entry];
        if is_about_connection(entry) {
            let error = Error::fixed(
                "ERR This command cannot be queued beside scripts when there are several shards",
            );
            core.reply_error(&mut self.reply, &error);
            return true;
        }
        let mut client = core.scripting.take_client(core.now_ms());
        client.db = self.db;
        if !run_for_script(core, &mut client, &mut self.reply, entry.index, args) {
            survey::give_to(core, &mut client, tx);
            self.surveyor = Some(client);
            self.surveys = true;
            return false;
        }
        if entry.spec.name == "select"
            && let Ok(db) = connection::database(core, args)
        {
            self.db = db;
        }
        core.scripting.client = Some(client);
        true
    }
}

/// All shards have answered what a program has asked them: `sum` writes the reply.
pub fn surveyed(
    core: &mut Core,
    tx: TxId,
    args: Args<'_>,
    sum: impl FnOnce(&mut Host<'_>) -> Outcome,
) {
    let Some(mut program) = core.programs.remove(&tx) else {
        return;
    };
    program.surveys = false;
    let (client, mut reply) = match (&mut program.running, &mut program.surveyor) {
        (Some(running), _) => {
            let reply = Reply::new(running.machine.protocol());
            (&mut running.client, reply)
        }
        (None, Some(client)) => (client, std::mem::take(&mut program.reply)),
        (None, None) => unreachable!("somebody has asked"),
    };
    let outcome = sum(&mut Host {
        core,
        client,
        reply: &mut reply,
        args,
    });
    if let Err(error) = outcome {
        core.reply_error(&mut reply, &error);
    }
    let asks_again = client.held.take().is_some();
    if asks_again {
        survey::give_to(core, client, tx);
        program.surveys = true;
    }
    match &mut program.running {
        Some(running) if !asks_again => {
            running.machine.answer(&bytes_of(&reply));
        }
        Some(_) => {}
        None => {
            program.reply = reply;
            if !asks_again {
                core.scripting.client = program.surveyor.take();
                program.tell_item();
                program.item += 1;
            }
        }
    }
    let attempt = program.attempt;
    core.programs.insert(tx, program);
    step(core, tx, attempt, Answer::Resumed);
}

/// Whether a command is about its client, which waits for the program.
fn is_about_connection(entry: &Entry<HostHandler>) -> bool {
    const NOT: &[&str] = &["ping", "echo", "select", "publish", "spublish"];
    matches!(entry.spec.group, "connection" | "pubsub") && !NOT.contains(&entry.spec.name)
}

fn start(core: &mut Core, args: Args<'_>, db: usize) -> Result<Running, Error> {
    let call = Call::parse(core, args)?;
    let machine = call.start(core, args)?;
    let mut client = core.scripting.take_client(core.now_ms());
    client.db = db;
    Ok(Running {
        call,
        machine,
        client,
    })
}

/// A parcel of the program's client, for answers in a protocol.
fn like(core: &mut Core, items: &Parcel, protocol: Protocol) -> Box<Parcel> {
    let mut like = core.stock.like(items);
    like.reply.set_protocol(protocol);
    like
}

/// A plan of one command.
pub fn plan(
    core: &mut Core,
    like: &Parcel,
    db: usize,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
) -> Plan {
    let mut plan = Plan::default();
    plan.push(core, like, db, entry, args);
    plan.end_batches();
    plan
}

/// Every shard has released: the client is answered.
pub fn finish(core: &mut Core, tx: TxId, outcome: TxOutcome) {
    let Some(program) = core.programs.remove(&tx) else {
        unreachable!("a program is known until it has finished");
    };
    if program.slow {
        note_slow(core, tx, false);
    }
    let Program {
        mut told,
        lines,
        whom,
        visit,
        items,
        watched,
        tide,
        mut reply,
        db,
        ..
    } = *program;
    if core.afloat.arrive(tide) {
        survey::ebb(core);
    }
    multi::release(core, watched);
    if outcome == TxOutcome::Aborted {
        reply.clear();
        reply.null_array();
    }
    core.stock.put_parcel(items);
    if outcome == TxOutcome::Aborted {
        told.clear();
    }
    told.extend(lines.into_iter().next_back().flatten());
    let (sender, silent) = match whom {
        Whom::Client { sender, silent } => {
            monitor::tell(core, told);
            (sender, silent)
        }
        Whom::Visit(home) => {
            if let Some(mut visit) = visit {
                visit.told = told;
                visit.parcel.reply = reply;
                visit.parcel.epoch = core.engine.epoch();
                core.node.send_reply(home, RemoteAnswer::Script(visit));
            }
            return;
        }
    };
    let client = core.clients.get_mut(sender.conn);
    let Some(client) = client.filter(|client| client.id == sender.client) else {
        return;
    };
    client.transaction = None;
    client.script = false;
    client.db = db;
    if client.reply.is_empty() {
        client.reply.put_buffer(core.spare.take());
    }
    if !silent {
        client.reply.append(&reply, Mark::default(), reply.mark());
    }
    core.clients.mark(sender.conn);
}
