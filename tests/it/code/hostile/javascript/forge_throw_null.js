// expect: CODE_FAILED
// Throws nothing.
throw null;
