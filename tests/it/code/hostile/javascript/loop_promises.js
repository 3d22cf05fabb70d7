// expect: CODE_CPU_EXCEEDED or CODE_MEMORY_EXCEEDED
// Makes promises for ever.
const again = () => Promise.resolve().then(again);
again();
