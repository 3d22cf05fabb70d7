// expect: CODE_RESULT_INVALID
// Leaves a symbol.
result = Symbol('x');
