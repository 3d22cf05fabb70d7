// expect: CODE_FAILED
// Throws an error that does not want to be read.
const error = new Error();
Object.defineProperty(error, 'message', { get() { throw error; } });
Object.defineProperty(error, 'name', { get() { throw error; } });
Object.defineProperty(error, 'stack', { get() { throw error; } });
throw error;
