// expect: CODE_FAILED
// Becomes text for ever.
const odd = { toString() { return `${this}`; } };
result = `${odd}`;
