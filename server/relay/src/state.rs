//! The relay's records. Each keeps its own parts in step with each other: what it cannot express
//! needs no check.

mod catalogue;
mod entry;
mod id_map;
mod names;
mod queue;
mod sessions;
mod task;
mod tasks;
mod wakes;

pub(crate) use catalogue::Catalogue;
pub(crate) use entry::Entry;
pub(crate) use names::Name;
pub(crate) use sessions::{Session, Sessions};
pub(crate) use task::{Conditions, Due, NewTask, Phase, Task};
pub(crate) use tasks::{Start, Tasks};
pub(crate) use wakes::{Wake, Wakes};
