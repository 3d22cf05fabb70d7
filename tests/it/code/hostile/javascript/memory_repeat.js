// expect: CODE_MEMORY_EXCEEDED or CODE_FAILED
// Makes one very large text.
const text = 'x'.repeat(2 ** 29);
result = text + text + 'y';
