use crate::spec::Command;

pub static COMMANDS: &[Command] = &[];
