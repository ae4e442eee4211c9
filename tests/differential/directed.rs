//! Every command, option and error of `tests/cases`, on both servers.

use harness::directed::{Differences, run_directory};
use harness::server::SEVERAL;
use std::path::{Path, PathBuf};

fn tests() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn differences_path() -> PathBuf {
    tests().join("differential/differences.tsv")
}

fn cases_agree(shards: usize) {
    let differences = Differences::load(&differences_path());
    let mut report = run_directory(&tests().join("cases"), &differences, shards);
    println!(
        "{} blocks, {} replies compared",
        report.blocks, report.replies
    );
    let mut as_newer = report.as_newer.clone();
    as_newer.sort();
    as_newer.dedup();
    for place in as_newer {
        println!("as Redis 8 or Valkey 9 answers: {place}");
    }
    for (why, count) in &report.skipped {
        println!("skipped {count}: {why}");
    }
    // Only a whole run meets all of them.
    if std::env::var_os("CASES").is_none() {
        for unused in differences.unused() {
            report.failures.push(format!(
                "nothing differs any more: {} {}",
                unused.block, unused.command
            ));
        }
    }
    assert!(
        report.failures.is_empty(),
        "\n{}\n\n{} of {} blocks differ",
        report.failures.join("\n\n"),
        report.failures.len(),
        report.blocks
    );
}

#[test]
fn cases_agree_on_one_shard() {
    cases_agree(1);
}

#[test]
fn cases_agree_on_several_shards() {
    cases_agree(SEVERAL);
}
