//! `shoal [CONFIG-FILE] [--DIRECTIVE VALUE ...]`

use shoal::config::Config;
use shoal::config::args::{self, Invocation};
use shoal::{logging, memory, process};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

fn main() -> ExitCode {
    let invocation = match args::parse(std::env::args_os().skip(1)) {
        Ok(invocation) => invocation,
        Err(error) => error.exit(),
    };
    let (line, only_check) = match invocation {
        Invocation::Run(line) => (line, false),
        Invocation::CheckConfig(line) => (line, true),
    };
    let config = match Config::load(&line, std::io::stdin()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if only_check {
        config.notices().iter().for_each(|n| println!("{n}"));
        println!("The configuration is good.");
        return ExitCode::SUCCESS;
    }
    if !config.dir().as_os_str().is_empty()
        && let Err(error) = std::env::set_current_dir(config.dir())
    {
        eprintln!("Can't chdir to '{}': {error}", config.dir().display());
        return ExitCode::FAILURE;
    }
    logging::start(&config);
    config.notices().iter().for_each(|n| log::warn!("{n}"));
    match process::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
