// expect: CODE_FAILED or CODE_MEMORY_EXCEEDED
// Throws nothing.
throw null;
