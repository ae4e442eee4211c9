//! A script that runs on the data of one shard, in one go.

use super::program::{self, Begun, Rest, Running, Whom};
use super::{Before, Call, TRUSTED, admit, answer_host, bytes_of, fresh, note_undone};
use super::{put_back, save_into, told};
use crate::aof::journal::{self, Fate};
use crate::clients::{Client, Special};
use crate::commandlog::{By, Source};
use crate::core::{Core, Host, HostHandler};
use crate::dispatch::{self, Perform, Watch};
use crate::monitor;
use crate::remote::exec::{are_as_seen, run_host};
use crate::remote::parcel::Parcel;
use crate::remote::route::To;
use crate::remote::{self, form_of};
use crate::session::multi::{self, WatchedKey};
use ::script::{Request, Run as Machine, Turn};
use command::table::{Entry, Run};
use command::{Error, Flags};
use engine::locks::{Name, Want};
use engine::tx::TxId;
use resp::{Args, Protocol, Reply};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whose script it is.
#[derive(Clone, Copy)]
pub struct Site {
    pub db: usize,
    pub protocol: Protocol,
}

impl Site {
    pub fn of(client: &Client, protocol: Protocol) -> Site {
        Site {
            db: client.db,
            protocol,
        }
    }

    pub fn of_parcel(parcel: &Parcel) -> Site {
        Site {
            db: parcel.db,
            protocol: parcel.reply.protocol(),
        }
    }
}

/// How a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    Done,
    /// It needs keys that are elsewhere, or locked; it has changed nothing.
    Wanders,
    /// It has run for so long that it goes on as a program, and answers later.
    Slow,
}

/// Why a command of a script was not executed here.
enum Refusal {
    /// The script is told.
    Error(Error),
    Wanders,
}

/// Runs a call all keys of which are here, and free or locked for it; for whom, if it goes on as a program.
pub fn run(
    core: &mut Core,
    site: &Site,
    call: &Call,
    args: Args<'_>,
    reply: &mut Reply,
    whom: impl FnOnce() -> Whom,
) -> Ran {
    let mut machine = match call.start(core, args) {
        Ok(machine) => machine,
        Err(error) => {
            core.reply_error(reply, &error);
            return Ran::Done;
        }
    };
    let mut client = core.scripting.take_client(core.now_ms());
    client.db = site.db;
    let mut own = Own {
        client,
        saved: Vec::new(),
        trusted: core.alone || call.habit.stayed >= TRUSTED,
        changed_big: false,
        names: match core.engine.is_plain() {
            true => Vec::new(),
            false => call
                .keys(args)
                .map(|key| Name(core.shard.key(key).hash))
                .collect(),
        },
        paused: None,
    };
    let changes = core.shard.changes();
    // Whoever waits for a key would have it locked before the script comes to it again.
    let held_before = std::mem::replace(&mut core.holds_news, true);
    let effects_before = journal::hold(core);
    let ran = drive(core, call, &mut machine, &mut own);
    core.holds_news = held_before;
    if ran == Ran::Slow {
        let wrote = core.shard.changes() != changes;
        let Own {
            client,
            saved,
            changed_big,
            ..
        } = own;
        let running = Running {
            call: call.clone(),
            machine,
            client,
        };
        let undoable = !changed_big && !core.alone;
        let ran = Begun {
            running,
            saved,
            wrote,
            undoable,
            told: std::mem::take(&mut core.scripting.told),
        };
        let tx = program::adopt(core, site, args, whom(), ran);
        journal::end_hold(core, effects_before, Fate::Waits(tx));
        dispatch::note_news(core);
        return Ran::Slow;
    }
    core.scripting.client = Some(own.client);
    let fate = match ran {
        Ran::Wanders => Fate::Undone,
        _ => Fate::Happened,
    };
    journal::end_hold(core, effects_before, fate);
    if ran == Ran::Wanders {
        core.scripting.told.clear();
        put_back(core, own.saved);
        note_undone(core);
        return ran;
    }
    if core.shard.has_news() {
        dispatch::note_news(core);
    }
    if machine.turn() == Some(Turn::Failed) {
        let error = Error::bytes(machine.error());
        core.stats
            .count_error(&String::from_utf8_lossy(error.text()));
    }
    machine.write(reply);
    ran
}

