// expect: CODE_FAILED
// Reads the environment as under QuickJS.
result = std.getenv('DATABASE_URL');
