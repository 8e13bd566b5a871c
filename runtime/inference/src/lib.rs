//! Model store, accelerators and the tasks built on them.
