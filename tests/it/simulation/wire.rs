//! The network between all processes and the service: every request draws its fault, and is recorded.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ebb_destination::{Reply, Request};
use ebb_engine::TransportError;
use ebb_row::Clock;
use ebb_testkit::{Exchange, Fault, FaultKind, FaultPlan, Service, VirtualClock};
use tokio::sync::oneshot;

use crate::simulation::process::Process;

/// The network and what is behind it.
#[derive(Debug)]
pub(super) struct Wire {
    clock: Arc<VirtualClock>,
    state: Mutex<WireState>,
}

#[derive(Debug)]
pub(super) struct WireState {
    pub(super) service: Service,
    pub(super) faults: FaultPlan,
    /// Every request that left a process, in the order of leaving.
    pub(super) exchanges: Vec<Exchange>,
}

type Answer = Result<Reply, TransportError>;

impl Wire {
    pub(super) fn new(clock: Arc<VirtualClock>, service: Service, faults: FaultPlan) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::new(WireState { service, faults, exchanges: Vec::new() }) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, WireState> {
        self.state.lock().unwrap()
    }

    /// Carries a request; returns the number of its exchange (`None` when it never left), and what its sender sees.
    pub(super) async fn send(
        self: Arc<Self>,
        process: &Arc<Process>,
        request: &Request,
        timeout: Duration,
    ) -> (Option<usize>, Answer) {
        let fault = self.lock().faults.draw();
        if fault.kind == FaultKind::Refused {
            tokio::time::sleep(fault.upstream).await;
            return (None, Err(TransportError { reason: "no connection".to_owned(), sent: false }));
        }
        let number = self.open(process.number, request, fault.clone());
        let (answer, answered) = oneshot::channel();
        let downstream = fault.downstream;
        tokio::spawn(Arc::clone(&self).serve(number, fault, Arc::clone(process), answer));
        let arriving = async {
            let Ok(answer) = answered.await else { return std::future::pending().await };
            tokio::time::sleep(downstream).await;
            answer
        };
        let late = || Err(TransportError { reason: "no answer in time".to_owned(), sent: true });
        (Some(number), tokio::time::timeout(timeout, arriving).await.unwrap_or_else(|_| late()))
    }

    fn open(&self, process: u64, request: &Request, fault: Fault) -> usize {
        let sent_at = self.clock.now();
        let mut state = self.lock();
        let items = state.service.items(request);
        state.exchanges.push(Exchange {
            process,
            request: request.clone(),
            fault,
            sent_at,
            arrived_at: None,
            ended_at: None,
            items,
            applied: false,
            is_over_limit: false,
            reply: None,
        });
        state.exchanges.len() - 1
    }

    /// The service's side of a request, which goes on when the sender dies.
    async fn serve(
        self: Arc<Self>,
        number: usize,
        fault: Fault,
        process: Arc<Process>,
        answer: oneshot::Sender<Answer>,
    ) {
        tokio::select! {
            biased;
            // A dead process's connections are closed: what the service has not read by then is lost or read at once.
            true = process.death() => if !fault.outlives_sender { return },
            () = tokio::time::sleep(fault.upstream) => {}
        }
        if fault.kind == FaultKind::TimeoutBefore {
            return;
        }
        let reset = || Err(TransportError { reason: "the connection broke".to_owned(), sent: true });
        if fault.kind == FaultKind::ResetBefore {
            drop(answer.send(reset()));
            return;
        }
        let reply = {
            let now = self.clock.now();
            let mut state = self.lock();
            let request = state.exchanges[number].request.clone();
            let received = state.service.receive(now, &request, &fault);
            let exchange = &mut state.exchanges[number];
            exchange.arrived_at = Some(now);
            exchange.items = received.items;
            exchange.applied = received.applied;
            exchange.is_over_limit = received.is_over_limit;
            received.reply
        };
        if fault.kind == FaultKind::ResetAfter {
            drop(answer.send(reset()));
        } else if fault.kind != FaultKind::TimeoutAfter {
            drop(answer.send(Ok(reply)));
        }
    }

    /// The sender knows how it ended.
    pub(super) fn ended(&self, number: Option<usize>, reply: Option<&Reply>) {
        let now = self.clock.now();
        if let Some(exchange) = number.and_then(|number| self.lock().exchanges.get_mut(number).map(|_| number)) {
            let mut state = self.lock();
            state.exchanges[exchange].ended_at = Some(now);
            state.exchanges[exchange].reply = reply.cloned();
        }
    }
}
