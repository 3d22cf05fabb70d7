//! From a client's draft to a valid definition, or all that is wrong with it.
