//! The checks between a command's look-up and its execution, in Redis's order.

use crate::pause::Pause;
use command::{Error, Flags, Spec};

/// What the gate knows of whoever calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// It has not said a password and must.
    pub must_authenticate: bool,
    /// Flags of the commands that the call executes besides itself.
    pub queued: Flags,
}

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Run,
    /// It stays in the client's input until the pause ends.
    Wait,
    Refuse(Error),
}

/// Judges a call of the command `name` (its container before a `|`) with `argc` arguments, the name
/// included.
pub fn judge(spec: &Spec, name: &str, argc: usize, caller: Caller, pause: &Pause) -> Verdict {
    if !spec.accepts(argc) {
        return Verdict::Refuse(Error::arity(name));
    }
    if caller.must_authenticate && !spec.flags.has(Flags::NO_AUTH) {
        return Verdict::Refuse(Error::new("NOAUTH Authentication required."));
    }
    if pause.holds(spec.flags.or(caller.queued)) {
        return Verdict::Wait;
    }
    Verdict::Run
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pause::Scope;

    fn check(argc: usize, must_authenticate: bool, paused: bool, flags: Flags, want: &str) {
        let spec = Spec {
            name: "set",
            arity: -3,
            flags,
            ..Spec::DEFAULT
        };
        let mut pause = Pause::default();
        if paused {
            pause.start(Scope::Writes, 1);
        }
        let caller = Caller {
            must_authenticate,
            queued: Flags::NONE,
        };
        let got = match judge(&spec, "set", argc, caller, &pause) {
            Verdict::Run => "run".to_owned(),
            Verdict::Wait => "wait".to_owned(),
            Verdict::Refuse(error) => String::from_utf8_lossy(error.text()).into_owned(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn checks_come_in_order() {
        const ARITY: &str = "ERR wrong number of arguments for 'set' command";
        const NO_AUTH: &str = "NOAUTH Authentication required.";
        check(3, false, false, Flags::WRITE, "run");
        check(2, true, true, Flags::WRITE, ARITY);
        check(3, true, true, Flags::WRITE, NO_AUTH);
        check(3, true, false, Flags::NO_AUTH, "run");
        check(3, false, true, Flags::WRITE, "wait");
        check(3, false, true, Flags::READONLY, "run");
    }
}
