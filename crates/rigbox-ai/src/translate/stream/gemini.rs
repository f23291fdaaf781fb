//! Events of content of Gemini. Each is an answer of its own, which goes on where the one before ended.

use super::{CALLS_MAX, Emitter, Step};
use crate::translate::{
    Stamp,
    answer::{
        Call, Finish,
        gemini::{ANSWERS_MAX, Candidate, Response},
    },
};

#[derive(Debug)]
pub(super) struct Reader {
    /// What ids of calls are made of.
    id: String,
    created: u64,
    answers: Vec<Answer>,
}

/// One answer of those that were asked for.
#[derive(Debug, Clone, Copy)]
struct Answer {
    index: u64,
    calls: usize,
    is_finished: bool,
}

impl Reader {
    pub(super) fn new(stamp: Stamp<'_>) -> Self {
        Self { id: stamp.id.to_owned(), created: stamp.created, answers: Vec::new() }
    }

    /// Whether everything that has begun has ended, and something has.
    pub(super) fn is_whole(&self) -> bool {
        !self.answers.is_empty() && self.answers.iter().all(|answer| answer.is_finished)
    }

    /// What an event becomes; none where it can not be read.
    pub(super) fn event(
        &mut self,
        data: &[u8],
        emitter: &mut Emitter,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        let response: Response<'_> = serde_json::from_slice(data).ok()?;
        let is_blocked = response.is_blocked();
        if let Some(error) = response.error {
            return Some(Step::Failed(error.failure()));
        }
        for candidate in response.candidates.iter().flatten() {
            self.candidate(candidate, emitter, out)?;
        }
        if is_blocked {
            let place = self.begin(0, emitter, out)?;
            self.finish(place, Finish::ContentFilter, emitter, out);
        }
        Some(Step::On)
    }

    fn candidate(
        &mut self,
        candidate: &Candidate<'_>,
        emitter: &mut Emitter,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let index = candidate.index.unwrap_or(0);
        let place = self.begin(index, emitter, out)?;
        let answer = self.answers.get_mut(place)?;
        if answer.is_finished {
            return Some(());
        }
        let stamp = Stamp { id: &self.id, created: self.created };
        for part in candidate.parts() {
            if let Some(text) = part.said() {
                emitter.text(index, text, out);
            }
            if let Some(call) = part.call(stamp, index, answer.calls) {
                if answer.calls >= CALLS_MAX {
                    return None;
                }
                emitter.call(index, Call { index: Some(answer.calls), ..call }, out);
                answer.calls += 1;
            }
        }
        if let Some(finish) = candidate.finish(answer.calls > 0) {
            self.finish(place, finish, emitter, out);
        }
        Some(())
    }

    /// Where an answer is, which may begin here; none where there are too many.
    fn begin(&mut self, index: u64, emitter: &mut Emitter, out: &mut Vec<u8>) -> Option<usize> {
        if let Some(place) = self.answers.iter().position(|answer| answer.index == index) {
            return Some(place);
        }
        if self.answers.len() >= ANSWERS_MAX {
            return None;
        }
        emitter.role(index, out);
        self.answers.push(Answer { index, calls: 0, is_finished: false });
        Some(self.answers.len() - 1)
    }

    fn finish(&mut self, place: usize, finish: Finish, emitter: &mut Emitter, out: &mut Vec<u8>) {
        if let Some(answer) = self.answers.get_mut(place).filter(|answer| !answer.is_finished) {
            answer.is_finished = true;
            emitter.finish(answer.index, finish, out);
        }
    }
}
