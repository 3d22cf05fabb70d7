// expect: CODE_CPU_EXCEEDED
// Makes promises for ever.
const again = () => Promise.resolve().then(again);
again();
