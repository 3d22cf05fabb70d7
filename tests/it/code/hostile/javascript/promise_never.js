// expect: CODE_RESULT_INVALID
// Leaves a promise that nobody keeps.
result = new Promise(() => {});
