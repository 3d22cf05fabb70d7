// expect: TOO_DEEP or CODE_RESULT_INVALID
// Leaves a result that nests deeper than messages do.
result = [];
for (let i = 0; i < 100; i += 1) result = [result];
