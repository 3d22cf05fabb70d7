// expect: CODE_CPU_EXCEEDED or CODE_MEMORY_EXCEEDED
// Writes a list of four thousand million holes.
result = [];
result.length = 4294967295;
