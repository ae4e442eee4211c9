//! `shoal [CONFIG-FILE] [--DIRECTIVE VALUE ...]`

use shoal::config::args::{self, Invocation};
use shoal::config::{Config, LoadError};
use shoal::daemon::Supervisor;
use shoal::{daemon, logging, memory, process, title};
use std::os::unix::ffi::OsStrExt;
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
    let config = Config::load(&line, std::io::stdin()).and_then(|config| {
        process::table(&config)?;
        Ok(config)
    });
    let result = match config {
        Ok(config) if only_check => {
            config.notices().iter().for_each(|n| println!("{}", n.text));
            println!("The configuration is good.");
            Ok(())
        }
        Ok(config) => start(config),
        Err(error) => Err(error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the server to its end.
fn start(mut config: Config) -> Result<(), String> {
    title::prepare();
    enter_dir(&mut config).map_err(|e| e.to_string())?;
    let supervisor = Supervisor::find(&config);
    // Who is supervised must not fork: the supervisor watches this process.
    let background = config.daemonize() && supervisor == Supervisor::Nobody;
    let daemon = match background {
        true => Some(daemon::enter_background().map_err(|e| format!("daemonize: {e}"))?),
        false => None,
    };
    logging::start(&config)?;
    logging::report_panics();
    for notice in config.notices() {
        match notice.grave {
            true => log::warn!("WARNING: {}", notice.text),
            false => log::info!("{}", notice.text),
        }
    }
    let result = process::run(config, supervisor, daemon);
    if let Err(error) = &result {
        log::error!("{error}");
    }
    result
}

/// Changes to `dir`, which then is known by its full name.
fn enter_dir(config: &mut Config) -> Result<(), LoadError> {
    let dir = config.dir();
    let entered = match dir.as_os_str().is_empty() {
        true => Ok(()),
        false => std::env::set_current_dir(dir),
    };
    let settled = entered.and_then(|()| std::env::current_dir()).map(|dir| {
        config
            .settle("dir", dir.as_os_str().as_bytes())
            .map_err(|reason| reason.into_owned())
    });
    let reason = match settled {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(reason)) => reason,
        Err(e) => format!("Can't chdir to '{}': {e}", config.dir().display()),
    };
    match config.origin("dir") {
        Some(origin) => Err(LoadError::at(origin.clone(), reason)),
        None => Ok(()),
    }
}
