// expect: CODE_RESULT_INVALID
// Throws when its result is written.
result = { toJSON() { throw new Error('no'); } };