/// What a run has to itself.
struct Own {
    client: Box<Client>,
    saved: Vec<Before>,
    /// It may change what is too big to be saved.
    trusted: bool,
    /// It has, so it cannot be undone.
    changed_big: bool,
    /// The names for whose locks it has waited.
    names: Vec<Name>,
    /// When it paused first; before that it has not taken long.
    paused: Option<Instant>,
}

impl Own {
    /// Whether it has the locks of all these.
    fn has(&self, want: &Want) -> bool {
        match want {
            Want::Keys(keys) => keys.iter().all(|(name, _)| self.names.contains(name)),
            Want::Whole(_) => false,
        }
    }
}

/// Whether a script that began then runs for too long.
pub fn is_slow(core: &Core, started: Instant) -> bool {
    let most = core.config.busy_reply_threshold();
    most > 0 && started.elapsed() >= Duration::from_millis(most)
}

fn drive(core: &mut Core, call: &Call, machine: &mut Machine, own: &mut Own) -> Ran {
    let mut turn = machine.resume();
    loop {
        turn = match turn {
            Turn::Asked(Request::Call | Request::Pcall) => {
                let mut reply = std::mem::take(&mut core.scripting.reply);
                fresh(&mut reply, machine.protocol());
                let executed = execute(core, call, machine, own, &mut reply);
                if executed {
                    turn = machine.answer(&bytes_of(&reply));
                }
                core.scripting.reply = reply;
                if !executed {
                    return Ran::Wanders;
                }
                turn
            }
            Turn::Asked(request) => {
                let answer = answer_host(core, request, machine);
                machine.answer(answer)
            }
            // While somebody has locks here it cannot be given those of the whole shard.
            Turn::Paused => {
                let since = *own.paused.get_or_insert_with(Instant::now);
                if is_slow(core, since) && core.engine.is_plain() {
                    return Ran::Slow;
                }
                machine.resume()
            }
            Turn::Done | Turn::Failed => return Ran::Done,
        };
    }
}

/// Executes the command that the script asks for; false if that cannot be done here.
fn execute(
    core: &mut Core,
    call: &Call,
    machine: &Machine,
    own: &mut Own,
    reply: &mut Reply,
) -> bool {
    let mut pack = std::mem::take(&mut core.scripting.call);
    pack.clear();
    machine.args().iter().for_each(|arg| pack.add_bytes(arg));
    pack.end();
    let executed = command(core, call, own, pack.command(0), reply);
    core.scripting.call = pack;
    match executed {
        Ok(()) => true,
        Err(Refusal::Error(error)) => {
            core.reply_error(reply, &error);
            true
        }
        Err(Refusal::Wanders) if own.changed_big => {
            // Rare: a script that has stayed here many times, and then does not.
            let error = Error::fixed(
                "ERR Script needs a key of another shard after it has changed a big value; name the \
                 key, or run it again",
            );
            core.scripting.note(call, false);
            core.reply_error(reply, &error);
            true
        }
        Err(Refusal::Wanders) => false,
    }
}

fn command(
    core: &mut Core,
    call: &Call,
    own: &mut Own,
    args: Args<'_>,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let process = Arc::clone(&core.process);
    let entry = admit(&process.table, call, args).map_err(Refusal::Error)?;
    let form = match entry.run {
        Run::Data(form) => form,
        _ => {
            if !run_for_script(core, &mut own.client, reply, entry.index, args) {
                own.client.survey = None;
                return Err(Refusal::Wanders);
            }
            note_told(core, own.client.db, entry, args);
            return Ok(());
        }
    };
    if !core.alone {
        match remote::place(core, entry, args) {
            To::Anywhere => {}
            To::Shard(shard) if shard == core.me => {}
            _ => return Err(Refusal::Wanders),
        }
        if remote::reads_any_key(entry, args) {
            return Err(Refusal::Wanders);
        }
    }
    if !core.engine.is_plain() {
        let want = remote::wanted(core, entry, args);
        if !core.engine.may_run_all(&want) && !own.has(&want) {
            return Err(Refusal::Wanders);
        }
    }
    let db = own.client.db;
    if !core.alone
        && entry.spec.flags.has(Flags::WRITE)
        && !own.changed_big
        && !save_into(core, &mut own.saved, db, entry, args)
    {
        if !own.trusted {
            return Err(Refusal::Wanders);
        }
        own.changed_big = true;
    }
    // Its time is the script's.
    core.stats.note_calls(entry.index, 1, 0);
    let perform = Perform::new(form, None);
    dispatch::execute_here(core, db, reply, entry, perform, args);
    note_told(core, db, entry, args);
    Ok(())
}

