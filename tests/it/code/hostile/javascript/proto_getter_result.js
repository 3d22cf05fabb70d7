// expect: CODE_RESULT_INVALID
// Throws when its result is read.
Object.defineProperty(globalThis, 'result', { get() { throw new Error('no'); } });
