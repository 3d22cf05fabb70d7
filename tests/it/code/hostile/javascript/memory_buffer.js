// expect: CODE_MEMORY_EXCEEDED or CODE_FAILED
// Asks for a very large buffer.
new ArrayBuffer(2 ** 40);
