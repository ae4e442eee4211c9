//! Any manifest of a log is read or refused; one that was read is the same when it was written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use persist::aof::Manifest;

fuzz_target!(|input: &[u8]| {
    let Ok(manifest) = Manifest::parse(input) else {
        return;
    };
    let text = manifest.to_text();
    if text.is_empty() {
        return;
    }
    match Manifest::parse(&text) {
        Ok(again) => assert_eq!(again, manifest),
        // Quotes and escapes may make a line longer than one may be.
        Err(invalid) => assert!(invalid.line.is_none() && text.len() > 1024),
    }
});
