// expect: CODE_FAILED
// Reads as under Bun.
result = Bun.file(data.file).text();
