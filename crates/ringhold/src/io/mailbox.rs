//! What other threads tell a worker.

use std::io;

use mio::{Poll, Waker};
use parking_lot::Mutex;

use super::worker_loop::MAILBOX;

/// The most letters that may wait; more are not taken (each kind is asked for again by its sender).
const MAIL_MAX: usize = 65_536;

/// A letter to a worker.
#[derive(Debug)]
pub(crate) enum Mail {
    /// The node stops: accept nobody, close what is idle, end when all are gone.
    Drain,
}

/// The letters that wait for one worker, and the bell.
#[derive(Debug)]
pub(crate) struct Mailbox {
    letters: Mutex<Vec<Mail>>,
    bell: Waker,
}

impl Mailbox {
    pub(crate) fn new(poll: &Poll) -> io::Result<Self> {
        let bell = Waker::new(poll.registry(), MAILBOX)?;
        Ok(Self { letters: Mutex::default(), bell })
    }

    /// Leaves a letter and rings; whether it was taken.
    pub(crate) fn put(&self, mail: Mail) -> bool {
        let mut letters = self.letters.lock();
        if letters.len() >= MAIL_MAX {
            return false;
        }
        letters.push(mail);
        drop(letters);
        self.bell.wake().is_ok()
    }

    pub(crate) fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut *self.letters.lock())
    }
}
