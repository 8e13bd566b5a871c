//! Compute on media bytes: JPEG, motion, shrinking. No I/O.
