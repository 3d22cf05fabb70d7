// expect: CODE_FAILED
// Reads with a function of shells.
result = read(data.file);
