// expect: CODE_FAILED
// Throws an error that calls itself something else.
const error = new Error('y'.repeat(1000000));
error.name = 'X'.repeat(1000000);
throw error;
