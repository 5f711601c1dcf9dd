//! The body of an answer: bytes, and large values page by page.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use ringhold_store::large::Large;

use super::silence::Sending;

/// A body that is known from the start.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    parts: VecDeque<Part>,
    /// Notes when all of it was taken.
    sending: Option<Sending>,
}

#[derive(Debug)]
enum Part {
    Bytes(Bytes),
    /// Bytes of a value, from here to there.
    Large {
        value: Arc<Large>,
        at: usize,
        end: usize,
    },
}

impl Answer {
    /// Has the request count as being answered until this body and all its frames are gone.
    pub(super) fn hold(&mut self, sending: Sending) {
        self.sending = Some(sending);
    }

    /// Adds bytes.
    pub(crate) fn push(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        if !bytes.is_empty() {
            self.parts.push_back(Part::Bytes(bytes));
        }
    }

    /// Adds part of a large value; its pages stay charged to the store until they are sent.
    pub(crate) fn push_large(&mut self, value: Arc<Large>, start: usize, len: usize) {
        if len > 0 {
            self.parts.push_back(Part::Large { value, at: start, end: start + len });
        }
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        let mut answer = Self::default();
        answer.push(text);
        answer
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.parts.pop_front() {
            None => return Poll::Ready(None),
            Some(Part::Bytes(bytes)) => bytes,
            Some(Part::Large { value, at, end }) => {
                let chunk = value.chunk_at(at);
                let len = chunk.len().min(end - at);
                let page = Bytes::copy_from_slice(&chunk[..len]);
                if at + len < end {
                    self.parts.push_front(Part::Large { value, at: at + len, end });
                }
                page
            }
        };
        let frame = match &self.sending {
            Some(sending) => sending.part(frame),
            None => frame,
        };
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let len = self.parts.iter().map(|part| match part {
            Part::Bytes(bytes) => bytes.len(),
            Part::Large { at, end, .. } => end - at,
        });
        SizeHint::with_exact(len.map(|len| len as u64).sum())
    }
}
