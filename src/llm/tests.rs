//! Tests of calls, against what providers send.
