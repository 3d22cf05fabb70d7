// expect: CODE_FAILED
// Reads the environment.
result = process.env.DATABASE_URL;
