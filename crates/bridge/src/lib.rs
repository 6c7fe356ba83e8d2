//! Page to worker: one command enum, one event enum.
