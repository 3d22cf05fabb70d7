// expect: SUCCESS or CODE_RESULT_INVALID
// Leaves half a character.
result = [];
result.length = 0;
const half = '\ud800';
if (half.length !== 1) result.push(half);
