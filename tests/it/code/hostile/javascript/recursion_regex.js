// expect: CODE_FAILED or CODE_SYNTAX or CODE_MEMORY_EXCEEDED
// Nests a pattern deeper than its parser goes.
new RegExp('('.repeat(1000000) + ')'.repeat(1000000));
