// expect: CODE_FAILED
// Leaves a promise that is broken.
result = Promise.reject(new TypeError('broken'));
