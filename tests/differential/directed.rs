//! Every command, option and error of `tests/cases`, on both servers.

use harness::directed::{Differences, run_directory};
use std::path::{Path, PathBuf};

fn tests() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn differences_path() -> PathBuf {
    tests().join("differential/differences.tsv")
}

#[test]
fn cases_agree() {
    let differences = Differences::load(&differences_path());
    let report = run_directory(&tests().join("cases"), &differences);
    println!(
        "{} blocks, {} replies compared",
        report.blocks, report.replies
    );
    for (why, count) in &report.skipped {
        println!("skipped {count}: {why}");
    }
    assert!(
        report.failures.is_empty(),
        "\n{}\n\n{} of {} blocks differ",
        report.failures.join("\n\n"),
        report.failures.len(),
        report.blocks
    );
}
