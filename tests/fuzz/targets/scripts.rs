//! Any text is a script or refused, and any bytes are read by a script's libraries or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resp::{Protocol, Reply};
use script::{Run, Script, Turn, Vm, VmOptions};
use std::cell::OnceCell;

/// Reads bytes with each library; what was read can be written, and be read again.
const READS: &[u8] = b"
    local read, value = pcall(cjson.decode, ARGV[1])
    if read then
        local written, text = pcall(cjson.encode, value)
        if written then assert(pcall(cjson.decode, text)) end
    end
    local values = {pcall(cmsgpack.unpack, ARGV[1])}
    if values[1] and values[2] ~= nil then
        local written, text = pcall(cmsgpack.pack, values[2])
        if written then assert(pcall(cmsgpack.unpack, text)) end
    end
    pcall(cmsgpack.unpack_limit, ARGV[1], #ARGV[1] % 5, #ARGV[2])
    pcall(struct.unpack, ARGV[2], ARGV[1])
    pcall(struct.pack, ARGV[2], ARGV[1], #ARGV[1], ARGV[1])
    pcall(struct.size, ARGV[1])
    pcall(string.find, ARGV[1], ARGV[2])
    pcall(string.format, ARGV[1], ARGV[2], 1, 2)
    pcall(loadstring, ARGV[1])
    return redis.pcall(ARGV[1], ARGV[2])";

/// How often a script is let go on. Then it is ended.
const PAUSES: usize = 20;

thread_local! {
    static VM: OnceCell<Vm> = const { OnceCell::new() };
}

fn finish(mut run: Run) {
    let mut turn = run.resume();
    for at in 0.. {
        turn = match turn {
            Turn::Asked(_) if at < PAUSES => run.answer(b"*2\r\n$1\r\n7\r\n:1\r\n"),
            Turn::Paused if at < PAUSES => run.resume(),
            Turn::Asked(_) | Turn::Paused if at < 2 * PAUSES => run.kill(b"ERR ended"),
            // It catches its end again and again, or is over.
            _ => break,
        };
    }
    let mut reply = Reply::new(Protocol::Resp3);
    if matches!(run.turn(), Some(Turn::Done | Turn::Failed)) {
        run.write(&mut reply);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    VM.with(|vm| {
        let vm = vm.get_or_init(|| Vm::new(VmOptions::default()).expect("an interpreter"));
        let text = if *first % 4 == 0 { rest } else { READS };
        let Ok(script) = Script::parse(text) else {
            return;
        };
        let (format, data) = rest.split_at(usize::from(*first).min(rest.len()));
        let args = [data, format];
        if let Ok(run) = vm.start(&script, [].into_iter(), args.into_iter()) {
            finish(run);
        }
        if text == rest {
            vm.forget(&script);
        }
    });
});
