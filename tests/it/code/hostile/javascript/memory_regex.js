// expect: SUCCESS or CODE_MEMORY_EXCEEDED or CODE_FAILED or CODE_CPU_EXCEEDED
// Makes a very large pattern.
new RegExp('(?:' + 'a{1000}'.repeat(100000) + '){1000}');
result = [];
