// expect: CODE_FAILED
// Reads itself for ever.
const odd = { get x() { return this.x; } };
result = odd.x;
