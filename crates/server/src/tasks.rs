//! Work that would block the event loop: done on a thread of its own, while the client that asked
//! for it waits and everybody else goes on.
//!
//! A handler starts a task and writes no reply. The client's further commands wait, as they do under
//! CLIENT PAUSE; when the thread has finished, it wakes the loop, which runs the task's [`Finish`]
//! to write the reply. Such work is rare (a file to be synced), so a thread per task is cheap enough.

use crate::clients::{Client, Held, Special};
use crate::core::Core;
use crate::wake::Wake;
use command::Error;
use resp::Reply;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What a task leaves to be done on the shard: the reply to write.
pub type Finish = Box<dyn FnOnce(&mut Core, &mut Reply) + Send>;

pub struct Tasks {
    wake: Wake,
    sender: Sender<(u64, Finish)>,
    receiver: Receiver<(u64, Finish)>,
    /// Ids of the clients that wait, and whether they want a reply.
    waiting: HashMap<u64, bool>,
}

impl Tasks {
    pub fn new(wake: Wake) -> Tasks {
        let (sender, receiver) = channel();
        Tasks {
            wake,
            sender,
            receiver,
            waiting: HashMap::new(),
        }
    }

    /// Runs `work` for a client.
    pub fn start(&mut self, client: &mut Client, work: impl FnOnce() -> Finish + Send + 'static) {
        let special = client.special;
        let silent = special.has(Special::REPLY_OFF) || special.has(Special::REPLY_SKIP);
        client.held = Some(Held::Task);
        self.waiting.insert(client.id, !silent);
        let (id, sender, wake) = (client.id, self.sender.clone(), self.wake.clone());
        let spawned = std::thread::Builder::new()
            .name("task".into())
            .spawn(move || {
                // Nobody listens any more when the server has ended.
                let _ = sender.send((id, work()));
                wake.ring();
            });
        if let Err(e) = spawned {
            let error = Error::new(format!("ERR No thread could be started: {e}"));
            let refuse: Finish = Box::new(move |core, reply| core.reply_error(reply, &error));
            let _ = self.sender.send((id, refuse));
            self.wake.ring();
        }
    }

    /// Whether a task of this client has not finished.
    pub fn has(&self, client_id: u64) -> bool {
        self.waiting.contains_key(&client_id)
    }

    /// A task that has finished: its client, whether that wants the reply, and what to do.
    pub fn finished(&mut self) -> Option<(u64, bool, Finish)> {
        if self.waiting.is_empty() {
            return None;
        }
        let (id, finish) = self.receiver.try_recv().ok()?;
        let wants_reply = self.waiting.remove(&id)?;
        Some((id, wants_reply, finish))
    }
}
