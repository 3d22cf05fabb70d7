// expect: CODE_FAILED
// Makes a prototype its own.
const a = {};
Object.setPrototypeOf(a, Object.create(a));
