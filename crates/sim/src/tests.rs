//! Facts about the models.

mod registers;
mod models;
mod running;
