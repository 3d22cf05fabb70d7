// expect: CODE_RESULT_INVALID
// Leaves a result that nests without end.
result = [];
for (let i = 0; i < 100000; i += 1) result = [result];
