//! The end-to-end tests of Switchback live in `tests/e2e`; this library is empty.
