//! A configuration file of any bytes is read or refused; what CONFIG GET answers afterwards can be set
//! again, and changes nothing.

#![no_main]

#[allow(
    dead_code,
    unused_imports,
    reason = "only reading and setting are of interest"
)]
#[path = "../../../crates/server/src/config/mod.rs"]
mod config;

use config::Config;
use config::args::CommandLine;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // A file of the machine may be anything, and endless.
    let lower = input.to_ascii_lowercase();
    if lower
        .windows(3)
        .any(|w| w == b"inc" || w == b"\\x6" || w == b"\\x4")
    {
        return;
    }
    let line = CommandLine {
        stdin: true,
        ..CommandLine::default()
    };
    match Config::load(&line, input) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(mut config) => {
            let all = config.get(&[b"*"]);
            for (name, value) in &all {
                let pair = [(name.as_bytes(), value.as_slice())];
                match config.set(&pair, true) {
                    Ok(changed) => assert!(changed.is_empty(), "{name} {value:?}"),
                    Err(error) => panic!("{name} {value:?}: {error:?}"),
                }
            }
            assert_eq!(config.get(&[b"*"]), all);
        }
    }
});
