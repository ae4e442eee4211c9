//! Libraries load, in time, into every machine that calls them.

use super::{finish, vm};
use crate::{Flags, Request, Turn};
use std::iter;
use std::time::Duration;

const LIMIT: Duration = Duration::from_millis(500);

const SUMS: &[u8] = b"#!lua name=sums
local function sum(keys, args)
  local n = 0
  for _, v in ipairs(args) do n = n + v end
  return n
end
redis.register_function('sum', sum)
redis.register_function{
  function_name = 'asks', description = 'it asks', flags = {'no-writes', 'allow-stale'},
  callback = function(keys, args) return redis.call('get', keys[1]) end,
}
";

#[test]
fn libraries_say_what_they_have() {
    let library = vm().load_library(SUMS, LIMIT).expect("it loads");
    assert_eq!((library.name(), library.code()), (&b"sums"[..], SUMS));
    let [sum, asks] = library.functions() else {
        panic!("{:?}", library.functions());
    };
    assert_eq!((&sum.name[..], &sum.description), (&b"sum"[..], &None));
    assert_eq!(asks.description.as_deref(), Some(&b"it asks"[..]));
    assert_eq!(asks.flags, Flags::NO_WRITES.with(Flags::ALLOW_STALE));
    assert!(asks.flags.names().eq(["no-writes", "allow-stale"]));
}

#[test]
fn functions_run_in_machines_that_have_not_loaded_them() {
    let library = vm().load_library(SUMS, LIMIT).expect("it loads");
    let other = vm();
    let args = || [&b"1"[..], b"2", b"3"].into_iter();
    for _ in 0..3 {
        let run = other.start_function(&library, b"sum", iter::empty(), args());
        assert_eq!(finish(run.expect("it is there")), ":6\r\n");
        let keys = [&b"k"[..]].into_iter();
        let run = other.start_function(&library, b"asks", keys, iter::empty());
        let mut run = run.expect("it is there");
        assert_eq!(run.resume(), Turn::Asked(Request::Call));
        assert_eq!(run.args(), [b"get", &b"k"[..]]);
        assert_eq!(finish(run), "$1\r\nk\r\n");
        other.forget_library(&library);
    }
    let none = other.start_function(&library, b"none", iter::empty(), iter::empty());
    assert_eq!(
        none.err().map(|why| why.to_string()).as_deref(),
        Some("ERR Function not found")
    );
}

#[test]
fn loading_takes_no_longer_than_it_may() {
    let vm = vm();
    let refused = |code: &str| {
        let why = vm
            .load_library(code.as_bytes(), Duration::from_millis(20))
            .err();
        assert_eq!(
            why.map(|why| why.to_string()).as_deref(),
            Some("ERR Error registering functions: ERR FUNCTION LOAD timeout"),
            "{code}"
        );
    };
    refused("#!lua name=x\nwhile true do end");
    refused("#!lua name=x\nredis.register_function('f',function() end) while true do end");
    vm.load_library(SUMS, LIMIT).expect("others load");
}

/// A library's state stays with the machine, and a script does not see it.
#[test]
fn libraries_have_globals_of_their_own() {
    let vm = vm();
    let code = b"#!lua name=x\nlocal n = 0 redis.register_function('f', function() n = n + 1 return {n, tostring(math.random), type(KEYS)} end)";
    let library = vm.load_library(code, LIMIT).expect("it loads");
    let run = vm.start_function(&library, b"f", iter::empty(), iter::empty());
    let reply = finish(run.expect("it is there"));
    assert!(
        reply.contains("nonexistent global variable 'KEYS' script: f, on @user_function:2."),
        "{reply}"
    );
}

/// Text is shared between shards.
#[test]
fn scripts_and_libraries_travel() {
    fn travels<T: Send + Sync + Clone>() {}
    travels::<crate::Script>();
    travels::<crate::Library>();
}
