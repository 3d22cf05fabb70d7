// expect: CODE_FAILED or CODE_SYNTAX
// Nests deeper than the parser goes.
eval('('.repeat(1000000) + ')'.repeat(1000000));
