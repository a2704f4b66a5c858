//! Memory that may run out: it is asked for so that it can be refused, or it is set aside before it is needed.
//!
//! Rust's collections and boxes end the process where there is no memory. A library may not do that to its host. So what
//! grows with what a program asks for is given room beforehand (`Room`, `try_box`, `Shared`), and the call fails. What the
//! core needs in the middle of a step, where it can't stop, comes out of the `Reserve` of its instance.

mod allocator;
mod chunks;
mod reserve;
mod reserved;
mod room;
mod shared;

#[cfg(simulation)]
pub(crate) use reserve::outside;
#[cfg(simulation)]
pub use reserve::starve;
pub(crate) use reserve::{Reserve, foresee, is_short, renew};
pub(crate) use reserved::{Locked, Reserved};
#[cfg(not(simulation))]
pub(crate) use room::grow;
pub(crate) use room::{Room, copy_of, try_box};
pub(crate) use shared::Shared;
