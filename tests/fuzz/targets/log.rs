//! Any file of a log is read or refused; what was read is the same when it is cut off behind it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use persist::append::scan::Scanner;

/// The units of a file, and where it is damaged if it is.
fn units(file: &[u8]) -> (Vec<(Vec<u8>, usize, u64)>, Option<u64>) {
    let mut scanner = Scanner::new(file, 0);
    let mut units = Vec::new();
    loop {
        match scanner.unit().expect("memory can be read") {
            Ok(Some(unit)) => units.push((unit.commands.concat(), unit.count, unit.end)),
            Ok(None) => return (units, None),
            Err(damage) => {
                let behind = scanner.behind().expect("memory can be read");
                assert!(behind.blocks <= file.len() as u64);
                return (units, Some(damage.at));
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let (whole, damaged) = units(input);
    let Some(at) = damaged else {
        return;
    };
    let good = &input[..at as usize];
    assert_eq!(units(good), (whole, None));
});
