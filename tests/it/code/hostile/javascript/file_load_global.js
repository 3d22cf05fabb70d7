// expect: CODE_FAILED
// Loads with a function of shells.
load(data.file);
