use crate::spec::Command;

pub static COMMANDS: &[Command] = &[];

use crate::context::Context;
use crate::spec::{Container, Flags, Form, Outcome, Spec};
/// Inner facts about values.
pub static OBJECT: Container = Container {
    spec: Spec {
        name: "object",
        group: "generic",
        since: "2.2.3",
        arity: -2,
        flags: Flags::NONE,
        summary: "Groups the commands on inner facts about values.",
        ..Spec::DEFAULT
    },
    subcommands: &[Command {
        spec: Spec {
            name: "encoding",
            group: "generic",
            since: "2.2.3",
            arity: 3,
            flags: Flags::READONLY,
            ..Spec::DEFAULT
        },
        form: Form::Local(encoding),
    }],
};
fn encoding(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(2);
    match ctx.look(key, store::Look::Peek) {
        None => ctx.reply.null(),
        Some(item) => {
            let name = item.encoding();
            ctx.reply.bulk(name.as_bytes())
        }
    }
    Ok(crate::Effect::Read)
}
