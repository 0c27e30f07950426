//! A small run, disturbed at step 1, 2, 3 … until it ends undisturbed; each time it is recovered and everything is
//! checked. A step is a moment before or after a call to the store or the network.

use ebb_testkit::Random;

use crate::simulation::check::check_all;
use crate::simulation::process::Action;
use crate::simulation::ready::Kind;
use crate::simulation::world::{Setting, Weather, World, in_virtual_time};

/// One disturbance at one step of the second run of a small world; `false` when the run had fewer steps.
async fn disturb(kind: Kind, action: Action, step: u64, again: bool) -> (bool, Vec<String>, Vec<String>) {
    let mut setting = Setting::small(kind);
    setting.refused_keys.insert("k-2".to_owned());
    let mut world = World::new(setting, Random::new(7));
    let mut random = world.random.fork();
    world.run(&Weather::fine()).await.report();
    world.model.rows[0].seats += 10;
    world.model.rows[2].plan = None;
    world.model.rows[3].name = Some("Renamed".to_owned());
    world.model.rows.remove(4);
    world.model.add(&mut random);
    world.model.add(&mut random);
    let end = world.run(&Weather::with(step, action)).await;
    let reached = world.interruptions > 0;
    if again && reached {
        let step = random.between(1, 60);
        drop(world.run(&Weather::with(step, action)).await);
    }
    if !reached {
        drop(end.report());
    }
    let last = world.settle_down().await;
    check_all(&mut world, last.as_ref()).await;
    (reached, world.faults, world.history)
}

fn sweep(kind: Kind, action: Action, again: bool) {
    let mut failed = Vec::new();
    let mut step = 0;
    loop {
        step += 1;
        let (reached, faults, history) = in_virtual_time(disturb(kind, action, step, again));
        if !faults.is_empty() {
            println!("step {step}:\n  {}\n  --\n  {}\n", faults.join("\n  "), history.join("\n  "));
            failed.push(step);
        }
        if !reached {
            break;
        }
    }
    println!("{kind:?}, {action:?}: {} steps", step - 1);
    assert!(step > 40, "the run has steps");
    assert!(failed.is_empty(), "{kind:?}, {action:?}: steps {failed:?} failed");
}

const KILL: Action = Action::Crash { provably: true };
const POWER_CUT: Action = Action::Crash { provably: false };

#[test]
fn g1_g2_g9_g12_accounts_survive_a_crash_at_every_step() {
    sweep(Kind::Accounts, KILL, false);
}

#[test]
fn g1_g2_g9_g12_accounts_survive_a_crash_at_every_step_and_one_in_the_recovery() {
    sweep(Kind::Accounts, KILL, true);
}

#[test]
fn g4_g9_accounts_survive_a_crash_that_nobody_can_tell_at_every_step() {
    sweep(Kind::Accounts, POWER_CUT, false);
}

#[test]
fn g1_g2_g9_g12_updates_survive_a_crash_at_every_step() {
    sweep(Kind::AccountUpdates, KILL, false);
}

#[test]
fn g1_g2_g6_g9_g12_batches_survive_a_crash_at_every_step() {
    sweep(Kind::AccountBatches, KILL, false);
}

#[test]
fn g1_g2_g6_g9_g12_events_survive_a_crash_at_every_step() {
    sweep(Kind::Events, KILL, true);
}

#[test]
fn g2_g12_a_stop_at_every_step_loses_nothing() {
    sweep(Kind::Accounts, Action::Stop, false);
}

#[test]
fn g2_g12_a_store_that_fails_at_every_call_loses_nothing() {
    sweep(Kind::Accounts, Action::Fail, false);
    sweep(Kind::Accounts, Action::FailAfter, false);
}

#[test]
fn g2_g13_a_process_that_stands_still_at_every_step_loses_nothing() {
    sweep(Kind::Accounts, Action::Freeze(100), false);
}
