//! Drives the write of one record, a call at a time, through a [`Machine`] that only says what follows from an answer.

use chrono::{DateTime, Utc};
use ebb_row::Outcome;

use super::reply::{Flow, Said, read};
use super::request::Endpoint;
use crate::http::{Answer, Request};
use crate::{Step, Steps};

/// What follows from what: the states are the calls that an answer may belong to.
pub(super) trait Machine: Send {
    type State: Send;

    /// The first call.
    fn begin(&self) -> Flow<(Self::State, Request)>;

    /// The call after the answer to the one of `state`, or the outcome.
    fn next(&self, state: Self::State, said: Said) -> Flow<(Self::State, Request)>;
}

/// A [`Machine`] under way.
pub(super) struct Single<M: Machine> {
    machine: M,
    endpoint: Endpoint,
    began: Option<DateTime<Utc>>,
    waiting: Option<(M::State, Request)>,
}

impl<M: Machine> Single<M> {
    pub(super) fn new(machine: M, endpoint: Endpoint) -> Self {
        Self { machine, endpoint, began: None, waiting: None }
    }
}

impl<M: Machine> Steps<Vec<Outcome>> for Single<M> {
    fn step(&mut self, answer: Answer<'_>, now: DateTime<Utc>) -> Step<Vec<Outcome>> {
        let began = *self.began.get_or_insert(now);
        let said = match answer {
            Answer::Start => None,
            Answer::Again => {
                if let Some((_, request)) = &self.waiting {
                    return Step::Send(request.clone());
                }
                None
            }
            Answer::Reply(reply) => Some(read(reply, &self.endpoint.masks, began, now)),
            Answer::Lost(lost) => Some(Said::Open(lost.reason.clone())),
        };
        let flow = match (said, self.waiting.take()) {
            (Some(said), Some((state, _))) => self.machine.next(state, said),
            (_, _) => self.machine.begin(),
        };
        match flow {
            Flow::Continue((state, request)) => {
                self.waiting = Some((state, request.clone()));
                Step::Send(request)
            }
            Flow::Break(outcome) => Step::Done(vec![outcome]),
        }
    }
}
