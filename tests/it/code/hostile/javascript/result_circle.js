// expect: CODE_RESULT_INVALID
// Leaves a result that contains itself.
result = {};
result.self = result;
