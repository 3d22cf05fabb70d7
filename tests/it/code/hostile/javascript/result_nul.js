// expect: INVALID_VALUE or NUL_CHARACTER or CODE_RESULT_INVALID
// Leaves what no database keeps.
result = 'a\0b';
