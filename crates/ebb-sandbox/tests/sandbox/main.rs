//! The sandbox over real HTTP, as a client of Vitally's would use it.

#[cfg(test)]
mod analytics;
#[cfg(test)]
mod client;
#[cfg(test)]
mod control;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod users;
