//! Facts about the models.
