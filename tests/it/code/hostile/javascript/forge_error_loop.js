// expect: CODE_CPU_EXCEEDED
// Throws an error whose reading never ends.
const error = new Error();
Object.defineProperty(error, 'name', { get() { for (;;); } });
throw error;
