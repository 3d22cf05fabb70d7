// expect: CODE_RESULT_INVALID
// Leaves half a character as its result.
result = '\ud800';
