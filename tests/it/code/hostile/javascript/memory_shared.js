// expect: CODE_MEMORY_EXCEEDED or CODE_FAILED
// Asks for shared buffers, which are allocated elsewhere.
const hoard = [];
for (;;) hoard.push(new SharedArrayBuffer(2 ** 24));
