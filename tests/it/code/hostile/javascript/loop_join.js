// expect: CODE_CPU_EXCEEDED or CODE_MEMORY_EXCEEDED
// Joins four thousand million holes.
const holes = [];
holes.length = 4294967295;
result = holes.join('x');
