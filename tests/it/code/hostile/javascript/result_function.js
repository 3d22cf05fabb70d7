// expect: CODE_RESULT_INVALID
// Leaves a function.
result = () => 1;
