// expect: CODE_FAILED
// Waits for another thread for ever.
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
