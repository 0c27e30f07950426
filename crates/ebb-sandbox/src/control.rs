//! The sandbox's own endpoints: a page for people, and the inspection for tests in another process. They
//! ask for no authorization, spend no budget and suffer no faults.

use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::answer::{Answer, Refusal};
use crate::inspect;
use crate::journal::RequestFilter;
use crate::page;
use crate::route::Route;
use crate::server::Shared;

/// Answers what is for neither API.
pub(crate) fn answer(
    shared: &Shared,
    method: &Method,
    path: &str,
    route: &Route,
    body: &[u8],
) -> Result<Answer, Refusal> {
    let mut world = shared.world();
    world.settle(shared.elapsed());
    match (method.as_str(), path) {
        ("GET", "/") => Ok(Answer::html(200, page::overview(&world))),
        ("GET", "/sandbox/state") => {
            let store = &world.store;
            let value = match route.parameter("object") {
                None => inspect::snapshot(store),
                Some("accounts") => Value::from(inspect::accounts(store)),
                Some("organizations") => Value::from(inspect::organizations(store)),
                Some("users") => Value::from(inspect::users(store)),
                Some("instances") => Value::from(inspect::instances(store)),
                Some("events") => Value::from(store.events.clone()),
                Some(_) => {
                    return Err(Refusal::invalid("object is accounts, organizations, users, instances or events"));
                }
            };
            Ok(Answer::json(200, &value))
        }
        ("GET", "/sandbox/counts") => Ok(Answer::json(200, &world.counts())),
        ("GET", "/sandbox/requests") => Ok(Answer::json(200, &world.journal.find(&filter(route)?))),
        ("GET", "/sandbox/switches") => Ok(Answer::json(200, &world.switches)),
        ("POST", "/sandbox/faults") => {
            world.set_faults(read(body)?);
            Ok(done())
        }
        ("POST", "/sandbox/switches") => {
            world.set_switches(read(body)?);
            Ok(done())
        }
        ("POST", "/sandbox/custom-fields") => {
            world.set_custom_fields(read(body)?);
            Ok(done())
        }
        ("POST", "/sandbox/reset") => {
            world.reset();
            Ok(done())
        }
        ("GET", _) => Ok(Answer::html(404, page::missing())),
        _ => Err(Refusal::new(404, "This stand-in for Vitally has no such endpoint")),
    }
}

fn filter(route: &Route) -> Result<RequestFilter, Refusal> {
    let status = route.parameter("status").map(str::parse).transpose();
    Ok(RequestFilter {
        operation: route.parameter("operation").map(str::to_owned),
        external_id: route.parameter("external_id").map(str::to_owned),
        status: status.map_err(|_| Refusal::invalid("status is a number"))?,
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|fault| Refusal::invalid(fault.to_string()))
}

fn done() -> Answer {
    Answer::json(200, &json!({ "message": "Done." }))
}
