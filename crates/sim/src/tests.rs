//! Facts about the models.

mod models;
mod registers;
mod running;
