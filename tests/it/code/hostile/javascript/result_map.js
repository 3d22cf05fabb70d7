// expect: CODE_RESULT_INVALID
// Leaves what JSON would lose.
result = { seen: new Map([[1, 2]]) };