fn note_told(core: &mut Core, db: usize, entry: &Entry<HostHandler>, args: Args<'_>) {
    let told = told(core, db, entry, args);
    core.scripting.told.extend(told);
}

/// Runs a command that is not on data for a script. False if it asks other shards, and is answered later: then
/// the client knows the survey.
pub fn run_for_script(
    core: &mut Core,
    client: &mut Client,
    reply: &mut Reply,
    entry: usize,
    args: Args<'_>,
) -> bool {
    let mark = reply.mark();
    let process = Arc::clone(&core.process);
    let entry = &process.table.entries()[entry];
    client.session.last_command = Some(entry.index);
    let outcome = match entry.run {
        Run::Host(handler) => handler(&mut Host {
            core,
            client,
            reply,
            args,
        }),
        _ => Err(Error::arity(&entry.full_name)),
    };
    if let Err(error) = outcome {
        dispatch::fail(core, reply, entry.index, &error);
    }
    if client.held.take().is_some() {
        reply.rewind(mark);
        return false;
    }
    true
}

/// Executes a queue with scripts where there is one shard: one command after the other. What is left of it when
/// a script runs for too long becomes a program.
pub fn exec(host: &mut Host<'_>, queue: Box<Parcel>, watched: Vec<WatchedKey>) {
    let core = &mut *host.core;
    if !are_as_seen(core, &watched) {
        host.reply.null_array();
        multi::release(core, watched);
        return core.stock.put_parcel(queue);
    }
    let start = host.reply.mark();
    let changes = core.shard.changes();
    host.reply.array(queue.len());
    core.holds_news = true;
    let effects_before = journal::hold(core);
    let slow = (0..queue.len()).find_map(|at| {
        let tx = queued(core, host.client, host.reply, &queue, at)?;
        Some((tx, at))
    });
    core.holds_news = false;
    let Some((tx, at)) = slow else {
        journal::end_hold(core, effects_before, Fate::Happened);
        if core.shard.has_news() {
            dispatch::note_news(core);
        }
        multi::release(core, watched);
        return core.stock.put_parcel(queue);
    };
    journal::end_hold(core, effects_before, Fate::Waits(tx));
    if core.shard.has_news() {
        dispatch::note_news(core);
    }
    let wrote = core.shard.changes() != changes;
    let mut reply = Reply::new(host.reply.protocol());
    reply.append(host.reply, start, host.reply.mark());
    host.reply.rewind(start);
    let rest = Rest {
        queue,
        at,
        watched,
        reply,
        wrote,
    };
    program::go_on_with(core, host.client, tx, rest, host.args);
}

/// Runs a command of a queue; the program that its script has become, if it runs for too long.
fn queued(
    core: &mut Core,
    client: &mut Client,
    reply: &mut Reply,
    queue: &Parcel,
    at: usize,
) -> Option<TxId> {
    let process = Arc::clone(&core.process);
    let (entry, args) = queue.command(at);
    let entry = &process.table.entries()[entry];
    let Run::Data(_) = entry.run else {
        core.scripting.adopted = None;
        run_host(core, client, reply, queue, at);
        return core.scripting.adopted.take();
    };
    let by = By::Client(client);
    let mut watch = Watch::start(Source::One(args));
    watch.next(core, by, entry.index, at, args.len());
    let perform = Perform::new(form_of(entry), None);
    dispatch::execute_here(core, client.db, reply, entry, perform, args);
    watch.stop(core, by);
    if core.special.has(Special::MONITORED) {
        monitor::feed(core, client, &mut Reply::default(), entry, args);
    }
    None
}
