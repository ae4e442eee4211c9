//! `shoal [CONFIG-FILE] [--DIRECTIVE VALUE ...]`

use shoal::config::args::{self, Invocation};
use shoal::config::{Config, LoadError};
use shoal::daemon::Supervisor;
use shoal::{check, daemon, logging, memory, process, title};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    match check::run(&args) {
        None => {}
        Some(Ok(told)) => return tell(&told),
        Some(Err(why)) => return fail(&why),
    }
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
    match config {
        Ok(config) if only_check => {
            config.notices().iter().for_each(|n| println!("{}", n.text));
            println!("The configuration is good.");
            ExitCode::SUCCESS
        }
        Ok(config) => start(config),
        Err(error) => fail(&error.to_string()),
    }
}

/// Shows a text. Who has closed the pipe does not want to see it.
fn tell(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => fail(&format!("standard output: {e}")),
        _ => ExitCode::SUCCESS,
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Runs the server to its end.
fn start(mut config: Config) -> ExitCode {
    title::prepare();
    if let Err(error) = enter_dir(&mut config) {
        return fail(&error.to_string());
    }
    let supervisor = Supervisor::find(&config);
    // Who is supervised must not fork: the supervisor watches this process.
    let background = config.daemonize() && supervisor == Supervisor::Nobody;
    // It lives until the end of this function: its parent reports a failure when it is gone.
    let mut daemon = None;
    if background {
        match daemon::enter_background() {
            Ok(entered) => daemon = Some(entered),
            Err(error) => return fail(&format!("daemonize: {error}")),
        }
    }
    if let Err(error) = logging::start(&config) {
        return fail(&error);
    }
    logging::report_panics();
    for notice in config.notices() {
        match notice.grave {
            true => log::warn!("WARNING: {}", notice.text),
            false => log::info!("{}", notice.text),
        }
    }
    let is_seen = config.logfile().is_none() && log::log_enabled!(log::Level::Error);
    let Err(error) = process::run(config, supervisor, &mut daemon) else {
        return ExitCode::SUCCESS;
    };
    log::error!("{error}");
    match is_seen {
        true => ExitCode::FAILURE,
        false => fail(&error),
    }
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
