//! Histories of a log on a disk that loses power.

use super::*;
use crate::simulated::{Dice, Planted, Simulated, scaled};

/// The command of a step, of which each is larger than the one before.
fn command(step: u64, dice: &mut Dice) -> Vec<u8> {
    let filler = "x".repeat(dice.below(700) as usize);
    let step = step.to_string();
    format!(
        "*3\r\n${}\r\n{step}\r\n$1\r\nk\r\n${}\r\n{filler}\r\n",
        step.len(),
        filler.len()
    )
    .into_bytes()
}

/// The steps of commands, as far as they are some.
fn steps(commands: &[u8]) -> Result<Vec<u64>, String> {
    let text = String::from_utf8_lossy(commands);
    let mut steps = Vec::new();
    let mut lines = text.split("\r\n");
    while let Some(line) = lines.next() {
        if line.starts_with('*') {
            let name = lines.nth(1).unwrap_or_default();
            steps.push(name.parse().map_err(|_| format!("unknown: {name}"))?);
        }
    }
    Ok(steps)
}

/// What a history is to be like.
#[derive(Clone, Copy, Default)]
struct Plan {
    planted: Planted,
    /// Acknowledges what was not synced.
    hasty: bool,
    /// Flips bits of what was found.
    flips: bool,
}

/// Steps that were acknowledged, and those that were begun.
#[derive(Debug, Default)]
struct Past {
    acknowledged: u64,
    begun: u64,
    /// For each block, its last step, and those that were acknowledged before.
    witnesses: Vec<(u64, u64)>,
}

impl Past {
    /// Steps of which what is found says that they were durable.
    fn witnessed(&self, found: u64) -> u64 {
        let there = self.witnesses.iter().filter(|(step, _)| *step <= found);
        there.map(|(_, steps)| *steps).max().unwrap_or(0)
    }
}

/// What is found: up to which step, and where to go on.
fn recover(disk: &Simulated, names: &Names) -> Result<(u64, Manifest, End), String> {
    let Some(found) = manifest(disk, names).map_err(|e| e.to_string())? else {
        return Ok((0, Manifest::default(), End::default()));
    };
    let mut last = 0;
    if let Some(base) = &found.base {
        let mut content = String::new();
        disk.read(&name_of(base))
            .and_then(|mut file| file.read_to_string(&mut content))
            .map_err(|e| e.to_string())?;
        let step = content.strip_suffix('\n').and_then(|s| s.parse().ok());
        last = step.ok_or("the base is damaged")?;
    }
    let mut wrong = None;
    let end = read_increments(disk, &found, |unit| {
        for step in steps(&unit.commands.concat())? {
            if step != last + 1 {
                wrong.get_or_insert(format!("step {step} follows on {last}"));
            }
            last = step;
        }
        Ok(())
    });
    let end = end.map_err(|e| e.to_string())?;
    match wrong {
        Some(wrong) => Err(wrong),
        None => Ok((last, found, end)),
    }
}

/// Runs a history of some lives; what was lost, if something was.
fn history(seed: u64, plan: Plan) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let names = Names::new("a.aof");
    let mut disk = Simulated::new(plan.planted);
    let mut past = Past::default();
    for _ in 0..3 {
        disk.power_for(4 + dice.below(120));
        live(&disk, &names, plan, &mut dice, &mut past)?;
        disk = disk.after_loss(&mut dice);
        let (found, manifest, _) = recover(&disk, &names)?;
        if found < past.acknowledged || found > past.begun {
            return Err(format!("{found} are found of {past:?}"));
        }
        if plan.flips {
            return flipped(
                &disk,
                &names,
                &manifest,
                past.witnessed(found),
                found,
                &mut dice,
            );
        }
        past = Past {
            acknowledged: found,
            begun: found,
            witnesses: Vec::new(),
        };
    }
    Ok(())
}

/// A bit that has changed is found out, or what it belonged to was the end, and is gone.
fn flipped(
    disk: &Simulated,
    names: &Names,
    manifest: &Manifest,
    witnessed: u64,
    found: u64,
    dice: &mut Dice,
) -> Result<(), String> {
    let Some(last) = manifest.increments.last() else {
        return Ok(());
    };
    if !disk.flip(&name_of(last), dice) {
        return Ok(());
    }
    match recover(disk, names) {
        Ok((now, ..)) if now > found || now < witnessed => {
            Err(format!("{found} before a bit was flipped, {now} after it"))
        }
        _ => Ok(()),
    }
}

/// One life, up to the end of the power. An error is a fault of the log.
fn live(
    disk: &Simulated,
    names: &Names,
    plan: Plan,
    dice: &mut Dice,
    past: &mut Past,
) -> Result<(), String> {
    let storage = Arc::new(disk.clone());
    let Ok((found, manifest, end)) = recover(disk, names) else {
        return match disk.has_power() {
            true => Err("what was read once cannot be read again".into()),
            false => Ok(()),
        };
    };
    let log = match manifest.increments.is_empty() {
        true if dice.chance(30) => Log::start(storage, names.clone(), manifest),
        _ => Log::resume(storage, names.clone(), manifest, end),
    };
    let Ok(mut log) = log else {
        return Ok(());
    };
    // What it says before it is named is acknowledged when its base is there.
    let mut named = !log.unnamed;
    let mut step = found;
    // Up to which step the next base is to be, once an increment begins there.
    let mut base = (!named).then_some(found);
    while disk.has_power() {
        if dice.chance(3) {
            disk.fail_once();
        }
        match dice.below(10) {
            0..5 => {
                let mut commands = Vec::new();
                let count = 1 + dice.below(3);
                for i in 1..=count {
                    commands.extend(command(step + i, dice));
                }
                past.begun = past.begun.max(step + count);
                let time = dice.chance(2).then_some(step as i64);
                if log.append(&commands, time).is_ok() {
                    step += count;
                    past.witnesses.push((step, past.acknowledged));
                    if plan.hasty {
                        past.acknowledged = step;
                    }
                }
            }
            5..8 => {
                if log.sync().is_ok() && named {
                    past.acknowledged = past.acknowledged.max(step);
                }
            }
            8 => {
                if base.is_none() && log.rotate().is_ok() {
                    base = Some(step);
                }
            }
            _ => {
                let Some(at) = base.take() else {
                    continue;
                };
                let temporary = temporary_base(names);
                let written = disk.create(&temporary).and_then(|mut file| {
                    file.append(&[format!("{at}\n").as_bytes()])?;
                    file.sync()
                });
                if written.is_ok() && log.install(&temporary, Form::Dump).is_ok() {
                    named = true;
                }
            }
        }
    }
    Ok(())
}

/// Histories, of three losses each.
const HISTORIES: u64 = 7000;

#[test]
fn no_loss_of_power_takes_what_was_synced() {
    for seed in 0..scaled(HISTORIES) {
        let outcome = history(seed, Plan::default());
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}

#[test]
fn flipped_bits_are_not_read() {
    let plan = Plan {
        flips: true,
        ..Plan::default()
    };
    for seed in 0..scaled(HISTORIES / 4) {
        assert_eq!(history(seed, plan), Ok(()), "seed {seed}");
    }
}

#[test]
fn what_is_planted_is_caught() {
    let none = Plan::default();
    for plan in [
        Plan {
            planted: Planted::FileSync,
            ..none
        },
        Plan {
            planted: Planted::NameSync,
            ..none
        },
        Plan {
            hasty: true,
            ..none
        },
    ] {
        let caught = (0..300).any(|seed| history(seed, plan).is_err());
        assert!(caught, "{:?}, hasty: {}", plan.planted, plan.hasty);
    }
}
