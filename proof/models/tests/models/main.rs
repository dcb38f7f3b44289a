//! Models of what must hold under every interleaving. Each says which mutation of the source breaks it (`mutations/`), and by which
//! seed it was seen to.

mod registration;
mod shutdown;
mod support;
mod task;
mod telling;
mod token;
mod workers;
