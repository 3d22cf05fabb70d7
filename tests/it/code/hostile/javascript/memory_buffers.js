// expect: CODE_MEMORY_EXCEEDED or CODE_FAILED
// Asks for many large buffers.
const hoard = [];
for (;;) hoard.push(new Uint8Array(2 ** 24).fill(1));
